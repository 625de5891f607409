//! Sixteen lanes as one 512-bit register.
#![allow(clippy::inline_always)] // As in `simd`.
#![allow(clippy::wildcard_imports)] // Fifty intrinsics, named as the manual names them.

use super::{LANES, Simd};
use crate::element::{bf16, f16};
use std::arch::x86_64::*;

/// AVX-512 F, BW, VL and DQ; with `BF16` also the conversion `vcvtneps2bf16`.
#[derive(Clone, Copy)]
pub struct Avx512<const BF16: bool>(());

impl<const BF16: bool> Avx512<BF16> {
    /// The proof that the CPU has the instructions.
    ///
    /// # Safety
    /// It must have them.
    #[inline(always)]
    pub unsafe fn new() -> Self {
        Self(())
    }
}

/// Methods that are one expression of intrinsics.
macro_rules! methods {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $body:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: $ty),*) $(-> $ret)? {
            // SAFETY: `self` exists only where the CPU has these instructions. Pointers come from
            // references to sixteen elements, or are masked to the length of their slice, and
            // no alignment is asked for.
            unsafe { $body }
        }
    )*};
}

/// The mask of the first `n < 16` lanes.
#[inline(always)]
fn below(n: usize) -> __mmask16 {
    debug_assert!(n < LANES);
    (1 << n) - 1
}

/// The lower half added to the upper, and so on down to one lane.
macro_rules! halve {
    ($a:expr, $op256:ident, $op128:ident, $op1:ident) => {{
        let a = $a;
        let a = $op256(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
        let a = $op128(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
        let a = $op128(a, _mm_movehl_ps(a, a));
        _mm_cvtss_f32($op1(a, _mm_movehdup_ps(a)))
    }};
}

/// Sixteen bf16, rounded to nearest even.
#[inline(always)]
unsafe fn round_bf16<const BF16: bool>(v: __m512) -> __m256i {
    // SAFETY: the callers have a token of these instructions. `__m256bh` is 256 bits like its
    // integer twin.
    unsafe {
        if BF16 {
            return std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(v));
        }
        let bits = _mm512_castps_si512(v);
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let bias = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
        let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(v, v);
        let rounded = _mm512_add_epi32(bits, bias);
        let quiet = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x0040_0000));
        _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(quiet))
    }
}

/// Sixteen bf16, widened.
#[inline(always)]
unsafe fn widen_bf16(x: __m256i) -> __m512 {
    // SAFETY: the callers have a token of these instructions.
    unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(x))) }
}

impl<const BF16: bool> Simd for Avx512<BF16> {
    type F = __m512;
    type M = __mmask16;

    #[inline(always)]
    fn first(self, n: usize) -> __mmask16 {
        if n < LANES { below(n) } else { !0 }
    }

    methods! {
        fn splat(x: f32) -> __m512 = _mm512_set1_ps(x);
        fn from_array(x: [f32; LANES]) -> __m512 = _mm512_loadu_ps(x.as_ptr());
        fn to_array(x: __m512) -> [f32; LANES] = {
            let mut out = [0.0; LANES];
            _mm512_storeu_ps(out.as_mut_ptr(), x);
            out
        };

        fn add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        fn sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
        fn mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        fn div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps(a, b);
        fn fma(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
        fn fnma(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fnmadd_ps(a, b, c);
        fn max(a: __m512, b: __m512) -> __m512 = _mm512_max_ps(a, b);
        fn min(a: __m512, b: __m512) -> __m512 = _mm512_min_ps(a, b);
        fn sqrt(a: __m512) -> __m512 = _mm512_sqrt_ps(a);
        fn abs(a: __m512) -> __m512 = _mm512_abs_ps(a);
        fn round(a: __m512) -> __m512 = _mm512_roundscale_ps::<_MM_FROUND_TO_NEAREST_INT>(a);
        fn scale_by_power(a: __m512, n: __m512) -> __m512 = {
            let power = _mm512_slli_epi32::<23>(_mm512_cvtps_epi32(n));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), power))
        };

        fn lt(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b);
        fn select(mask: __mmask16, yes: __m512, no: __m512) -> __m512 =
            _mm512_mask_blend_ps(mask, no, yes);

        fn reduce_add(a: __m512) -> f32 = halve!(a, _mm256_add_ps, _mm_add_ps, _mm_add_ss);
        fn reduce_max(a: __m512) -> f32 = halve!(a, _mm256_max_ps, _mm_max_ps, _mm_max_ss);

        fn load_f32(x: &[f32; LANES]) -> __m512 = _mm512_loadu_ps(x.as_ptr());
        fn load_bf16(x: &[bf16; LANES]) -> __m512 =
            widen_bf16(_mm256_loadu_si256(x.as_ptr().cast()));
        fn load_f16(x: &[f16; LANES]) -> __m512 =
            _mm512_cvtph_ps(_mm256_loadu_si256(x.as_ptr().cast()));
        fn load_part_f32(x: &[f32]) -> __m512 = _mm512_maskz_loadu_ps(below(x.len()), x.as_ptr());
        fn load_part_bf16(x: &[bf16]) -> __m512 =
            widen_bf16(_mm256_maskz_loadu_epi16(below(x.len()), x.as_ptr().cast()));
        fn load_part_f16(x: &[f16]) -> __m512 =
            _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(below(x.len()), x.as_ptr().cast()));

        fn store_f32(y: &mut [f32; LANES], v: __m512) = _mm512_storeu_ps(y.as_mut_ptr(), v);
        fn store_bf16(y: &mut [bf16; LANES], v: __m512) =
            _mm256_storeu_si256(y.as_mut_ptr().cast(), round_bf16::<BF16>(v));
        fn store_f16(y: &mut [f16; LANES], v: __m512) = {
            let rounded = _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v);
            _mm256_storeu_si256(y.as_mut_ptr().cast(), rounded);
        };
        fn store_part_f32(y: &mut [f32], v: __m512) =
            _mm512_mask_storeu_ps(y.as_mut_ptr(), below(y.len()), v);
        fn store_part_bf16(y: &mut [bf16], v: __m512) = {
            let rounded = round_bf16::<BF16>(v);
            _mm256_mask_storeu_epi16(y.as_mut_ptr().cast(), below(y.len()), rounded);
        };
        fn store_part_f16(y: &mut [f16], v: __m512) = {
            let rounded = _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v);
            _mm256_mask_storeu_epi16(y.as_mut_ptr().cast(), below(y.len()), rounded);
        };
    }
}
