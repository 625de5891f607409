//! Softmax and the logarithm of a sum of exponentials, over rows.
//!
//! ```text
//! softmax(x)[i] = e^(x[i] - m) / sum_j e^(x[j] - m),    lse(x) = m + ln sum_j e^(x[j] - m)
//! ```
//!
//! m is the largest of the row. A row of minus infinities, one where everything is masked, has a
//! softmax of zeros and the logarithm minus infinity.
#![allow(clippy::inline_always)] // As in `simd`.

use crate::Isa;
use crate::cut::rows_per_piece;
use crate::simd::{Block, LANES, Simd, for_blocks, math, simd_fn};
use rayon::prelude::*;

/// Replaces every row of `cols` numbers by its softmax.
pub fn rows(isa: Isa, x: &mut [f32], cols: usize) {
    assert!(cols > 0 && x.len().is_multiple_of(cols), "softmax: {} is no R x {cols}", x.len());
    let piece = rows_per_piece(cols) * cols;
    if x.len() <= piece {
        return rows_piece(isa, x, cols);
    }
    x.par_chunks_mut(piece).for_each(|x| rows_piece(isa, x, cols));
}

/// Writes `out[r] = lse(x[r])`.
///
/// Shapes: `x` `[R, cols]`, `out` `[R]`.
pub fn log_sum_exp(isa: Isa, out: &mut [f32], x: &[f32], cols: usize) {
    assert!(cols > 0, "log_sum_exp: no columns");
    assert_eq!(x.len(), out.len() * cols, "log_sum_exp: x is {} x {cols}", out.len());
    let n_rows = rows_per_piece(cols);
    let pieces = out.par_chunks_mut(n_rows).zip(x.par_chunks(n_rows * cols));
    pieces.for_each(|(out, x)| log_sum_exp_piece(isa, out, x, cols));
}

simd_fn! {
    fn rows_piece(x: &mut [f32], cols: usize) = rows_body;
}

#[inline(always)]
fn rows_body<S: Simd>(s: S, x: &mut [f32], cols: usize) {
    for row in x.chunks_exact_mut(cols) {
        let base = s.splat(base(row_max(s, row)));
        let mut sum = s.splat(0.0);
        for_blocks!(cols, |at| {
            let e = at.or(s, math::exp_down(s, s.sub(at.load(s, row), base)), 0.0);
            sum = s.add(sum, e);
            at.store(s, row, e);
        });
        let sum = s.reduce_add(sum);
        let by = s.splat(if sum == 0.0 { 0.0 } else { 1.0 / sum });
        for_blocks!(cols, |at| {
            at.store(s, row, s.mul(at.load(s, row), by));
        });
    }
}

simd_fn! {
    fn log_sum_exp_piece(out: &mut [f32], x: &[f32], cols: usize) = log_sum_exp_body;
}

#[inline(always)]
fn log_sum_exp_body<S: Simd>(s: S, out: &mut [f32], x: &[f32], cols: usize) {
    for (out, row) in out.iter_mut().zip(x.chunks_exact(cols)) {
        let max = base(row_max(s, row));
        let (mut sum, base) = (s.splat(0.0), s.splat(max));
        for_blocks!(cols, |at| {
            let e = math::exp_down(s, s.sub(at.load(s, row), base));
            sum = s.add(sum, at.or(s, e, 0.0));
        });
        *out = max + s.reduce_add(sum).ln();
    }
}

/// The largest of a row; minus infinity for none. A NaN may or may not be seen.
#[inline(always)]
pub(crate) fn row_max<S: Simd>(s: S, row: &[f32]) -> f32 {
    let mut max = s.splat(f32::NEG_INFINITY);
    // Four at a time: one maximum after the other would wait for its result.
    let (fours, rest) = row.as_chunks::<{ 4 * LANES }>();
    let (mut a, mut b, mut c) = (max, max, max);
    for x in fours {
        let x = x.as_chunks().0;
        max = s.max(max, s.load_f32(&x[0]));
        a = s.max(a, s.load_f32(&x[1]));
        b = s.max(b, s.load_f32(&x[2]));
        c = s.max(c, s.load_f32(&x[3]));
    }
    for_blocks!(rest.len(), |at| {
        max = s.max(max, at.or(s, at.load(s, rest), f32::NEG_INFINITY));
    });
    s.reduce_max(s.max(s.max(max, a), s.max(b, c)))
}

/// What is subtracted from a row: its maximum, or zero where `-inf - -inf` would be NaN.
#[inline(always)]
pub(crate) fn base(max: f32) -> f32 {
    if max == f32::NEG_INFINITY { 0.0 } else { max }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::cast::widen;
    use crate::reference::softmax as reference;
    use testing::{Numbers, Tolerance, assert_close, same_for_any_threads};

    fn case(isa: Isa, n_rows: usize, cols: usize) {
        let mut x = Numbers::new(cols as u64).uniform(n_rows * cols, -30.0, 30.0);
        // Masked places, now and then a whole row of them.
        x.iter_mut().step_by(3).for_each(|x| *x = f32::NEG_INFINITY);
        let mut lse = vec![7.0; n_rows];
        log_sum_exp(isa, &mut lse, &x, cols);
        let mut y = x.clone();
        rows(isa, &mut y, cols);
        let what = format!("{isa} {n_rows} x {cols}");
        for (r, row) in widen(&x).chunks_exact(cols).enumerate() {
            let y = &y[r * cols..][..cols];
            assert_close(&what, y, &reference::row(row), Tolerance { abs: 1e-35, rel: 3e-6 });
            assert_close(&what, &lse[r..=r], &[reference::lse(row)], Tolerance::both(1e-6));
        }
    }

    #[test]
    fn equals_the_reference() {
        for isa in Isa::supported() {
            for cols in [1, 2, 15, 16, 17, 31, 257, 10_007] {
                case(isa, 5, cols);
            }
            case(isa, 0, 3);
            case(isa, 2000, 33);
        }
    }

    #[test]
    fn masked_rows_are_zero_and_nan_stays_in_its_row() {
        for isa in Isa::supported() {
            let masked = [f32::NEG_INFINITY; 17];
            let mut x = [masked, [1.0; 17], [2.0; 17]].concat();
            x[20] = f32::NAN;
            let mut lse = [0.0; 3];
            log_sum_exp(isa, &mut lse, &x, 17);
            rows(isa, &mut x, 17);
            assert_eq!(x[..17], [0.0; 17], "{isa}");
            assert!(x[17..34].iter().all(|x| x.is_nan()), "{isa}");
            assert!(x[34..].iter().all(|x| (x - 1.0 / 17.0).abs() < 1e-7), "{isa}");
            assert!(lse[0] == f32::NEG_INFINITY && lse[1].is_nan(), "{isa}");
        }
    }

    #[test]
    fn threads_change_nothing() {
        let x = Numbers::new(1).normal(1031 * 48);
        for isa in Isa::supported() {
            same_for_any_threads(|| {
                let mut y = x.clone();
                rows(isa, &mut y, 48);
                y
            });
        }
    }
}
