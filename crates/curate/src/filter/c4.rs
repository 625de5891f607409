//! Lines that are no sentences: Raffel et al., "Exploring the Limits of Transfer Learning with a
//! Unified Text-to-Text Transformer", arXiv:1910.10683, section 2.2, and the program that made C4.

use std::borrow::Cow;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use serde::{Deserialize, Serialize};

use super::{Reason, n_chars};
use crate::Notes;
use crate::words::{ends_sentence, is_unspaced};

/// What a line, and a page, must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "rules that are asked or not")]
pub struct C4 {
    /// Whether any of it is asked.
    pub enabled: bool,
    /// What a line must end with; not asked where it is empty. An ellipsis is never an end.
    pub end_marks: String,
    /// Fewest words of a line.
    pub min_words_per_line: usize,
    /// Characters of the longest word that a line may have.
    pub max_word_len: usize,
    /// Fewest sentences in the lines that stay.
    pub min_sentences: usize,
    /// Whether marks as in Wikipedia (`[1]`, `[edit]`, `[citation needed]`) are taken out.
    pub citations: bool,
    /// Whether a line with `javascript` goes.
    pub javascript: bool,
    /// Whether a line about cookies, privacy or terms of use goes.
    pub policy: bool,
    /// Whether a text with `lorem ipsum` goes.
    pub lorem_ipsum: bool,
    /// Whether a text with `{` goes.
    pub curly_bracket: bool,
}

impl Default for C4 {
    fn default() -> Self {
        Self {
            enabled: true,
            end_marks: ".?!\"'\u{201d}\u{2019}\u{3002}\u{ff01}\u{ff1f}\u{ff0e}\u{300d}\u{300f}"
                .into(),
            min_words_per_line: 3,
            max_word_len: 1000,
            min_sentences: 5,
            citations: true,
            javascript: true,
            policy: true,
            lorem_ipsum: true,
            curly_bracket: true,
        }
    }
}

/// What is looked for in a line, in any case.
const PHRASES: [&str; 9] = [
    "lorem ipsum",
    "javascript",
    "{",
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
];

static FINDER: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let mut builder = AhoCorasick::builder();
    builder.ascii_case_insensitive(true).build(PHRASES).expect("nine short phrases")
});

impl C4 {
    /// The lines that stay, where some of them do not or are not as they were.
    pub(super) fn trim(&self, text: &str, notes: &mut Notes) -> Result<Option<String>, Reason> {
        if !self.enabled {
            return Ok(None);
        }
        let (mut kept, mut n_sentences, mut gone) = (String::new(), 0, Notes::default());
        for line in text.lines() {
            match self.line(line.trim()) {
                Ok(line) => {
                    n_sentences += count_sentences(&line);
                    if !kept.is_empty() {
                        kept.push('\n');
                    }
                    kept.push_str(&line);
                }
                Err(reason) if reason.starts_with("c4.line") => gone.add(reason, 1),
                Err(reason) => return Err(reason),
            }
        }
        if n_sentences < self.min_sentences {
            return Err("c4.too_few_sentences");
        }
        notes.merge(&gone);
        kept.truncate(kept.trim_end().len());
        Ok((kept != text).then_some(kept))
    }

    /// The line as it stays, or why it goes, or the whole text.
    fn line<'a>(&self, line: &'a str) -> Result<Cow<'a, str>, Reason> {
        let mut n_words = 0;
        for chunk in line.split_whitespace() {
            let n_unspaced = chunk.chars().filter(|&c| is_unspaced(c)).count();
            n_words += n_unspaced.max(1);
            if n_unspaced == 0
                && chunk.len() > self.max_word_len
                && n_chars(chunk) > self.max_word_len
            {
                return Err("c4.line.long_word");
            }
        }
        let line = if self.citations { without_citations(line) } else { line.into() };
        let marks = self.end_marks.as_str();
        if !marks.is_empty() && (!line.ends_with(|c| marks.contains(c)) || line.ends_with("...")) {
            return Err("c4.line.no_end_mark");
        }
        if n_words < self.min_words_per_line {
            return Err("c4.line.too_few_words");
        }
        let mut has = [false; PHRASES.len()];
        FINDER.find_iter(line.as_ref()).for_each(|found| has[found.pattern().as_usize()] = true);
        match has {
            [true, ..] if self.lorem_ipsum => Err("c4.lorem_ipsum"),
            [_, true, ..] if self.javascript => Err("c4.line.javascript"),
            [_, _, true, ..] if self.curly_bracket => Err("c4.curly_bracket"),
            [_, _, _, ref policy @ ..] if self.policy && policy.contains(&true) => {
                Err("c4.line.policy")
            }
            _ => Ok(line),
        }
    }
}

/// `line` without `[1]`, `[]`, `[edit]` and `[citation needed]`.
fn without_citations(line: &str) -> Cow<'_, str> {
    let Some((before, mut rest)) = line.split_once('[') else { return line.into() };
    let mut kept = String::from(before);
    loop {
        let digits = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let ends = [digits.strip_prefix(']')];
        let words = ["edit]", "citation needed]"].map(|mark| rest.strip_prefix(mark));
        match ends.into_iter().chain(words).flatten().next() {
            Some(after) => rest = after,
            None => kept.push('['),
        }
        let Some((before, after)) = rest.split_once('[') else {
            kept.push_str(rest);
            return kept.into();
        };
        kept.push_str(before);
        rest = after;
    }
}

/// How many sentences a line has: each ends at marks that end one, with the quotation marks and
/// brackets after them, before a blank, or, where a mark is not ASCII, before anything.
fn count_sentences(line: &str) -> usize {
    #[derive(PartialEq, PartialOrd)]
    enum End {
        No,
        BeforeBlank,
        Here,
    }
    let (mut n, mut open, mut end) = (0, false, End::No);
    for c in line.chars() {
        if ends_sentence(c) {
            open = true;
            if end != End::Here {
                end = if c.is_ascii() { End::BeforeBlank } else { End::Here };
            }
            continue;
        }
        if end != End::No
            && "\"')]}\u{2019}\u{201d}\u{300d}\u{300f}\u{ff09}\u{300b}\u{bb}".contains(c)
        {
            continue;
        }
        if end == End::Here || end == End::BeforeBlank && c.is_whitespace() {
            n += 1;
            open = false;
        }
        end = End::No;
        open |= !c.is_whitespace();
    }
    n + usize::from(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn citations_go_and_brackets_stay() {
        let cases = [
            ("a[1] b[] c[edit][citation needed].", "a b c."),
            ("a[1 b[x] [", "a[1 b[x] ["),
            ("[[2]]", "[]"),
        ];
        for (line, expected) in cases {
            assert_eq!(without_citations(line), expected, "{line}");
        }
    }

    #[test]
    fn sentences_are_counted() {
        let cases = [
            ("One. Two? \"Three!\" Four", 4),
            ("At 3.14 p.m it was done...", 1),
            ("\u{4f60}\u{597d}\u{3002}\u{4f60}\u{597d}\u{ff01}\u{ff1f}", 2),
            ("  ", 0),
        ];
        for (line, expected) in cases {
            assert_eq!(count_sentences(line), expected, "{line}");
        }
    }
}
