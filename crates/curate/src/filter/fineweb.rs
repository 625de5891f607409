//! The shapes of lines: Penedo et al., "The FineWeb Datasets", arXiv:2406.17557, section 3.6.

use serde::{Deserialize, Serialize};

use super::repetition::duplicates;
use super::{Reason, ratio};
use crate::words::{ends_sentence, is_unspaced, words};

/// Thresholds on lines that are not blank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FineWeb {
    /// Whether any of it is asked.
    pub enabled: bool,
    /// Least share of lines that end with a mark that ends a sentence.
    pub min_end_mark_ratio: f64,
    /// Greatest share of short lines.
    pub max_short_line_ratio: f64,
    /// Characters of the longest line that is short.
    pub short_line_len: usize,
    /// Greatest share of characters in lines that came before.
    pub max_duplicate_char_ratio: f64,
    /// Most line ends a word: more make a list.
    pub max_line_end_ratio: f64,
}

impl Default for FineWeb {
    fn default() -> Self {
        Self {
            enabled: true,
            min_end_mark_ratio: 0.12,
            max_short_line_ratio: 0.67,
            short_line_len: 30,
            max_duplicate_char_ratio: 0.01,
            max_line_end_ratio: 0.3,
        }
    }
}

impl FineWeb {
    pub(super) fn check(&self, text: &str) -> Result<(), Reason> {
        let lines = || text.split('\n').filter(|line| !line.trim().is_empty());
        let n_lines = lines().count();
        if n_lines == 0 {
            return Err("empty");
        }
        if !self.enabled {
            return Ok(());
        }
        let n_ended = lines().filter(|line| line.ends_with(ends_sentence)).count();
        let short = |line: &&str| columns(line) <= self.short_line_len;
        let n_line_ends = text.bytes().filter(|&byte| byte == b'\n').count();
        let n_chars = super::n_chars(text) - n_line_ends;
        if ratio(n_ended, n_lines) < self.min_end_mark_ratio {
            Err("fineweb.too_few_end_marks")
        } else if ratio(lines().filter(short).count(), n_lines) > self.max_short_line_ratio {
            Err("fineweb.short_lines")
        } else if ratio(duplicates(lines()).n_chars, n_chars) > self.max_duplicate_char_ratio {
            Err("fineweb.duplicate_lines")
        } else if ratio(n_line_ends, words(text).count()) > self.max_line_end_ratio {
            Err("fineweb.list")
        } else {
            Ok(())
        }
    }
}

/// How many characters, one that is a word of its own as two.
fn columns(line: &str) -> usize {
    line.chars().map(|c| 1 + usize::from(is_unspaced(c))).sum()
}
