//! Softmax over a strip of scores, and its gradient: a few query rows by a bounded range of keys.

use std::ops::Range;

use super::mask::AttnSpec;
use super::spec::Heads;
use crate::Element;
use crate::simd::{Block, LANES, Simd, for_blocks, math, simd_fn};

/// Rows of scores: `queries` of one head against the keys from `first_key`.
#[derive(Clone, Debug)]
pub(super) struct Strip<'a> {
    pub spec: &'a AttnSpec<'a>,
    /// Row of the batch.
    pub b: usize,
    /// Query head.
    pub n: usize,
    /// Queries, one a row.
    pub queries: Range<usize>,
    /// The key of column 0; a multiple of [`LANES`].
    pub first_key: usize,
    /// Columns of a row that hold scores; a multiple of [`LANES`], and may pass the last key.
    pub width: usize,
    /// From one row to the next; a multiple of [`LANES`].
    pub stride: usize,
}

/// The online softmax of one row: `sum = sum_k exp(s[k] - max)` over the keys so far.
///
/// Milakov, Gimelshein, "Online normalizer calculation for softmax", arXiv:1805.02867, alg. 3.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowState {
    pub max: f32,
    pub sum: f32,
    /// What the last strip asks to multiply earlier results with.
    pub rescale: f32,
}

impl RowState {
    pub const EMPTY: Self = Self { max: f32::NEG_INFINITY, sum: 0.0, rescale: 1.0 };

    /// Takes in the largest score of a strip and returns the maximum to subtract: 0 while there
    /// is none.
    #[inline(always)]
    fn raise(&mut self, max: f32) -> f32 {
        let max = self.max.max(max);
        self.rescale = if max == self.max { 1.0 } else { (self.max - max).exp() };
        self.sum *= self.rescale;
        self.max = max;
        if max == f32::NEG_INFINITY { 0.0 } else { max }
    }

    /// Whether no key was seen yet.
    pub fn is_empty(&self) -> bool {
        self.max == f32::NEG_INFINITY && self.sum == 0.0
    }

    /// What turns weighted sums into averages; zero for a row that saw no key.
    pub fn normalizer(&self) -> f32 {
        if self.sum == 0.0 { 0.0 } else { self.sum.recip() }
    }

    /// The logarithm of the sum of the exponentials of all scores.
    pub fn log_sum_exp(&self) -> f32 {
        self.max + self.sum.ln()
    }
}

/// What backward knows of a row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RowGrad {
    pub lse: f32,
    /// `d_out . out`.
    pub delta: f32,
}

/// Room for one row of addends and one of dropout multipliers.
#[derive(Debug, Default)]
pub(super) struct RowBuffers {
    add: Vec<f32>,
    drop: Vec<f32>,
}

impl RowBuffers {
    pub const EMPTY: Self = Self { add: Vec::new(), drop: Vec::new() };

    /// Grows to rows of `width`.
    pub fn grow(&mut self, width: usize) {
        if self.add.len() < width {
            self.add.resize(width, 0.0);
            self.drop.resize(width, 0.0);
        }
    }
}

/// Which columns of a row count, and what is done to them.
struct Row<'a> {
    visible: Range<usize>,
    /// Added to the scaled score; `-inf` where masked.
    add: Option<&'a [f32]>,
    /// Multiplies the probability.
    drop: Option<&'a [f32]>,
}

impl Strip<'_> {
    /// The row of query `t`, its addends and multipliers written into `buffers`.
    #[inline(always)]
    fn row<'b>(&self, t: usize, buffers: &'b mut RowBuffers) -> Row<'b> {
        let spec = self.spec;
        let keys = spec.pattern.visible(spec.q_start + t, spec.shape.k_len);
        let end = keys.end.clamp(self.first_key, self.first_key + self.width) - self.first_key;
        let start = keys.start.saturating_sub(self.first_key).min(end);
        let visible = start..end;
        let keys = self.first_key + start..self.first_key + end;
        let has_add = spec.bias.is_some() || spec.k_segments.is_some();
        if has_add {
            self.fill_add(t, keys, &mut buffers.add[visible.clone()]);
        }
        if let Some(dropout) = spec.dropout {
            let drop = &mut buffers.drop[..self.width];
            spec.fill_multipliers(dropout, [self.b, self.n, t], self.first_key, drop);
        }
        Row {
            visible,
            add: has_add.then_some(&buffers.add[..self.width]),
            drop: spec.dropout.map(|_| &buffers.drop[..self.width]),
        }
    }

    /// Bias and segments of query `t` and `keys`.
    #[inline(always)]
    fn fill_add(&self, t: usize, keys: Range<usize>, add: &mut [f32]) {
        match self.spec.bias_row(self.n, t) {
            Some(bias) => add.copy_from_slice(&bias[keys.clone()]),
            None => add.fill(0.0),
        }
        let Some(segments) = self.spec.key_segments(self.b) else { return };
        let id = self.spec.q_segment(self.b, t);
        for (add, &key) in add.iter_mut().zip(&segments[keys]) {
            *add = if AttnSpec::admits(id, key) { *add } else { f32::NEG_INFINITY };
        }
    }

    /// The columns of row `i` of a strip.
    #[inline(always)]
    fn columns_mut<'x>(&self, x: &'x mut [f32], i: usize) -> &'x mut [[f32; LANES]] {
        &mut x[i * self.stride..].as_chunks_mut().0[..self.width / LANES]
    }
}

