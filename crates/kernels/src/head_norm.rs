//! RMS normalization of every head of a packed projection: queries or keys before their product.
//!
//! ```text
//! y[r, n] = x[r, n] * rstd(x[r, n]) * w,    rstd(x) = 1 / sqrt(mean(x^2) + eps)
//! ```
//!
//! Shapes: `x`, `y` rows of which the heads `[n_heads, H]` of [`HeadRows`] are read and written;
//! `w` `[H]`; `rstd` `[R, n_heads]`. The gradients are those of [`crate::rms_norm`].
//! Henry et al., "Query-Key Normalization for Transformers", arXiv:2010.04245; Dehghani et al.,
//! "Scaling Vision Transformers to 22 Billion Parameters", arXiv:2302.05442, section 2.
#![allow(clippy::inline_always)] // As in `simd`.

use rayon::prelude::*;

use crate::cut::{rows_per_partial, rows_per_piece, with_zeros};
use crate::gemm::Write;
use crate::norm::{self, Params, Rule};
use crate::simd::{Simd, simd_fn};
use crate::{Element, HeadRows, Isa};

/// Writes the heads of `y`, and `rstd`, which the backward pass needs again.
///
/// # Panics
/// When the lengths disagree.
#[track_caller]
pub fn forward<T: Element>(
    isa: Isa,
    y: &mut [T],
    rstd: &mut [f32],
    x: &[T],
    rows: HeadRows,
    (w, eps): (&[f32], f32),
) {
    let n_rows = rows.count("head_norm", x.len());
    assert_eq!((w.len(), y.len()), (rows.d_head, x.len()), "head_norm: w, y, {rows:?}");
    assert_eq!(rstd.len(), n_rows * rows.n_heads, "head_norm: rstd, {rows:?}");
    let at_once = rows_per_piece(rows.width());
    let n = at_once * rows.row_stride;
    let pieces = y.par_chunks_mut(n).zip(x.par_chunks(n));
    pieces.zip(rstd.par_chunks_mut(at_once * rows.n_heads)).for_each(|((y, x), rstd)| {
        forward_piece(isa, y, rstd, x, rows, (w, eps));
    });
}

simd_fn! {
    fn forward_piece<T: Element>(
        y: &mut [T], rstd: &mut [f32], x: &[T], rows: HeadRows, weight: (&[f32], f32),
    ) = forward_rows;
}

#[inline(always)]
fn forward_rows<S: Simd, T: Element>(
    s: S,
    y: &mut [T],
    rstd: &mut [f32],
    x: &[T],
    rows: HeadRows,
    (w, eps): (&[f32], f32),
) {
    let params = Params { w, b: None, eps, centered: false };
    with_zeros(rows.n_heads, |mean| {
        let pairs = y.chunks_exact_mut(rows.row_stride).zip(x.chunks_exact(rows.row_stride));
        for ((y, x), rstd) in pairs.zip(rstd.chunks_exact_mut(rows.n_heads)) {
            let heads = rows.offset..rows.offset + rows.width();
            norm::forward_rows(s, &mut y[heads.clone()], (mean, rstd), &x[heads], params);
        }
    });
}

/// Writes the heads of `dx`, and adds to the gradient of the weight.
///
/// `rstd` is what [`forward`] wrote.
///
/// # Panics
/// When the lengths disagree.
#[track_caller]
pub fn backward<T: Element>(
    isa: Isa,
    dx: &mut [T],
    dw: &mut [f32],
    dy: &[T],
    x: &[T],
    (rows, w, rstd): (HeadRows, &[f32], &[f32]),
) {
    let n_rows = rows.count("head_norm backward", x.len());
    let lens = [dx.len(), dy.len(), dw.len(), w.len(), rstd.len()];
    let expected = [x.len(), x.len(), rows.d_head, rows.d_head, n_rows * rows.n_heads];
    assert_eq!(lens, expected, "head_norm backward: dx, dy, dw, w, rstd, {rows:?}");
    let at_once = rows_per_partial(n_rows);
    let n = at_once * rows.row_stride;
    with_zeros(n_rows.div_ceil(at_once) * 2 * rows.d_head, |partials| {
        let inputs = dy.par_chunks(n).zip(x.par_chunks(n));
        let inputs = inputs.zip(rstd.par_chunks(at_once * rows.n_heads));
        let outputs = dx.par_chunks_mut(n).zip(partials.par_chunks_mut(2 * rows.d_head));
        outputs.zip(inputs).for_each(|((dx, partial), (inputs, rstd))| {
            backward_piece(isa, dx, partial, inputs, rstd, (rows, w));
        });
        for partial in partials.chunks_exact(2 * rows.d_head) {
            dw.iter_mut().zip(partial).for_each(|(dw, p)| *dw += p);
        }
    });
}

