//! The product of bf16 pairs: `vdpbf16ps` adds two products to each f32 lane.
//!
//! The instruction rounds each of its sums to nearest, and takes and gives subnormals as zero.
#![allow(clippy::inline_always)] // As in `simd`: compiled with the instructions of the caller.
#![allow(clippy::wildcard_imports)] // Intrinsics: their prefix says where they are from.
#![allow(clippy::unused_self)] // A token in the arguments is the proof of instructions.

use std::any::TypeId;
use std::arch::x86_64::*;
use std::mem::transmute;

use super::geometry::Geometry;
use super::product::{Product, Units};
use crate::element::{Element, bf16};
use crate::simd::LANES;
use crate::simd::avx512::Avx512;

/// Pairs of bf16 through `vdpbf16ps`.
#[derive(Clone, Copy)]
pub struct DotBf16(pub Avx512<true>);

/// Where the bf16 of pairs `(x[i], y[i])` are in sixteen x followed by sixteen y.
static PAIRS: [u16; 32] = pairs(0, 16);

/// The same for two vectors of 32, from `x[first]` on.
const fn pairs(first: u16, y: u16) -> [u16; 32] {
    let mut index = [0; 32];
    let mut i = 0;
    while i < 16 {
        index[2 * i as usize] = first + i;
        index[2 * i as usize + 1] = first + i + y;
        i += 1;
    }
    index
}

/// `x` as bf16, where it is.
#[inline(always)]
fn as_bf16<T: Element>(x: &[T]) -> Option<&[bf16]> {
    (TypeId::of::<T>() == TypeId::of::<bf16>()).then(|| bytemuck::cast_slice(x))
}

impl DotBf16 {
    /// Up to 16 elements, zeros after them.
    #[inline(always)]
    fn widen<T: Element>(self, x: &[T]) -> __m512 {
        match x.first_chunk() {
            Some(x) => T::load(self.0, x),
            None => T::load_part(self.0, x),
        }
    }

    /// 32 bf16 of two times 16 lanes.
    #[inline(always)]
    fn narrow(self, low: __m512, high: __m512) -> __m512i {
        // SAFETY: the token in `self` vouches for AVX-512 BF16; both types are 512 bits.
        unsafe { transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low)) }
    }

    /// Pairs `(x[i], next[i])` of two rows of 16 bf16, the first row in the low half.
    #[inline(always)]
    fn interleave(self, rows: __m512i) -> __m512i {
        // SAFETY: the token in `self` vouches for AVX-512 BW, and `PAIRS` is 64 bytes.
        unsafe { _mm512_permutexvar_epi16(_mm512_loadu_si512(PAIRS.as_ptr().cast()), rows) }
    }

    /// Up to 16 bf16, as they are, zeros after them.
    #[inline(always)]
    fn raw(self, x: &[bf16]) -> __m256i {
        if x.len() >= LANES {
            // SAFETY: 16 bf16 are 32 bytes, and loadu asks for no alignment.
            return unsafe { _mm256_loadu_si256(x.as_ptr().cast()) };
        }
        let n = x.len();
        // SAFETY: the token in `self` vouches for AVX-512 BW and VL; the load is masked to the
        // length of the slice, and asks for no alignment.
        unsafe { _mm256_maskz_loadu_epi16(((1u32 << n) - 1) as u16, x.as_ptr().cast()) }
    }
}

impl Product for DotBf16 {
    type S = Avx512<true>;
    type A = __m512bh;
    type B = __m512i;
    const PER_UNIT: usize = 2;

