//! CSV and TSV: rows below a row of names, the text in one of their columns. CSV is RFC 4180's: a
//! quoted field may have line breaks. TSV is IANA's `text/tab-separated-values`, where a quote is a
//! character like any other, and a line a row.

use csv::{ByteRecord, ErrorKind, ReaderBuilder};

use super::bounded::{Bounded, PIECE_BYTES_MAX};
use super::bytes::Bytes;
use super::{Document, Records};
use crate::DataError;

const HINT_ROWS: &str = "every row has as many fields as the first, which names them";
const HINT_QUOTE: &str = "is there a quote that is not closed?";

/// The rows of one file.
pub(super) struct Table {
    reader: csv::Reader<Bounded>,
    column_idx: usize,
    spans_idx: Option<usize>,
    row: ByteRecord,
}

impl Table {
    pub fn open(
        bytes: Bytes,
        (text, spans): (&str, Option<&str>),
        delimiter: u8,
    ) -> Result<Self, DataError> {
        let bytes = Bounded::new(bytes, PIECE_BYTES_MAX);
        let reader =
            ReaderBuilder::new().delimiter(delimiter).quoting(delimiter == b',').from_reader(bytes);
        let mut table = Self { reader, column_idx: 0, spans_idx: None, row: ByteRecord::new() };
        let names = match table.reader.byte_headers() {
            Ok(names) => names.clone(),
            Err(error) => return Err(table.failed(error)),
        };
        let find = |column: &str| {
            let missing = || DataError::Column {
                file: table.file(),
                column: column.to_owned(),
                problem: "is not there".to_owned(),
                columns: names.iter().map(|n| String::from_utf8_lossy(n).into_owned()).collect(),
            };
            names.iter().position(|name| name == column.as_bytes()).ok_or_else(missing)
        };
        let (column_idx, spans_idx) = (find(text)?, spans.map(find).transpose()?);
        Ok(Self { column_idx, spans_idx, ..table })
    }

    fn file(&self) -> String {
        self.reader.get_ref().file().to_owned()
    }

    fn failed(&self, error: csv::Error) -> DataError {
        let line =
            error.position().map_or_else(|| self.reader.position().line(), csv::Position::line);
        let text = error.to_string();
        let bytes = self.reader.get_ref();
        let (problem, hint) = match error.into_kind() {
            ErrorKind::Io(error) => match bytes.failed(error) {
                Some(error) => return error,
                None => (format!("a row of more than {PIECE_BYTES_MAX} bytes"), HINT_QUOTE),
            },
            ErrorKind::UnequalLengths { expected_len, len, .. } => {
                (format!("{len} fields, the first row has {expected_len}"), HINT_ROWS)
            }
            _ => (text, HINT_ROWS),
        };
        DataError::Line { file: self.file(), line, problem, hint }
    }
}

impl Records for Table {
    fn next_document(&mut self) -> Result<Option<Document>, DataError> {
        self.reader.get_mut().begin();
        match self.reader.read_byte_record(&mut self.row) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => return Err(self.failed(error)),
        }
        let bytes = self.row.get(self.column_idx).unwrap_or_default();
        let position = self.row.position();
        let (line, start) = position.map_or((0, 0), |at| (at.line(), at.byte()));
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(Document::new(text.to_owned(), true))),
            Err(_) => Err(DataError::Utf8 {
                file: self.file(),
                byte: start,
                line: Some(line),
                utf16: false,
            }),
        }
    }

    fn place(&self) -> Option<String> {
        self.row.position().map(|at| format!("`{}`, line {}", self.file(), at.line()))
    }

    fn spans(&mut self) -> Option<String> {
        let bytes = self.row.get(self.spans_idx?)?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }
}
