//! Clipping by the global norm.

/// The factor that shortens a gradient of length `norm` to `max_norm`; 1 where it is not longer.
///
/// ```text
/// scale = min(1, max_norm / norm)
/// ```
///
/// # Panics
/// When the norm is not finite: such a step is refused before it is clipped. When `max_norm` is not
/// positive (infinity is: it never clips).
///
/// Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent neural networks",
/// arXiv:1211.5063, alg. 1.
#[track_caller]
pub fn clip_scale(norm: f64, max_norm: f64) -> f32 {
    assert!(norm.is_finite() && norm >= 0.0, "clip_scale: norm is {norm}");
    assert!(max_norm > 0.0, "clip_scale: max_norm is {max_norm}");
    if norm > max_norm { (max_norm / norm) as f32 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_gradient_is_shortened_and_a_short_one_left() {
        for (norm, max_norm, expected) in [
            (4.0, 1.0, 0.25),
            (1.0, 1.0, 1.0),
            (0.5, 1.0, 1.0),
            (0.0, 1.0, 1.0),
            (1e300, f64::INFINITY, 1.0),
            (1e300, 1e-300, 0.0),
        ] {
            assert_eq!(clip_scale(norm, max_norm), expected, "{norm} to {max_norm}");
        }
    }

    #[test]
    #[should_panic(expected = "clip_scale: norm is NaN")]
    fn a_gradient_that_is_not_finite_is_a_bug() {
        clip_scale(f64::NAN, 1.0);
    }
}
