//! Parquet: one column of strings, read page by page.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::vec;

use parquet::basic::Type;
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescPtr;

use super::Document;
use crate::DataError;

const BATCH_ROWS: usize = 64;

/// The rows of one column of one file.
pub(super) struct Rows {
    reader: SerializedFileReader<File>,
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
    pub fn open(path: &Path, column: &str) -> Result<Self, DataError> {
        let file = path.to_string_lossy().into_owned();
        if file.ends_with(".gz") || file.ends_with(".zst") {
            return Err(DataError::CompressedParquet { file });
        }
        let handle = File::open(path).map_err(DataError::io("open", path))?;
        let damaged = |reason| DataError::Parquet { file: file.clone(), reason };
        let reader = guarded(|| SerializedFileReader::new(handle)).map_err(damaged)?;
        let (column_idx, column) = find(&reader, &file, column)?;
        check_ranges(&reader, column_idx).map_err(damaged)?;
        Ok(Self {
            reader,
            file,
            column,
            column_idx,
            group: 0,
            values: None,
            batch: Vec::new().into_iter(),
            number: 0,
        })
    }

    pub fn next_document(&mut self) -> Result<Option<Document>, DataError> {
        let value = loop {
            match self.batch.next() {
                Some(value) => break value,
                None if self.read_batch()? => {}
                None => return Ok(None),
            }
        };
        self.number += 1;
        let problem = |problem: &str| DataError::Column {
            file: self.file.clone(),
            column: self.column.path().string(),
            problem: format!("{problem} in row {}", self.number),
            columns: vec![self.column.path().string()],
        };
        let value = value.ok_or_else(|| problem("is null"))?;
        let text = std::str::from_utf8(value.data()).map_err(|_| problem("is not UTF-8"))?;
        Ok(Some(Document { text: text.to_owned(), ends: true }))
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
            if self.group >= self.reader.num_row_groups() {
                return Ok(false);
            }
            let (reader, column) = (&self.reader, Arc::clone(&self.column));
            let (group, column_idx) = (self.group, self.column_idx);
            let pages = guarded(|| reader.get_row_group(group)?.get_column_page_reader(column_idx));
            self.values = Some(ColumnReaderImpl::new(column, pages.map_err(failed)?));
            self.group += 1;
        }
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
    reader: &SerializedFileReader<File>,
    file: &str,
    name: &str,
) -> Result<(usize, ColumnDescPtr), DataError> {
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
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

/// Where a row group says its column is; the reader trusts the signs.
fn check_ranges(reader: &SerializedFileReader<File>, column_idx: usize) -> Result<(), String> {
    for (i, group) in reader.metadata().row_groups().iter().enumerate() {
        let Some(column) = group.columns().get(column_idx) else {
            return Err(format!("row group {i} lacks columns"));
        };
        let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
        if start < 0 || column.compressed_size() < 0 || group.num_rows() < 0 {
            return Err(format!("row group {i} has negative offsets"));
        }
    }
    Ok(())
}

/// The reader checks much and not all: a damaged file may make it panic, which is an error of the
/// file like any other.
fn guarded<T>(f: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("it is damaged".to_owned()),
    }
}
