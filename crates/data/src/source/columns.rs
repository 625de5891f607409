//! Parquet: a column of strings, or two, read page by page.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::vec;

use parquet::basic::Type;
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::Length;
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::schema::types::ColumnDescPtr;

use super::pages::Pages;
use super::{Document, Records, footer};
use crate::DataError;

const BATCH_ROWS: usize = 64;

/// The rows of one column of one file.
struct Rows {
    pages: Arc<Pages>,
    index: ParquetMetaData,
    file: String,
    column: ColumnDescPtr,
    column_idx: usize,
    /// The next row group, and the column in the present one.
    group: usize,
    values: Option<ColumnReaderImpl<ByteArrayType>>,
    batch: vec::IntoIter<Option<ByteArray>>,
    number: u64,
}

impl Rows {
    fn open(path: &Path, column: &str) -> Result<Self, DataError> {
        let file = path.to_string_lossy().into_owned();
        let (handle, index) = open(path)?;
        let (column_idx, column) = find(&index, &file, column)?;
        check_ranges(&index, column_idx, handle.len())
            .map_err(|reason| DataError::Parquet { file: file.clone(), reason })?;
        Ok(Self {
            pages: Arc::new(Pages(handle)),
            index,
            file,
            column,
            column_idx,
            group: 0,
            values: None,
            batch: Vec::new().into_iter(),
            number: 0,
        })
    }

    /// Reads rows into `batch`; `false` at the end of the file.
    fn read_batch(&mut self) -> Result<bool, DataError> {
        let failed = |reason| DataError::Parquet { file: self.file.clone(), reason };
        loop {
            if let Some(values) = &mut self.values {
                let max_def_level = self.column.max_def_level();
                let batch = guarded(|| read_values(values, max_def_level)).map_err(failed)?;
                if !batch.is_empty() {
                    self.batch = batch.into_iter();
                    return Ok(true);
                }
            }
            let Some(group) = self.index.row_groups().get(self.group) else { return Ok(false) };
            let (chunk, n_rows) = (group.column(self.column_idx), group.num_rows() as usize);
            let pages = Arc::clone(&self.pages);
            let pages = guarded(|| SerializedPageReader::new(pages, chunk, n_rows, None));
            let pages = Box::new(pages.map_err(failed)?);
            self.values = Some(ColumnReaderImpl::new(Arc::clone(&self.column), pages));
            self.group += 1;
        }
    }

    /// The next value; `None` in it where the row has none.
    #[expect(clippy::option_option, reason = "no row more, or one that is null")]
    fn next_value(&mut self) -> Result<Option<Option<String>>, DataError> {
        let value = loop {
            match self.batch.next() {
                Some(value) => break value,
                None if self.read_batch()? => {}
                None => return Ok(None),
            }
        };
        self.number += 1;
        let Some(value) = value else { return Ok(Some(None)) };
        let text = std::str::from_utf8(value.data()).map_err(|_| self.problem("is not UTF-8"))?;
        Ok(Some(Some(text.to_owned())))
    }

    fn problem(&self, problem: &str) -> DataError {
        DataError::Column {
            file: self.file.clone(),
            column: self.column.path().string(),
            problem: format!("{problem} in row {}", self.number),
            columns: vec![self.column.path().string()],
        }
    }
}

/// A file and what its end says of it.
pub(super) fn open(path: &Path) -> Result<(File, ParquetMetaData), DataError> {
    let file = || path.to_string_lossy().into_owned();
    let is_compressed = |end: &str| path.extension().is_some_and(|name| name == end);
    if ["gz", "zst", "bz2"].into_iter().any(is_compressed) {
        return Err(DataError::CompressedParquet { file: file() });
    }
    let handle = mapped::open_regular(path).map_err(DataError::io("open", path))?;
    let index = guarded(|| {
        footer::check(&handle)?;
        ParquetMetaDataReader::new().parse_and_finish(&handle)
    });
    Ok((handle, index.map_err(|reason| DataError::Parquet { file: file(), reason })?))
}

