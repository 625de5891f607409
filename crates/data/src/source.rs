//! Documents from wherever text is kept.
//!
//! `list` finds the files, `bytes` opens and decompresses one, and a reader a format (`text`,
//! `jsonl`, `columns`) turns its bytes into documents. All of it streams: memory holds a part of
//! a document, a line or a page of a column, whatever the size of the file.

mod bytes;
mod columns;
mod jsonl;
mod list;
mod text;

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Corpus, DataError};
use bytes::Bytes;
use list::Entry;
pub use list::Listing;

/// A text file of more bytes than this is given in parts of about this size.
pub(crate) const PART_BYTES: usize = 1 << 20;

/// Where text comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A corpus in the binary.
    Embedded(Corpus),
    /// Files and folders, read in the order given; a folder's files in the order of their names.
    Paths {
        /// Files and folders.
        paths: Vec<PathBuf>,
        /// How to read them.
        options: ReadOptions,
    },
    /// Standard input, which can be read once: see [`spool`].
    Stdin(ReadOptions),
}

/// How files are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReadOptions {
    /// The format of every file; without it, a file's name decides.
    pub format: Option<Format>,
    /// The JSONL field or the Parquet column with the text.
    pub field: String,
    /// What stands between two documents of a text file; without it, a file is a document.
    pub separator: Option<String>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { format: None, field: "text".to_owned(), separator: None }
    }
}

/// What a file holds; `gzip` and `zstd` around text and JSONL are found by their first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// UTF-8 text.
    Text,
    /// One JSON object a line.
    Jsonl,
    /// Columns; Apache Parquet.
    Parquet,
}

/// A document, or a part of a long one.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The text.
    pub text: String,
    /// Where it is from.
    pub origin: Origin,
    /// Whether the document ends here; `false` for all parts of a long one but the last.
    pub ends: bool,
}

/// Where a document is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file, or a name for what is none.
    pub file: Arc<str>,
    /// Which one: a line of JSONL, a row of a table, a document of a text file; from 1.
    pub number: u64,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.number)
    }
}

type Stream = Box<dyn Iterator<Item = Result<Document, DataError>> + Send>;

impl Source {
    /// The documents, in order. After an error there are none.
    ///
    /// # Errors
    /// When a path does not exist or a folder holds nothing to read. What is found later is an
    /// item of the iterator, no text at all included.
    pub fn open(&self) -> Result<Documents, DataError> {
        let (name, stream) = match self {
            Self::Embedded(corpus) => (corpus.to_string(), embedded(*corpus)),
            Self::Paths { paths, options } => (describe(paths), from_paths(paths, options)?),
            Self::Stdin(options) => {
                let name = "standard input";
                (name.to_owned(), from_reader(std::io::stdin(), name, options)?)
            }
        };
        Ok(Documents { name, stream, n_given: 0, done: false })
    }

    /// The files that [`Source::open`] will read, and those it will not.
    ///
    /// # Errors
    /// As [`Source::open`].
    pub fn listing(&self) -> Result<Listing, DataError> {
        match self {
            Self::Paths { paths, options } => list::list(paths, options.format),
            Self::Embedded(_) | Self::Stdin(_) => Ok(Listing::default()),
        }
    }
}

/// The documents of a [`Source`].
pub struct Documents {
    name: String,
    stream: Stream,
    n_given: u64,
    done: bool,
}

impl Documents {
    /// Documents of any reader, as if it were a file called `name`.
    ///
    /// # Errors
    /// When the format cannot be streamed (Parquet), or the first bytes cannot be read.
    pub fn from_reader(
        reader: impl Read + Send + 'static,
        name: &str,
        options: &ReadOptions,
    ) -> Result<Self, DataError> {
        let stream = from_reader(reader, name, options)?;
        Ok(Self { name: format!("`{name}`"), stream, n_given: 0, done: false })
    }
}

impl Iterator for Documents {
    type Item = Result<Document, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.stream.next();
        self.n_given += u64::from(matches!(item, Some(Ok(_))));
        self.done = !matches!(item, Some(Ok(_)));
        if item.is_none() && self.n_given == 0 {
            return Some(Err(DataError::Empty { origin: self.name.clone() }));
        }
        item
    }
}

impl fmt::Debug for Documents {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Documents").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Copies a stream into the file `into`, so that it can be read again. Gives the bytes copied.
///
/// # Errors
/// When reading or writing fails; `into` then does not exist.
pub fn spool(mut reader: impl Read, into: &Path) -> Result<u64, DataError> {
    let failed = |source| DataError::Io { action: "write", path: into.to_owned(), source };
    let partial = crate::store::partial_path(into);
    let mut write = || {
        let mut file = std::fs::File::create(&partial)?;
        let n_bytes = std::io::copy(&mut reader, &mut file)?;
        file.sync_all()?;
        std::fs::rename(&partial, into)?;
        Ok(n_bytes)
    };
    write().map_err(failed).inspect_err(|_| {
        let _ = std::fs::remove_file(&partial);
    })
}

fn embedded(corpus: Corpus) -> Stream {
    let file: Arc<str> = format!("corpus {corpus}").into();
    Box::new(corpus.documents().into_iter().zip(1..).map(move |(text, number)| {
        let origin = Origin { file: Arc::clone(&file), number };
        Ok(Document { text, origin, ends: true })
    }))
}

fn from_paths(paths: &[PathBuf], options: &ReadOptions) -> Result<Stream, DataError> {
    check(options)?;
    let entries = list::list(paths, options.format)?.entries;
    let options = options.clone();
    Ok(Box::new(entries.into_iter().flat_map(move |entry| {
        let stream: Stream = match from_entry(&entry, &options) {
            Ok(stream) if entry.is_named => {
                let origin = format!("`{}`", entry.path.display());
                Box::new(Documents { name: origin, stream, n_given: 0, done: false })
            }
            Ok(stream) => stream,
            Err(error) => Box::new(std::iter::once(Err(error))),
        };
        stream
    })))
}

fn from_entry(entry: &Entry, options: &ReadOptions) -> Result<Stream, DataError> {
    match entry.format {
        Format::Text => Ok(Box::new(text::Texts::new(Bytes::open(&entry.path)?, options))),
        Format::Jsonl => Ok(Box::new(jsonl::Lines::new(Bytes::open(&entry.path)?, options))),
        Format::Parquet => Ok(Box::new(columns::Rows::open(&entry.path, &options.field)?)),
    }
}

fn from_reader(
    reader: impl Read + Send + 'static,
    name: &str,
    options: &ReadOptions,
) -> Result<Stream, DataError> {
    check(options)?;
    let bytes = Bytes::new(reader, name)?;
    match options.format {
        None | Some(Format::Text) => Ok(Box::new(text::Texts::new(bytes, options))),
        Some(Format::Jsonl) => Ok(Box::new(jsonl::Lines::new(bytes, options))),
        Some(Format::Parquet) => Err(DataError::Format {
            origin: name.to_owned(),
            format: "Parquet",
            reason: "Parquet is read from its end, which a stream has last",
        }),
    }
}

fn check(options: &ReadOptions) -> Result<(), DataError> {
    let problem = "leave it out for a file to be one document";
    match &options.separator {
        Some(separator) if separator.is_empty() => {
            Err(DataError::Config { field: "separator", value: "\"\"".to_owned(), problem })
        }
        _ => Ok(()),
    }
}

fn describe(paths: &[PathBuf]) -> String {
    match paths {
        [one] => format!("`{}`", one.display()),
        many => format!("the {} paths together", many.len()),
    }
}

#[cfg(test)]
mod tests;
