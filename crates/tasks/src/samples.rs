//! Samples as a whole: how often each class is asked, how much each is worth, what they hash to.

use data::IGNORED;

use crate::example::{Example, Label};

/// How often each of `n` classes is asked, of texts and of tokens.
///
/// # Panics
/// When a class is beyond the last.
pub fn class_counts(examples: &[Example], n: usize) -> Vec<u64> {
    let mut counts = vec![0; n];
    for example in examples {
        let asked = example.targets.iter().copied().chain([example.label.class()]);
        asked.filter(|class| *class != IGNORED).for_each(|class| counts[class as usize] += 1);
    }
    counts
}

/// Weights of classes, scaled so that their mean over what is asked is one.
pub fn mean_one(weights: &[f64], counts: &[u64]) -> Vec<f32> {
    let n: u64 = counts.iter().sum();
    let sum: f64 = weights.iter().zip(counts).map(|(w, n)| w * *n as f64).sum();
    weights.iter().map(|w| (w * n as f64 / sum) as f32).collect()
}

/// A hash of all that a model is shown and asked.
pub fn digest(examples: &[Example]) -> String {
    let mut hasher = blake3::Hasher::new();
    for Example { input, output, targets, label, .. } in examples {
        let label = match *label {
            Label::None => [0, 0, 0],
            Label::Class(class) => [1, class, 0],
            Label::Value(value) => [2, value.to_bits(), 0],
            Label::Span([first, last]) => [3, first, last],
        };
        let output = output.as_ref().map(|row| &row.ids[..]);
        for list in [&input.ids[..], targets, &label].into_iter().chain(output) {
            hasher.update(&(list.len() as u64).to_le_bytes());
            for id in list {
                hasher.update(&id.to_le_bytes());
            }
        }
    }
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::Row;

    fn samples() -> Vec<Example> {
        let of = |(i, class): (u64, u32)| Example {
            input: Row::plain(vec![class, 7]),
            label: Label::Class(class),
            ..Example::of(i)
        };
        (0..).zip([0, 1, 1, 1]).map(of).collect()
    }

    #[test]
    fn rarer_classes_are_worth_more_and_all_together_as_much() {
        let counts = class_counts(&samples(), 2);
        assert_eq!(counts, [1, 3]);
        assert_eq!(mean_one(&[1.0, 1.0 / 3.0], &counts), [2.0, 2.0 / 3.0]);
    }

    #[test]
    fn a_hash_is_of_all_that_is_asked() {
        let (all, mut other) = (samples(), samples());
        assert_eq!(digest(&all), digest(&samples()));
        other[2].label = Label::Class(0);
        assert_ne!(digest(&all), digest(&other));
        other[2].label = Label::Value(1.0);
        assert_ne!(digest(&all), digest(&other));
        assert_ne!(digest(&all), digest(&all[1..]));
    }
}
