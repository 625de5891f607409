//! What comes again within a text: Rae et al., arXiv:2112.11446, table A1.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use serde::{Deserialize, Serialize};

use super::{Reason, Words, n_chars, ratio};
use crate::words::{mix, rolling};

/// Greatest shares of what came before in the same text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Repetition {
    /// Whether any of it is asked.
    pub enabled: bool,
    /// Of the lines.
    pub max_line_ratio: f64,
    /// Of the paragraphs.
    pub max_paragraph_ratio: f64,
    /// Of the characters, those in such lines.
    pub max_line_char_ratio: f64,
    /// Of the characters, those in such paragraphs.
    pub max_paragraph_char_ratio: f64,
    /// Of the characters, those in the commonest run of 2, 3 and 4 words.
    pub max_top_ngram_ratio: [f64; 3],
    /// Of the characters, those in runs of 5 to 10 words that came before.
    pub max_ngram_ratio: [f64; 6],
}

impl Default for Repetition {
    fn default() -> Self {
        Self {
            enabled: true,
            max_line_ratio: 0.3,
            max_paragraph_ratio: 0.3,
            max_line_char_ratio: 0.2,
            max_paragraph_char_ratio: 0.2,
            max_top_ngram_ratio: [0.2, 0.18, 0.16],
            max_ngram_ratio: [0.15, 0.14, 0.13, 0.12, 0.11, 0.1],
        }
    }
}

const TOP: [Reason; 3] =
    ["repetition.top_2_gram", "repetition.top_3_gram", "repetition.top_4_gram"];
const AGAIN: [Reason; 6] = [
    "repetition.5_grams",
    "repetition.6_grams",
    "repetition.7_grams",
    "repetition.8_grams",
    "repetition.9_grams",
    "repetition.10_grams",
];

impl Repetition {
    pub(super) fn check(&self, text: &str, words: &Words) -> Result<(), Reason> {
        if !self.enabled {
            return Ok(());
        }
        let n_text = n_chars(text);
        let paragraphs = duplicates(paragraphs(text.trim()));
        let lines = duplicates(lines(text));
        for (part, whole, max, reason) in [
            (paragraphs.n, paragraphs.of, self.max_paragraph_ratio, "repetition.paragraphs"),
            (
                paragraphs.n_chars,
                n_text,
                self.max_paragraph_char_ratio,
                "repetition.paragraph_chars",
            ),
            (lines.n, lines.of, self.max_line_ratio, "repetition.lines"),
            (lines.n_chars, n_text, self.max_line_char_ratio, "repetition.line_chars"),
        ] {
            if ratio(part, whole) > max {
                return Err(reason);
            }
        }
        let runs = Runs::new(&words.all);
        for (idx, (&max, reason)) in self.max_top_ngram_ratio.iter().zip(TOP).enumerate() {
            if ratio(runs.top(idx + 2), n_text) > max {
                return Err(reason);
            }
        }
        for (idx, (&max, reason)) in self.max_ngram_ratio.iter().zip(AGAIN).enumerate() {
            match runs.again(idx + 5) {
                // Nor does any longer run come again.
                0 => break,
                again if ratio(again, n_text) > max => return Err(reason),
                _ => {}
            }
        }
        Ok(())
    }
}

/// How many of some things came before.
#[derive(Default)]
pub(super) struct Duplicates {
    n: usize,
    of: usize,
    /// Characters in those that did.
    pub(super) n_chars: usize,
}

pub(super) fn duplicates<'a>(things: impl Iterator<Item = &'a str>) -> Duplicates {
    let mut seen = HashSet::new();
    let mut found = Duplicates::default();
    for thing in things {
        found.of += 1;
        if !seen.insert(thing) {
            found.n += 1;
            found.n_chars += n_chars(thing);
        }
    }
    found
}

