//! Documents into a file.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::iter;
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::SerializedFileReader;
use parquet::file::writer::SerializedFileWriter;
use parquet::record::{Row, RowAccessor};
use parquet::schema::parser::parse_message_type;
use serde::{Deserialize, Serialize};

use crate::Document;

/// A row group has about as much text, in bytes.
const GROUP_BYTES: usize = 64 << 20;

/// What a shard is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShardFormat {
    /// A JSON object a line, compressed with Zstandard.
    #[default]
    JsonlZst,
    /// Columns, compressed with Zstandard.
    Parquet,
}

impl ShardFormat {
    /// The ending of a shard's name.
    pub(super) fn ending(self) -> &'static str {
        match self {
            Self::JsonlZst => "jsonl.zst",
            Self::Parquet => "parquet",
        }
    }
}

/// A shard that is being written; equal documents give equal bytes.
pub(super) enum Shard<W: Write + Send> {
    Jsonl(zstd::Encoder<'static, W>),
    Parquet { writer: Box<SerializedFileWriter<W>>, group: Vec<Document>, n_bytes: usize },
}

impl<W: Write + Send> Shard<W> {
    pub fn new(format: ShardFormat, level: i32, out: W) -> io::Result<Self> {
        if format == ShardFormat::JsonlZst {
            let mut encoder = zstd::Encoder::new(out, level)?;
            encoder.include_checksum(true)?;
            return Ok(Self::Jsonl(encoder));
        }
        let schema = "message document {
            required binary text (UTF8);
            required binary source (UTF8);
            required int64 offset;
            required binary url (UTF8);
            required binary date (UTF8);
            required binary language (UTF8);
            required float language_score;
            required binary personal (UTF8);
        }";
        let schema = parse_message_type(schema).map_err(io_error)?;
        let level = ZstdLevel::try_new(level).map_err(io_error)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_created_by("lyceum".to_owned());
        let writer = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties.build()));
        let writer = Box::new(writer.map_err(io_error)?);
        Ok(Self::Parquet { writer, group: Vec::new(), n_bytes: 0 })
    }

    pub fn push(&mut self, document: Document) -> io::Result<()> {
        match self {
            Self::Jsonl(encoder) => {
                serde_json::to_writer(&mut *encoder, &document)?;
                encoder.write_all(b"\n")
            }
            Self::Parquet { writer, group, n_bytes } => {
                *n_bytes += document.text.len();
                group.push(document);
                if *n_bytes < GROUP_BYTES {
                    return Ok(());
                }
                *n_bytes = 0;
                write_group(writer, &std::mem::take(group)).map_err(io_error)
            }
        }
    }

    /// Writes what is left, and gives back what it wrote to.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Self::Jsonl(encoder) => encoder.finish(),
            Self::Parquet { mut writer, group, .. } => {
                write_group(&mut writer, &group).map_err(io_error)?;
                writer.into_inner().map_err(io_error)
            }
        }
    }
}

fn write_group<W: Write + Send>(
    writer: &mut SerializedFileWriter<W>,
    group: &[Document],
) -> Result<(), ParquetError> {
    if group.is_empty() {
        return Ok(());
    }
    let mut rows = writer.next_row_group()?;
    let texts: [fn(&Document) -> Cow<str>; 6] = [
        |document| document.text.as_str().into(),
        |document| document.source.as_str().into(),
        |document| document.url.as_str().into(),
        |document| document.date.as_str().into(),
        |document| document.language.as_str().into(),
        |document| serde_json::to_string(&document.personal).unwrap_or_default().into(),
    ];
    let mut texts = texts.into_iter();
    for i in 0.. {
        let Some(mut column) = rows.next_column()? else { break };
        match i {
            2 => {
                let values: Vec<_> = group.iter().map(|document| document.offset as i64).collect();
                column.typed::<Int64Type>().write_batch(&values, None, None)?;
            }
            6 => {
                let values: Vec<_> = group.iter().map(|document| document.language_score).collect();
                column.typed::<FloatType>().write_batch(&values, None, None)?;
            }
            _ => {
                let Some(text) = texts.next() else { break };
                let values: Vec<_> =
                    group.iter().map(|document| ByteArray::from(&*text(document))).collect();
                column.typed::<ByteArrayType>().write_batch(&values, None, None)?;
            }
        }
        column.close()?;
    }
    rows.close()?;
    Ok(())
}

/// The documents of a shard, in order.
pub(super) fn read(
    format: ShardFormat,
    file: File,
) -> io::Result<Box<dyn Iterator<Item = io::Result<Document>>>> {
    if format == ShardFormat::Parquet {
        let rows = SerializedFileReader::new(file).map_err(io_error)?.into_iter();
        return Ok(Box::new(rows.map(|row| document(&row?)).map(|row| row.map_err(io_error))));
    }
    let mut lines = BufReader::with_capacity(1 << 16, zstd::Decoder::new(file)?);
    let mut line = Vec::new();
    let mut next = move || {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        let document = serde_json::from_slice(&line);
        document.map(Some).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
    };
    Ok(Box::new(iter::from_fn(move || next().transpose())))
}

fn document(row: &Row) -> Result<Document, ParquetError> {
    let text = |i| row.get_string(i).cloned();
    let personal = serde_json::from_str(row.get_string(7)?);
    Ok(Document {
        text: text(0)?,
        source: text(1)?,
        offset: row.get_long(2)? as u64,
        url: text(3)?,
        date: text(4)?,
        language: text(5)?,
        language_score: row.get_float(6)?,
        personal: personal.map_err(|error| ParquetError::External(error.into()))?,
    })
}

/// What the system said, where it is that and not the format.
fn io_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(source) => io::Error::other(source),
        },
        error => io::Error::other(error),
    }
}
