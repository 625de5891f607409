//! Plain books, as Project Gutenberg has them: the licence around the text is taken off, and lines
//! that were broken at a width become paragraphs. A file is a document, or several where it has
//! the marks of several.
//!
//! A book is held whole, for what ends it is at its end.

use std::io::Read;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::vec;

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

use super::bytes::Bytes;
use super::noted::Tally;
use super::{Document, Records};
use crate::DataError;

/// A longer file is no book.
const BOOK_BYTES_MAX: usize = 64 << 20;
/// Where a book says how it is encoded.
const HEAD_BYTES: usize = 4 << 10;
/// Lines that the mark of the beginning goes on for.
const MARK_LINES: usize = 4;
/// Books are broken at 60 to 80 characters; verses are shorter, and stay as they are.
const WIDTHS: RangeInclusive<usize> = 55..=100;

const HINT_NUL: &str = "only text is read; extract the text first";
const HINT_LENGTH: &str = "is it one book? split it";
const HINT_ENCODING: &str =
    "convert it to UTF-8 first, such as `iconv -f LATIN1 -t UTF-8 FILE > utf8.txt`";

const ENCODED: &str = "books that are not UTF-8, read as what they declare, or as Windows-1252";
const UNMARKED: &str = "books without the marks of Project Gutenberg, taken whole";
const JOINED: &str = "books whose lines became paragraphs";

/// The book of a file, or the books.
pub(super) struct Books {
    bytes: Option<Bytes>,
    text: String,
    left: vec::IntoIter<Range<usize>>,
    file: String,
    tally: Arc<Tally>,
    pub bytes_max: usize,
}

impl Books {
    pub fn new(bytes: Bytes, tally: &Arc<Tally>) -> Self {
        let file = bytes.file.clone();
        Self {
            bytes: Some(bytes),
            text: String::new(),
            left: Vec::new().into_iter(),
            file,
            tally: Arc::clone(tally),
            bytes_max: BOOK_BYTES_MAX,
        }
    }

    fn read(&mut self, mut source: Bytes) -> Result<(), DataError> {
        let mut bytes = Vec::new();
        let read = (&mut source).take(self.bytes_max as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|error| source.failed(error))?;
        if bytes.len() > self.bytes_max {
            let reason = format!("a book of more than {} bytes", self.bytes_max);
            return Err(self.refused(self.bytes_max, &reason, HINT_LENGTH));
        }
        let text = self.decode(bytes)?;
        self.text = text.strip_prefix('\u{feff}').unwrap_or(&text).replace("\r\n", "\n");
        let (books, is_marked) = books(&self.text);
        self.left = books.into_iter();
        if !is_marked {
            self.note(UNMARKED);
        }
        Ok(())
    }

    fn refused(&self, byte: usize, reason: &str, hint: &'static str) -> DataError {
        let (file, reason) = (self.file.clone(), reason.to_owned());
        DataError::Markup { file, byte: byte as u64, reason, hint }
    }

    /// As text, by what it is or declares.
    fn decode(&self, bytes: Vec<u8>) -> Result<String, DataError> {
        if let Some(byte) = bytes.iter().position(|&byte| byte == 0) {
            return Err(self.refused(byte, "it is a binary file: that byte is NUL", HINT_NUL));
        }
        let bytes = match String::from_utf8(bytes) {
            Ok(text) => return Ok(text),
            Err(error) => error.into_bytes(),
        };
        let encoding = declared(&bytes).filter(|found| *found != UTF_8).unwrap_or(WINDOWS_1252);
        let Some(text) = encoding.decode_without_bom_handling_and_without_replacement(&bytes)
        else {
            let byte = std::str::from_utf8(&bytes).map_or_else(|e| e.valid_up_to(), |_| 0);
            let reason = format!("it is neither UTF-8 nor {}", encoding.name());
            return Err(self.refused(byte, &reason, HINT_ENCODING));
        };
        self.note(ENCODED);
        Ok(text.into_owned())
    }

    fn note(&self, what: &'static str) {
        self.tally.note().done(what, 1, || format!("`{}`", self.file));
    }
}

impl Records for Books {
    fn next_document(&mut self) -> Result<Option<Document>, DataError> {
        if let Some(bytes) = self.bytes.take() {
            self.read(bytes)?;
        }
        let Some(book) = self.left.next() else { return Ok(None) };
        let (text, is_joined) = paragraphs(without_credits(&self.text[book]));
        if is_joined {
            self.note(JOINED);
        }
        Ok(Some(Document::new(text, true)))
    }

    fn place(&self) -> Option<String> {
        Some(format!("`{}`", self.file))
    }
}

