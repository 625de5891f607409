//! CSV and TSV: rows below a row of names, the text in one of their columns. CSV is RFC 4180's: a
//! quoted field may have line breaks. TSV is IANA's `text/tab-separated-values`, where a quote is a
//! character like any other, and a line a row.

use std::path::Path;
use std::sync::Arc;

use csv::{ByteRecord, ErrorKind, Position, ReaderBuilder};

use super::bounded::{Bounded, PIECE_BYTES_MAX};
use super::bytes::Bytes;
use super::{Document, Records};
use crate::DataError;

const HINT_ROWS: &str = "every row has as many fields as the first, which names them";
const HINT_QUOTE: &str = "is there a quote that is not closed?";

/// The cells of a file's rows, as they stand there. A byte order mark is taken off.
pub struct Cells {
    reader: csv::Reader<Bounded>,
    row: ByteRecord,
}

impl Cells {
    /// Opens a file whose cells are apart by `delimiter`, and may be in double quotes if `quoting`.
    ///
    /// # Errors
    /// When it cannot be opened, is no regular file, or does not begin as the compression does that
    /// its name promises.
    pub fn open(path: &Path, delimiter: u8, quoting: bool) -> Result<Self, DataError> {
        Ok(Self::new(Bytes::open(path, &Arc::default())?, delimiter, quoting))
    }

    fn new(bytes: Bytes, delimiter: u8, quoting: bool) -> Self {
        let bytes = Bounded::new(bytes, PIECE_BYTES_MAX);
        let mut builder = ReaderBuilder::new();
        builder.delimiter(delimiter).quoting(quoting).flexible(true).has_headers(false);
        Self { reader: builder.from_reader(bytes), row: ByteRecord::new() }
    }

    /// Reads the next row and gives the number of its cells; `None` at the end.
    ///
    /// # Errors
    /// When it cannot be read, or has more than 64 MiB.
    pub fn next_row(&mut self) -> Result<Option<usize>, DataError> {
        self.reader.get_mut().begin();
        match self.reader.read_byte_record(&mut self.row) {
            Ok(is_there) => Ok(is_there.then_some(self.row.len())),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// A cell of the row read last; empty where the row is shorter.
    ///
    /// # Errors
    /// When it is not UTF-8, or has a NUL.
    pub fn cell(&self, idx: usize) -> Result<&str, DataError> {
        let bytes = self.row.get(idx).unwrap_or_default();
        let (file, byte) =
            (|| self.file().to_owned(), self.row.position().map_or(0, Position::byte));
        if bytes.contains(&0) {
            return Err(DataError::Binary { file: file(), byte });
        }
        std::str::from_utf8(bytes).map_err(|_| DataError::Utf8 {
            file: file(),
            byte,
            line: Some(self.line()),
            utf16: false,
        })
    }

    /// The line on which the row read last begins, from 1.
    pub fn line(&self) -> u64 {
        self.row.position().map_or(0, Position::line)
    }

    /// The file's name.
    pub fn file(&self) -> &str {
        self.reader.get_ref().file()
    }

    /// What is wrong with a row that has not `n` cells, as the first row has.
    pub fn uneven(&self, n: usize) -> DataError {
        let problem = format!("{} fields, the first row has {n}", self.row.len());
        DataError::Line {
            file: self.file().to_owned(),
            line: self.line(),
            problem,
            hint: HINT_ROWS,
        }
    }

    fn failed(&self, error: csv::Error) -> DataError {
        let line = error.position().map_or_else(|| self.reader.position().line(), Position::line);
        let text = error.to_string();
        let bytes = self.reader.get_ref();
        let (problem, hint) = match error.into_kind() {
            ErrorKind::Io(error) => match bytes.failed(error) {
                Some(error) => return error,
                None => (format!("a row of more than {PIECE_BYTES_MAX} bytes"), HINT_QUOTE),
            },
            _ => (text, HINT_ROWS),
        };
        DataError::Line { file: self.file().to_owned(), line, problem, hint }
    }
}

/// The documents of one file.
pub(super) struct Table {
    cells: Cells,
    n_columns: usize,
    column_idx: usize,
    spans_idx: Option<usize>,
}

impl Table {
    pub fn open(
        bytes: Bytes,
        (text, spans): (&str, Option<&str>),
        delimiter: u8,
    ) -> Result<Self, DataError> {
        let mut cells = Cells::new(bytes, delimiter, delimiter == b',');
        let n_columns = cells.next_row()?.unwrap_or(0);
        let find = |column: &str| {
            let name = |idx| cells.row.get(idx).map(String::from_utf8_lossy).unwrap_or_default();
            let missing = || DataError::Column {
                file: cells.file().to_owned(),
                column: column.to_owned(),
                problem: "is not there".to_owned(),
                columns: (0..n_columns).map(|idx| name(idx).into_owned()).collect(),
            };
            (0..n_columns).find(|&idx| name(idx) == column).ok_or_else(missing)
        };
        let (column_idx, spans_idx) = (find(text)?, spans.map(find).transpose()?);
        Ok(Self { cells, n_columns, column_idx, spans_idx })
    }
}

impl Records for Table {
    fn next_document(&mut self) -> Result<Option<Document>, DataError> {
        match self.cells.next_row()? {
            Some(n) if n == self.n_columns => {}
            Some(_) => return Err(self.cells.uneven(self.n_columns)),
            None => return Ok(None),
        }
        Ok(Some(Document::new(self.cells.cell(self.column_idx)?.to_owned(), true)))
    }

    fn place(&self) -> Option<String> {
        Some(format!("`{}`, line {}", self.cells.file(), self.cells.line()))
    }

    fn spans(&mut self) -> Option<String> {
        let bytes = self.cells.row.get(self.spans_idx?)?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }
}
