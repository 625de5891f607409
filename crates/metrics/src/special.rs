//! Tails of distributions.

use libm::{erfc, lgamma};

/// How often a standard normal number is as far from zero as `z`, to either side.
pub(crate) fn normal_two_sided(z: f64) -> f64 {
    erfc(z.abs() / std::f64::consts::SQRT_2)
}

/// How often a number of Student's distribution is as far from zero as `t`, to either side.
pub(crate) fn student_two_sided(t: f64, degrees: f64) -> f64 {
    beta(degrees / 2.0, 0.5, degrees / (degrees + t * t))
}

/// How often at most `k` of `n` fair coins fall the same given way; `k < n`.
pub(crate) fn fair_coins(k: u64, n: u64) -> f64 {
    beta((n - k) as f64, k as f64 + 1.0, 0.5)
}

/// The regularised incomplete beta function: its continued fraction by Lentz's method (DLMF
/// 8.17.22, 3.10).
fn beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return f64::from(u8::from(x >= 1.0));
    }
    // Where the fraction converges slowly, that of the other end does not.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta(b, a, 1.0 - x);
    }
    let scale = lgamma(a + b) - lgamma(a) - lgamma(b) + a * x.ln() + b * (-x).ln_1p();
    let (mut fraction, mut c, mut d) = (1.0, 1.0, 0.0);
    for step in 1..100_000_u32 {
        let m = f64::from(step / 2);
        let term = if step % 2 == 0 {
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        } else {
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        };
        d = 1.0 / nonzero(1.0 + term * d);
        c = nonzero(1.0 + term / c);
        fraction *= c * d;
        if (c * d - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    scale.exp() / a / fraction
}

fn nonzero(value: f64) -> f64 {
    if value.abs() < f64::MIN_POSITIVE { f64::MIN_POSITIVE } else { value }
}
