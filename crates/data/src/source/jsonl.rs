//! JSONL: one object a line, the text in one of its fields.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::bytes::Bytes;
use super::{Document, Records};
use crate::DataError;
use crate::error::quoted;

/// A line is held whole; a longer one is no line of text.
const LINE_BYTES_MAX: usize = 64 << 20;

const HINT_LINES: &str = "JSONL is one JSON object a line; a text file is `--format text`, or in a \
    recipe `data.read.format = \"text\"`";
const HINT_FIELD: &str =
    "name the field that holds the text: `--field NAME`, or in a recipe `data.read.field`";
const HINT_LENGTH: &str = "is it one JSON object a line?";

/// What is wrong with a line, and what to do about it.
type Problem = (String, &'static str);

/// The documents of one JSONL file. Blank lines are passed over.
pub(super) struct Lines {
    bytes: Bytes,
    field: String,
    /// The field that says where phrases are, and what it says of the last line.
    spans_field: Option<String>,
    spans: Option<String>,
    line: Vec<u8>,
    number: u64,
    /// Of the first byte of the next line.
    offset: u64,
    pub line_bytes_max: usize,
}

impl Lines {
    pub fn new(bytes: Bytes, field: &str, spans: Option<&str>) -> Self {
        Self {
            bytes,
            field: field.to_owned(),
            spans_field: spans.map(str::to_owned),
            spans: None,
            line: Vec::new(),
            number: 0,
            offset: 0,
            line_bytes_max: LINE_BYTES_MAX,
        }
    }

    fn line_text(&self, start: u64) -> Result<&str, DataError> {
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

    fn failed(&self, (problem, hint): Problem) -> DataError {
        DataError::Line { file: self.bytes.file.clone(), line: self.number, problem, hint }
    }
}

impl Records for Lines {
    fn next_document(&mut self) -> Result<Option<Document>, DataError> {
        loop {
            let (start, limit) = (self.offset, self.line_bytes_max);
            self.line.clear();
            self.number += 1;
            let n_bytes = self.bytes.read_line(limit + 1, &mut self.line)?;
            self.offset += n_bytes as u64;
            if n_bytes == 0 {
                return Ok(None);
            }
            if n_bytes > limit {
                let problem = format!("it is longer than {limit} bytes");
                return Err(self.failed((problem, HINT_LENGTH)));
            }
            let line = self.line_text(start)?;
            if !line.trim().is_empty() {
                let fields = (self.field.as_str(), self.spans_field.as_deref());
                let (text, spans) = text_of(line, fields).map_err(|p| self.failed(p))?;
                self.spans = spans;
                return Ok(Some(Document::new(text, true)));
            }
        }
    }

    fn place(&self) -> Option<String> {
        Some(format!("`{}`, line {}", self.bytes.file, self.number))
    }

    fn spans(&mut self) -> Option<String> {
        self.spans.take()
    }
}

/// The string in `field`, null being none, and what `spans` holds. The other fields are read over:
/// they take no memory.
fn text_of(
    line: &str,
    (field, spans): (&str, Option<&str>),
) -> Result<(String, Option<String>), Problem> {
    let object: BTreeMap<String, &RawValue> =
        serde_json::from_str(line).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => {
                (format!("it is {}, not an object", kind(line)), HINT_LINES)
            }
            _ => (error.to_string(), HINT_LINES),
        })?;
    let Some(value) = object.get(field).map(|value| value.get()) else {
        let names: Vec<_> = object.keys().collect();
        let has = if names.is_empty() { "none".to_owned() } else { quoted(&names) };
        return Err((format!("field `{field}` is missing (it has {has})"), HINT_FIELD));
    };
    if value == "null" {
        return Ok((String::new(), None));
    }
    if !value.starts_with('"') {
        return Err((format!("field `{field}` is {}, not a string", kind(value)), HINT_FIELD));
    }
    let text = serde_json::from_str(value).map_err(|error| (error.to_string(), HINT_LINES))?;
    let spans = spans.and_then(|spans| object.get(spans)).map(|value| value.get().to_owned());
    Ok((text, spans))
}

/// What a JSON value is, by its first character.
fn kind(json: &str) -> &'static str {
    match json.trim_start().as_bytes() {
        [b'n', ..] => "null",
        [b't' | b'f', ..] => "a boolean",
        [b'"', ..] => "a string",
        [b'[', ..] => "a list",
        [b'{', ..] => "an object",
        _ => "a number",
    }
}
