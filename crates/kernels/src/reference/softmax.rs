//! Softmax and cross entropy of one row, in f64.

/// `ln sum_i e^(x[i])`; minus infinity for a row of minus infinities.
pub fn lse(x: &[f64]) -> f64 {
    let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if max == f64::NEG_INFINITY {
        return max;
    }
    max + x.iter().map(|x| (x - max).exp()).sum::<f64>().ln()
}

/// `e^(x[i] - lse(x))`; zeros for a row of minus infinities.
pub fn row(x: &[f64]) -> Vec<f64> {
    let lse = lse(x);
    let e = |x: &f64| if *x == f64::NEG_INFINITY { 0.0 } else { (x - lse).exp() };
    x.iter().map(e).collect()
}

/// The loss of a row whose target is `target`, and its gradient.
///
/// ```text
/// q = (1 - smoothing) * onehot(target) + smoothing / V
/// loss = -sum_i q[i] * ln p[i],    d loss / d x = p - q,    p = softmax(x)
/// ```
///
/// Szegedy et al., "Rethinking the Inception Architecture for Computer Vision",
/// arXiv:1512.00567, section 7.
pub fn cross_entropy(x: &[f64], target: usize, smoothing: f64) -> (f64, Vec<f64>) {
    let (lse, p) = (lse(x), row(x));
    let q = |i: usize| f64::from(i == target) * (1.0 - smoothing) + smoothing / x.len() as f64;
    // Where q is zero its logarithm is not asked for: the term is zero, even for `x = -inf`.
    let used = (0..x.len()).filter(|&i| q(i) > 0.0);
    (used.map(|i| q(i) * (lse - x[i])).sum(), (0..x.len()).map(|i| p[i] - q(i)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use testing::check_gradient;

    #[test]
    fn loss_and_gradient_agree() {
        let x = [0.3, -1.0, 2.0, 0.7, -0.2];
        for smoothing in [0.0, 0.1, 1.0] {
            let (loss, grad) = cross_entropy(&x, 3, smoothing);
            assert!(loss > 0.0 && grad.iter().sum::<f64>().abs() < 1e-12);
            check_gradient(|x| cross_entropy(x, 3, smoothing).0, &x, &grad, 1e-8);
        }
    }
}
