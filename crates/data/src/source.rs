//! Documents from wherever text is kept.
//!
//! `list` finds the files, `bytes` opens and decompresses one, and a reader a format (`text`,
//! `jsonl`, `columns`, `table`, `wiki`) turns its bytes into documents. All of it streams: memory
//! holds a part of a document, a line, a row or a page, whatever the size of the file.

mod bounded;
pub(crate) mod bytes;
mod columns;
mod jsonl;
mod list;
mod pages;
mod table;
mod text;
mod wiki;

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use crate::{Corpus, DataError, atomic};
use bytes::Bytes;
use list::Entry;

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
    /// Text on standard input, which can be read once: see [`spool`].
    Stdin,
    /// One after the other.
    Chain(Vec<Source>),
}

/// How files are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReadOptions {
    /// The format of every file; without it, a file's name decides.
    pub format: Option<Format>,
    /// The JSONL field, or the column of Parquet, CSV or TSV, with the text.
    pub field: String,
    /// What stands between two documents of a text file; without it, a file is a document.
    pub separator: Option<String>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { format: None, field: "text".to_owned(), separator: None }
    }
}

/// What a file holds; `gzip`, `zstd` and `bzip2` around all but Parquet are found by their first
/// bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// UTF-8 text.
    Text,
    /// One JSON object a line.
    Jsonl,
    /// Columns; Apache Parquet.
    Parquet,
    /// Rows below a row of names, fields apart by commas.
    Csv,
    /// The same, by tabs.
    Tsv,
    /// A dump of a wiki: `MediaWiki`'s XML, each article a document of plain text.
    Wiki,
}

/// What is counted while documents are read.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Bytes of files, as they lie on the disk.
    n_read: AtomicU64,
    /// Documents that are left out by the rules of their format.
    n_left_out: AtomicU64,
    empty: Mutex<Empty>,
}

/// Records without text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Empty {
    /// How many.
    pub n: u64,
    /// Where the first of them are, in words.
    pub first: Vec<String>,
}

impl Empty {
    /// How many are named.
    const MAX: usize = 5;
}

/// Reads one file.
trait Records: Send + 'static {
    fn next_document(&mut self) -> Result<Option<Document>, DataError>;

    /// Where the last document stands, of a format with records.
    fn place(&self) -> Option<String>;
}

/// A document, or a part of a long one.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The text.
    pub text: String,
    /// Whether the document ends here; `false` for all parts of a long one but the last.
    pub ends: bool,
}

type Stream = Box<dyn Iterator<Item = Result<Document, DataError>> + Send>;

impl Source {
    /// The documents, in order. After an error there are none.
    ///
    /// # Errors
    /// When a path does not exist or a folder holds nothing to read. What is found later is an
    /// item of the iterator, no text at all included.
    pub fn open(&self) -> Result<Documents, DataError> {
        self.open_in(&Arc::default())
    }

    fn open_in(&self, tally: &Arc<Tally>) -> Result<Documents, DataError> {
        let (name, stream) = match self {
            Self::Embedded(corpus) => {
                let whole = |text| Ok(Document { text, ends: true });
                let stream: Stream = Box::new(corpus.documents().into_iter().map(whole));
                (corpus.to_string(), stream)
            }
            Self::Paths { paths, options } => (describe(paths), from_paths(paths, options, tally)?),
            Self::Chain(sources) => {
                let opened = sources.iter().map(|source| source.open_in(tally));
                let opened: Result<Vec<_>, _> = opened.collect();
                let stream: Stream = Box::new(opened?.into_iter().flatten());
                ("the sources".to_owned(), stream)
            }
            Self::Stdin => {
                let bytes = Bytes::new(io::stdin(), "standard input")?;
                (
                    bytes.file.clone(),
                    from_bytes(bytes, (Format::Text, &ReadOptions::default()), tally),
                )
            }
        };
        Ok(Documents { tally: Arc::clone(tally), ..Documents::new(name, stream) })
    }

    /// Bytes of the files that [`Source::open`] will read, as they lie on the disk; 0 where it
    /// reads no files.
    ///
    /// # Errors
    /// As [`Source::open`].
    pub fn n_file_bytes(&self) -> Result<u64, DataError> {
        let size = |path: PathBuf| path.metadata().map_err(DataError::io("open", &path));
        self.files()?.into_iter().map(|path| Ok(size(path)?.len())).sum()
    }

    /// The files that [`Source::open`] will read.
    ///
    /// # Errors
    /// As [`Source::open`].
    pub fn files(&self) -> Result<Vec<PathBuf>, DataError> {
        let (paths, options) = match self {
            Self::Paths { paths, options } => (paths, options),
            Self::Chain(sources) => {
                let files: Result<Vec<_>, _> = sources.iter().map(Self::files).collect();
                return Ok(files?.concat());
            }
            Self::Embedded(_) | Self::Stdin => return Ok(vec![]),
        };
        let entries = list::list(paths, options.format)?.entries;
        Ok(entries.into_iter().map(|entry| entry.path).collect())
    }

