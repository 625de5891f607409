//! Text files: UTF-8, whole or cut at a separator.

use tokenize::safe_cut;

use super::bytes::Bytes;
use super::{Document, PART_BYTES, Records};
use crate::DataError;

const BOM: char = '\u{feff}';

/// The documents of one text.
pub(super) struct Texts {
    text: Utf8,
    separator: Option<String>,
    /// Read and not yet given; `start` is where that begins.
    buffer: String,
    start: usize,
    /// A part of the present document has been given.
    is_open: bool,
}

impl Texts {
    pub fn new(bytes: Bytes, separator: Option<String>) -> Self {
        Self {
            text: Utf8 { bytes, offset: 0, held: Vec::new() },
            separator,
            buffer: String::new(),
            start: 0,
            is_open: false,
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
        self.document(text, false)
    }

    /// What stands before the next separator in the buffer.
    fn before_separator(&mut self) -> Option<String> {
        let (text, rest) = self.buffer[self.start..].split_once(self.separator.as_ref()?)?;
        let text = text.to_owned();
        self.start = self.buffer.len() - rest.len();
        Some(text)
    }

    /// Nothing for a document that is blank.
    fn document(&mut self, text: String, ends: bool) -> Option<Document> {
        if !self.is_open && ends && text.trim().is_empty() {
            return None;
        }
        self.is_open = !ends;
        Some(Document::new(text, ends))
    }
}

impl Records for Texts {
    fn next_document(&mut self) -> Result<Option<Document>, DataError> {
        loop {
            if let Some(document) = self.cut() {
                return Ok(Some(document));
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            if !self.text.read_into(&mut self.buffer)? {
                let rest = std::mem::take(&mut self.buffer);
                return Ok(self.document(rest, true));
            }
        }
    }

    fn place(&self) -> Option<String> {
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
        let n_held = self.held.len();
        let n_bytes = self.bytes.read_chunk(&mut self.held)?;
        let (valid, bad) = match std::str::from_utf8(&self.held) {
            Ok(_) => (self.held.len(), false),
            Err(error) => (error.valid_up_to(), error.error_len().is_some() || n_bytes == 0),
        };
        let utf16 = self.offset == 0
            && (self.held.starts_with(&[0xFF, 0xFE]) || self.held.starts_with(&[0xFE, 0xFF]));
        let file = || self.bytes.file.clone();
        let nul = self.held[n_held..].iter().position(|&byte| byte == 0);
        if let (Some(at), false) = (nul, utf16) {
            let byte = self.offset + (n_held + at) as u64;
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
