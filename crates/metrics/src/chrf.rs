//! chrF and chrF++, as `sacrebleu` computes them.
//!
//! Popovic, "chrF: character n-gram F-score for automatic MT evaluation", 2015, and "chrF++: words
//! helping character n-grams", 2017.

use crate::error::{MetricError, Result};
use crate::ngrams::{n_ngrams, ngrams, shared};
use crate::text::{is_space, split};

/// How chrF is computed. The default is chrF2: six orders of characters, none of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chrf {
    /// The longest n-grams of characters.
    pub char_order: usize,
    /// The longest n-grams of words: 0, or 2 for chrF++.
    pub word_order: usize,
    /// How many times as much recall counts as precision.
    pub beta: u32,
}

impl Default for Chrf {
    fn default() -> Self {
        Self { char_order: 6, word_order: 0, beta: 2 }
    }
}

/// Of one order, n-grams of the hypothesis, of the reference, and of both.
type Order = [u64; 3];

/// What chrF is computed of, by order, characters first. The sum over sentences is that of the
/// corpus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChrfStats(Vec<Order>);

impl Chrf {
    /// Characters and words.
    pub const PLUS_PLUS: Self = Self { char_order: 6, word_order: 2, beta: 2 };

    /// Counts one sentence, against the reference that gives it the best score.
    ///
    /// # Errors
    /// When there is no reference.
    pub fn stats(&self, hypothesis: &str, references: &[&str]) -> Result<ChrfStats> {
        let mut best: Option<(f64, ChrfStats)> = None;
        for reference in references {
            let stats = self.against(hypothesis, reference);
            let score = self.score(&stats);
            if best.as_ref().is_none_or(|(best, _)| score > *best) {
                best = Some((score, stats));
            }
        }
        best.map(|(_, stats)| stats).ok_or(MetricError::Empty { what: "references of a text" })
    }

    /// The score of the sentences that were summed, per cent.
    pub fn score(&self, stats: &ChrfStats) -> f64 {
        let known = || stats.0.iter().filter(|order| order[0].min(order[1]) > 0);
        let n_orders = known().count().max(1) as f64;
        let mean = |of: fn(&Order) -> f64| known().map(of).sum::<f64>() / n_orders;
        let precision = mean(|&[hypothesis, _, hits]| hits as f64 / hypothesis as f64);
        let recall = mean(|&[_, reference, hits]| hits as f64 / reference as f64);
        let factor = f64::from(self.beta).powi(2);
        if precision + recall == 0.0 {
            return 0.0;
        }
        100.0 * (1.0 + factor) * precision * recall / (factor * precision + recall)
    }

    fn against(&self, hypothesis: &str, reference: &str) -> ChrfStats {
        let chars = |text: &str| text.chars().filter(|c| !is_space(*c)).collect::<Vec<_>>();
        let mut stats = orders(&chars(hypothesis), &chars(reference), self.char_order);
        stats.extend(orders(&words(hypothesis), &words(reference), self.word_order));
        ChrfStats(stats)
    }
}

fn orders<T: Eq + std::hash::Hash>(hypothesis: &[T], reference: &[T], max: usize) -> Vec<Order> {
    let of = |n| {
        let [found, known] = [hypothesis, reference].map(|items| n_ngrams(items.len(), n));
        let hits = shared(&ngrams(hypothesis, n), &ngrams(reference, n));
        // N-grams that no reference has for its shortness are not held against the hypothesis.
        [if known > 0 { found } else { 0 }, known, hits]
    };
    (1..=max).map(of).collect()
}

/// Words, of which a mark of punctuation at one end is a word of its own: the last one, else the
/// first.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let is_mark = |c: char| c.is_ascii_punctuation();
    for word in split(text) {
        let (first, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
        if rest.is_empty() {
            words.push(word);
        } else if word.ends_with(is_mark) {
            let (start, last) = word.split_at(word.len() - 1);
            words.extend([start, last]);
        } else if first.starts_with(is_mark) {
            words.extend([first, rest]);
        } else {
            words.push(word);
        }
    }
    words
}

impl std::ops::AddAssign<&Self> for ChrfStats {
    fn add_assign(&mut self, other: &Self) {
        self.0.resize(self.0.len().max(other.0.len()), [0; 3]);
        for (sum, order) in self.0.iter_mut().zip(&other.0) {
            (0..3).for_each(|idx| sum[idx] += order[idx]);
        }
    }
}
