//! What begins with a token: a word, a phrase, a sentence.
//!
//! Objectives that hide whole words (Devlin et al.'s later BERT models; Cui et al., "Pre-Training
//! with Whole Word Masking for Chinese BERT", arXiv:1906.08101) or whole phrases and entities (Sun
//! et al., "ERNIE: Enhanced Representation through Knowledge Integration", arXiv:1904.09223) need
//! to know where these are, which the text says and its ids do not. So a store may keep a byte of
//! marks a token.

use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, MatchKind};
use jieba_rs::Jieba;
use unicode_segmentation::UnicodeSegmentation;

use crate::{DataError, Document};

/// A word begins with the token.
pub const WORD: u8 = 1;
/// A phrase begins with it: an annotated one, one of the lexicon, or a word outside of those.
pub const PHRASE: u8 = 2;
/// It is part of a phrase that is annotated, or of the lexicon.
pub const ENTITY: u8 = 4;
/// A sentence begins with it.
pub const SENTENCE: u8 = 8;
/// The marks of a token that is no text.
pub const ALONE: u8 = WORD | PHRASE | SENTENCE;

/// The longest lexicon that is read.
const MAX_LEXICON_BYTES: u64 = 1 << 30;

/// Finds words, phrases and sentences in a text.
///
/// Words are those of Unicode (UAX 29); Chinese ones, which no blanks part, those of `jieba`.
/// Phrases are those that a document says it has, wherever they begin, and else the lexicon's, the
/// longest from the left, where they begin and end with words.
pub struct Marker {
    /// Loaded when the first Chinese text is seen.
    chinese: OnceLock<Jieba>,
    lexicon: Option<AhoCorasick>,
}

impl Marker {
    /// With the phrases of `lexicon`, a text file with one a line, where one is given.
    ///
    /// # Errors
    /// When the file cannot be read, or is no text.
    pub fn new(lexicon: Option<&Path>) -> Result<Self, DataError> {
        let lexicon = lexicon.map(read_lexicon).transpose()?;
        Ok(Self { chinese: OnceLock::new(), lexicon })
    }

    /// The marks of tokens that lie at `offsets` (bytes) of a document. What no token begins at is
    /// the mark of the one it lies in.
    pub fn mark(&self, document: &Document, offsets: &[(usize, usize)]) -> Vec<u8> {
        let Document { text, spans, .. } = document;
        let mut at = vec![0; text.len()];
        for start in self.words(text) {
            at[start] |= WORD | PHRASE;
        }
        let of_lexicon = self.phrases(text, &at).into_iter().filter(|phrase| {
            let next = spans.partition_point(|span| span.end <= phrase.start);
            spans.get(next).is_none_or(|span| span.start >= phrase.end)
        });
        for phrase in of_lexicon.chain(spans.iter().cloned()) {
            // An annotated one may end, and begin, inside of a word.
            let begins = [Some(phrase.start), follows(text, phrase.end).then_some(phrase.end)];
            begins.into_iter().flatten().for_each(|start| at[start] |= WORD | PHRASE);
            at[phrase.start + 1..phrase.end].iter_mut().for_each(|marks| *marks &= !PHRASE);
            at[phrase].iter_mut().for_each(|marks| *marks |= ENTITY);
        }
        for start in sentences(text) {
            at[start] |= SENTENCE;
        }
        let all = |&(start, end): &(usize, usize)| at[start..end].iter().fold(0, |all, m| all | m);
        offsets.iter().map(all).collect()
    }

    /// Where words begin. A blank is none, any other sign is one.
    fn words(&self, text: &str) -> Vec<usize> {
        let mut starts = Vec::new();
        // Characters that stand alone for UAX 29, and are to be segmented together.
        let mut han = 0..0;
        for (at, word) in text.split_word_bound_indices() {
            let is_han = word.chars().all(is_han);
            if is_han && at == han.end {
                han.end += word.len();
                continue;
            }
            self.segment(text, &han, &mut starts);
            han = if is_han { at..at + word.len() } else { at + word.len()..at + word.len() };
            if !is_han && !word.trim().is_empty() {
                starts.push(at);
            }
        }
        self.segment(text, &han, &mut starts);
        starts
    }

    fn segment(&self, text: &str, at: &Range<usize>, starts: &mut Vec<usize>) {
        let mut start = at.start;
        if !at.is_empty() {
            let chinese = self.chinese.get_or_init(Jieba::new);
            for word in chinese.cut(&text[at.clone()], true) {
                starts.push(start);
                start += word.word.len();
            }
        }
    }

    /// The phrases of the lexicon, where they begin and end with words.
    fn phrases(&self, text: &str, at: &[u8]) -> Vec<Range<usize>> {
        let Some(lexicon) = &self.lexicon else { return Vec::new() };
        let ends = |end: usize| !follows(text, end) || at[end] & WORD != 0;
        let found = lexicon.find_iter(text).map(|found| found.range());
        found.filter(|range| at[range.start] & WORD != 0 && ends(range.end)).collect()
    }
}

/// Whether anything but a blank stands at `at`.
fn follows(text: &str, at: usize) -> bool {
    text[at..].chars().next().is_some_and(|next| !next.is_whitespace())
}

