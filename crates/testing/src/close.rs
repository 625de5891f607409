//! Comparison of what was computed with what was expected.

/// How far a number may be from the expected one: `|a - e| <= abs + rel * |e|`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Regardless of size.
    pub abs: f64,
    /// Relative to the expected number.
    pub rel: f64,
}

impl Tolerance {
    /// Relative only.
    pub fn rel(rel: f64) -> Self {
        Self { abs: 0.0, rel }
    }

    /// `tol` relative to large numbers, and absolute for those below one.
    pub fn both(tol: f64) -> Self {
        Self { abs: tol, rel: tol }
    }

    /// Whether the two agree. NaN agrees with NaN alone, an infinity with itself alone.
    pub fn allows(self, actual: f64, expected: f64) -> bool {
        if actual.is_nan() || expected.is_nan() {
            return actual.is_nan() && expected.is_nan();
        }
        if actual.is_infinite() || expected.is_infinite() {
            return actual == expected;
        }
        (actual - expected).abs() <= self.abs + self.rel * expected.abs()
    }
}

/// Asserts that every number is within the tolerance.
///
/// # Panics
/// With the first that is not, and how many there are.
#[track_caller]
pub fn assert_close<A, E>(what: &str, actual: &[A], expected: &[E], tolerance: Tolerance)
where
    A: Copy + Into<f64>,
    E: Copy + Into<f64>,
{
    assert_eq!(actual.len(), expected.len(), "{what}: length");
    let pairs = actual.iter().zip(expected).map(|(&a, &e)| (a.into(), e.into()));
    let mut wrong = pairs.enumerate().filter(|&(_, (a, e))| !tolerance.allows(a, e));
    if let Some((i, (a, e))) = wrong.next() {
        let (n, error) = (1 + wrong.count(), (a - e).abs());
        let relative = error / e.abs();
        panic!(
            "{what}[{i}]: {a} instead of {e}, error {error:.1e} (relative {relative:.1e}, allowed \
             {tolerance:?}); {n} of {} differ",
            actual.len()
        );
    }
}

/// Asserts that two slices have the same bits; NaN payloads and the sign of zero count.
///
/// # Panics
/// With the first that differs.
#[track_caller]
pub fn assert_same_bits(what: &str, actual: &[f32], expected: &[f32]) {
    assert_eq!(actual.len(), expected.len(), "{what}: length");
    let differs = |(a, e): (&f32, &f32)| a.to_bits() != e.to_bits();
    if let Some(i) = actual.iter().zip(expected).position(differs) {
        let (a, e) = (actual[i], expected[i]);
        panic!("{what}[{i}]: {a} ({:#x}) and {e} ({:#x}) differ in bits", a.to_bits(), e.to_bits());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerances() {
        let tol = Tolerance { abs: 0.5, rel: 0.1 };
        assert!(tol.allows(10.0, 11.0));
        assert!(!tol.allows(10.0, 12.0));
        assert!(tol.allows(f64::NAN, f64::NAN));
        assert!(!tol.allows(f64::NAN, 0.0));
        assert!(tol.allows(f64::INFINITY, f64::INFINITY));
        assert!(!tol.allows(f64::INFINITY, f64::MAX));
    }

    #[test]
    #[should_panic(expected = "x[1]: 2 instead of 3")]
    fn says_what_differed() {
        assert_close("x", &[1.0_f32, 2.0], &[1.0_f64, 3.0], Tolerance::rel(0.1));
    }

    #[test]
    #[should_panic(expected = "differ in bits")]
    fn zeros_of_two_signs_have_other_bits() {
        assert_same_bits("x", &[0.0], &[-0.0]);
    }
}
