//! JSONL: one object a line, the text in one of its fields.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::lines::Lines;
use super::{Document, Records};
use crate::DataError;
use crate::error::quoted;

const HINT_LINES: &str = "JSONL is one JSON object a line; a text file is `--format text`, or in a \
    recipe `data.read.format = \"text\"`";
const HINT_FIELD: &str =
    "name the field that holds the text: `--field NAME`, or in a recipe `data.read.field`";

/// What is wrong with a line, and what to do about it.
type Problem = (String, &'static str);

/// The documents of one JSONL file. Blank lines are passed over.
pub(super) struct Objects {
    lines: Lines,
    field: String,
    /// The field that says where phrases are, and what it says of the last line.
    spans_field: Option<String>,
    spans: Option<String>,
}

impl Objects {
    pub fn new(lines: Lines, field: &str, spans: Option<&str>) -> Self {
        let (field, spans_field) = (field.to_owned(), spans.map(str::to_owned));
        Self { lines, field, spans_field, spans: None }
    }
}

impl Records for Objects {
    fn next_document(&mut self) -> Result<Option<Document>, DataError> {
        while let Some(line) = self.lines.next_line()? {
            if line.trim().is_empty() {
                continue;
            }
            let fields = (self.field.as_str(), self.spans_field.as_deref());
            let (text, spans) =
                text_of(line, fields).map_err(|problem| self.lines.failed(problem))?;
            self.spans = spans;
            return Ok(Some(Document::new(text, true)));
        }
        Ok(None)
    }

    fn place(&self) -> Option<String> {
        Some(format!("`{}`, line {}", self.lines.file(), self.lines.number()))
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