fn read_lexicon(path: &Path) -> Result<AhoCorasick, DataError> {
    let bytes = mapped::read_small(path, MAX_LEXICON_BYTES).map_err(DataError::io("read", path))?;
    let file = || path.display().to_string();
    let text = std::str::from_utf8(&bytes).map_err(|e| DataError::Utf8 {
        file: file(),
        byte: e.valid_up_to() as u64,
        line: None,
        utf16: false,
    })?;
    let phrases: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if phrases.is_empty() {
        return Err(DataError::Empty { origin: format!("the lexicon `{}`", file()) });
    }
    AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&phrases).map_err(|_| {
        let (value, problem) = (phrases.len().to_string(), "too many phrases for one lexicon");
        DataError::Config { field: "lexicon", value, problem }
    })
}

/// The unified ideographs, of which words are made without blanks.
fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}')
}

/// Where sentences begin: after `.`, `!`, `?` and what closes a quotation, before a blank; after
/// their full-width forms; after an empty line. A line that ends is no end of a sentence.
fn sentences(text: &str) -> Vec<usize> {
    let (mut starts, mut ended, mut newlines) = (Vec::new(), true, 0);
    let mut may_end = false;
    for (at, c) in text.char_indices() {
        if c.is_whitespace() {
            ended |= may_end;
            newlines += u32::from(c == '\n');
            ended |= newlines >= 2;
            continue;
        }
        let closes = matches!(c, '"' | '\'' | ')' | ']' | '”' | '’' | '」' | '』' | '）' | '》');
        if ended && !closes {
            starts.push(at);
            ended = false;
        }
        newlines = 0;
        let ends_at_once = matches!(c, '。' | '！' | '？' | '…');
        ended |= ends_at_once;
        may_end = matches!(c, '.' | '!' | '?') || (may_end && closes) || ends_at_once;
    }
    starts
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The text with a sign before everything that begins.
    fn show(marker: &Marker, text: &str) -> String {
        let offsets: Vec<_> = text.char_indices().map(|(at, c)| (at, at + c.len_utf8())).collect();
        let mut shown = String::new();
        for (c, marks) in
            text.chars().zip(marker.mark(&Document::new(text.to_owned(), true), &offsets))
        {
            let signs = [(SENTENCE, '#'), (PHRASE, '<'), (WORD, '|')];
            shown.extend(signs.iter().filter(|(mark, _)| marks & mark != 0).map(|(_, sign)| sign));
            shown.push(c);
        }
        shown
    }

    #[test]
    fn words_and_sentences() {
        let marker = Marker::new(None).expect("no file");
        let english = "It's \"so.\" He\nleft.\n\nEnd";
        assert_eq!(show(&marker, english), "#<|It's <|\"<|so<|.<|\" #<|He\n<|left<|.\n\n#<|End");
        let chinese = "我来到北京。清华大学！";
        assert_eq!(show(&marker, chinese), "#<|我<|来到<|北京<|。#<|清华大学<|！");
        assert_eq!(show(&marker, ""), "");
    }

    #[test]
    fn phrases_of_a_lexicon_are_whole_words() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("lexicon");
        fs::write(&path, "New York\nNew York Times\n北京清华\n\n").expect("written");
        let marker = Marker::new(Some(&path)).expect("read");
        assert_eq!(
            show(&marker, "the New York Times, New Yorker"),
            "#<|the <|New |York |Times<|, <|New <|Yorker"
        );
        assert_eq!(show(&marker, "在北京清华大学"), "#<|在<|北京<|清华大学");
        let document = Document::new("a New York b".to_owned(), true);
        let marks = marker.mark(&document, &[(0, 1), (1, 5), (5, 10), (10, 12)]);
        assert_eq!(
            marks.iter().map(|m| m & ENTITY != 0).collect::<Vec<_>>(),
            [false, true, true, false]
        );
        fs::write(&path, " \n").expect("written");
        assert!(Marker::new(Some(&path)).is_err());
    }

    #[test]
    fn annotated_phrases_stand_above_the_lexicon_and_inside_of_words() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("lexicon");
        fs::write(&path, "New York\nold man\n").expect("written");
        let marker = Marker::new(Some(&path)).expect("read");
        let text = "New York Times, old man. \u{6e05}\u{534e}\u{5927}\u{5b66}";
        let show = |spans: Vec<Range<usize>>| {
            let document = Document { spans, ..Document::new(text.to_owned(), true) };
            let offsets: Vec<_> = text.char_indices().map(|(i, c)| (i, i + c.len_utf8())).collect();
            let mut shown = String::new();
            for (c, marks) in text.chars().zip(marker.mark(&document, &offsets)) {
                shown.extend((marks & PHRASE != 0).then_some('<'));
                shown.push(if marks & ENTITY != 0 { c.to_ascii_uppercase() } else { c });
            }
            shown
        };
        let han = "<\u{6e05}\u{534e}\u{5927}\u{5b66}";
        assert_eq!(show(vec![]), format!("<NEW YORK <Times<, <OLD MAN<. {han}"));
        // `York Times` takes `New York` from the lexicon; half a word is a phrase, and the rest.
        let half = text.len() - 6;
        assert_eq!(
            show(vec![4..14, half - 6..half]),
            "<New <YORK TIMES<, <OLD MAN<. <\u{6e05}\u{534e}<\u{5927}\u{5b66}"
        );
    }
}
