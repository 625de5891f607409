//! What layer norm and RMS norm share: both are rows scaled to unit size, the former about the
//! mean, the latter about zero, so RMS norm is this with a mean of zero.
#![allow(clippy::inline_always)] // As in `simd`.

use crate::cut::{rows_per_partial, rows_per_piece, with_zeros};
use crate::gemm::Write;
use crate::simd::{Block, Simd, for_blocks, simd_fn};
use crate::{Element, Isa};
use rayon::prelude::*;

/// Where the gradients of a norm's parameters are added; `[D]` each.
pub struct NormGrads<'a> {
    /// Of the weight.
    pub dw: &'a mut [f32],
    /// Of the bias, where there is one.
    pub db: Option<&'a mut [f32]>,
}

/// Mean and inverse deviation of every row.
pub(crate) type Stats<'a> = (&'a [f32], &'a [f32]);

/// The parameters of the forward pass.
#[derive(Clone, Copy)]
pub(crate) struct Params<'a> {
    pub w: &'a [f32],
    pub b: Option<&'a [f32]>,
    pub eps: f32,
    /// Whether the mean is computed; else it is zero.
    pub centered: bool,
}

/// `y = (x - mean) * rstd * w + b` over rows, and the statistics.
pub(crate) fn forward<X: Element, Y: Element>(
    isa: Isa,
    y: &mut [Y],
    stats: (&mut [f32], &mut [f32]),
    x: &[X],
    params: Params,
) {
    let n_rows = rows_per_piece(params.w.len());
    let n = n_rows * params.w.len();
    if y.len() <= n {
        return forward_piece(isa, y, stats, x, params);
    }
    let stats = stats.0.par_chunks_mut(n_rows).zip(stats.1.par_chunks_mut(n_rows));
    let pieces = y.par_chunks_mut(n).zip(x.par_chunks(n)).zip(stats);
    pieces.for_each(|((y, x), stats)| forward_piece(isa, y, stats, x, params));
}

simd_fn! {
    fn forward_piece<X: Element, Y: Element>(
        y: &mut [Y], stats: (&mut [f32], &mut [f32]), x: &[X], params: Params,
    ) = forward_rows;
}

#[inline(always)]
pub(crate) fn forward_rows<S: Simd, X: Element, Y: Element>(
    s: S,
    y: &mut [Y],
    stats: (&mut [f32], &mut [f32]),
    x: &[X],
    params: Params,
) {
    let Params { w, b, eps, centered } = params;
    let d = w.len();
    let rows = y.chunks_exact_mut(d).zip(x.chunks_exact(d));
    for ((y, x), (mean, rstd)) in rows.zip(stats.0.iter_mut().zip(stats.1)) {
        *mean = if centered { row_mean(s, x) } else { 0.0 };
        *rstd = (row_variance(s, x, *mean) + eps).sqrt().recip();
        let (mean, rstd) = (s.splat(*mean), s.splat(*rstd));
        for_blocks!(d, |at| {
            let unit = s.mul(s.sub(at.load(s, x), mean), rstd);
            let w = at.load(s, w);
            at.store(s, y, b.map_or(s.mul(unit, w), |b| s.fma(unit, w, at.load(s, b))));
        });
    }
}

#[inline(always)]
fn row_mean<S: Simd, X: Element>(s: S, x: &[X]) -> f32 {
    let mut sum = s.splat(0.0);
    for_blocks!(x.len(), |at| {
        sum = s.add(sum, at.load(s, x));
    });
    s.reduce_add(sum) / x.len() as f32
}

#[inline(always)]
fn row_variance<S: Simd, X: Element>(s: S, x: &[X], mean: f32) -> f32 {
    let (mut sum, mean) = (s.splat(0.0), s.splat(mean));
    for_blocks!(x.len(), |at| {
        let off = at.or(s, s.sub(at.load(s, x), mean), 0.0);
        sum = s.fma(off, off, sum);
    });
    s.reduce_add(sum) / x.len() as f32
}