/// `v` in the visible lanes of the block at column `at`, else `fill`.
#[inline(always)]
fn within<S: Simd>(s: S, v: S::F, at: usize, visible: &Range<usize>, fill: f32) -> S::F {
    if visible.start <= at && at + LANES <= visible.end {
        return v;
    }
    let fill = s.splat(fill);
    let before = s.first(visible.start.saturating_sub(at).min(LANES));
    let inside = s.first(visible.end.saturating_sub(at).min(LANES));
    s.select(before, fill, s.select(inside, v, fill))
}

/// `x = x * scale + add`, and `-inf` wherever `add` is, even over a NaN.
#[inline(always)]
fn add_row<S: Simd>(s: S, x: &mut [[f32; LANES]], add: &[f32], scale: f32) {
    let (scale, lowest) = (s.splat(scale), s.splat(f32::MIN));
    for (x, add) in x.iter_mut().zip(add.as_chunks().0) {
        let add = s.load_f32(add);
        let sum = s.fma(s.load_f32(x), scale, add);
        s.store_f32(x, s.select(s.lt(add, lowest), add, sum));
    }
}

/// Scores to `exp(score - max)`, zero where masked, times the dropout multiplier.
#[inline(always)]
fn softmax_row<S: Simd>(
    s: S,
    x: &mut [[f32; LANES]],
    row: &Row<'_>,
    scale: f32,
    state: &mut RowState,
) {
    let visible = &row.visible;
    let blocks = visible.start / LANES..visible.end.div_ceil(LANES);
    let mut scale = scale;
    if let Some(add) = row.add {
        add_row(s, &mut x[blocks.clone()], &add[blocks.start * LANES..], scale);
        scale = 1.0;
    }
    let mut max = s.splat(f32::NEG_INFINITY);
    for i in blocks.clone() {
        let v = within(s, s.load_f32(&x[i]), i * LANES, visible, f32::NEG_INFINITY);
        max = s.max(v, max);
    }
    let minus_max = s.splat(-state.raise(s.reduce_max(max) * scale));
    let (scale, mut sum) = (s.splat(scale), s.splat(0.0));
    x[..blocks.start].fill([0.0; LANES]);
    x[blocks.end..].fill([0.0; LANES]);
    for i in blocks {
        let v = math::exp_down(s, s.fma(s.load_f32(&x[i]), scale, minus_max));
        let mut v = within(s, v, i * LANES, visible, 0.0);
        sum = s.add(sum, v);
        if let Some(drop) = row.drop {
            v = s.mul(v, s.load_f32(&drop.as_chunks().0[i]));
        }
        s.store_f32(&mut x[i], v);
    }
    state.sum += s.reduce_add(sum);
}