    /// How many files in its folders are not read: of another format, or links that are not
    /// followed.
    ///
    /// # Errors
    /// As [`Source::open`].
    pub fn n_skipped(&self) -> Result<usize, DataError> {
        match self {
            Self::Paths { paths, options } => Ok(list::list(paths, options.format)?.n_skipped),
            Self::Chain(sources) => sources.iter().map(Self::n_skipped).sum(),
            Self::Embedded(_) | Self::Stdin => Ok(0),
        }
    }
}

/// The documents of a [`Source`].
pub struct Documents {
    name: String,
    /// None after the end, or an error.
    stream: Option<Stream>,
    has_text: bool,
    tally: Arc<Tally>,
}

impl Documents {
    fn new(name: String, stream: Stream) -> Self {
        Self { name, stream: Some(stream), has_text: false, tally: Arc::default() }
    }

    /// What was read so far of [`Source::n_file_bytes`].
    pub fn n_file_bytes(&self) -> u64 {
        self.tally.n_read.load(Ordering::Relaxed)
    }

    /// Records so far that have no text.
    pub fn empty(&self) -> Empty {
        self.tally.empty.lock().expect("nobody panics with it").clone()
    }

    /// Documents so far that their format's rules leave out: redirects of a wiki, and pages that
    /// are no articles.
    pub fn n_left_out(&self) -> u64 {
        self.tally.n_left_out.load(Ordering::Relaxed)
    }
}

impl Iterator for Documents {
    type Item = Result<Document, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut stream = self.stream.take()?;
        match stream.next() {
            None if !self.has_text => Some(Err(DataError::Empty { origin: self.name.clone() })),
            Some(Ok(document)) => {
                self.stream = Some(stream);
                self.has_text = true;
                Some(Ok(document))
            }
            end => end,
        }
    }
}

/// Copies a stream into the file `into`, so that it can be read again. Gives the bytes copied.
///
/// # Errors
/// When reading or writing fails; `into` then does not exist.
pub fn spool(mut reader: impl Read, into: &Path) -> Result<u64, DataError> {
    let mut write = || {
        let mut file = atomic::begin(into)?;
        let n_bytes = io::copy(&mut reader, &mut file)?;
        atomic::finish(file, into)?;
        Ok(n_bytes)
    };
    write().map_err(DataError::io("write", into))
}

fn from_paths(
    paths: &[PathBuf],
    options: &ReadOptions,
    tally: &Arc<Tally>,
) -> Result<Stream, DataError> {
    if options.separator.as_deref() == Some("") {
        let (value, problem) = ("\"\"".to_owned(), "leave it out for a file to be one document");
        return Err(DataError::Config { field: "separator", value, problem });
    }
    let entries = list::list(paths, options.format)?.entries;
    let (options, tally) = (options.clone(), Arc::clone(tally));
    Ok(Box::new(entries.into_iter().flat_map(move |entry| -> Stream {
        match from_entry(&entry, &options, &tally) {
            Ok(stream) if entry.is_named => {
                Box::new(Documents::new(format!("`{}`", entry.path.display()), stream))
            }
            Ok(stream) => stream,
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    })))
}

fn from_entry(
    entry: &Entry,
    options: &ReadOptions,
    tally: &Arc<Tally>,
) -> Result<Stream, DataError> {
    if entry.format == Format::Parquet {
        let rows = columns::Rows::open(&entry.path, &options.field)?;
        // Its columns are read here and there: the file counts when it is open.
        tally
            .n_read
            .fetch_add(entry.path.metadata().map_or(0, |file| file.len()), Ordering::Relaxed);
        return Ok(stream(rows, tally));
    }
    let bytes = Bytes::open(&entry.path, tally)?;
    let rows = |bytes, delimiter| -> Result<Stream, DataError> {
        Ok(stream(table::Table::open(bytes, &options.field, delimiter)?, tally))
    };
    match entry.format {
        Format::Csv => rows(bytes, b','),
        Format::Tsv => rows(bytes, b'\t'),
        Format::Wiki => Ok(stream(wiki::Pages::new(bytes, tally), tally)),
        format => Ok(from_bytes(bytes, (format, options), tally)),
    }
}

fn from_bytes(
    bytes: Bytes,
    (format, options): (Format, &ReadOptions),
    tally: &Arc<Tally>,
) -> Stream {
    if format == Format::Jsonl {
        return stream(jsonl::Lines::new(bytes, &options.field), tally);
    }
    stream(text::Texts::new(bytes, options.separator.clone()), tally)
}

fn stream(mut reader: impl Records, tally: &Arc<Tally>) -> Stream {
    let tally = Arc::clone(tally);
    Box::new(std::iter::from_fn(move || {
        let next = reader.next_document();
        if let Ok(Some(document)) = &next
            && document.text.trim().is_empty()
            && let Some(place) = reader.place()
        {
            let mut empty = tally.empty.lock().expect("nobody panics with it");
            empty.n += 1;
            if empty.first.len() < Empty::MAX {
                empty.first.push(place);
            }
        }
        next.transpose()
    }))
}

fn describe(paths: &[PathBuf]) -> String {
    match paths {
        [one] => format!("`{}`", one.display()),
        many => format!("the {} paths together", many.len()),
    }
}

#[cfg(test)]
mod tests;
