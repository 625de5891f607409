//! The exponential and what is made of it, on sixteen lanes.
#![allow(clippy::inline_always)] // As in `simd`.

use super::Simd;
use std::f32::consts::LOG2_E;

/// Below this e^x is taken as zero: the last results that are not subnormal.
const EXP_MIN: f32 = -87.0;

/// e^x for `x <= 88` within 2 ulp: zero below -87, NaN for NaN. What softmax and its kind need, as
/// they subtract a maximum.
///
/// ```text
/// x = n ln2 + r, |r| <= ln2 / 2;    e^x = 2^n (1 + r + r^2 p(r))
/// ```
///
/// ln2 is split in two so that `n * ln2` is exact (Cody and Waite, "Software Manual for the
/// Elementary Functions", 1980, chapter 6); p is the polynomial of `expf` in S. Moshier's Cephes.
#[inline(always)]
pub fn exp_down<S: Simd>(s: S, x: S::F) -> S::F {
    let n = s.round(s.mul(x, s.splat(LOG2_E)));
    let r = s.fnma(n, s.splat(0.693_359_4), x);
    let r = s.fnma(n, s.splat(-2.121_944_4e-4), r);
    // Pairs of terms: what depends on what is half as deep as in a plain Horner scheme.
    let square = s.mul(r, r);
    let pair = |high: f32, low: f32| s.fma(s.splat(high), r, s.splat(low));
    let p = s.fma(pair(1.987_569_1e-4, 1.398_2e-3), square, pair(8.333_452e-3, 4.166_579_6e-2));
    let p = s.fma(p, square, pair(1.666_666_5e-1, 0.5));
    let y = s.add(s.fma(p, square, r), s.splat(1.0));
    s.select(s.lt(x, s.splat(EXP_MIN)), s.splat(0.0), s.scale_by_power(y, n))
}

/// The logistic function `1 / (1 + e^-x)`, accurate relative to its own size on both sides.
#[inline(always)]
pub fn sigmoid<S: Simd>(s: S, x: S::F) -> S::F {
    let (zero, one) = (s.splat(0.0), s.splat(1.0));
    let e = exp_down(s, s.sub(zero, s.abs(x)));
    let numerator = s.select(s.lt(x, zero), e, one);
    s.div(numerator, s.add(one, e))
}

/// The normal distribution at x: `(Phi(x), phi(x))`, its integral from minus infinity and its
/// density, both within about 1e-6 of their own size (zero where they are below 1e-38).
///
/// ```text
/// Phi(-a) = e^(-a^2 / 2) t r(t),    t = 1 / (1 + 0.35 a),    a >= 0
/// ```
///
/// The form is that of Abramowitz and Stegun, "Handbook of Mathematical Functions", 7.1.26. r is
/// of degree 8, fitted by interpolation at Chebyshev nodes over 0 <= a <= 15, within 4.1e-8.
#[inline(always)]
pub fn normal<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
    const DENSITY_AT_0: f32 = 0.398_942_3;
    let (zero, one, half) = (s.splat(0.0), s.splat(1.0), s.splat(0.5));
    // Past 16 both are zero, and an infinity would meet itself below. A NaN stays.
    let a = s.min(s.splat(16.0), s.abs(x));
    // The rounding of the square, put back to first order: at a = 13 it is 4e-6 of the result.
    let square = s.mul(a, a);
    let excess = s.fnma(a, a, square);
    let e = exp_down(s, s.mul(s.splat(-0.5), square));
    let e = s.fma(s.mul(e, half), excess, e);
    let t = s.div(one, s.fma(s.splat(0.35), a, one));
    let coefficients = [
        0.146_950_92,
        -0.261_712_67,
        0.165_801_8,
        -0.027_482_89,
        0.107_262_77,
        0.119_417_04,
        0.139_914_8,
        0.139_618_64,
    ];
    let mut r = s.splat(-0.029_770_44);
    for c in coefficients {
        r = s.fma(r, t, s.splat(c));
    }
    let below = s.mul(s.mul(e, t), r);
    let phi = s.mul(e, s.splat(DENSITY_AT_0));
    (s.select(s.lt(x, zero), below, s.sub(one, below)), phi)
}
