//! Numbers predicted, against numbers that are true.

use crate::error::{MetricError, Result, finite, not_over, pairs};

/// Linear correlation, from -1 to 1.
///
/// # Errors
/// When lengths differ, there are fewer than two samples, a number is not finite, or one side is
/// constant.
pub fn pearson(truth: &[f64], predicted: &[f64]) -> Result<f64> {
    check(truth, predicted)?;
    let centred = |values: &[f64]| {
        let mean = mean(values);
        // By the largest first: squares of large numbers would overflow, of small ones vanish.
        let scale = values.iter().fold(0.0_f64, |max, value| max.max((value - mean).abs()));
        let scaled: Vec<f64> = values.iter().map(|value| (value - mean) / scale).collect();
        let norm = scaled.iter().map(|value| value * value).sum::<f64>().sqrt();
        scaled.into_iter().map(move |value| value / norm)
    };
    if is_constant(truth) || is_constant(predicted) {
        let reason = "one side is constant";
        return Err(MetricError::Undefined { metric: "correlation", reason });
    }
    let sum: f64 = centred(truth).zip(centred(predicted)).map(|(x, y)| x * y).sum();
    not_over(sum.clamp(-1.0, 1.0))
}

/// Correlation of the ranks, where equal values share the mean of theirs.
///
/// # Errors
/// As [`pearson`].
pub fn spearman(truth: &[f64], predicted: &[f64]) -> Result<f64> {
    check(truth, predicted)?;
    pearson(&ranks(truth), &ranks(predicted))
}

/// Kendall's tau-b: pairs in the same order less pairs in the other, of those that have one.
///
/// Knight, "A computer method for calculating Kendall's tau with ungrouped data", 1966.
///
/// # Errors
/// As [`pearson`].
pub fn kendall(truth: &[f64], predicted: &[f64]) -> Result<f64> {
    check(truth, predicted)?;
    let mut both: Vec<(f64, f64)> = truth.iter().copied().zip(predicted.iter().copied()).collect();
    both.sort_by(|a, b| order(a.0, b.0).then(order(a.1, b.1)));
    let n_pairs = |n: usize| n as f64 * (n as f64 - 1.0) / 2.0;
    let tied_x: f64 = both.chunk_by(|a, b| a.0 == b.0).map(|group| n_pairs(group.len())).sum();
    let tied_both: f64 = both.chunk_by(|a, b| a == b).map(|group| n_pairs(group.len())).sum();
    let mut y: Vec<f64> = both.into_iter().map(|(_, y)| y).collect();
    let swapped = sort_counting(&mut y) as f64;
    let tied_y: f64 = y.chunk_by(|a, b| a == b).map(|group| n_pairs(group.len())).sum();
    let all = n_pairs(y.len());
    if tied_x == all || tied_y == all {
        let reason = "one side is constant";
        return Err(MetricError::Undefined { metric: "correlation", reason });
    }
    let agreeing = all - tied_x - tied_y + tied_both - 2.0 * swapped;
    Ok((agreeing / (all - tied_x).sqrt() / (all - tied_y).sqrt()).clamp(-1.0, 1.0))
}

/// Mean squared error.
///
/// # Errors
/// When lengths differ, there is no sample, or a number is not finite.
pub fn mse(truth: &[f64], predicted: &[f64]) -> Result<f64> {
    errors(truth, predicted, |error| error * error)
}

/// Mean absolute error.
///
/// # Errors
/// As [`mse`].
pub fn mae(truth: &[f64], predicted: &[f64]) -> Result<f64> {
    errors(truth, predicted, f64::abs)
}

/// Share of the variance that is explained, at most 1. Of a constant truth, 1 where every
/// prediction is right and 0 where not, as in scikit-learn.
///
/// # Errors
/// As [`pearson`], but a constant has a value.
pub fn r2(truth: &[f64], predicted: &[f64]) -> Result<f64> {
    check(truth, predicted)?;
    let left = mse(truth, predicted)?;
    if is_constant(truth) {
        return Ok(f64::from(u8::from(left == 0.0)));
    }
    let mean = vec![mean(truth); truth.len()];
    not_over(1.0 - left / mse(truth, &mean)?)
}

/// Ranks from 1; equal values share the mean of theirs.
pub(crate) fn ranks(values: &[f64]) -> Vec<f64> {
    let mut by_value: Vec<usize> = (0..values.len()).collect();
    by_value.sort_by(|&a, &b| order(values[a], values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for group in by_value.chunk_by(|&a, &b| values[a] == values[b]) {
        for &idx in group {
            ranks[idx] = before as f64 + f64::midpoint(group.len() as f64, 1.0);
        }
        before += group.len();
    }
    ranks
}

/// Mean of at least one.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The order of numbers of which none is NaN: both zeros are equal.
fn order(a: f64, b: f64) -> std::cmp::Ordering {
    a.partial_cmp(&b).unwrap_or(std::cmp::Ordering::Equal)
}

/// Sorts, and says how many pairs stood the wrong way round.
fn sort_counting(values: &mut [f64]) -> u64 {
    if values.len() < 2 {
        return 0;
    }
    let (left, right) = values.split_at_mut(values.len() / 2);
    let mut swapped = sort_counting(left) + sort_counting(right);
    let mut passed = 0;
    for value in right.iter() {
        while passed < left.len() && left[passed] <= *value {
            passed += 1;
        }
        swapped += (left.len() - passed) as u64;
    }
    // Two runs: the standard library merges them.
    values.sort_by(|a, b| order(*a, *b));
    swapped
}

/// Whether all are the same.
pub(crate) fn is_constant(values: &[f64]) -> bool {
    values.windows(2).all(|pair| pair[0] == pair[1])
}

fn errors(truth: &[f64], predicted: &[f64], of: impl Fn(f64) -> f64) -> Result<f64> {
    pairs("predictions", predicted.len(), truth.len())?;
    finite("truth", truth)?;
    finite("prediction", predicted)?;
    let sum: f64 = truth.iter().zip(predicted).map(|(x, y)| of(x - y)).sum();
    not_over(sum / truth.len() as f64)
}

fn check(truth: &[f64], predicted: &[f64]) -> Result<()> {
    pairs("predictions", predicted.len(), truth.len())?;
    finite("truth", truth)?;
    finite("prediction", predicted)?;
    if truth.len() < 2 {
        return Err(MetricError::Undefined { metric: "correlation", reason: "of one sample" });
    }
    Ok(())
}
