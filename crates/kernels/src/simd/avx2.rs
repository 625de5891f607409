//! Sixteen lanes as two 256-bit registers.
#![allow(clippy::inline_always)] // As in `simd`.
#![allow(clippy::wildcard_imports)] // Fifty intrinsics, named as the manual names them.

use super::{LANES, Simd, padded};
use crate::element::{bf16, f16};
use std::arch::x86_64::*;

/// AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub struct Avx2(());

impl Avx2 {
    /// The proof that the CPU has the instructions.
    ///
    /// # Safety
    /// It must have them.
    #[inline(always)]
    pub unsafe fn new() -> Self {
        Self(())
    }
}

/// Lanes 0 to 7 and 8 to 15.
#[derive(Clone, Copy)]
pub struct Pair(__m256, __m256);

/// Methods that are one expression of intrinsics.
macro_rules! methods {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $body:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: $ty),*) $(-> $ret)? {
            // SAFETY: `self` exists only where the CPU has these instructions. Pointers come from
            // references to sixteen elements, and no alignment is asked for.
            unsafe { $body }
        }
    )*};
}

/// An intrinsic on both halves.
macro_rules! both {
    ($op:ident $(::<$imm:ident>)?, $($a:ident),+) => {
        Pair($op $(::<$imm>)? ($($a.0),+), $op $(::<$imm>)? ($($a.1),+))
    };
}

/// The lower half added to the upper, and so on down to one lane.
macro_rules! halve {
    ($a:expr, $op256:ident, $op128:ident, $op1:ident) => {{
        let a = $op256($a.0, $a.1);
        let a = $op128(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
        let a = $op128(a, _mm_movehl_ps(a, a));
        _mm_cvtss_f32($op1(a, _mm_movehdup_ps(a)))
    }};
}

/// `a * 2^n` on eight lanes, by the exponent bits.
#[inline(always)]
unsafe fn scale(a: __m256, n: __m256) -> __m256 {
    // SAFETY: the callers have a token of these instructions.
    unsafe {
        let power = _mm256_slli_epi32::<23>(_mm256_cvtps_epi32(n));
        _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), power))
    }
}

/// Eight bf16 in the lower halves of 32-bit lanes, rounded to nearest even; NaN stays NaN.
#[inline(always)]
unsafe fn round_bf16(v: __m256) -> __m256i {
    // SAFETY: the callers have a token of these instructions.
    unsafe {
        let bits = _mm256_castps_si256(v);
        let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
        let bias = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
        let rounded = _mm256_add_epi32(bits, bias);
        let nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(v, v));
        let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x0040_0000));
        _mm256_srli_epi32::<16>(_mm256_blendv_epi8(rounded, quiet, nan))
    }
}

/// Eight bf16, widened.
#[inline(always)]
unsafe fn widen_bf16(x: __m128i) -> __m256 {
    // SAFETY: the callers have a token of these instructions.
    unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(x))) }
}

impl Simd for Avx2 {
    type F = Pair;
    type M = Pair;

