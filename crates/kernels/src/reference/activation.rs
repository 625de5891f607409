//! Activation functions in f64; what they are, and their derivatives.

use crate::activation::Activation;
use std::f64::consts::{FRAC_1_SQRT_2, PI, SQRT_2, TAU};

/// `erf(z)` by its series for small z, else by its complement.
///
/// ```text
/// erf(z) = 2 / sqrt(pi) e^(-z^2) sum_n 2^n z^(2n+1) / (1 * 3 * .. * (2n+1))
/// ```
///
/// Abramowitz and Stegun, "Handbook of Mathematical Functions", 7.1.6.
pub fn erf(z: f64) -> f64 {
    if z.abs() > 3.0 {
        return (1.0 - erfc_fraction(z.abs())).copysign(z);
    }
    let (mut term, mut sum) = (z, z);
    for n in 1..100 {
        term *= 2.0 * z * z / f64::from(2 * n + 1);
        sum += term;
    }
    2.0 / PI.sqrt() * (-z * z).exp() * sum
}

/// `1 - erf(z)` for large z, as a continued fraction (Abramowitz and Stegun, 7.1.14).
///
/// ```text
/// erfc(z) = e^(-z^2) / sqrt(pi) * 1 / (z + (1/2) / (z + 1 / (z + (3/2) / (z + ..))))
/// ```
fn erfc_fraction(z: f64) -> f64 {
    let rest = (1..200).rev().fold(z, |rest, n| z + 0.5 * f64::from(n) / rest);
    (-z * z).exp() / (PI.sqrt() * rest)
}

/// The integral of the standard normal density from minus infinity to x, `Phi(x)`.
pub fn normal(x: f64) -> f64 {
    let z = x * FRAC_1_SQRT_2;
    if z < -3.0 { 0.5 * erfc_fraction(-z) } else { 0.5 * (1.0 + erf(z)) }
}

/// `1 / (1 + e^-x)`.
pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The activated value of x.
pub fn apply(act: Activation, x: f64) -> f64 {
    match act {
        Activation::Relu => {
            if x < 0.0 {
                0.0
            } else {
                x
            }
        }
        Activation::GeluErf => x * normal(x),
        // x / 2 (1 + tanh(u)), written as the sigmoid that does not cancel where u is negative.
        Activation::GeluTanh => x * sigmoid(2.0 * inner(x).0),
        Activation::Silu => x * sigmoid(x),
        Activation::QuickGelu => x * sigmoid(QUICK * x),
        Activation::Tanh => x.tanh(),
    }
}

/// `d apply(x) / dx`.
pub fn derivative(act: Activation, x: f64) -> f64 {
    match act {
        Activation::Relu => f64::from(x > 0.0),
        Activation::GeluErf => normal(x) + x * (-0.5 * x * x).exp() / TAU.sqrt(),
        Activation::GeluTanh => {
            let (u, du) = inner(x);
            let s = sigmoid(2.0 * u);
            s + 2.0 * x * s * sigmoid(-2.0 * u) * du
        }
        Activation::Silu => {
            let s = sigmoid(x);
            s + x * s * sigmoid(-x)
        }
        Activation::QuickGelu => {
            let s = sigmoid(QUICK * x);
            s + QUICK * x * s * sigmoid(-QUICK * x)
        }
        Activation::Tanh => 1.0 - x.tanh() * x.tanh(),
    }
}

const QUICK: f64 = 1.702;

/// The argument of the tanh in GELU's approximation, and its derivative.
///
/// ```text
/// u = sqrt(2 / pi) (x + 0.044715 x^3)
/// ```
fn inner(x: f64) -> (f64, f64) {
    const CUBIC: f64 = 0.044_715;
    let root = SQRT_2 / PI.sqrt();
    (root * (x + CUBIC * x * x * x), root * (1.0 + 3.0 * CUBIC * x * x))
}

/// `y = act(gate) * up` for rows `[2F]` of `x`, gate first.
pub fn gated_forward(act: Activation, x: &[f64], d_ff: usize) -> Vec<f64> {
    let rows = x.chunks_exact(2 * d_ff).map(|row| row.split_at(d_ff));
    rows.flat_map(|(gate, up)| (0..d_ff).map(|i| apply(act, gate[i]) * up[i])).collect()
}

/// The gradient of [`gated_forward`] with respect to `x`.
pub fn gated_backward(act: Activation, dy: &[f64], x: &[f64], d_ff: usize) -> Vec<f64> {
    let mut dx = vec![0.0; x.len()];
    for (i, &dy) in dy.iter().enumerate() {
        let gate = i / d_ff * 2 * d_ff + i % d_ff;
        let up = gate + d_ff;
        dx[gate] = dy * derivative(act, x[gate]) * x[up];
        dx[up] = dy * apply(act, x[gate]);
    }
    dx
}

#[cfg(test)]
mod tests {
    use super::*;
    use testing::check_gradient;

    #[test]
    fn error_function_has_its_tabulated_values() {
        // Abramowitz and Stegun, table 7.1 and 7.3.
        for (z, expected) in [(0.5, 0.520_499_877_8), (1.0, 0.842_700_792_9), (2.0, 0.995_322_265)]
        {
            assert!((erf(z) - expected).abs() < 1e-9, "{z}");
            assert!((erf(-z) + expected).abs() < 1e-9, "{z}");
        }
        assert!((erfc_fraction(5.0) / 1.537_459_794_4e-12 - 1.0).abs() < 1e-9);
        assert!((normal(-3.0 * SQRT_2 - 1e-9) / normal(-3.0 * SQRT_2 + 1e-9) - 1.0).abs() < 1e-7);
    }

    #[test]
    fn derivatives_are_gradients() {
        for act in Activation::ALL {
            for x in [-9.0, -3.0, -1.0, -0.3, 0.2, 1.0, 2.5, 9.0] {
                check_gradient(|x| apply(act, x[0]), &[x], &[derivative(act, x)], 1e-8);
            }
            let x = [0.3, -1.0, 2.0, 0.7, -0.2, 1.5, -0.9, 0.1];
            let dy = [1.0, -2.0, 0.5, 3.0];
            let loss = |x: &[f64]| {
                let y = gated_forward(act, x, 2);
                y.iter().zip(dy).map(|(y, dy)| y * dy).sum()
            };
            check_gradient(loss, &x, &gated_backward(act, &dy, &x, 2), 1e-8);
        }
    }
}
