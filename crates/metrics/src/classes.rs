//! One class predicted a sample, against one that is true.

use crate::counts::ratio;
use crate::error::{MetricError, Result, cells, pairs};
use crate::{Average, Counts, Prf, average};

/// The largest confusion matrix, in cells: 32 MiB.
const MAX_CELLS: u64 = 1 << 22;

/// What was predicted, counted by class: all that the metrics here need, in memory linear in the
/// classes. Never of no sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Classes {
    counts: Vec<Counts>,
    n: u64,
}

impl Classes {
    /// Counts predictions. Class 1 is the positive one where there are two.
    ///
    /// # Errors
    /// When lengths differ, there is no sample, or a class is not below `n_classes`.
    pub fn new(truth: &[usize], predicted: &[usize], n_classes: usize) -> Result<Self> {
        check(truth, predicted, n_classes)?;
        let mut counts = vec![Counts::default(); n_classes];
        for (&truth, &predicted) in truth.iter().zip(predicted) {
            counts[truth].actual += 1;
            counts[predicted].predicted += 1;
            counts[truth].hits += u64::from(truth == predicted);
        }
        Ok(Self { counts, n: truth.len() as u64 })
    }

    /// By class.
    pub fn counts(&self) -> &[Counts] {
        &self.counts
    }

    /// How many samples.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// Share of the samples that is right.
    pub fn accuracy(&self) -> f64 {
        ratio(self.hits(), self.n)
    }

    /// Mean recall of the classes that are true of any sample.
    pub fn balanced_accuracy(&self) -> f64 {
        let present = || self.counts.iter().filter(|class| class.actual > 0);
        present().map(|class| class.prf().recall).sum::<f64>() / present().count() as f64
    }

    /// Precision, recall and F1 of class 1, which is the positive one.
    ///
    /// # Errors
    /// Unless there are two classes: an average is wanted then.
    pub fn binary(&self) -> Result<Prf> {
        match self.counts[..] {
            [_, positive] => Ok(positive.prf()),
            _ => Err(MetricError::Undefined {
                metric: "F1 without an average",
                reason: "there are not two classes",
            }),
        }
    }

    /// Precision, recall and F1 over classes.
    pub fn average(&self, how: Average) -> Prf {
        average(&self.counts, how)
    }

    /// Correlation of truth and prediction, from -1 to 1, of any number of classes; 0 where either
    /// is the same class always, as in scikit-learn.
    ///
    /// Gorodkin, "Comparing two K-category assignments by a K-category correlation coefficient",
    /// 2004.
    pub fn matthews(&self) -> f64 {
        let n = self.n as f64;
        let dot = |left: fn(&Counts) -> u64, right: fn(&Counts) -> u64| {
            self.counts.iter().map(|class| left(class) as f64 * right(class) as f64).sum::<f64>()
        };
        let covariance = self.hits() as f64 * n - dot(|c| c.actual, |c| c.predicted);
        let spread = (n * n - dot(|c| c.predicted, |c| c.predicted))
            * (n * n - dot(|c| c.actual, |c| c.actual));
        if spread == 0.0 { 0.0 } else { covariance / spread.sqrt() }
    }

    /// Agreement beyond chance, at most 1.
    ///
    /// Cohen, "A coefficient of agreement for nominal scales", 1960.
    ///
    /// # Errors
    /// When truth and prediction are one and the same class always: it is 0 / 0.
    pub fn kappa(&self) -> Result<f64> {
        let n = self.n as f64;
        let chance = |class: &Counts| (class.actual as f64 / n) * (class.predicted as f64 / n);
        let chance: f64 = self.counts.iter().map(chance).sum();
        if chance == 1.0 {
            let reason = "truth and prediction are one class";
            return Err(MetricError::Undefined { metric: "kappa", reason });
        }
        Ok((self.accuracy() - chance) / (1.0 - chance))
    }

    fn hits(&self) -> u64 {
        self.counts.iter().map(|class| class.hits).sum()
    }
}

/// How often class `i` was taken for class `j`: `[n_classes, n_classes]` by rows of the truth.
///
/// # Errors
/// As [`Classes::new`], and when there are more than 2048 classes.
pub fn confusion(truth: &[usize], predicted: &[usize], n_classes: usize) -> Result<Vec<u64>> {
    check(truth, predicted, n_classes)?;
    cells("classes", n_classes, n_classes, MAX_CELLS)?;
    let mut matrix = vec![0; n_classes * n_classes];
    for (&truth, &predicted) in truth.iter().zip(predicted) {
        matrix[truth * n_classes + predicted] += 1;
    }
    Ok(matrix)
}

fn check(truth: &[usize], predicted: &[usize], n_classes: usize) -> Result<()> {
    pairs("predictions", predicted.len(), truth.len())?;
    below("truth", truth, n_classes)?;
    below("prediction", predicted, n_classes)
}

/// Refuses classes that there are not.
pub(crate) fn below(what: &'static str, labels: &[usize], n_classes: usize) -> Result<()> {
    match labels.iter().position(|&label| label >= n_classes) {
        Some(idx) => Err(MetricError::Class { what, idx, label: labels[idx], n_classes }),
        None => Ok(()),
    }
}
