//! The lines of a text file, checked and numbered.

use std::path::Path;
use std::sync::Arc;

use super::bytes::Bytes;
use crate::DataError;

/// A line is held whole; a longer one is no line of text.
const LINE_BYTES_MAX: usize = 64 << 20;

const HINT_LENGTH: &str = "is it one JSON object a line?";

/// The lines of one file, decompressed: UTF-8 without NUL, of at most [`Lines::line_bytes_max`]
/// bytes each. A byte order mark is taken off.
pub struct Lines {
    bytes: Bytes,
    line: Vec<u8>,
    number: u64,
    /// Of the first byte of the next line.
    offset: u64,
    /// A longer line is an error; 64 MiB unless set.
    pub line_bytes_max: usize,
}

impl Lines {
    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be opened, is no regular file, or does not begin as the compression does that
    /// its name promises.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        Ok(Self::new(Bytes::open(path, &Arc::default())?))
    }

    pub(super) fn new(bytes: Bytes) -> Self {
        let (line, line_bytes_max) = (Vec::new(), LINE_BYTES_MAX);
        Self { bytes, line, number: 0, offset: 0, line_bytes_max }
    }

    /// The next line, with its line break; `None` at the end.
    ///
    /// # Errors
    /// When it cannot be read or is not what a line has to be.
    pub fn next_line(&mut self) -> Result<Option<&str>, DataError> {
        let (start, limit) = (self.offset, self.line_bytes_max);
        self.line.clear();
        self.number += 1;
        let n_bytes = self.bytes.read_line(limit + 1, &mut self.line)?;
        self.offset += n_bytes as u64;
        if n_bytes > limit {
            return Err(self.failed((format!("it is longer than {limit} bytes"), HINT_LENGTH)));
        }
        if n_bytes == 0 {
            return Ok(None);
        }
        self.text(start).map(Some)
    }

    /// The file's name.
    pub fn file(&self) -> &str {
        &self.bytes.file
    }

    /// Which line [`Lines::next_line`] gave last, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn failed(&self, (problem, hint): (String, &'static str)) -> DataError {
        DataError::Line { file: self.bytes.file.clone(), line: self.number, problem, hint }
    }

    fn text(&self, start: u64) -> Result<&str, DataError> {
        let file = || self.bytes.file.clone();
        if let Some(at) = self.line.iter().position(|&byte| byte == 0) {
            return Err(DataError::Binary { file: file(), byte: start + at as u64 });
        }
        let line = std::str::from_utf8(&self.line).map_err(|error| DataError::Utf8 {
            file: file(),
            byte: start + error.valid_up_to() as u64,
            line: Some(self.number),
            utf16: start == 0 && self.line.starts_with(&[0xFF, 0xFE]),
        })?;
        Ok(if start == 0 { line.strip_prefix('\u{feff}').unwrap_or(line) } else { line })
    }
}
