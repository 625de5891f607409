//! Softmax over rows.
//!
//! ```text
//! softmax(x)[i] = e^(x[i] - m) / sum_j e^(x[j] - m)
//! ```
//!
//! Shapes: `x` `[R, cols]`. m is the largest of the row. A row of minus infinities, one where
//! everything is masked, has a softmax of zeros.
#![allow(clippy::inline_always)] // As in `simd`.

use crate::Isa;
use crate::cross_entropy::{base, row_max};
use crate::cut::rows_per_piece;
use crate::simd::{Block, Simd, for_blocks, math, simd_fn};
use rayon::prelude::*;

/// Replaces every row of `cols` numbers by its softmax.
///
/// # Panics
/// When `x` is no whole number of rows.
pub fn rows(isa: Isa, x: &mut [f32], cols: usize) {
    assert!(cols > 0 && x.len().is_multiple_of(cols), "softmax: {} is no R x {cols}", x.len());
    let piece = rows_per_piece(cols) * cols;
    if x.len() <= piece {
        return rows_piece(isa, x, cols);
    }
    x.par_chunks_mut(piece).for_each(|x| rows_piece(isa, x, cols));
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
        let mut y = x.clone();
        rows(isa, &mut y, cols);
        let what = format!("{isa} {n_rows} x {cols}");
        for (r, row) in widen(&x).chunks_exact(cols).enumerate() {
            let y = &y[r * cols..][..cols];
            assert_close(&what, y, &reference::row(row), Tolerance { abs: 1e-35, rel: 3e-6 });
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
            rows(isa, &mut x, 17);
            assert_eq!(x[..17], [0.0; 17], "{isa}");
            assert!(x[17..34].iter().all(|x| x.is_nan()), "{isa}");
            assert!(x[34..].iter().all(|x| (x - 1.0 / 17.0).abs() < 1e-7), "{isa}");
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
