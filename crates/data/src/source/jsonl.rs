//! JSONL: one object a line, the text in one of its fields.

use serde_json::Value;

use super::bytes::Bytes;
use super::{Document, Origin, ReadOptions};
use crate::DataError;
use crate::error::{LineProblem, quoted};

/// A line is held whole; a longer one is no line of text.
const LINE_BYTES_MAX: usize = 64 << 20;

/// The documents of one JSONL file. Blank lines are passed over.
pub(super) struct Lines {
    bytes: Bytes,
    field: String,
    line: Vec<u8>,
    number: u64,
    /// Of the first byte of the next line.
    offset: u64,
    line_bytes_max: usize,
    done: bool,
}

impl Lines {
    pub fn new(bytes: Bytes, options: &ReadOptions) -> Self {
        Self {
            bytes,
            field: options.field.clone(),
            line: Vec::new(),
            number: 0,
            offset: 0,
            line_bytes_max: LINE_BYTES_MAX,
            done: false,
        }
    }

    #[cfg(test)]
    pub fn with_line_bytes_max(mut self, limit: usize) -> Self {
        self.line_bytes_max = limit;
        self
    }

    fn next_document(&mut self) -> Result<Option<Document>, DataError> {
        while self.read_line()? {
            let start = self.offset;
            self.offset += self.line.len() as u64;
            let line = self.line_text(start)?;
            if line.trim().is_empty() {
                continue;
            }
            let text = text_of(line, &self.field).map_err(|problem| self.problem(problem))?;
            let origin = Origin { file: self.bytes.file.clone(), number: self.number };
            return Ok(Some(Document { text, origin, ends: true }));
        }
        Ok(None)
    }

    /// Reads up to and with the next line feed; `false` at the end.
    fn read_line(&mut self) -> Result<bool, DataError> {
        self.line.clear();
        self.number += 1;
        loop {
            let chunk = self.bytes.fill()?;
            let end = chunk.iter().position(|&byte| byte == b'\n');
            let n_bytes = end.map_or(chunk.len(), |at| at + 1);
            self.line.extend_from_slice(&chunk[..n_bytes]);
            self.bytes.consume(n_bytes);
            if self.line.len() > self.line_bytes_max {
                return Err(self.problem(LineProblem::TooLong { limit: self.line_bytes_max }));
            }
            if end.is_some() || n_bytes == 0 {
                return Ok(!self.line.is_empty());
            }
        }
    }

    fn line_text(&self, start: u64) -> Result<&str, DataError> {
        let file = || self.bytes.file.to_string();
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

    fn problem(&self, problem: LineProblem) -> DataError {
        DataError::Line { file: self.bytes.file.to_string(), line: self.number, problem }
    }
}

impl Iterator for Lines {
    type Item = Result<Document, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let document = self.next_document().transpose();
        self.done = !matches!(document, Some(Ok(_)));
        document
    }
}

fn text_of(line: &str, field: &str) -> Result<String, LineProblem> {
    let mut object = match serde_json::from_str(line).map_err(LineProblem::Json)? {
        Value::Object(object) => object,
        other => return Err(LineProblem::NotObject(kind(&other))),
    };
    match object.remove(field) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(LineProblem::NotString { field: field.to_owned(), found: kind(&other) }),
        None => {
            let has: Vec<_> = object.keys().collect();
            let has = if has.is_empty() { "none".to_owned() } else { quoted(&has) };
            Err(LineProblem::Missing { field: field.to_owned(), has })
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
