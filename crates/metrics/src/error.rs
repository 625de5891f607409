//! Why there is no number.

use thiserror::Error;

/// What every metric gives.
pub type Result<T> = std::result::Result<T, MetricError>;

/// Why a metric could not be computed.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum MetricError {
    /// There is nothing to measure.
    #[error("no {what} to measure")]
    Empty {
        /// Samples, words of references ...
        what: &'static str,
    },
    /// Two things that belong together are not equally long.
    #[error("{found} {what}, expected {expected}")]
    Length {
        /// Of which there are too many or too few.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// A number that is NaN, infinite, or outside of its range.
    #[error("{what} {idx} is {value}, which is not {range}")]
    Range {
        /// Of which kind.
        what: &'static str,
        /// Which one, from zero.
        idx: usize,
        /// What it is.
        value: f64,
        /// What it should be.
        range: &'static str,
    },
    /// A class beyond the last.
    #[error("{what} {idx} is class {label}, and there are {n_classes}")]
    Class {
        /// Truth or prediction.
        what: &'static str,
        /// Which one, from zero.
        idx: usize,
        /// The class.
        label: usize,
        /// How many there are.
        n_classes: usize,
    },
    /// The metric has no value for these samples.
    #[error("{metric} is undefined: {reason}")]
    Undefined {
        /// Which metric.
        metric: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// A tag that is none of its scheme.
    #[error(
        "tag {idx} of sentence {sentence} is `{tag}`, which has none of the prefixes {prefixes}"
    )]
    Tag {
        /// Which sentence, from zero.
        sentence: usize,
        /// Which tag of it, from zero.
        idx: usize,
        /// The tag.
        tag: String,
        /// What it may begin with.
        prefixes: &'static str,
    },
    /// A comparison whose cost grows with the product of two lengths, and would not end.
    #[error("comparing {left} with {right} {what} takes more than {max} steps")]
    TooLong {
        /// Words, characters ...
        what: &'static str,
        /// How many there are on one side.
        left: usize,
        /// And on the other.
        right: usize,
        /// The bound on their product.
        max: u64,
    },
    /// No metric has this name, or not of samples of this kind.
    #[error("no metric of {kind} is called `{name}`\n\nhint: did you mean `{nearest}`?")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What was to be measured: classes, numbers, texts.
        kind: &'static str,
        /// The known name that is most like it.
        nearest: &'static str,
    },
}

/// Refuses unequal lengths, and nothing at all.
pub(crate) fn pairs(what: &'static str, found: usize, expected: usize) -> Result<()> {
    if found != expected {
        return Err(MetricError::Length { what, found, expected });
    }
    if found == 0 {
        return Err(MetricError::Empty { what });
    }
    Ok(())
}

/// Refuses NaN and infinities.
pub(crate) fn finite(what: &'static str, values: &[f64]) -> Result<()> {
    within(what, values, "a finite number", f64::is_finite)
}

/// A value, unless it is none because numbers near the largest that there is came in.
pub(crate) fn not_over(value: f64) -> Result<f64> {
    let reason = "the numbers are too large";
    let error = MetricError::Undefined { metric: "what is computed of them", reason };
    if value.is_finite() { Ok(value) } else { Err(error) }
}

/// Refuses what is not a probability.
pub(crate) fn unit(what: &'static str, values: &[f64]) -> Result<()> {
    within(what, values, "from 0 to 1", |value| (0.0..=1.0).contains(&value))
}

/// Refuses what is out of a range.
pub(crate) fn within(
    what: &'static str,
    values: &[f64],
    range: &'static str,
    is: impl Fn(f64) -> bool,
) -> Result<()> {
    match values.iter().position(|&value| !is(value)) {
        Some(idx) => Err(MetricError::Range { what, idx, value: values[idx], range }),
        None => Ok(()),
    }
}

/// Refuses a table of more than `max` cells.
pub(crate) fn cells(what: &'static str, left: usize, right: usize, max: u64) -> Result<()> {
    if left as u128 * right as u128 > u128::from(max) {
        return Err(MetricError::TooLong { what, left, right, max });
    }
    Ok(())
}