/// What stands between runs of line ends, be it nothing at the ends of the text.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let last = text.len();
    let ends = text.split('\n').scan(0, |at, line| {
        let start = *at;
        *at += line.len() + 1;
        Some((start, line))
    });
    // An empty piece inside is a run of line ends; the first and the last are pieces all the same.
    ends.filter(move |(start, line)| !line.is_empty() || *start == 0 || *start == last)
        .map(|(_, line)| line)
}

/// What stands between two or more line ends.
fn paragraphs(text: &str) -> impl Iterator<Item = &str> {
    let pieces = text.split("\n\n").map(|piece| piece.trim_start_matches('\n'));
    pieces.filter(move |piece| !piece.is_empty() || text.is_empty())
}

/// Runs of words, by their hashes.
struct Runs {
    hashes: Vec<u64>,
    /// Characters before each word.
    starts: Vec<usize>,
}

impl Runs {
    fn new(words: &[&str]) -> Self {
        let hashes =
            words.iter().map(|word| mix(twox_hash::XxHash3_64::oneshot(word.as_bytes()), 0));
        let starts = words.iter().scan(0, |sum, word| {
            let start = *sum;
            *sum += n_chars(word);
            Some(start)
        });
        let mut starts: Vec<usize> = starts.collect();
        starts.push(words.iter().map(|word| n_chars(word)).sum());
        Self { hashes: hashes.collect(), starts }
    }

    /// Hash and number of characters of all runs of `n` words.
    fn of(&self, n: usize) -> impl Iterator<Item = (u64, usize)> {
        let hashes: &[u64] = if self.hashes.len() < n { &[] } else { &self.hashes };
        let lens = self.starts.iter().zip(self.starts.iter().skip(n)).map(|(a, b)| b - a);
        rolling(hashes, n).zip(lens)
    }

    /// Characters in all occurrences of the commonest run, a blank between two words; of equally
    /// common ones, the first.
    fn top(&self, n: usize) -> usize {
        let mut found: HashMap<u64, (usize, usize), Hashed> =
            HashMap::with_capacity_and_hasher(self.hashes.len(), Hashed::default());
        for (idx, (run, _)) in self.of(n).enumerate() {
            found.entry(run).or_insert((0, idx)).0 += 1;
        }
        let top = found.values().max_by_key(|(count, first)| (*count, usize::MAX - first));
        top.map_or(0, |&(count, first)| {
            count * (self.starts[first + n] - self.starts[first] + n - 1)
        })
    }

    /// Characters in runs that came before; none is counted in two of them.
    fn again(&self, n: usize) -> usize {
        let mut seen: HashSet<u64, Hashed> =
            HashSet::with_capacity_and_hasher(self.hashes.len(), Hashed::default());
        let (mut chars, mut skip) = (0, 0);
        for (run, len) in self.of(n) {
            if skip > 0 {
                skip -= 1;
            } else if !seen.insert(run) {
                chars += len;
                skip = n - 1;
            }
        }
        chars
    }
}

/// Keys that are hashes already.
type Hashed = BuildHasherDefault<Same>;

/// A hasher that gives back the number it is given.
#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are u64");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_those_of_the_expressions() {
        let cases = [("a\n\nb\n", vec!["a", "b", ""]), ("\n\na", vec!["", "a"]), ("a", vec!["a"])];
        for (text, expected) in cases {
            assert_eq!(lines(text).collect::<Vec<_>>(), expected, "{text:?}");
        }
        let cases = [("a\n\n\n\n\nb\nc", vec!["a", "b\nc"]), ("a\n \nb", vec!["a\n \nb"])];
        for (text, expected) in cases {
            assert_eq!(paragraphs(text).collect::<Vec<_>>(), expected, "{text:?}");
        }
    }

    #[test]
    fn runs_that_came_before_are_counted_once() {
        let runs = Runs::new(&["a", "bb", "c", "a", "bb", "c", "a", "bb"]);
        assert_eq!(runs.top(2), 3 * "a bb".len());
        assert_eq!(runs.again(3), "abbc".len());
        assert_eq!((runs.top(9), runs.again(9)), (0, 0));
    }
}
