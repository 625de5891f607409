//! Text files: UTF-8, whole or cut at a separator.

use tokenize::safe_cut;

use super::bytes::Bytes;
use super::{Document, Origin, PART_BYTES, ReadOptions};
use crate::DataError;

const BOM: char = '\u{feff}';

/// The documents of one text.
pub(super) struct Texts {
    text: Utf8,
    separator: Option<String>,
    /// Read and not yet given; `start` is where that begins.
    buffer: String,
    start: usize,
    /// No separator begins between `start` and here.
    searched: usize,
    number: u64,
    /// A part of the present document has been given.
    is_open: bool,
    done: bool,
}

impl Texts {
    pub fn new(bytes: Bytes, options: &ReadOptions) -> Self {
        Self {
            text: Utf8 { bytes, offset: 0, held: Vec::new() },
            separator: options.separator.clone(),
            buffer: String::new(),
            start: 0,
            searched: 0,
            number: 1,
            is_open: false,
            done: false,
        }
    }

    /// A document or a part that the buffer holds already.
    fn cut(&mut self) -> Option<Document> {
        while let Some(text) = self.before_separator() {
            if let Some(document) = self.document(text, true) {
                return Some(document);
            }
        }
        let separator_len = self.separator.as_ref().map_or(0, String::len);
        let rest = &self.buffer[self.start..];
        if rest.len() <= PART_BYTES + separator_len {
            return None;
        }
        let cut = safe_cut(rest, PART_BYTES);
        let text = rest[..cut].to_owned();
        self.start += cut;
        self.searched = self.searched.max(self.start);
        self.document(text, false)
    }

    /// What stands before the next separator in the buffer.
    fn before_separator(&mut self) -> Option<String> {
        let separator = self.separator.as_ref()?;
        let Some(at) = self.buffer[self.searched..].find(separator.as_str()) else {
            // The buffer may end with the beginning of one.
            let kept = self.buffer.len().saturating_sub(separator.len() - 1);
            self.searched = self.searched.max(self.buffer.floor_char_boundary(kept));
            return None;
        };
        let end = self.searched + at;
        let text = self.buffer[self.start..end].to_owned();
        self.start = end + separator.len();
        self.searched = self.start;
        Some(text)
    }

    /// What is left when the file is at its end.
    fn last(&mut self) -> Option<Document> {
        let text = self.buffer.split_off(self.start);
        self.document(text, true)
    }

    /// Nothing for a document that is blank.
    fn document(&mut self, text: String, ends: bool) -> Option<Document> {
        if !self.is_open && ends && text.trim().is_empty() {
            return None;
        }
        let origin = Origin { file: self.text.bytes.file.clone(), number: self.number };
        self.is_open = !ends;
        self.number += u64::from(ends);
        Some(Document { text, origin, ends })
    }
}

impl Iterator for Texts {
    type Item = Result<Document, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.done {
            if let Some(document) = self.cut() {
                return Some(Ok(document));
            }
            self.buffer.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
            match self.text.read_into(&mut self.buffer) {
                Ok(true) => {}
                Ok(false) => {
                    self.done = true;
                    return self.last().map(Ok);
                }
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

/// Bytes as text, a character in two chunks included.
struct Utf8 {
    bytes: Bytes,
    /// Of the first byte not yet taken, `held` included.
    offset: u64,
    /// The beginning of a character.
    held: Vec<u8>,
}

impl Utf8 {
    /// Appends some text; `false` at the end.
    fn read_into(&mut self, text: &mut String) -> Result<bool, DataError> {
        let chunk = self.bytes.fill()?;
        let n_bytes = chunk.len();
        let nul = chunk.iter().position(|&byte| byte == 0);
        self.held.extend_from_slice(chunk);
        self.bytes.consume(n_bytes);
        let (valid, bad) = match std::str::from_utf8(&self.held) {
            Ok(_) => (self.held.len(), false),
            Err(error) => (error.valid_up_to(), error.error_len().is_some() || n_bytes == 0),
        };
        let utf16 = self.offset == 0
            && (self.held.starts_with(&[0xFF, 0xFE]) || self.held.starts_with(&[0xFE, 0xFF]));
        let file = || self.bytes.file.to_string();
        if let (Some(at), false) = (nul, utf16) {
            let byte = self.offset + (self.held.len() - n_bytes + at) as u64;
            return Err(DataError::Binary { file: file(), byte });
        }
        if bad {
            let byte = self.offset + valid as u64;
            return Err(DataError::Utf8 { file: file(), byte, line: None, utf16 });
        }
        let new = std::str::from_utf8(&self.held[..valid]).unwrap_or_default();
        text.push_str(if self.offset == 0 { new.strip_prefix(BOM).unwrap_or(new) } else { new });
        self.held.drain(..valid);
        self.offset += valid as u64;
        Ok(n_bytes > 0)
    }
}