    methods! {
        fn splat(x: f32) -> Pair = Pair(_mm256_set1_ps(x), _mm256_set1_ps(x));
        fn from_array(x: [f32; LANES]) -> Pair =
            Pair(_mm256_loadu_ps(x.as_ptr()), _mm256_loadu_ps(x.as_ptr().add(8)));
        fn to_array(x: Pair) -> [f32; LANES] = {
            let mut out = [0.0; LANES];
            _mm256_storeu_ps(out.as_mut_ptr(), x.0);
            _mm256_storeu_ps(out.as_mut_ptr().add(8), x.1);
            out
        };

        fn add(a: Pair, b: Pair) -> Pair = both!(_mm256_add_ps, a, b);
        fn sub(a: Pair, b: Pair) -> Pair = both!(_mm256_sub_ps, a, b);
        fn mul(a: Pair, b: Pair) -> Pair = both!(_mm256_mul_ps, a, b);
        fn div(a: Pair, b: Pair) -> Pair = both!(_mm256_div_ps, a, b);
        fn fma(a: Pair, b: Pair, c: Pair) -> Pair = both!(_mm256_fmadd_ps, a, b, c);
        fn fnma(a: Pair, b: Pair, c: Pair) -> Pair = both!(_mm256_fnmadd_ps, a, b, c);
        fn max(a: Pair, b: Pair) -> Pair = both!(_mm256_max_ps, a, b);
        fn min(a: Pair, b: Pair) -> Pair = both!(_mm256_min_ps, a, b);
        fn sqrt(a: Pair) -> Pair = both!(_mm256_sqrt_ps, a);
        fn abs(a: Pair) -> Pair = {
            let sign = _mm256_set1_ps(-0.0);
            Pair(_mm256_andnot_ps(sign, a.0), _mm256_andnot_ps(sign, a.1))
        };
        fn round(a: Pair) -> Pair = both!(_mm256_round_ps::<_MM_FROUND_TO_NEAREST_INT>, a);
        fn scale_by_power(a: Pair, n: Pair) -> Pair = both!(scale, a, n);

        fn lt(a: Pair, b: Pair) -> Pair = both!(_mm256_cmp_ps::<_CMP_LT_OQ>, a, b);
        fn select(mask: Pair, yes: Pair, no: Pair) -> Pair =
            both!(_mm256_blendv_ps, no, yes, mask);
        fn first(n: usize) -> Pair = {
            let n = _mm256_set1_epi32(n as i32);
            let low = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let high = _mm256_add_epi32(low, _mm256_set1_epi32(8));
            Pair(
                _mm256_castsi256_ps(_mm256_cmpgt_epi32(n, low)),
                _mm256_castsi256_ps(_mm256_cmpgt_epi32(n, high)),
            )
        };

        fn reduce_add(a: Pair) -> f32 = halve!(a, _mm256_add_ps, _mm_add_ps, _mm_add_ss);
        fn reduce_max(a: Pair) -> f32 = halve!(a, _mm256_max_ps, _mm_max_ps, _mm_max_ss);

        fn load_f32(x: &[f32; LANES]) -> Pair =
            Pair(_mm256_loadu_ps(x.as_ptr()), _mm256_loadu_ps(x.as_ptr().add(8)));
        fn load_bf16(x: &[bf16; LANES]) -> Pair = Pair(
            widen_bf16(_mm_loadu_si128(x.as_ptr().cast())),
            widen_bf16(_mm_loadu_si128(x.as_ptr().add(8).cast())),
        );
        fn load_f16(x: &[f16; LANES]) -> Pair = Pair(
            _mm256_cvtph_ps(_mm_loadu_si128(x.as_ptr().cast())),
            _mm256_cvtph_ps(_mm_loadu_si128(x.as_ptr().add(8).cast())),
        );

        fn store_f32(y: &mut [f32; LANES], v: Pair) = {
            _mm256_storeu_ps(y.as_mut_ptr(), v.0);
            _mm256_storeu_ps(y.as_mut_ptr().add(8), v.1);
        };
        fn store_bf16(y: &mut [bf16; LANES], v: Pair) = {
            // The pack works within 128-bit halves; the permutation puts them in order.
            let packed = _mm256_packus_epi32(round_bf16(v.0), round_bf16(v.1));
            let ordered = _mm256_permute4x64_epi64::<0b11_01_10_00>(packed);
            _mm256_storeu_si256(y.as_mut_ptr().cast(), ordered);
        };
        fn store_f16(y: &mut [f16; LANES], v: Pair) = {
            let low = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v.0);
            let high = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v.1);
            _mm_storeu_si128(y.as_mut_ptr().cast(), low);
            _mm_storeu_si128(y.as_mut_ptr().add(8).cast(), high);
        };
    }

    #[inline(always)]
    fn load_part_f32(self, x: &[f32]) -> Pair {
        self.load_f32(&padded(x))
    }
    #[inline(always)]
    fn load_part_bf16(self, x: &[bf16]) -> Pair {
        self.load_bf16(&padded(x))
    }
    #[inline(always)]
    fn load_part_f16(self, x: &[f16]) -> Pair {
        self.load_f16(&padded(x))
    }
    #[inline(always)]
    fn store_part_f32(self, y: &mut [f32], v: Pair) {
        let mut full = [0.0; LANES];
        self.store_f32(&mut full, v);
        y.copy_from_slice(&full[..y.len()]);
    }
    #[inline(always)]
    fn store_part_bf16(self, y: &mut [bf16], v: Pair) {
        let mut full = [bf16::ZERO; LANES];
        self.store_bf16(&mut full, v);
        y.copy_from_slice(&full[..y.len()]);
    }
    #[inline(always)]
    fn store_part_f16(self, y: &mut [f16], v: Pair) {
        let mut full = [f16::ZERO; LANES];
        self.store_f16(&mut full, v);
        y.copy_from_slice(&full[..y.len()]);
    }
}