simd_fn! {
    fn backward_piece<T: Element>(
        dx: &mut [T], partial: &mut [f32], inputs: (&[T], &[T]), rstd: &[f32],
        how: (HeadRows, &[f32]),
    ) = backward_rows;
}

#[inline(always)]
fn backward_rows<S: Simd, T: Element>(
    s: S,
    dx: &mut [T],
    partial: &mut [f32],
    (dy, x): (&[T], &[T]),
    rstd: &[f32],
    (rows, w): (HeadRows, &[f32]),
) {
    let (dw, db) = partial.split_at_mut(rows.d_head);
    let rule = Rule { w, write: Write::Overwrite, centered: false };
    with_zeros(rows.n_heads, |mean| {
        let inputs = dy.chunks_exact(rows.row_stride).zip(x.chunks_exact(rows.row_stride));
        let pieces = dx.chunks_exact_mut(rows.row_stride).zip(inputs);
        for ((dx, (dy, x)), rstd) in pieces.zip(rstd.chunks_exact(rows.n_heads)) {
            let heads = rows.offset..rows.offset + rows.width();
            let inputs = (&dy[heads.clone()], &x[heads.clone()]);
            norm::backward_rows(s, &mut dx[heads], (dw, db), inputs, (mean, rstd), rule);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bf16;
    use crate::reference::cast::{round, widen};
    use crate::reference::norm as reference;
    use testing::{Numbers, Tolerance, assert_close, same_for_any_threads};

    const EPS: f32 = 1e-6;

    /// The heads of every row, one after the other.
    fn heads(x: &[f64], rows: HeadRows) -> Vec<f64> {
        let of = |row: &[f64]| row[rows.offset..][..rows.width()].to_vec();
        x.chunks_exact(rows.row_stride).flat_map(of).collect()
    }

    fn case<T: Element>(isa: Isa, rows: HeadRows, n_rows: usize, tol: f64) {
        let mut numbers = Numbers::new((n_rows * rows.d_head) as u64);
        let n = n_rows * rows.row_stride;
        let (x, dy): (Vec<T>, Vec<T>) = (round(&numbers.normal(n)), round(&numbers.normal(n)));
        let w = numbers.normal(rows.d_head);
        let mut y = vec![T::from_f32(7.0); n];
        let mut rstd = vec![0.0; n_rows * rows.n_heads];
        forward(isa, &mut y, &mut rstd, &x, rows, (&w, EPS));
        let (hx, hdy) = (heads(&widen(&x), rows), heads(&widen(&dy), rows));
        let zeros = vec![0.0; rows.d_head];
        let expected = reference::forward(&hx, &widen(&w), &zeros, EPS.into(), false).y;
        let what = format!("{isa} {rows:?} {n_rows}");
        assert_close(&what, &heads(&widen(&y), rows), &expected, Tolerance::both(tol));
        let others = y.iter().filter(|y| y.to_f32() == 7.0).count();
        assert!(others >= n - n_rows * rows.width(), "{what}: other heads were written");

        let (mut dx, mut dw) = (vec![T::from_f32(7.0); n], vec![1.0; rows.d_head]);
        backward(isa, &mut dx, &mut dw, &dy, &x, (rows, &w, &rstd));
        let expected = reference::backward(&hdy, &hx, &widen(&w), EPS.into(), false);
        assert_close(&what, &heads(&widen(&dx), rows), &expected.dx, Tolerance::both(2.0 * tol));
        let dw: Vec<f64> = dw.iter().map(|&x| f64::from(x) - 1.0).collect();
        assert_close(&what, &dw, &expected.dw, Tolerance::both(1e-4));
    }

    #[test]
    fn equals_the_reference_and_leaves_other_heads_alone() {
        for isa in Isa::supported() {
            for (n_rows, d_head, n_heads) in [(1, 1, 1), (3, 16, 2), (5, 33, 3), (70, 64, 4)] {
                let row_stride = (n_heads + 2) * d_head + 3;
                let rows = HeadRows { row_stride, offset: d_head, n_heads, d_head };
                case::<f32>(isa, rows, n_rows, 1e-5);
                case::<bf16>(isa, rows, n_rows, 1e-2);
            }
        }
    }

    #[test]
    fn threads_change_no_bit() {
        let rows = HeadRows { row_stride: 96, offset: 0, n_heads: 4, d_head: 16 };
        let mut numbers = Numbers::new(1);
        let (x, dy, w) = (numbers.normal(96 * 900), numbers.normal(96 * 900), numbers.normal(16));
        same_for_any_threads(|| {
            let (mut y, mut rstd) = (vec![0.0; x.len()], vec![0.0; 900 * 4]);
            let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; 16]);
            forward(Isa::detect(), &mut y, &mut rstd, &x, rows, (&w, EPS));
            backward(Isa::detect(), &mut dx, &mut dw, &dy, &x, (rows, &w, &rstd));
            [y, rstd, dx, dw].concat()
        });
    }
}
