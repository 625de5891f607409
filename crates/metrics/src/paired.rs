//! Whether two runs differ on the same samples, or only seem to. All tests are two-sided.

use crate::Bootstrap;
use crate::bootstrap::{bits, standard_error};
use crate::error::{MetricError, Result, finite, not_over, pairs};
use crate::special::{fair_coins, normal_two_sided, student_two_sided};
use crate::values::{is_constant, mean, ranks};

/// Equal up to rounding.
const NEARLY: f64 = 1.0 - 1e-12;

/// What a test found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Test {
    /// What it looks at; see each.
    pub statistic: f64,
    /// How often chance alone differs as much, from 0 to 1.
    pub p: f64,
}

/// Where the runs differ in right and wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Discordant {
    /// Samples that only the first run has right.
    pub first: u64,
    /// Samples that only the second run has right.
    pub second: u64,
}

impl Discordant {
    /// Counts them.
    ///
    /// # Errors
    /// When lengths differ, or there is no sample.
    pub fn new(first: &[bool], second: &[bool]) -> Result<Self> {
        pairs("samples of the second run", second.len(), first.len())?;
        let only = |is: [bool; 2]| {
            first.iter().zip(second).filter(|(a, b)| [**a, **b] == is).count() as u64
        };
        Ok(Self { first: only([true, false]), second: only([false, true]) })
    }

    /// `McNemar`'s exact test: whether as many differ one way as a fair coin would have it. The
    /// statistic is the smaller count.
    ///
    /// `McNemar`, "Note on the sampling error of the difference between correlated proportions or
    /// percentages", 1947.
    pub fn mcnemar(self) -> Test {
        let fewer = self.first.min(self.second);
        let n = self.first.saturating_add(self.second);
        let p = if self.first == self.second { 1.0 } else { 2.0 * fair_coins(fewer, n) };
        Test { statistic: fewer as f64, p: p.min(1.0) }
    }

    /// The same by the chi-squared distribution, with the correction for continuity.
    pub fn mcnemar_chi2(self) -> Test {
        let n = self.first as f64 + self.second as f64;
        let distance = (self.first.abs_diff(self.second) as f64 - 1.0).max(0.0);
        let statistic = if n == 0.0 { 0.0 } else { distance * distance / n };
        Test { statistic, p: normal_two_sided(statistic.sqrt()) }
    }
}

/// Student's test of paired scores. The statistic is the mean difference in its standard errors.
///
/// # Errors
/// When lengths differ, there are fewer than two samples, a score is not finite, or all differences
/// are the same.
pub fn t_test(first: &[f64], second: &[f64]) -> Result<Test> {
    let differences = differences(first, second)?;
    let error = standard_error(&differences)?;
    if is_constant(&differences) || error == 0.0 {
        let reason = "all differences are the same";
        return Err(MetricError::Undefined { metric: "the t test", reason });
    }
    let statistic = not_over(mean(&differences) / error)?;
    Ok(Test { statistic, p: student_two_sided(statistic, differences.len() as f64 - 1.0) })
}

/// Wilcoxon's signed-rank test of paired scores. Samples that do not differ are left out; the
/// statistic is the smaller sum of ranks.
///
/// As in `SciPy`: exact for up to 50 samples that all differ, and differently much, and for up to
/// 13 of any; else by the normal distribution, corrected for ties.
///
/// Wilcoxon, "Individual comparisons by ranking methods", 1945.
///
/// # Errors
/// When lengths differ, there is no sample, or a score is not finite.
pub fn wilcoxon(first: &[f64], second: &[f64]) -> Result<Test> {
    let mut differences = differences(first, second)?;
    let n_all = differences.len();
    differences.retain(|difference| *difference != 0.0);
    let ranks = ranks(&differences.iter().map(|difference| difference.abs()).collect::<Vec<_>>());
    let (n, all) = (ranks.len() as f64, ranks.iter().sum::<f64>());
    let up = ranks.iter().zip(&differences).filter(|(_, difference)| **difference > 0.0);
    let up: f64 = up.map(|(rank, _)| rank).sum();
    let statistic = up.min(all - up);
    let mut sorted = ranks.clone();
    sorted.sort_by(f64::total_cmp);
    let tied = |group: &[f64]| (group.len() as f64).powi(3) - group.len() as f64;
    let ties: f64 = sorted.chunk_by(|a, b| a == b).map(tied).sum();
    let is_plain = ties == 0.0 && ranks.len() == n_all;
    if n_all <= 13 || n_all <= 50 && is_plain {
        return Ok(Test { statistic, p: (2.0 * rank_tail(&ranks, statistic)).min(1.0) });
    }
    if ranks.is_empty() {
        return Ok(Test { statistic, p: 1.0 });
    }
    let deviation = ((n * (n + 1.0) * (2.0 * n + 1.0) - ties / 2.0) / 24.0).sqrt();
    Ok(Test { statistic, p: normal_two_sided((up - n * (n + 1.0) / 4.0) / deviation) })
}

