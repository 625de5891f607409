//! How long a text is, and of what: Rae et al., "Scaling Language Models: Methods, Analysis &
//! Insights from Training Gopher", arXiv:2112.11446, appendix A.1.1.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Reason, Words, n_chars, ratio};
use crate::words::{ends_sentence, is_unspaced};

/// Thresholds on words and lines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gopher {
    /// Whether any of it is asked.
    pub enabled: bool,
    /// Fewest words that are more than punctuation.
    pub min_words: usize,
    /// Most words that are more than punctuation. Of words and punctuation together, ten times as
    /// many are too many, whether or not the rest is asked: this bounds memory.
    pub max_words: usize,
    /// Least mean length of a word, in characters.
    pub min_mean_word_len: f64,
    /// Greatest mean length of a word, in characters.
    pub max_mean_word_len: f64,
    /// Most hash signs a word, and most ellipses a word.
    pub max_symbol_ratio: f64,
    /// Greatest share of lines that begin with a bullet.
    pub max_bullet_line_ratio: f64,
    /// Greatest share of lines that end with an ellipsis.
    pub max_ellipsis_line_ratio: f64,
    /// Least share of words, punctuation counted, with a letter.
    pub min_alphabetic_ratio: f64,
    /// How many of the stop words there must be.
    pub min_stop_words: usize,
    /// Stop words by code of language; a document of unknown language is asked for those of `en`.
    pub stop_words: BTreeMap<String, Vec<String>>,
}

impl Default for Gopher {
    fn default() -> Self {
        let english = ["the", "be", "to", "of", "and", "that", "have", "with"];
        Self {
            enabled: true,
            min_words: 50,
            max_words: 100_000,
            min_mean_word_len: 3.0,
            max_mean_word_len: 10.0,
            max_symbol_ratio: 0.1,
            max_bullet_line_ratio: 0.9,
            max_ellipsis_line_ratio: 0.3,
            min_alphabetic_ratio: 0.8,
            min_stop_words: 2,
            stop_words: [("en".to_owned(), english.map(str::to_owned).to_vec())].into(),
        }
    }
}

impl Gopher {
    /// As many words and marks as a text may have.
    pub(super) fn word_limit(&self) -> usize {
        self.max_words.saturating_mul(10)
    }

    pub(super) fn check(&self, text: &str, words: &Words, language: &str) -> Result<(), Reason> {
        if !self.enabled {
            return Ok(());
        }
        self.lengths(words)?;
        self.symbols(text, words)?;
        self.lines(text)?;
        let all = &words.all;
        let alphabetic = all.iter().filter(|word| word.contains(char::is_alphabetic)).count();
        if ratio(alphabetic, all.len()) < self.min_alphabetic_ratio {
            return Err("gopher.too_few_letters");
        }
        let language = if language.is_empty() { "en" } else { language };
        match self.stop_words.get(language) {
            Some(stop_words) if !has_some(stop_words, all, self.min_stop_words) => {
                Err("gopher.too_few_stop_words")
            }
            _ => Ok(()),
        }
    }

    fn lengths(&self, words: &Words) -> Result<(), Reason> {
        let (mut n_words, mut n_unspaced, mut len) = (0, 0, 0);
        for word in words.all.iter().filter(|word| !word.chars().all(is_punctuation)) {
            n_words += 1;
            if word.starts_with(is_unspaced) {
                n_unspaced += 1;
            } else {
                len += n_chars(word);
            }
        }
        let mean = ratio(len, n_words - n_unspaced);
        let spaced = n_unspaced * 2 <= n_words;
        match () {
            () if n_words < self.min_words => Err("gopher.too_few_words"),
            () if n_words > self.max_words => Err("gopher.too_many_words"),
            () if spaced && mean < self.min_mean_word_len => Err("gopher.short_words"),
            () if spaced && mean > self.max_mean_word_len => Err("gopher.long_words"),
            () => Ok(()),
        }
    }

    fn symbols(&self, text: &str, words: &Words) -> Result<(), Reason> {
        let (n_words, max) = (words.all.len(), self.max_symbol_ratio);
        let ellipses = text.matches("...").count() + text.matches('\u{2026}').count();
        if ratio(text.matches('#').count(), n_words) > max {
            Err("gopher.too_many_hashes")
        } else if ratio(ellipses, n_words) > max {
            Err("gopher.too_many_ellipses")
        } else {
            Ok(())
        }
    }

    fn lines(&self, text: &str) -> Result<(), Reason> {
        let (mut n_lines, mut bullets, mut ellipses) = (0, 0, 0);
        for line in text.lines() {
            n_lines += 1;
            bullets += usize::from(line.trim_start().starts_with(['\u{2022}', '-']));
            let end = line.trim_end();
            ellipses += usize::from(end.ends_with("...") || end.ends_with('\u{2026}'));
        }
        if ratio(bullets, n_lines) > self.max_bullet_line_ratio {
            Err("gopher.too_many_bullets")
        } else if ratio(ellipses, n_lines) > self.max_ellipsis_line_ratio {
            Err("gopher.too_many_ellipsis_lines")
        } else {
            Ok(())
        }
    }
}

/// Whether at least `n` of `stop_words` occur among `words`, as they are written.
fn has_some(stop_words: &[String], words: &[&str], n: usize) -> bool {
    let mut found = vec![false; stop_words.len()];
    for word in words {
        if let Some(idx) = stop_words.iter().position(|stop| stop == word) {
            found[idx] = true;
        }
    }
    found.iter().filter(|&&found| found).count() >= n
}

/// Marks of punctuation and control characters, as `datatrove` lists them; its list has a
/// full-width digit one as well, which is no punctuation.
fn is_punctuation(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_punctuation() || c.is_ascii_control();
    }
    let other = matches!(c,
        '\u{80}'..='\u{9f}' | '\u{ab}' | '\u{b4}' | '\u{bb}' | '\u{2013}' | '\u{2014}' | '\u{2019}'
        | '\u{201c}'..='\u{201e}' | '\u{2026}' | '\u{2236}' | '\u{2501}' | '\u{25ba}' | '\u{3001}'
        | '\u{3008}'..='\u{300d}' | '\u{3010}' | '\u{3011}' | '\u{ff05}' | '\u{ff08}' | '\u{ff09}'
        | '\u{ff0c}' | '\u{ff1a}' | '\u{ff1b}' | '\u{ff5e}');
    other || ends_sentence(c)
}
