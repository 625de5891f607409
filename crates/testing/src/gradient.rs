//! Gradients against central differences.

/// Checks `grad` against central differences of `f` at `x`, in f64.
///
/// # Panics
/// With the first coordinate that differs by more than `tol`, relative to its size.
#[track_caller]
pub fn check_gradient(f: impl Fn(&[f64]) -> f64, x: &[f64], grad: &[f64], tol: f64) {
    const H: f64 = 1e-5;
    assert_eq!(x.len(), grad.len(), "check_gradient: length");
    for i in 0..x.len() {
        let shifted = |h: f64| {
            let mut x = x.to_vec();
            x[i] += h;
            f(&x)
        };
        let numeric = (shifted(H) - shifted(-H)) / (2.0 * H);
        let error = (numeric - grad[i]).abs() / numeric.abs().max(1.0);
        assert!(
            error <= tol,
            "gradient[{i}]: analytic {}, numeric {numeric}, error {error:.1e}",
            grad[i]
        );
    }
}

#[cfg(test)]
mod tests {
    use super::check_gradient;

    fn cubes(x: &[f64]) -> f64 {
        x.iter().map(|x| x * x * x).sum()
    }

    #[test]
    fn accepts_the_gradient() {
        check_gradient(cubes, &[1.0, -2.0], &[3.0, 12.0], 1e-8);
    }

    #[test]
    #[should_panic(expected = "gradient[1]: analytic 11")]
    fn names_the_wrong_coordinate() {
        check_gradient(cubes, &[1.0, -2.0], &[3.0, 11.0], 1e-8);
    }
}