/// The encoding that the head names: `Character set encoding: ISO-8859-1`.
fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(HEAD_BYTES)]).to_lowercase();
    let (_, after) = head.split_once("character set encoding:")?;
    let label = after.lines().next()?.trim();
    let label = label.strip_prefix("iso ").map_or(label.to_owned(), |rest| format!("iso-{rest}"));
    Encoding::for_label(label.as_bytes())
}

/// The books of a text, which stand between the marks of Project Gutenberg, and whether there are
/// any marks.
///
/// Newer books say `*** START OF THE PROJECT GUTENBERG EBOOK ..`, those before 2003 end their
/// small print with `*END*THE SMALL PRINT!`.
fn books(text: &str) -> (Vec<Range<usize>>, bool) {
    let (mut books, mut is_marked) = (Vec::new(), false);
    // Where the book begins that has not ended.
    let mut open = Some(0);
    let (mut at, mut lines) = (0, text.split_inclusive('\n'));
    while let Some(line) = lines.next() {
        let here = at;
        at += line.len();
        if is_start(line) {
            // A long title goes on in the next lines.
            let closes = |line: &str| line.trim_end().ends_with('*');
            if !closes(line) {
                let goes_on = |line: &&str| !line.trim().is_empty() && !is_start(line);
                let mut next = lines.clone().take(MARK_LINES).take_while(goes_on);
                let n = next.position(closes).map_or(0, |n| n + 1);
                lines.by_ref().take(n).for_each(|line| at += line.len());
            }
            books.extend(open.filter(|_| is_marked).map(|start| start..here));
            (open, is_marked) = (Some(at), true);
        } else if is_end(line) {
            books.extend(open.take().map(|start| start..here));
            is_marked = true;
        }
    }
    books.extend(open.map(|start| start..text.len()));
    (books, is_marked)
}

/// The words of a line in capitals, stars left out.
fn words(line: &str) -> Vec<String> {
    line.to_ascii_uppercase().replace('*', " ").split_whitespace().map(str::to_owned).collect()
}

fn is_start(line: &str) -> bool {
    if !line.trim_start().starts_with('*') {
        return false;
    }
    let words = words(line);
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["START", "OF", "THE" | "THIS", ..] => words.iter().any(|word| word == "GUTENBERG"),
        ["END", "THE", "SMALL", "PRINT!", ..] => true,
        _ => false,
    }
}

fn is_end(line: &str) -> bool {
    let line = line.trim_start();
    if !line.starts_with("***") && !line.get(..6).is_some_and(|l| l.eq_ignore_ascii_case("end of"))
    {
        return false;
    }
    let words = words(line);
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["END", "OF", "THE" | "THIS", "PROJECT", "GUTENBERG", ..] => true,
        ["END", "OF", "PROJECT", name, ..] => name.starts_with("GUTENBERG"),
        _ => false,
    }
}

/// The text after the paragraph that says who made the file.
fn without_credits(text: &str) -> &str {
    let text = text.trim_matches('\n');
    let first = text.trim_start();
    let is_credit = ["Produced by ", "E-text prepared by ", "This etext was p", "This eBook was p"]
        .iter()
        .any(|begin| first.starts_with(begin));
    match first.split_once("\n\n") {
        Some((_, rest)) if is_credit => rest.trim_start_matches('\n'),
        _ => text,
    }
}

/// Joins the lines that were broken because the next word did not fit, and tells whether there are
/// such. Indented lines, short ones and those of verses stay.
fn paragraphs(text: &str) -> (String, bool) {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let is_prose = |line: &str| !line.is_empty() && !line.starts_with([' ', '\t']);
    let mut lengths: Vec<usize> = lines
        .windows(2)
        .filter(|pair| is_prose(pair[0]) && is_prose(pair[1]))
        .map(|pair| pair[0].chars().count())
        .collect();
    // A tenth of the lines may be longer: tables, and what somebody mended by hand.
    let tenth = lengths.len() * 9 / 10;
    let width = match lengths.get(tenth) {
        Some(_) => *lengths.select_nth_unstable(tenth).1,
        None => 0,
    };
    let (mut joined, mut is_joined) = (String::with_capacity(text.len()), false);
    for (i, line) in lines.iter().enumerate() {
        joined.push_str(line);
        let Some(next) = lines.get(i + 1) else { break };
        let word = next.split(' ').next().unwrap_or_default().chars().count();
        // Not every book is broken at the same width throughout.
        let is_full = (line.chars().count() + 1 + word) * 8 > width * 7;
        if WIDTHS.contains(&width) && is_prose(line) && is_prose(next) && is_full {
            is_joined = true;
            let is_open = line.ends_with(['-', '\u{2014}']) || next.starts_with('\u{2014}');
            joined.push_str(if is_open { "" } else { " " });
        } else {
            joined.push('\n');
        }
    }
    (joined, is_joined)
}

#[cfg(test)]
mod tests;
