//! How sure a number is: intervals by resampling samples.
//!
//! Efron, "Bootstrap methods: another look at the jackknife", 1979.

use crate::calibration::percentile;
use crate::error::{MetricError, Result, finite, not_over};
use crate::values::mean;

/// How often, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// How many times samples are drawn.
    pub n_resamples: usize,
    /// How much of what is found the interval holds, as 0.95.
    pub confidence: f64,
    /// The same seed draws the same samples.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { n_resamples: 1000, confidence: 0.95, seed: 0 }
    }
}

/// Where a number lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// At least there.
    pub low: f64,
    /// At most there.
    pub high: f64,
    /// How many resamples had no value, as those of one class have no area under ROC. They are left
    /// out.
    pub n_undefined: usize,
}

impl Bootstrap {
    /// The interval between two percentiles of what `metric` gives for `n` samples that are drawn
    /// with replacement. It is given their indices; for metrics that add up, let it add counts.
    ///
    /// # Errors
    /// When there is no sample, nothing is to be drawn, `confidence` is not between 0 and 1, or no
    /// resample has a value.
    pub fn interval(
        &self,
        n: usize,
        mut metric: impl FnMut(&[usize]) -> Result<f64>,
    ) -> Result<Interval> {
        if !(self.confidence > 0.0 && self.confidence < 1.0) {
            let (what, value) = ("confidence", self.confidence);
            return Err(MetricError::Range { what, idx: 0, value, range: "between 0 and 1" });
        }
        let mut found = Vec::new();
        let mut failure = MetricError::Empty { what: "resamples" };
        for resample in self.resamples(n)? {
            match metric(&resample) {
                Ok(value) if value.is_finite() => found.push(value),
                Ok(_) => {}
                Err(error) => failure = error,
            }
        }
        if found.is_empty() {
            return Err(failure);
        }
        found.sort_by(f64::total_cmp);
        let tail = (1.0 - self.confidence) / 2.0;
        Ok(Interval {
            low: percentile(&found, tail),
            high: percentile(&found, 1.0 - tail),
            n_undefined: self.n_resamples - found.len(),
        })
    }

    /// Indices of `n` samples, drawn anew each time.
    pub(crate) fn resamples(&self, n: usize) -> Result<impl Iterator<Item = Vec<usize>>> {
        if n == 0 {
            return Err(MetricError::Empty { what: "samples" });
        }
        let seed = self.seed;
        let one =
            move |resample| (0..n as u64).map(|at| below(n, bits(seed, resample, at))).collect();
        Ok((0..self.n_resamples as u64).map(one))
    }
}

/// Standard error of a mean: how far it is from that of all samples that there could have been.
///
/// # Errors
/// When there are fewer than two samples, or one is not finite.
pub fn standard_error(values: &[f64]) -> Result<f64> {
    finite("sample", values)?;
    if values.len() < 2 {
        let reason = "there are fewer than two samples";
        return Err(MetricError::Undefined { metric: "the standard error", reason });
    }
    let (mean, n) = (mean(values), values.len() as f64);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    not_over((squares / (n - 1.0) / n).sqrt())
}

/// Random bits of a place: not drawn from a state, so they do not depend on what was drawn before.
///
/// The finaliser of `SplitMix64`: Steele, Lea, Flood, "Fast splittable pseudorandom number
/// generators", 2014.
pub(crate) fn bits(seed: u64, resample: u64, at: u64) -> u64 {
    let mix = |state: u64, add: u64| {
        let mut z = state.wrapping_add(add.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    mix(mix(mix(0, seed), resample), at)
}

/// Uniform in `0..n`, but for a bias of `n` in 2^64.
fn below(n: usize, bits: u64) -> usize {
    ((u128::from(bits) * n as u128) >> 64) as usize
}
