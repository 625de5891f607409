//! Sixteen lanes of f32 on every instruction set, so that a row kernel is written once.
//!
//! - [`Simd`]: the operations; [`portable`], [`avx2`] and [`avx512`] implement them.
//! - [`math`]: `exp` and its relatives, generic over [`Simd`].
//! - [`Block`]: where in a slice the lanes are; [`for_blocks`] walks a slice in blocks.
//! - [`simd_fn`]: compiles a generic kernel once per instruction set and picks one by [`Isa`].
//!
//! A value of a [`Simd`] type is the proof that the CPU has the instructions: `simd_fn` makes one
//! inside a function compiled for them, which runs only where [`Isa::is_supported`].
//! A kernel body, and every generic function under it, must be `#[inline(always)]`, or it is
//! compiled without the instructions; closures are left alone for the same reason.
//!
//! [`Isa`]: crate::Isa
//! [`Isa::is_supported`]: crate::Isa::is_supported
#![allow(clippy::inline_always)] // See above: here it is a matter of code generation, not taste.

#[cfg(target_arch = "x86_64")]
pub mod avx2;
#[cfg(target_arch = "x86_64")]
pub mod avx512;
mod block;
mod dispatch;
pub mod math;
pub mod portable;
#[cfg(test)]
mod tests;

pub(crate) use block::for_blocks;
pub use block::{Block, Tail, Whole};
pub(crate) use dispatch::simd_fn;

use crate::element::{bf16, f16};

/// How many f32 one vector has, on every instruction set.
pub const LANES: usize = 16;

/// Sixteen lanes of f32 and what can be done with them.
pub trait Simd: Copy + Send + Sync + 'static {
    /// Sixteen f32.
    type F: Copy;
    /// Sixteen booleans.
    type M: Copy;

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::F;
    /// Lanes from an array.
    #[allow(clippy::wrong_self_convention)] // `self` is the proof, not what is converted.
    fn from_array(self, x: [f32; LANES]) -> Self::F;
    /// The lanes as an array.
    fn to_array(self, x: Self::F) -> [f32; LANES];

    /// `a + b`.
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`.
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b`.
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`.
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`: rounded once where the instruction set fuses, twice on [`portable`].
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `c - a * b`, rounded as in [`Simd::fma`].
    fn fnma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `a` where `a > b`, else `b`: a NaN in `b` stays, one in `a` does not.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a` where `a < b`, else `b`: a NaN in `b` stays, one in `a` does not.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// The square root.
    fn sqrt(self, a: Self::F) -> Self::F;
    /// The magnitude.
    fn abs(self, a: Self::F) -> Self::F;
    /// To the nearest integer, ties to even; for `|a| < 2^22`.
    fn round(self, a: Self::F) -> Self::F;
    /// `a * 2^n` by the exponent bits, for integral `n` and normal `a` and result; NaN stays NaN
    /// where `n` is NaN too.
    fn scale_by_power(self, a: Self::F, n: Self::F) -> Self::F;

    /// `a < b`.
    fn lt(self, a: Self::F, b: Self::F) -> Self::M;
    /// `yes` where the mask is set, else `no`.
    fn select(self, mask: Self::M, yes: Self::F, no: Self::F) -> Self::F;
    /// The first `n` lanes.
    fn first(self, n: usize) -> Self::M;

    /// The sum, always by halving: lane i plus lane i + 8, then 4, 2, 1.
    fn reduce_add(self, a: Self::F) -> f32;
    /// The largest lane, by halving; whether a NaN is kept depends on where it is.
    fn reduce_max(self, a: Self::F) -> f32;

    /// Sixteen f32.
    fn load_f32(self, x: &[f32; LANES]) -> Self::F;
    /// Sixteen bf16, widened.
    fn load_bf16(self, x: &[bf16; LANES]) -> Self::F;
    /// Sixteen f16, widened.
    fn load_f16(self, x: &[f16; LANES]) -> Self::F;
    /// Fewer than sixteen f32; the other lanes are zero.
    fn load_part_f32(self, x: &[f32]) -> Self::F;
    /// Fewer than sixteen bf16, widened; the other lanes are zero.
    fn load_part_bf16(self, x: &[bf16]) -> Self::F;
    /// Fewer than sixteen f16, widened; the other lanes are zero.
    fn load_part_f16(self, x: &[f16]) -> Self::F;

    /// Stores sixteen f32.
    fn store_f32(self, y: &mut [f32; LANES], v: Self::F);
    /// Rounds to nearest, ties to even, and stores. NaN stays NaN. Subnormal results may be
    /// flushed to zero (`vcvtneps2bf16` does).
    fn store_bf16(self, y: &mut [bf16; LANES], v: Self::F);
    /// Rounds to nearest, ties to even, and stores.
    fn store_f16(self, y: &mut [f16; LANES], v: Self::F);
    /// Stores the first `y.len()` lanes, fewer than sixteen.
    fn store_part_f32(self, y: &mut [f32], v: Self::F);
    /// Rounds and stores the first `y.len()` lanes, fewer than sixteen.
    fn store_part_bf16(self, y: &mut [bf16], v: Self::F);
    /// Rounds and stores the first `y.len()` lanes, fewer than sixteen.
    fn store_part_f16(self, y: &mut [f16], v: Self::F);
}

/// A partial block in a full-sized array, the rest zero.
fn padded<T: Copy + Default>(x: &[T]) -> [T; LANES] {
    let mut full = [T::default(); LANES];
    full[..x.len()].copy_from_slice(x);
    full
}