/// What the backward pass does beside the arithmetic.
#[derive(Clone, Copy)]
pub(crate) struct Rule<'a> {
    pub w: &'a [f32],
    /// Overwrite `dx` or add to it.
    pub write: Write,
    /// Whether `mean` depends on x.
    pub centered: bool,
}

/// `dx`, with `dw` and `db` added to `grads`, by partial sums over fixed groups of rows.
pub(crate) fn backward<G: Element, X: Element>(
    isa: Isa,
    dx: &mut [f32],
    grads: NormGrads,
    dy: &[G],
    x: &[X],
    (mean, rstd): Stats,
    rule: Rule,
) {
    let d = rule.w.len();
    let n_rows = rows_per_partial(rstd.len());
    let n = n_rows * d;
    with_zeros(rstd.len().div_ceil(n_rows) * 2 * d, |partials| {
        let stats = mean.par_chunks(n_rows).zip(rstd.par_chunks(n_rows));
        let inputs = dy.par_chunks(n).zip(x.par_chunks(n)).zip(stats);
        let outputs = dx.par_chunks_mut(n).zip(partials.par_chunks_mut(2 * d));
        outputs.zip(inputs).for_each(|((dx, partial), ((dy, x), stats))| {
            backward_piece(isa, dx, partial.split_at_mut(d), (dy, x), stats, rule);
        });
        let (dw, mut db) = (grads.dw, grads.db);
        for partial in partials.chunks_exact(2 * d) {
            let (pw, pb) = partial.split_at(d);
            dw.iter_mut().zip(pw).for_each(|(dw, p)| *dw += p);
            if let Some(db) = &mut db {
                db.iter_mut().zip(pb).for_each(|(db, p)| *db += p);
            }
        }
    });
}

simd_fn! {
    fn backward_piece<G: Element, X: Element>(
        dx: &mut [f32], partial: (&mut [f32], &mut [f32]), inputs: (&[G], &[X]),
        stats: Stats, rule: Rule,
    ) = backward_rows;
}

#[inline(always)]
pub(crate) fn backward_rows<S: Simd, D: Element, G: Element, X: Element>(
    s: S,
    dx: &mut [D],
    (dw, db): (&mut [f32], &mut [f32]),
    (dy, x): (&[G], &[X]),
    stats: Stats,
    Rule { w, write, centered }: Rule,
) {
    let d = w.len();
    let rows = dx.chunks_exact_mut(d).zip(dy.chunks_exact(d).zip(x.chunks_exact(d)));
    for ((dx, (dy, x)), (mean, rstd)) in rows.zip(stats.0.iter().zip(stats.1)) {
        let (mean, rstd) = (s.splat(*mean), s.splat(*rstd));
        let (mut sum, mut dot) = (s.splat(0.0), s.splat(0.0));
        for_blocks!(d, |at| {
            let unit = s.mul(s.sub(at.load(s, x), mean), rstd);
            let dy = at.load(s, dy);
            let scaled = s.mul(dy, at.load(s, w));
            // Past the end `dy` is zero, so nothing is counted there.
            sum = s.add(sum, scaled);
            dot = s.fma(scaled, unit, dot);
            at.store(s, dw, s.fma(dy, unit, at.load(s, dw)));
            at.store(s, db, s.add(dy, at.load(s, db)));
        });
        let to_mean = 1.0 / d as f32;
        let sum = s.splat(if centered { s.reduce_add(sum) * to_mean } else { 0.0 });
        let dot = s.splat(s.reduce_add(dot) * to_mean);
        for_blocks!(d, |at| {
            let unit = s.mul(s.sub(at.load(s, x), mean), rstd);
            let scaled = s.mul(at.load(s, dy), at.load(s, w));
            let grad = s.mul(rstd, s.fnma(unit, dot, s.sub(scaled, sum)));
            match write {
                Write::Overwrite => at.store(s, dx, grad),
                Write::Add => at.store(s, dx, s.add(at.load(s, dx), grad)),
            }
        });
    }
}

#[cfg(test)]
mod tests;
