//! Which texts are worth reading: the rules of Gopher, C4 and FineWeb.
//!
//! | module | rules |
//! |---|---|
//! | `gopher` | how long, which words, bullets, ellipses |
//! | `repetition` | lines, paragraphs and n-grams that come again |
//! | `c4` | lines that are no sentences go; what is left must be enough |
//! | `fineweb` | ends of lines, short lines, lists |
//! | `blocklist` | addresses and words that nobody wants |
//!
//! Every threshold is a field with the value of its paper; a document that goes has one reason, a
//! name such as `gopher.too_few_words`, the first in the order above. The verdicts are those of
//! `datatrove` 0.10 but for these choices:
//!
//! - Words are those of [`words`](crate::words), which knows no language.
//! - A script without blanks has a word a character. Mean word length is not asked of a text most
//!   of whose words are such; such a character counts as two in the length of a line; C4's
//!   least number of words in a line counts them too.
//! - Stop words are those of the document's language, and not asked of one that has none here.
//! - The marks that may end a line have quotation marks and those of CJK among them.
//! - A sentence ends at marks that end one and a blank, a quotation mark or the line; the marks of
//!   CJK need nothing after them.
//! - Gopher's rules on words come before those on repetition, so that no text can be too large.

mod blocklist;
mod c4;
mod fineweb;
mod gopher;
mod repetition;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use blocklist::{Blocklist, BlocklistConfig, ListError, normal_url};
pub use c4::C4;
pub use fineweb::FineWeb;
pub use gopher::Gopher;
pub use repetition::Repetition;

use crate::words::words;
use crate::{Document, Notes};

/// Why a document or a line of it went: `rule.what`, to be counted.
pub type Reason = &'static str;

/// The rules and their thresholds; a rule without its table in a recipe is as its paper has it.
///
/// FineWeb itself does without C4's rule on the ends of lines: `c4.end_marks = ""`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// Lengths, words, bullets and ellipses.
    pub gopher: Gopher,
    /// Lines, paragraphs and n-grams that come again.
    pub repetition: Repetition,
    /// Lines that are no sentences.
    pub c4: C4,
    /// Shapes of lines.
    pub fineweb: FineWeb,
}

impl Filter {
    /// Says why the document goes; C4's rules take lines out of one that stays.
    ///
    /// Linear in the text. `notes` gets the number of lines that went, for each reason
    /// (`c4.line.javascript`).
    ///
    /// # Errors
    /// The reason, where it goes; its text is then as it was.
    pub fn judge(&self, document: &mut Document, notes: &mut Notes) -> Result<(), Reason> {
        if let Some(left) = self.verdict(&document.text, &document.language, notes)? {
            document.text = left;
        }
        Ok(())
    }

    /// The text that is left of one that stays, where that is another.
    fn verdict(
        &self,
        text: &str,
        language: &str,
        notes: &mut Notes,
    ) -> Result<Option<String>, Reason> {
        if text.trim().is_empty() {
            return Err("empty");
        }
        let words = Words::new(text, self.gopher.word_limit())?;
        self.gopher.check(text, &words, language)?;
        self.repetition.check(text, &words)?;
        drop(words);
        let left = self.c4.trim(text, notes)?;
        self.fineweb.check(left.as_deref().unwrap_or(text))?;
        Ok(left)
    }
}

/// A text cut into words, with what several rules want to know of them.
struct Words<'a> {
    all: Vec<&'a str>,
}

impl<'a> Words<'a> {
    /// Cuts `text`; no more than `limit` words.
    fn new(text: &'a str, limit: usize) -> Result<Self, Reason> {
        let all: Vec<&str> = words(text).take(limit.saturating_add(1)).collect();
        if all.len() > limit { Err("gopher.too_many_words") } else { Ok(Self { all }) }
    }
}

/// How many characters; what every length here is measured in.
fn n_chars(text: &str) -> usize {
    text.chars().count()
}

/// `part / whole`, and 0 of nothing.
fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