/// Scores `x` to `p = exp(score - lse) * m`, and `dp = d_out . v` to `ds = p * (m * dp - delta)`,
/// both zero where masked.
#[inline(always)]
fn gradient_row<S: Simd>(
    s: S,
    [x, dp]: [&mut [[f32; LANES]]; 2],
    row: &Row<'_>,
    scale: f32,
    grad: RowGrad,
) {
    let visible = &row.visible;
    let blocks = visible.start / LANES..visible.end.div_ceil(LANES);
    let (minus_lse, delta) = (s.splat(-grad.lse), s.splat(grad.delta));
    let (scale, zero, lowest) = (s.splat(scale), s.splat(0.0), s.splat(f32::MIN));
    for x in [&mut *x, &mut *dp] {
        x[..blocks.start].fill([0.0; LANES]);
        x[blocks.end..].fill([0.0; LANES]);
    }
    for i in blocks {
        let mut shift = minus_lse;
        let mut hidden = s.first(0);
        if let Some(add) = row.add {
            let add = s.load_f32(&add.as_chunks().0[i]);
            shift = s.add(add, minus_lse);
            hidden = s.lt(add, lowest);
        }
        let whole = math::exp_down(s, s.fma(s.load_f32(&x[i]), scale, shift));
        let (mut d, mut dropped) = (s.load_f32(&dp[i]), whole);
        if let Some(drop) = row.drop {
            let m = s.load_f32(&drop.as_chunks().0[i]);
            (d, dropped) = (s.mul(d, m), s.mul(whole, m));
        }
        let at = i * LANES;
        let ds = s.mul(whole, s.sub(d, delta));
        for (x, v) in [(&mut x[i], dropped), (&mut dp[i], ds)] {
            s.store_f32(x, within(s, s.select(hidden, zero, v), at, visible, 0.0));
        }
    }
}

simd_fn! {
    /// Turns a strip of raw scores into unnormalised probabilities, and takes them into `states`.
    pub(super) fn softmax(
        strip: &Strip<'_>,
        scores: &mut [f32],
        states: &mut [RowState],
        buffers: &mut RowBuffers,
    ) = softmax_body;
}

#[inline(always)]
pub(super) fn softmax_body<S: Simd>(
    s: S,
    strip: &Strip<'_>,
    scores: &mut [f32],
    states: &mut [RowState],
    buffers: &mut RowBuffers,
) {
    for (i, state) in states.iter_mut().enumerate() {
        let row = strip.row(strip.queries.start + i, buffers);
        softmax_row(s, strip.columns_mut(scores, i), &row, strip.spec.scale, state);
    }
}

simd_fn! {
    /// Turns a strip of raw scores into probabilities times multipliers, and `dp = d_out . v` into
    /// the gradient of the scores, which is also added into `dbias` `[T + S - 1]`, that of the
    /// strip's head.
    pub(super) fn gradient(
        strip: &Strip<'_>,
        operands: [&mut [f32]; 2],
        grads: &[RowGrad],
        dbias: Option<&mut [f32]>,
        buffers: &mut RowBuffers,
    ) = gradient_body;
}

#[inline(always)]
fn gradient_body<S: Simd>(
    s: S,
    strip: &Strip<'_>,
    [scores, dp]: [&mut [f32]; 2],
    grads: &[RowGrad],
    mut dbias: Option<&mut [f32]>,
    buffers: &mut RowBuffers,
) {
    for (i, &grad) in grads.iter().enumerate() {
        let t = strip.queries.start + i;
        let mut row = strip.row(t, buffers);
        if grad.lse == f32::NEG_INFINITY {
            row.visible = 0..0; // A row that sees no key has no gradient.
        }
        let operands = [strip.columns_mut(scores, i), strip.columns_mut(dp, i)];
        gradient_row(s, operands, &row, strip.spec.scale, grad);
        if let Some(dbias) = &mut dbias {
            let start = strip.spec.bias_start(0, t) + strip.first_key;
            let ds = &strip.columns_mut(dp, i).as_flattened()[row.visible.clone()];
            let dbias = &mut dbias[start + row.visible.start..][..ds.len()];
            dbias.iter_mut().zip(ds).for_each(|(dbias, ds)| *dbias += ds);
        }
    }
}

simd_fn! {
    /// What backward needs of the rows `[b, t.., n]` of `out` and `d_out`.
    pub(super) fn row_grads<T: Element>(
        outs: [Heads<'_, T>; 2],
        at: [usize; 3],
        d_head: usize,
        lse: &[f32],
        grads: &mut [RowGrad],
    ) = row_grads_body;
}

#[inline(always)]
fn row_grads_body<S: Simd, T: Element>(
    s: S,
    [out, d_out]: [Heads<'_, T>; 2],
    [b, t, n]: [usize; 3],
    d_head: usize,
    lse: &[f32],
    grads: &mut [RowGrad],
) {
    for (i, (grad, &lse)) in grads.iter_mut().zip(lse).enumerate() {
        let (out, d_out) = (out.row(b, t + i, n, d_head), d_out.row(b, t + i, n, d_head));
        let mut sum = s.splat(0.0);
        for_blocks!(d_head, |at| {
            sum = s.fma(at.load(s, out), at.load(s, d_out), sum);
        });
        *grad = RowGrad { lse, delta: s.reduce_add(sum) };
    }
}
