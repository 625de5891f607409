//! What differs between micro-kernels: how operands are packed into units, and one step.
#![allow(clippy::inline_always)] // As in `simd`: compiled with the instructions of the caller.

use super::geometry::Geometry;
use crate::element::{Element, bf16};
use crate::simd::{LANES, Simd};

/// Sixteen packed units.
pub type Units = [u32; LANES];

/// Asks for the cache line of an address, which need not be a valid one, in the L2 cache: lines
/// that are a power of two apart would push each other out of L1.
#[inline(always)]
pub fn prefetch<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: SSE is in the baseline, and a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// How a micro-kernel multiplies. A unit is 32 bits of a packed panel: one f32, or two bf16 that
/// follow each other in `k`.
pub trait Product: Copy {
    /// The lanes sums are kept in.
    type S: Geometry;
    /// One unit of the left operand, in every lane.
    type A: Copy;
    /// Sixteen units of the right operand; of either one while packing.
    type B: Copy;
    /// Elements of `k` in one unit.
    const PER_UNIT: usize;

    /// The proof of instructions.
    fn simd(self) -> Self::S;
    /// One unit in every lane.
    fn splat(self, a: u32) -> Self::A;
    /// Sixteen units.
    fn load(self, b: &Units) -> Self::B;
    /// Sixteen units of the left operand.
    fn left(self, a: Self::B) -> Self::A;
    /// `acc + a * b`, or the sum of two products for pairs.
    fn step(self, acc: <Self::S as Simd>::F, a: Self::A, b: Self::B) -> <Self::S as Simd>::F;

    /// Sixteen units from up to `16 * PER_UNIT` neighbours in `k`, zeros after them.
    fn along<T: Element>(self, x: &[T]) -> Self::B;
    /// Sixteen units from up to 16 lines side by side, zeros after them; `next` holds the second
    /// element of each pair, empty past the end of `k`, and unused where a unit is one element.
    fn across<T: Element>(self, x: &[T], next: &[T]) -> Self::B;
    /// As [`Product::across`] for lines `0..16` and `step..step + 16` of 32, `step <= 16`.
    fn across_two<T: Element>(self, x: &[T], next: &[T], step: usize) -> [Self::B; 2];
    /// Lane j of vector i becomes lane i of vector j.
    fn transpose(self, x: &mut [Self::B; LANES]);
    /// Stores sixteen units.
    fn store(self, y: &mut Units, x: Self::B);
    /// Stores the first `y.len() <= 16` units.
    fn store_part(self, y: &mut [u32], x: Self::B);
}

/// Multiplies f32 and adds; packed operands may have been rounded to bf16 before.
#[derive(Clone, Copy)]
pub struct Fma<S> {
    s: S,
    round: bool,
}

impl<S: Simd> Fma<S> {
    /// `round`: to bf16, while packing.
    #[inline(always)]
    pub fn new(s: S, round: bool) -> Self {
        Self { s, round }
    }

    #[inline(always)]
    fn rounded(self, x: S::F) -> S::F {
        if !self.round {
            return x;
        }
        let mut y = [bf16::ZERO; LANES];
        self.s.store_bf16(&mut y, x);
        self.s.load_bf16(&y)
    }

    #[inline(always)]
    fn widen<T: Element>(self, x: &[T]) -> S::F {
        match x.first_chunk() {
            Some(x) => T::load(self.s, x),
            None => T::load_part(self.s, x),
        }
    }
}

impl<S: Geometry> Product for Fma<S> {
    type S = S;
    type A = S::F;
    type B = S::F;
    const PER_UNIT: usize = 1;

    #[inline(always)]
    fn simd(self) -> S {
        self.s
    }
    #[inline(always)]
    fn splat(self, a: u32) -> S::F {
        self.s.splat(f32::from_bits(a))
    }
    #[inline(always)]
    fn load(self, b: &Units) -> S::F {
        self.s.load_f32(bytemuck::cast_ref(b))
    }
    #[inline(always)]
    fn left(self, a: S::F) -> S::F {
        a
    }
    #[inline(always)]
    fn step(self, acc: S::F, a: S::F, b: S::F) -> S::F {
        self.s.fma(a, b, acc)
    }

    #[inline(always)]
    fn along<T: Element>(self, x: &[T]) -> S::F {
        self.rounded(self.widen(x))
    }
    #[inline(always)]
    fn across<T: Element>(self, x: &[T], _: &[T]) -> S::F {
        self.rounded(self.widen(x))
    }
    #[inline(always)]
    fn across_two<T: Element>(self, x: &[T], _: &[T], step: usize) -> [S::F; 2] {
        [self.rounded(self.widen(x)), self.rounded(self.widen(&x[step..]))]
    }
    #[inline(always)]
    fn transpose(self, x: &mut [S::F; LANES]) {
        self.s.transpose(x);
    }
    #[inline(always)]
    fn store(self, y: &mut Units, x: S::F) {
        self.s.store_f32(bytemuck::cast_mut(y), x);
    }
    #[inline(always)]
    fn store_part(self, y: &mut [u32], x: S::F) {
        match y.first_chunk_mut() {
            Some(y) => self.store(y, x),
            None => self.s.store_part_f32(bytemuck::cast_slice_mut(y), x),
        }
    }
}
