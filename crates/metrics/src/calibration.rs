//! Whether a model is right as often as it says.
//!
//! Guo et al., "On calibration of modern neural networks", arXiv:1706.04599; Naeini et al.,
//! "Obtaining well calibrated probabilities using Bayesian binning", 2015.

use crate::classes::below;
use crate::error::{MetricError, Result, finite, pairs, unit};

/// More bins than anyone draws.
const MAX_BINS: usize = 1 << 16;
/// Logarithms of the lowest and highest temperature that is looked for.
const LOG_TEMPERATURES: [f64; 2] = [-9.0, 9.0];

/// How samples are put into bins, and how many bins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binning {
    /// Equally wide, from 0 to 1.
    Width(usize),
    /// With as many samples each, so far as confidences differ.
    Mass(usize),
}

/// A bar of a reliability diagram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// Where it begins, itself not in it (but the first has its own).
    pub low: f64,
    /// Where it ends, itself in it.
    pub high: f64,
    /// How many samples; at least one.
    pub n: usize,
    /// Their mean confidence.
    pub confidence: f64,
    /// Share of them that is right.
    pub accuracy: f64,
}

/// The bins that have samples, from the least confident on. Drawn as `accuracy` over `confidence`,
/// they lie on the diagonal when a model is calibrated.
///
/// # Errors
/// When lengths differ, there is no sample, a confidence is not from 0 to 1, or there are no bins
/// or more than 65 536.
pub fn bins(confidence: &[f64], correct: &[bool], binning: Binning) -> Result<Vec<Bin>> {
    pairs("confidences", confidence.len(), correct.len())?;
    unit("confidence", confidence)?;
    let edges = edges(confidence, binning)?;
    let n_bins = edges.len() - 1;
    let mut sums = vec![(0, 0.0, 0_u64); n_bins];
    for (&value, &correct) in confidence.iter().zip(correct) {
        let (n, sum, n_correct) = &mut sums[edges[1..n_bins].partition_point(|edge| *edge < value)];
        *n += 1;
        *sum += value;
        *n_correct += u64::from(correct);
    }
    let bins = sums.iter().zip(edges.windows(2)).filter(|((n, ..), _)| *n > 0);
    let bin = |(&(n, sum, n_correct), edges): (&(usize, f64, u64), &[f64])| Bin {
        low: edges[0],
        high: edges[1],
        n,
        confidence: sum / n as f64,
        accuracy: n_correct as f64 / n as f64,
    };
    Ok(bins.map(bin).collect())
}

/// Expected calibration error, from 0 to 1: how far accuracy is from confidence, a sample.
pub fn ece(bins: &[Bin]) -> f64 {
    let n: usize = bins.iter().map(|bin| bin.n).sum();
    bins.iter().map(|bin| bin.n as f64 * bin.gap()).sum::<f64>() / n.max(1) as f64
}

/// Maximum calibration error, from 0 to 1: how far in the worst bin.
pub fn mce(bins: &[Bin]) -> f64 {
    bins.iter().map(Bin::gap).fold(0.0, f64::max)
}

impl Bin {
    /// How far accuracy is from confidence.
    pub fn gap(&self) -> f64 {
        (self.accuracy - self.confidence).abs()
    }
}

/// The temperature that logits are divided by so that the mean negative log likelihood of `truth`
/// is least. It changes no prediction.
///
/// Shapes: `truth` `[N]`, `logits` `[N, n_classes]`. The loss is convex in the inverse of the
/// temperature, so its slope is bisected.
///
/// # Errors
/// When shapes disagree, there is no sample, a class is not below `n_classes`, a logit is not
/// finite, or there is no such temperature (every sample is right, or most are worse than chance).
pub fn temperature(truth: &[usize], logits: &[f64], n_classes: usize) -> Result<f64> {
    pairs("logits", logits.len(), truth.len().saturating_mul(n_classes))?;
    below("truth", truth, n_classes)?;
    finite("logit", logits)?;
    // The slope in the inverse temperature: expected logits less those of the truth.
    let slope = |log_temperature: f64| -> f64 {
        let inverse = (-log_temperature).exp();
        let row = |(&label, row): (&usize, &[f64])| {
            let max = row.iter().copied().fold(f64::MIN, f64::max);
            let weights = row.iter().map(|logit| ((logit - max) * inverse).exp());
            let expected: f64 = weights.clone().zip(row).map(|(w, logit)| w * (logit - max)).sum();
            expected / weights.sum::<f64>() - (row[label] - max)
        };
        truth.iter().zip(logits.chunks_exact(n_classes)).map(row).sum()
    };
    let [mut low, mut high] = LOG_TEMPERATURES;
    // Hot models have a negative slope, cold ones a positive; NaN is neither.
    if !(slope(low) > 0.0 && slope(high) < 0.0) {
        let reason = "the loss has no minimum between 0.0001 and 8100";
        return Err(MetricError::Undefined { metric: "the temperature", reason });
    }
    loop {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            return Ok(middle.exp());
        }
        if slope(middle) > 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
}

/// One more than there are bins, as `numpy` computes them.
fn edges(confidence: &[f64], binning: Binning) -> Result<Vec<f64>> {
    let (Binning::Width(n_bins) | Binning::Mass(n_bins)) = binning;
    if n_bins == 0 || n_bins > MAX_BINS {
        let reason = "it has no bins, or more than 65 536";
        return Err(MetricError::Undefined { metric: "the diagram", reason });
    }
    let step = 1.0 / n_bins as f64;
    let even = (0..=n_bins).map(|idx| if idx == n_bins { 1.0 } else { idx as f64 * step });
    if matches!(binning, Binning::Width(_)) {
        return Ok(even.collect());
    }
    let mut sorted = confidence.to_vec();
    sorted.sort_by(f64::total_cmp);
    Ok(even.map(|share| percentile(&sorted, share * 100.0 / 100.0)).collect())
}

/// The value below which a share of the sorted values lies, between two of them by their distance.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let idx = (at.floor() as usize).min(sorted.len() - 1);
    let (low, high) = (sorted[idx], sorted[(idx + 1).min(sorted.len() - 1)]);
    low + (high - low) * (at - idx as f64)
}
