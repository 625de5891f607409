//! ROUGE, as `rouge_score` computes it.
//!
//! Lin, "ROUGE: a package for automatic evaluation of summaries", 2004.

use std::collections::{BTreeSet, HashMap};

use crate::Prf;
use crate::counts::ratio;
use crate::error::{Result, cells};
use crate::ngrams::{n_ngrams, ngrams, shared};
pub use crate::stem::stem;

/// The most cells of a table of two lines, one byte each, or of the two rows of two texts.
const MAX_TABLE: u64 = 1 << 28;
const MAX_STEPS: u64 = 1 << 34;

/// How ROUGE is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rouge {
    /// Whether words of more than three letters are stemmed (Porter, as NLTK).
    pub stem: bool,
}

impl Rouge {
    /// ROUGE-`n`: n-grams in common. `n` is at least 1.
    pub fn n(self, reference: &str, hypothesis: &str, n: usize) -> Prf {
        let [reference, hypothesis] = [reference, hypothesis].map(|text| self.words(text));
        let n = n.max(1);
        let hits = shared(&ngrams(&reference, n), &ngrams(&hypothesis, n));
        prf(hits, n_ngrams(hypothesis.len(), n), n_ngrams(reference.len(), n))
    }

    /// ROUGE-L: the longest common subsequence of the whole texts.
    ///
    /// # Errors
    /// When the texts have more than 131 072 words each.
    pub fn l(self, reference: &str, hypothesis: &str) -> Result<Prf> {
        let [reference, hypothesis] = [reference, hypothesis].map(|text| self.words(text));
        cells("words", reference.len(), hypothesis.len(), MAX_STEPS)?;
        let mut row = vec![0_u64; hypothesis.len() + 1];
        for word in &reference {
            let mut diagonal = 0;
            for (idx, other) in hypothesis.iter().enumerate() {
                let above = row[idx + 1];
                row[idx + 1] = if word == other { diagonal + 1 } else { above.max(row[idx]) };
                diagonal = above;
            }
        }
        let hits = row[hypothesis.len()];
        Ok(prf(hits, hypothesis.len() as u64, reference.len() as u64))
    }

    /// ROUGE-Lsum: of each line of the reference, the words that some line of the hypothesis has in
    /// that order; no word counts more often than it is there.
    ///
    /// # Errors
    /// When lines have more than 16 384 words each.
    pub fn l_sum(self, reference: &str, hypothesis: &str) -> Result<Prf> {
        let lines = |text: &str| -> Vec<Vec<String>> {
            let lines = text.split('\n').filter(|line| !line.is_empty());
            lines.map(|line| self.words(line)).collect()
        };
        let (reference, hypothesis) = (lines(reference), lines(hypothesis));
        let n_words = |lines: &[Vec<String>]| lines.iter().map(Vec::len).sum::<usize>();
        let (n_reference, n_hypothesis) = (n_words(&reference), n_words(&hypothesis));
        cells("words", n_reference, n_hypothesis, MAX_STEPS)?;
        let mut left = HashMap::new();
        for word in hypothesis.iter().flatten() {
            *left.entry(word.as_str()).or_insert(0_u64) += 1;
        }
        let mut hits = 0;
        for line in &reference {
            let mut found = BTreeSet::new();
            for other in &hypothesis {
                found.extend(common(line, other)?);
            }
            for idx in found {
                if let Some(n) = left.get_mut(line[idx].as_str()).filter(|n| **n > 0) {
                    *n -= 1;
                    hits += 1;
                }
            }
        }
        Ok(prf(hits, n_hypothesis as u64, n_reference as u64))
    }

    /// Runs of `a` to `z` and digits, once letters are small.
    fn words(self, text: &str) -> Vec<String> {
        let lower = text.to_lowercase();
        let is_other = |c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit();
        let words = lower.split(is_other).filter(|word| !word.is_empty());
        let stemmed = |word| if self.stem && str::len(word) > 3 { stem(word) } else { word.into() };
        words.map(|word| stemmed(word).into_owned()).collect()
    }
}

fn prf(hits: u64, predicted: u64, actual: u64) -> Prf {
    Prf::of(ratio(hits, predicted), ratio(hits, actual))
}

/// Where in `line` one of its longest common subsequences with `other` is, from the last word on.
fn common(line: &[String], other: &[String]) -> Result<Vec<usize>> {
    cells("words of a line", line.len(), other.len(), MAX_TABLE)?;
    // Of each cell, whether what is to its left is longer than what is above it.
    let mut goes_left = vec![false; line.len() * other.len()];
    let mut row = vec![0_u32; other.len() + 1];
    for (word, goes_left) in line.iter().zip(goes_left.chunks_mut(other.len().max(1))) {
        let mut diagonal = 0;
        for (idx, candidate) in other.iter().enumerate() {
            let (above, left) = (row[idx + 1], row[idx]);
            goes_left[idx] = left > above;
            row[idx + 1] = if word == candidate { diagonal + 1 } else { above.max(left) };
            diagonal = above;
        }
    }
    let (mut i, mut j) = (line.len(), other.len());
    let mut found = Vec::new();
    while i > 0 && j > 0 {
        if line[i - 1] == other[j - 1] {
            (i, j) = (i - 1, j - 1);
            found.push(i);
        } else if goes_left[(i - 1) * other.len() + j - 1] {
            j -= 1;
        } else {
            i -= 1;
        }
    }
    Ok(found)
}