    #[inline(always)]
    fn simd(self) -> Avx512<true> {
        self.0
    }
    #[inline(always)]
    fn splat(self, a: u32) -> __m512bh {
        // SAFETY: the token in `self` vouches for AVX-512 F; both types are 512 bits.
        unsafe { transmute::<__m512i, __m512bh>(_mm512_set1_epi32(a.cast_signed())) }
    }
    #[inline(always)]
    fn load(self, b: &Units) -> __m512i {
        // SAFETY: sixteen units are 64 bytes, and loadu asks for no alignment.
        unsafe { _mm512_loadu_si512(b.as_ptr().cast()) }
    }
    #[inline(always)]
    fn left(self, a: __m512i) -> __m512bh {
        // SAFETY: both types are 512 bits.
        unsafe { transmute::<__m512i, __m512bh>(a) }
    }
    #[inline(always)]
    fn step(self, acc: __m512, a: __m512bh, b: __m512i) -> __m512 {
        // SAFETY: the token in `self` vouches for AVX-512 BF16; both types are 512 bits.
        unsafe { _mm512_dpbf16_ps(acc, a, transmute::<__m512i, __m512bh>(b)) }
    }

    #[inline(always)]
    fn along<T: Element>(self, x: &[T]) -> __m512i {
        if let Some(x) = as_bf16(x) {
            if x.len() >= 2 * LANES {
                // SAFETY: 32 bf16 are 64 bytes, and loadu asks for no alignment.
                return unsafe { _mm512_loadu_si512(x.as_ptr().cast()) };
            }
            let n = x.len();
            // SAFETY: the token in `self` vouches for AVX-512 BW; the load is masked to the length
            // of the slice, and asks for no alignment.
            return unsafe {
                _mm512_maskz_loadu_epi16(((1u64 << n) - 1) as u32, x.as_ptr().cast())
            };
        }
        let (low, high) = x.split_at(x.len().min(LANES));
        self.narrow(self.widen(low), self.widen(high))
    }
    #[inline(always)]
    fn across<T: Element>(self, x: &[T], next: &[T]) -> __m512i {
        if let (Some(x), Some(next)) = (as_bf16(x), as_bf16(next)) {
            let (low, high) = (self.raw(x), self.raw(next));
            // SAFETY: the token in `self` vouches for AVX-512 F.
            let rows = unsafe { _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high) };
            return self.interleave(rows);
        }
        self.interleave(self.narrow(self.widen(x), self.widen(next)))
    }
    #[inline(always)]
    fn across_two<T: Element>(self, x: &[T], next: &[T], step: usize) -> [__m512i; 2] {
        static FIRST: [u16; 32] = pairs(0, 32);
        assert!(x.len() == 2 * LANES && next.len() == x.len() && step <= LANES);
        if let (Some(x), Some(next)) = (as_bf16(x), as_bf16(next)) {
            // SAFETY: the token in `self` vouches for AVX-512 BW; 32 bf16 and both tables are 64
            // bytes, and loadu asks for no alignment.
            return unsafe {
                let x = _mm512_loadu_si512(x.as_ptr().cast());
                let next = _mm512_loadu_si512(next.as_ptr().cast());
                let first = _mm512_loadu_si512(FIRST.as_ptr().cast());
                let second = _mm512_add_epi16(first, _mm512_set1_epi16(step as i16));
                [
                    _mm512_permutex2var_epi16(x, first, next),
                    _mm512_permutex2var_epi16(x, second, next),
                ]
            };
        }
        [self.across(&x[..LANES], &next[..LANES]), self.across(&x[step..], &next[step..])]
    }
    #[inline(always)]
    fn transpose(self, x: &mut [__m512i; LANES]) {
        // SAFETY: both are sixteen vectors of 512 bits.
        let lanes = unsafe { &mut *std::ptr::from_mut(x).cast::<[__m512; LANES]>() };
        self.0.transpose(lanes);
    }
    #[inline(always)]
    fn store(self, y: &mut Units, x: __m512i) {
        // SAFETY: sixteen units are 64 bytes, and storeu asks for no alignment.
        unsafe { _mm512_storeu_si512(y.as_mut_ptr().cast(), x) }
    }
    #[inline(always)]
    fn store_part(self, y: &mut [u32], x: __m512i) {
        if let Some(y) = y.first_chunk_mut() {
            return self.store(y, x);
        }
        let n = y.len();
        // SAFETY: the store is masked to the length of the slice, and asks for no alignment.
        unsafe { _mm512_mask_storeu_epi32(y.as_mut_ptr().cast(), ((1u32 << n) - 1) as u16, x) }
    }
}
