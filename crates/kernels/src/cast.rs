//! Conversion between element types, sums and multiples of slices.
#![allow(clippy::inline_always)] // As in `simd`.

use crate::cut::PIECE;
use crate::simd::{Block, Simd, for_blocks, simd_fn};
use crate::{Element, Isa};
use rayon::prelude::*;

/// Writes `y = x`, rounded to nearest even.
///
/// # Panics
/// When they differ in length.
pub fn convert<X: Element, Y: Element>(isa: Isa, y: &mut [Y], x: &[X]) {
    assert_eq!(x.len(), y.len(), "convert: x and y");
    if y.len() <= PIECE {
        return convert_piece(isa, y, x);
    }
    let pieces = y.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE));
    pieces.for_each(|(y, x)| convert_piece(isa, y, x));
}

/// Writes `y = y + x`.
///
/// # Panics
/// When they differ in length.
pub fn add_assign<X: Element, Y: Element>(isa: Isa, y: &mut [Y], x: &[X]) {
    assert_eq!(x.len(), y.len(), "add_assign: x and y");
    if y.len() <= PIECE {
        return add_piece(isa, y, x);
    }
    let pieces = y.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE));
    pieces.for_each(|(y, x)| add_piece(isa, y, x));
}

/// Writes `y = y * by`.
pub fn scale<Y: Element>(isa: Isa, y: &mut [Y], by: f32) {
    if y.len() <= PIECE {
        return scale_piece(isa, y, by);
    }
    y.par_chunks_mut(PIECE).for_each(|y| scale_piece(isa, y, by));
}

simd_fn! {
    fn convert_piece<X: Element, Y: Element>(y: &mut [Y], x: &[X]) = convert_body;
}

#[inline(always)]
fn convert_body<S: Simd, X: Element, Y: Element>(s: S, y: &mut [Y], x: &[X]) {
    for_blocks!(x.len(), |at| {
        at.store(s, y, at.load(s, x));
    });
}

simd_fn! {
    fn add_piece<X: Element, Y: Element>(y: &mut [Y], x: &[X]) = add_body;
}

#[inline(always)]
fn add_body<S: Simd, X: Element, Y: Element>(s: S, y: &mut [Y], x: &[X]) {
    for_blocks!(x.len(), |at| {
        at.store(s, y, s.add(at.load(s, y), at.load(s, x)));
    });
}

simd_fn! {
    fn scale_piece<Y: Element>(y: &mut [Y], by: f32) = scale_body;
}

#[inline(always)]
fn scale_body<S: Simd, Y: Element>(s: S, y: &mut [Y], by: f32) {
    let by = s.splat(by);
    for_blocks!(y.len(), |at| {
        at.store(s, y, s.mul(at.load(s, y), by));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::{bf16, f16};
    use crate::reference::cast::round;
    use testing::{EDGE_SIZES, Numbers, same_for_any_threads};

    fn case<X: Element + PartialEq + std::fmt::Debug>(isa: Isa, n: usize) {
        let mut numbers = Numbers::new(n as u64);
        let (x, y) = (numbers.normal(n), numbers.normal(n));
        let mut converted = vec![X::default(); n];
        convert(isa, &mut converted, &x);
        assert_eq!(converted, round::<X>(&x), "{isa} {n}");

        let mut sum = y.clone();
        add_assign(isa, &mut sum, &converted);
        let expected: Vec<f32> = y.iter().zip(&converted).map(|(y, x)| y + x.to_f32()).collect();
        assert_eq!(sum, expected, "{isa} {n}");

        scale(isa, &mut sum, 0.3);
        let expected: Vec<f32> = expected.iter().map(|x| x * 0.3).collect();
        assert_eq!(sum, expected, "{isa} {n}");
    }

    #[test]
    fn equals_the_scalar_loop_in_every_bit() {
        for isa in Isa::supported() {
            for n in EDGE_SIZES {
                case::<f32>(isa, n);
                case::<bf16>(isa, n);
                case::<f16>(isa, n);
            }
        }
    }

    #[test]
    fn threads_change_nothing() {
        let x = Numbers::new(1).normal(3 * PIECE + 5);
        for isa in Isa::supported() {
            same_for_any_threads(|| {
                let mut y = vec![bf16::ZERO; x.len()];
                convert(isa, &mut y, &x);
                add_assign(isa, &mut y, &x);
                scale(isa, &mut y, 0.3);
                y
            });
        }
    }
}