/// How often ranks that get their signs by chance have a sum of at most `sum` with one of them.
fn rank_tail(ranks: &[f64], sum: f64) -> f64 {
    // Shared ranks are halves.
    let twice = |rank: f64| (2.0 * rank) as usize;
    let total = ranks.iter().copied().map(twice).sum::<usize>();
    let mut shares = vec![0.0; total + 1];
    shares[0] = 1.0;
    for rank in ranks.iter().copied().map(twice) {
        for idx in (0..=total).rev() {
            let with = idx.checked_sub(rank).map_or(0.0, |without| shares[without]);
            shares[idx] = f64::midpoint(shares[idx], with);
        }
    }
    shares[..=twice(sum)].iter().sum()
}

/// Paired bootstrap. `difference` is given indices of samples, and gives how much better one run is
/// on them; the statistic is that of all samples. Resampled differences, less their mean, are what
/// chance gives, as in `sacrebleu`.
///
/// Koehn, "Statistical significance tests for machine translation evaluation", 2004; Riezler and
/// Maxwell, "On some pitfalls in automatic evaluation and significance testing for MT", 2005.
///
/// # Errors
/// When there is no sample, nothing is drawn, or a difference has no value.
pub fn bootstrap(
    n: usize,
    how: &Bootstrap,
    mut difference: impl FnMut(&[usize]) -> Result<f64>,
) -> Result<Test> {
    let statistic = difference(&(0..n).collect::<Vec<_>>())?;
    let found = how.resamples(n)?.map(|samples| difference(&samples));
    let found = found.collect::<Result<Vec<f64>>>()?;
    if found.is_empty() {
        return Err(MetricError::Empty { what: "resamples" });
    }
    finite("difference", &found)?;
    let mean = mean(&found);
    Ok(chance(statistic, found.iter().map(|value| value - mean), 1))
}

/// Approximate randomisation. `score` is given, of each sample, whether it is of the second run
/// rather than of the first, and gives the score of such a mixture; the statistic is the first
/// run's score less the second's. Where `n_resamples` is enough for all mixtures, each is tried
/// once, and the test is exact.
///
/// Noreen, "Computer-intensive methods for testing hypotheses", 1989.
///
/// # Errors
/// As [`bootstrap`].
pub fn randomisation(
    n: usize,
    how: &Bootstrap,
    mut score: impl FnMut(&[bool]) -> Result<f64>,
) -> Result<Test> {
    if n == 0 || how.n_resamples == 0 {
        return Err(MetricError::Empty { what: "samples" });
    }
    let mut difference = |second: &[bool]| -> Result<f64> {
        let other: Vec<bool> = second.iter().map(|is| !is).collect();
        let difference = score(second)? - score(&other)?;
        finite("difference", &[difference])?;
        Ok(difference)
    };
    let statistic = difference(&vec![false; n])?;
    let n_mixtures = u32::try_from(n).ok().and_then(|n| 1_usize.checked_shl(n));
    let n_mixtures = n_mixtures.filter(|n_mixtures| *n_mixtures <= how.n_resamples);
    let mixture = |number: u64| -> Vec<bool> {
        let bit = |at: u64| match n_mixtures {
            Some(_) => number >> at & 1 == 1,
            None => bits(how.seed, number, at / 64) >> (at % 64) & 1 == 1,
        };
        (0..n as u64).map(bit).collect()
    };
    let numbers = 0..n_mixtures.unwrap_or(how.n_resamples) as u64;
    let found = numbers.map(|number| difference(&mixture(number))).collect::<Result<Vec<_>>>()?;
    // What was observed is among all mixtures, but not among those that are drawn.
    Ok(chance(statistic, found.into_iter(), usize::from(n_mixtures.is_none())))
}

/// How often what chance gives is as far from zero as the statistic, which counts `n_itself` times.
fn chance(statistic: f64, found: impl Iterator<Item = f64>, n_itself: usize) -> Test {
    let (mut n, mut n_as_far) = (n_itself, n_itself);
    for value in found {
        n += 1;
        n_as_far += usize::from(value.abs() >= statistic.abs() * NEARLY);
    }
    Test { statistic, p: n_as_far as f64 / n as f64 }
}

fn differences(first: &[f64], second: &[f64]) -> Result<Vec<f64>> {
    pairs("scores of the second run", second.len(), first.len())?;
    let differences: Vec<f64> = first.iter().zip(second).map(|(a, b)| a - b).collect();
    finite("difference", &differences)?;
    Ok(differences)
}
