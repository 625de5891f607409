//! Reductions in a fixed order: sums over rows, squares, a search for what is not finite.
#![allow(clippy::inline_always)] // As in `simd`.

use crate::cut::{PIECE, rows_per_partial, with_scratch, with_zeros};
use crate::gemm::Write;
use crate::simd::{Block, Simd, for_blocks, simd_fn};
use crate::{Element, Isa};
use rayon::prelude::*;

/// Rows that are added up in registers before they reach the sum in memory.
const ROWS_AT_ONCE: usize = 4;

/// Writes the sum of the rows of `x` to `out`, or adds it: the gradient of a bias.
///
/// Shapes: `x` `[R, D]`, `out` `[D]`.
///
/// # Panics
/// When `x` has no whole rows, or D is 0.
pub fn column_sum<X: Element>(isa: Isa, out: &mut [f32], x: &[X], write: Write) {
    let d = out.len();
    assert!(d > 0 && x.len().is_multiple_of(d), "column_sum: {} is no R x {d}", x.len());
    if matches!(write, Write::Overwrite) {
        out.fill(0.0);
    }
    let n_rows = rows_per_partial(x.len() / d);
    if x.len() <= n_rows * d {
        return add_rows(isa, out, x);
    }
    with_zeros(x.len().div_ceil(n_rows * d) * d, |partials| {
        let pieces = partials.par_chunks_mut(d).zip(x.par_chunks(n_rows * d));
        pieces.for_each(|(partial, x)| add_rows(isa, partial, x));
        add_rows(isa, out, partials);
    });
}

simd_fn! {
    fn add_rows<X: Element>(out: &mut [f32], x: &[X]) = add_rows_body;
}

#[inline(always)]
fn add_rows_body<S: Simd, X: Element>(s: S, out: &mut [f32], x: &[X]) {
    let d = out.len();
    let fours = x.chunks_exact(ROWS_AT_ONCE * d);
    for row in fours.remainder().chunks_exact(d) {
        for_blocks!(d, |at| {
            at.store(s, out, s.add(at.load(s, out), at.load(s, row)));
        });
    }
    for rows in fours {
        let ((a, b), (c, e)) = {
            let (front, back) = rows.split_at(2 * d);
            (front.split_at(d), back.split_at(d))
        };
        for_blocks!(d, |at| {
            let front = s.add(at.load(s, a), at.load(s, b));
            let sum = s.add(front, s.add(at.load(s, c), at.load(s, e)));
            at.store(s, out, s.add(at.load(s, out), sum));
        });
    }
}

/// The sum of squares, for the norm of all gradients.
///
/// Squares are added in f32 within pieces of 16 384 numbers, and these sums in f64; a number above
/// 1.8e19, whose square no f32 holds, makes it infinite, and a NaN makes it NaN.
pub fn sum_squares(isa: Isa, x: &[f32]) -> f64 {
    with_scratch(x.len().div_ceil(PIECE), |sums| {
        let pieces = sums.par_iter_mut().zip(x.par_chunks(PIECE));
        pieces.for_each(|(sum, x)| *sum = sum_squares_piece(isa, x));
        sums.iter().map(|&sum| f64::from(sum)).sum()
    })
}

simd_fn! {
    fn sum_squares_piece(x: &[f32]) -> f32 = sum_squares_body;
}

#[inline(always)]
fn sum_squares_body<S: Simd>(s: S, x: &[f32]) -> f32 {
    let mut sum = s.splat(0.0);
    for_blocks!(x.len(), |at| {
        let x = at.load(s, x);
        sum = s.fma(x, x, sum);
    });
    s.reduce_add(sum)
}

/// Whether there is no NaN and no infinity.
pub fn all_finite<X: Element>(isa: Isa, x: &[X]) -> bool {
    x.par_chunks(PIECE).all(|x| all_finite_piece(isa, x))
}

simd_fn! {
    fn all_finite_piece<X: Element>(x: &[X]) -> bool = all_finite_body;
}

#[inline(always)]
fn all_finite_body<S: Simd, X: Element>(s: S, x: &[X]) -> bool {
    let zero = s.splat(0.0);
    let mut sum = zero;
    for_blocks!(x.len(), |at| {
        // Zero, or NaN where the number is not finite.
        sum = s.fma(at.load(s, x), zero, sum);
    });
    s.reduce_add(sum) == 0.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::bf16;
    use crate::reference::cast::{round, widen};
    use testing::{EDGE_SIZES, Numbers, Tolerance, assert_close, same_for_any_threads};

    fn sum_case<X: Element>(isa: Isa, n_rows: usize, d: usize, write: Write) {
        let x: Vec<X> = round(&Numbers::new(n_rows as u64).uniform(n_rows * d, -1.0, 2.0));
        let mut out = vec![7.0; d];
        column_sum(isa, &mut out, &x, write);
        let mut expected = vec![if matches!(write, Write::Add) { 7.0 } else { 0.0 }; d];
        for row in widen(&x).chunks_exact(d) {
            expected.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        let tol = Tolerance { abs: 1e-6 * (1.0 + n_rows as f64), rel: 0.0 };
        assert_close(&format!("{isa} {n_rows} x {d}"), &out, &expected, tol);
    }

    #[test]
    fn columns_add_up() {
        for isa in Isa::supported() {
            for d in [1, 15, 16, 17, 257] {
                for n_rows in [0, 1, 3, 4, 5, 16, 17, 1031] {
                    sum_case::<f32>(isa, n_rows, d, Write::Overwrite);
                    sum_case::<bf16>(isa, n_rows, d, Write::Add);
                }
            }
        }
    }

    #[test]
    fn squares_add_up() {
        for isa in Isa::supported() {
            for n in EDGE_SIZES {
                let x = Numbers::new(n as u64).normal(n);
                let expected: f64 = widen(&x).iter().map(|x| x * x).sum();
                let sum = sum_squares(isa, &x);
                assert_close("sum", &[sum], &[expected], Tolerance { abs: 0.0, rel: 2e-6 });
                same_for_any_threads(|| sum_squares(isa, &x));
            }
            assert!(sum_squares(isa, &[1.0, f32::NAN]).is_nan());
        }
    }

    #[test]
    fn one_bad_number_anywhere_is_found() {
        for isa in Isa::supported() {
            for n in EDGE_SIZES {
                let mut x = Numbers::new(1).normal(n);
                assert!(all_finite(isa, &x));
                for place in [0, n / 2, n.saturating_sub(1)] {
                    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                        if let Some(slot) = x.get_mut(place) {
                            let good = std::mem::replace(slot, bad);
                            assert!(!all_finite(isa, &x), "{isa} {n} {place}");
                            assert!(!all_finite(isa, &round::<bf16>(&x)), "{isa} {n} {place}");
                            x[place] = good;
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn threads_change_nothing() {
        let x = Numbers::new(1).normal(1031 * 48);
        for isa in Isa::supported() {
            same_for_any_threads(|| {
                let mut out = vec![0.0; 48];
                column_sum(isa, &mut out, &x, Write::Overwrite);
                out
            });
        }
    }
}
