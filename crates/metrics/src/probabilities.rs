//! Probabilities, or other scores, of classes.

use crate::classes::below;
use crate::error::{MetricError, Result, finite, pairs, unit};
use crate::values::ranks;

/// Mean negative logarithm of what the true class got, in nats. Probabilities are kept a machine
/// epsilon away from 0 and 1, as in scikit-learn.
///
/// Shapes: `truth` `[N]`, `probabilities` `[N, n_classes]`.
///
/// # Errors
/// When shapes disagree, there is no sample, a class is not below `n_classes`, or a number is not
/// from 0 to 1. Rows need not sum to one.
pub fn log_loss(truth: &[usize], probabilities: &[f64], n_classes: usize) -> Result<f64> {
    check(truth, probabilities, n_classes)?;
    let loss =
        |(&label, row): (&usize, &[f64])| -row[label].clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln();
    let rows = truth.iter().zip(probabilities.chunks_exact(n_classes));
    Ok(rows.map(loss).sum::<f64>() / truth.len() as f64)
}

/// Mean squared distance of the probabilities from the truth: summed over classes, and halved where
/// there are two (which is then the square of one of them), as in scikit-learn.
///
/// Shapes and errors: as [`log_loss`].
///
/// # Errors
/// As [`log_loss`].
pub fn brier(truth: &[usize], probabilities: &[f64], n_classes: usize) -> Result<f64> {
    check(truth, probabilities, n_classes)?;
    let mut sum = 0.0;
    for (&label, row) in truth.iter().zip(probabilities.chunks_exact(n_classes)) {
        for (class, p) in row.iter().enumerate() {
            sum += (p - f64::from(u8::from(class == label))).powi(2);
        }
    }
    let scale = if n_classes == 2 { 0.5 } else { 1.0 };
    Ok(scale * sum / truth.len() as f64)
}

/// Area under the receiver operating characteristic: how often a positive sample has a higher score
/// than a negative one, where equal ones count half.
///
/// # Errors
/// When lengths differ, a score is not finite, or all samples are of one class.
pub fn auroc(truth: &[bool], scores: &[f64]) -> Result<f64> {
    pairs("scores", scores.len(), truth.len())?;
    finite("score", scores)?;
    let n_positive = truth.iter().filter(|&&positive| positive).count() as f64;
    let n_negative = truth.len() as f64 - n_positive;
    if n_positive == 0.0 || n_negative == 0.0 {
        let reason = "all samples are of one class";
        return Err(MetricError::Undefined { metric: "the area under ROC", reason });
    }
    let ranks = ranks(scores);
    let of_positive = ranks.iter().zip(truth).filter(|(_, positive)| **positive);
    let sum: f64 = of_positive.map(|(rank, _)| rank).sum();
    Ok((sum - n_positive * (n_positive + 1.0) / 2.0) / (n_positive * n_negative))
}

fn check(truth: &[usize], probabilities: &[f64], n_classes: usize) -> Result<()> {
    pairs("probabilities", probabilities.len(), truth.len().saturating_mul(n_classes))?;
    below("truth", truth, n_classes)?;
    unit("probability", probabilities)
}
