//! Precision, recall and F1 from counts, and their averages over classes.

/// Hits, predictions and truths of one class, or of one kind of span. They add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Predicted and true.
    pub hits: u64,
    /// Predicted.
    pub predicted: u64,
    /// True.
    pub actual: u64,
}

/// Precision, recall and F1, from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Prf {
    /// Share of the predicted that is true.
    pub precision: f64,
    /// Share of the true that is predicted.
    pub recall: f64,
    /// Their harmonic mean.
    pub f1: f64,
}

/// How classes become one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Average {
    /// Every sample counts the same: counts are summed first.
    Micro,
    /// Every class counts the same, of those that are predicted or true at all.
    Macro,
    /// Every class counts as often as it is true.
    Weighted,
}

impl Counts {
    /// What is divided by zero is 0, as in scikit-learn unless it is told otherwise.
    pub fn prf(self) -> Prf {
        Prf {
            precision: ratio(self.hits, self.predicted),
            recall: ratio(self.hits, self.actual),
            f1: ratio(2 * self.hits, self.predicted + self.actual),
        }
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.hits += other.hits;
        self.predicted += other.predicted;
        self.actual += other.actual;
    }
}

impl Prf {
    /// From shares that are known.
    pub(crate) fn of(precision: f64, recall: f64) -> Self {
        let sum = precision + recall;
        let f1 = if sum > 0.0 { 2.0 * precision * recall / sum } else { 0.0 };
        Self { precision, recall, f1 }
    }
}

/// One number for many classes; zeros where nothing is predicted or true.
pub fn average(classes: &[Counts], how: Average) -> Prf {
    let mut total = Counts::default();
    for &class in classes {
        total += class;
    }
    let weight = |class: &Counts| match how {
        Average::Weighted => class.actual as f64,
        _ => f64::from(u8::from(class.predicted + class.actual > 0)),
    };
    let sum: f64 = classes.iter().map(weight).sum();
    if how == Average::Micro || sum == 0.0 {
        return if sum == 0.0 { Prf::default() } else { total.prf() };
    }
    let mean = |of: fn(Prf) -> f64| {
        classes.iter().map(|class| weight(class) * of(class.prf())).sum::<f64>() / sum
    };
    Prf {
        precision: mean(|prf| prf.precision),
        recall: mean(|prf| prf.recall),
        f1: mean(|prf| prf.f1),
    }
}

/// 0 of 0 is 0.
pub(crate) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
