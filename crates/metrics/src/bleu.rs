//! BLEU, as `sacrebleu` computes it.
//!
//! Papineni et al., "BLEU: a method for automatic evaluation of machine translation", 2002; Post,
//! "A call for clarity in reporting BLEU scores", arXiv:1804.08771.

mod tokenizer;

use crate::error::{MetricError, Result};
use crate::ngrams::{Ngrams, n_ngrams, ngrams};

pub use tokenizer::Tokenizer;

/// The longest n-grams that are counted.
const ORDER: usize = 4;

/// What stands for the precision of n-grams of which none is right (Chen and Cherry, "A systematic
/// comparison of smoothing techniques for sentence-level BLEU", 2014).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Smoothing {
    /// Nothing: the score is 0.
    None,
    /// One half of one n-gram, a quarter at the next such order, and so on (method 3).
    Exp,
    /// This many n-grams (method 1; 0.1 unless said otherwise).
    Floor(f64),
    /// This many are added to what is right and to what is there, above single words (method 2; 1
    /// unless said otherwise).
    AddK(f64),
}

/// How BLEU is computed. The default is that of `sacrebleu` for a corpus.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bleu {
    /// What the words are.
    pub tokenizer: Tokenizer,
    /// What is done about n-grams of which none is right.
    pub smoothing: Smoothing,
    /// Whether capitals are small ones.
    pub lowercase: bool,
    /// Whether orders for which the text is too short are left out: for scores of single sentences.
    pub effective_order: bool,
}

impl Default for Bleu {
    fn default() -> Self {
        Self {
            tokenizer: Tokenizer::V13a,
            smoothing: Smoothing::Exp,
            lowercase: false,
            effective_order: false,
        }
    }
}

/// What BLEU is computed of. The sum over sentences is that of the corpus, so a resampled corpus
/// costs one addition a sentence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BleuStats {
    /// N-grams that are right, by their length less one.
    pub hits: [u64; ORDER],
    /// N-grams that there are.
    pub totals: [u64; ORDER],
    /// Words of the hypothesis.
    pub hypothesis_len: u64,
    /// Words of the reference that is nearest in length.
    pub reference_len: u64,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BleuScore {
    /// BLEU, per cent.
    pub score: f64,
    /// Precisions by order, smoothed, per cent.
    pub precisions: [f64; ORDER],
    /// The factor for what is too short, from 0 to 1.
    pub brevity_penalty: f64,
}

impl Bleu {
    /// Counts one sentence, which may have any number of references.
    ///
    /// # Errors
    /// When there is no reference.
    pub fn stats(&self, hypothesis: &str, references: &[&str]) -> Result<BleuStats> {
        let words = self.words(hypothesis);
        let references: Vec<Vec<String>> = references.iter().map(|text| self.words(text)).collect();
        let nearest =
            references.iter().map(Vec::len).min_by_key(|&len| (len.abs_diff(words.len()), len));
        let nearest = nearest.ok_or(MetricError::Empty { what: "references of a text" })?;
        let mut stats = BleuStats {
            hypothesis_len: words.len() as u64,
            reference_len: nearest as u64,
            ..BleuStats::default()
        };
        for order in 0..ORDER {
            let references: Vec<Ngrams<_>> =
                references.iter().map(|words| ngrams(words, order + 1)).collect();
            for (ngram, count) in ngrams(&words, order + 1) {
                let known = references.iter().filter_map(|ngrams| ngrams.get(ngram)).max();
                stats.hits[order] += known.map_or(0, |known| count.min(*known));
            }
            stats.totals[order] = n_ngrams(words.len(), order + 1);
        }
        Ok(stats)
    }

    /// The score of the sentences that were summed.
    pub fn score(&self, stats: &BleuStats) -> BleuScore {
        let (hypothesis, reference) = (stats.hypothesis_len as f64, stats.reference_len as f64);
        let brevity_penalty = if hypothesis >= reference {
            1.0
        } else if hypothesis > 0.0 {
            (1.0 - reference / hypothesis).exp()
        } else {
            0.0
        };
        let mut precisions = [0.0; ORDER];
        if stats.hits.iter().all(|&hits| hits == 0) {
            return BleuScore { score: 0.0, precisions, brevity_penalty };
        }
        let (mut halved, mut n_orders) = (1.0, ORDER);
        for (order, precision) in precisions.iter_mut().enumerate() {
            let added = match self.smoothing {
                Smoothing::AddK(k) if order > 0 => k,
                _ => 0.0,
            };
            let (hits, total) =
                (stats.hits[order] as f64 + added, stats.totals[order] as f64 + added);
            if total == 0.0 {
                break;
            }
            if self.effective_order {
                n_orders = order + 1;
            }
            let stand_in = match self.smoothing {
                Smoothing::Exp => {
                    halved /= if hits == 0.0 { 2.0 } else { 1.0 };
                    halved
                }
                Smoothing::Floor(floor) => floor,
                Smoothing::None | Smoothing::AddK(_) => 0.0,
            };
            *precision = 100.0 * if hits == 0.0 { stand_in } else { hits } / total;
        }
        let logs: f64 = precisions[..n_orders].iter().map(|precision| precision.ln()).sum();
        let score = brevity_penalty * (logs / n_orders as f64).exp();
        BleuScore { score, precisions, brevity_penalty }
    }

    fn words(&self, text: &str) -> Vec<String> {
        if self.lowercase {
            self.tokenizer.words(&text.to_lowercase())
        } else {
            self.tokenizer.words(text)
        }
    }
}

impl std::ops::AddAssign for BleuStats {
    fn add_assign(&mut self, other: Self) {
        for order in 0..ORDER {
            self.hits[order] += other.hits[order];
            self.totals[order] += other.totals[order];
        }
        self.hypothesis_len += other.hypothesis_len;
        self.reference_len += other.reference_len;
    }
}