/// The column with the text, and perhaps one of JSON that says where phrases are.
pub(super) struct Table {
    texts: Rows,
    spans: Option<Rows>,
    last_spans: Option<String>,
}

impl Table {
    pub fn open(path: &Path, text: &str, spans: Option<&str>) -> Result<Self, DataError> {
        let spans = spans.map(|column| Rows::open(path, column)).transpose()?;
        Ok(Self { texts: Rows::open(path, text)?, spans, last_spans: None })
    }
}

impl Records for Table {
    fn next_document(&mut self) -> Result<Option<Document>, DataError> {
        let Some(text) = self.texts.next_value()? else { return Ok(None) };
        // Null is a record without text.
        let text = text.unwrap_or_default();
        if let Some(spans) = &mut self.spans {
            let missing = || DataError::Parquet {
                file: self.texts.file.clone(),
                reason: "its columns are not of one length".to_owned(),
            };
            let found = spans.next_value()?.ok_or_else(missing)?;
            self.last_spans = found.filter(|_| !text.is_empty());
        }
        Ok(Some(Document::new(text, true)))
    }

    fn place(&self) -> Option<String> {
        Some(format!("`{}`, row {}", self.texts.file, self.texts.number))
    }

    fn spans(&mut self) -> Option<String> {
        self.last_spans.take()
    }
}

/// A row that is null has no value: levels say which those are.
fn read_values(
    reader: &mut ColumnReaderImpl<ByteArrayType>,
    max_def_level: i16,
) -> Result<Vec<Option<ByteArray>>, ParquetError> {
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    let levels_wanted = (max_def_level > 0).then_some(&mut levels);
    reader.read_records(BATCH_ROWS, levels_wanted, None, &mut values)?;
    if max_def_level == 0 {
        return Ok(values.into_iter().map(Some).collect());
    }
    let mut values = values.into_iter();
    let row = |level: i16| if level == max_def_level { values.next() } else { None };
    Ok(levels.into_iter().map(row).collect())
}

fn find(
    index: &ParquetMetaData,
    file: &str,
    name: &str,
) -> Result<(usize, ColumnDescPtr), DataError> {
    let schema = index.file_metadata().schema_descr_ptr();
    let is_text = |column: &ColumnDescPtr| {
        column.physical_type() == Type::BYTE_ARRAY && column.max_rep_level() == 0
    };
    let columns = schema.columns();
    let texts = columns.iter().filter(|column| is_text(column));
    let refused = |problem: &str| DataError::Column {
        file: file.to_owned(),
        column: name.to_owned(),
        problem: problem.to_owned(),
        columns: texts.map(|column| column.path().string()).collect(),
    };
    match columns.iter().enumerate().find(|(_, column)| column.path().string() == name) {
        Some((idx, column)) if is_text(column) => Ok((idx, Arc::clone(column))),
        Some((_, column)) if column.max_rep_level() > 0 => Err(refused("is a list")),
        Some((_, column)) => Err(refused(&format!("is {}, not a string", column.physical_type()))),
        None => Err(refused("is missing")),
    }
}

/// Where a row group says its column is must be in the file; the reader trusts it.
pub(super) fn check_ranges(
    index: &ParquetMetaData,
    column_idx: usize,
    n_bytes: u64,
) -> Result<(), String> {
    for (i, group) in index.row_groups().iter().enumerate() {
        let Some(column) = group.columns().get(column_idx) else {
            return Err(format!("row group {i} lacks columns"));
        };
        let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
        let [start, len] =
            [start, column.compressed_size()].map(|n| u64::try_from(n).unwrap_or(u64::MAX));
        if group.num_rows() < 0 || start.checked_add(len).is_none_or(|end| end > n_bytes) {
            return Err(format!("row group {i} is not in the file"));
        }
    }
    Ok(())
}

/// The reader checks much and not all: a damaged file may make it panic, which is an error of the
/// file like any other.
pub(super) fn guarded<T>(f: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("it is damaged".to_owned()),
    }
}
