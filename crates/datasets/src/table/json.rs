//! A file of JSON that is one list, or objects one after the other.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use data::Lines;
use serde_json::value::RawValue;
use serde_json::{Deserializer, Value};

use super::{Row, place, squad};
use crate::error::{DatasetError, Place};

/// A file of JSON is held whole.
const FILE_BYTES_MAX: usize = 1 << 30;

const HINT_JSON: &str = "JSON is a list of objects, JSONL one object a line; is the file whole?";
const HINT_LARGE: &str = "write it as JSONL, one object a line: it is read line by line";

/// The objects of one file.
pub(super) struct Items {
    file: Arc<str>,
    text: String,
    /// The next byte, and the line it is on.
    at: usize,
    line: u64,
    is_list: bool,
    /// The list is `data` of an object, which ends after it.
    is_inner: bool,
    is_first: bool,
    /// Of an article of `SQuAD`: its questions, and how many there were before.
    questions: VecDeque<Row>,
    n_questions: u64,
}

impl Items {
    pub fn open(path: &Path) -> Result<Self, DatasetError> {
        let mut lines = Lines::open(path)?;
        lines.line_bytes_max = FILE_BYTES_MAX;
        let file: Arc<str> = lines.file().into();
        let mut text = String::new();
        while let Some(line) = lines.next_line()? {
            if text.len() + line.len() > FILE_BYTES_MAX {
                let problem = format!("more than {FILE_BYTES_MAX} bytes of JSON");
                let at = place(&file, "line", lines.number());
                return Err(DatasetError::Row { at, problem, hint: HINT_LARGE });
            }
            text.push_str(line);
        }
        let mut items = Self {
            file,
            text,
            at: 0,
            line: 1,
            is_list: false,
            is_inner: false,
            is_first: true,
            questions: VecDeque::new(),
            n_questions: 0,
        };
        items.find_list();
        Ok(items)
    }

    /// Goes to the first item.
    fn find_list(&mut self) {
        self.skip_blanks();
        let mut start = self.text[self.at..].starts_with('[').then_some(self.at);
        let mut values = Deserializer::from_str(&self.text[self.at..])
            .into_iter::<BTreeMap<String, &RawValue>>();
        if start.is_none()
            && let Some(Ok(object)) = values.next()
            && self.text[self.at + values.byte_offset()..].trim().is_empty()
            && let Some(list) = object.get("data").filter(|list| list.get().starts_with('['))
        {
            start = Some(list.get().as_ptr() as usize - self.text.as_ptr() as usize);
            self.is_inner = true;
        }
        if let Some(start) = start {
            self.advance(start + 1 - self.at);
            self.is_list = true;
        }
    }

    pub fn next_row(&mut self) -> Result<Option<Row>, DatasetError> {
        loop {
            if let Some(row) = self.questions.pop_front() {
                return Ok(Some(row));
            }
            let Some(row) = self.next_object()? else { return Ok(None) };
            if !(self.is_inner && row.fields.contains_key("paragraphs")) {
                return Ok(Some(row));
            }
            self.questions = squad::questions(row, &mut self.n_questions)?;
        }
    }

    fn next_object(&mut self) -> Result<Option<Row>, DatasetError> {
        self.skip_blanks();
        if self.is_list && self.text[self.at..].starts_with(']') {
            self.advance(1);
            self.skip_blanks();
            if !self.is_inner && self.at < self.text.len() {
                return Err(self.failed("something stands after the end of the list"));
            }
            self.at = self.text.len();
            self.is_list = false;
            return Ok(None);
        }
        if self.is_list && !self.is_first {
            if !self.text[self.at..].starts_with(',') {
                return Err(self.failed("a comma or the end of the list was wanted"));
            }
            self.advance(1);
            self.skip_blanks();
        }
        self.is_first = false;
        if self.at == self.text.len() {
            let ended =
                if self.is_list { Err(self.failed("the list does not end")) } else { Ok(None) };
            return ended;
        }
        let mut values = Deserializer::from_str(&self.text[self.at..]).into_iter::<Value>();
        let value = values.next().unwrap_or(Ok(Value::Null));
        let n_bytes = values.byte_offset();
        let row = object(value, place(&self.file, "line", self.line))?;
        self.advance(n_bytes);
        Ok(Some(row))
    }

    fn skip_blanks(&mut self) {
        let rest = &self.text[self.at..];
        self.advance(rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len());
    }

    fn advance(&mut self, n_bytes: usize) {
        let passed = &self.text.as_bytes()[self.at..self.at + n_bytes];
        self.line += passed.split(|&byte| byte == b'\n').count() as u64 - 1;
        self.at += n_bytes;
    }

    fn failed(&self, problem: &str) -> DatasetError {
        let at = place(&self.file, "line", self.line);
        DatasetError::Row { at, problem: problem.to_owned(), hint: HINT_JSON }
    }
}

/// A row of an object.
pub(super) fn object(
    value: Result<Value, serde_json::Error>,
    at: Place,
) -> Result<Row, DatasetError> {
    let problem = match value {
        Ok(Value::Object(fields)) if fields.len() <= super::COLUMNS_MAX => {
            return Ok(Row { at, fields });
        }
        Ok(Value::Object(fields)) => format!("an object of {} fields", fields.len()),
        Ok(other) => format!("it {}, not an object", super::kind(&other)),
        // Its line counts from the beginning of the object, and is given above.
        Err(error) => {
            let text = error.to_string();
            text.rsplit_once(" at line ").map_or(text.clone(), |(reason, _)| reason.to_owned())
        }
    };
    Err(DatasetError::Row { at, problem, hint: HINT_JSON })
}
