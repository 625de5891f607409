//! Parquet: whole rows, with lists and structs in them.

use std::path::Path;
use std::sync::Arc;

use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::ReaderProperties;
use parquet::file::reader::{FileReader, Length, RowGroupReader};
use parquet::file::serialized_reader::SerializedRowGroupReader;
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use parquet::schema::types::Type;
use serde_json::{Map, Number, Value};

use super::columns::{check_ranges, guarded, open};
use super::pages::Pages;
use crate::DataError;

const BATCH_ROWS: usize = 64;
/// Lists and structs inside of each other; two names a level.
const PATH_MAX: usize = 32;

/// The rows of one file, as JSON.
pub struct ParquetRows {
    file: String,
    /// `None` after the end, or an error.
    rows: Option<RowIter<'static>>,
    columns: Vec<String>,
    notes: Vec<(String, String)>,
    number: u64,
}

impl ParquetRows {
    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be opened, is no regular file, or its index is not that of a Parquet file.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let file = path.to_string_lossy().into_owned();
        let failed = |reason: String| DataError::Parquet { file: file.clone(), reason };
        let (handle, index) = open(path)?;
        let schema = index.file_metadata().schema_descr();
        if schema.num_columns() == 0 {
            return Err(failed("it has no columns".to_owned()));
        }
        if schema.columns().iter().any(|column| column.path().parts().len() > PATH_MAX) {
            return Err(failed("its lists are too deep inside of others".to_owned()));
        }
        for idx in 0..schema.num_columns() {
            check_ranges(&index, idx, handle.len()).map_err(failed)?;
        }
        let fields = schema.root_schema().get_fields().iter();
        let columns = fields.map(|field| field.name().to_owned()).collect();
        let notes = index.file_metadata().key_value_metadata().into_iter().flatten();
        let notes = notes.filter_map(|note| Some((note.key.clone(), note.value.clone()?)));
        let notes = notes.collect();
        let reader = Box::new(Checked { pages: Arc::new(Pages(handle)), index });
        let rows = Some(RowIter::from_file_into(reader).with_batch_size(BATCH_ROWS));
        Ok(Self { file, rows, columns, notes, number: 0 })
    }

    /// The names of its columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// What its writer noted under a key.
    pub fn note(&self, key: &str) -> Option<&str> {
        self.notes.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The number of the row that was given last, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The next row; `None` at the end. Bytes that are not UTF-8 are `{"bytes": LENGTH}`.
    ///
    /// # Errors
    /// When the file is damaged, or holds what cannot be read.
    pub fn next_row(&mut self) -> Result<Option<Map<String, Value>>, DataError> {
        let Some(mut rows) = self.rows.take() else { return Ok(None) };
        let row = guarded(|| rows.next().transpose().map(|row| row.map(object)));
        let failed = |reason| DataError::Parquet { file: self.file.clone(), reason };
        let Some(row) = row.map_err(failed)? else { return Ok(None) };
        self.rows = Some(rows);
        self.number += 1;
        Ok(Some(row))
    }
}

/// A file whose index is read, and whose pages are looked at before they are believed.
struct Checked {
    pages: Arc<Pages>,
    index: ParquetMetaData,
}

impl FileReader for Checked {
    fn metadata(&self) -> &ParquetMetaData {
        &self.index
    }

    fn num_row_groups(&self) -> usize {
        self.index.num_row_groups()
    }

    fn get_row_group(&self, i: usize) -> ParquetResult<Box<dyn RowGroupReader + '_>> {
        let (pages, places) = (Arc::clone(&self.pages), self.index.page_index_for_row_group(i));
        let settings = Arc::new(ReaderProperties::builder().build());
        let group = self.index.row_group(i);
        Ok(Box::new(SerializedRowGroupReader::new(pages, group, places, settings)?))
    }

    fn get_row_iter(&self, columns: Option<Type>) -> ParquetResult<RowIter<'_>> {
        RowIter::from_file(columns, self)
    }
}

fn object(row: Row) -> Map<String, Value> {
    row.into_columns().into_iter().map(|(name, field)| (name, value(field))).collect()
}

fn value(field: Field) -> Value {
    let float = |x: f64| Number::from_f64(x).map_or(Value::Null, Value::Number);
    match field {
        Field::Null => Value::Null,
        Field::Bool(is) => is.into(),
        Field::Byte(n) => n.into(),
        Field::Short(n) => n.into(),
        Field::Int(n) | Field::Date(n) | Field::TimeMillis(n) => n.into(),
        Field::Long(n)
        | Field::TimeMicros(n)
        | Field::TimestampMillis(n)
        | Field::TimestampMicros(n) => n.into(),
        Field::UByte(n) => n.into(),
        Field::UShort(n) => n.into(),
        Field::UInt(n) => n.into(),
        Field::ULong(n) => n.into(),
        Field::Float16(x) => float(x.to_f64()),
        // The shortest decimal of an f32 is what was meant, not that of its f64.
        Field::Float(x) => float(x.to_string().parse().unwrap_or(f64::from(x))),
        Field::Double(x) => float(x),
        Field::Str(text) => text.into(),
        Field::Bytes(bytes) => match std::str::from_utf8(bytes.data()) {
            Ok(text) => text.into(),
            Err(_) => serde_json::json!({"bytes": bytes.len()}),
        },
        decimal @ Field::Decimal(_) => decimal.to_string().into(),
        Field::Group(row) => object(row).into(),
        Field::ListInternal(list) => list.elements().iter().cloned().map(value).collect(),
        Field::MapInternal(map) => {
            let name = |key: &Field| match key {
                Field::Str(text) => text.clone(),
                other => other.to_string(),
            };
            let pairs = map.entries().iter().map(|(k, v)| (name(k), value(v.clone())));
            Value::Object(pairs.collect())
        }
    }
}
