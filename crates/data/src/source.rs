//! Documents from wherever text is kept.
//!
//! `list` finds the files, `bytes` opens and decompresses one, and a reader a format (`text`,
//! `jsonl`, `columns`, `table`, `wiki`, `book`, `code`) turns its bytes into documents. All of it
//! streams: memory holds a part of a document, a line, a row, a page, a book or a file of code,
//! whatever the size of the file.

mod book;
mod bounded;
pub(crate) mod bytes;
mod code;
mod columns;
mod footer;
mod jsonl;
mod lines;
mod list;
mod nested;
mod noted;
mod pages;
mod spans;
mod table;
mod text;
mod wiki;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use crate::{Corpus, DataError, atomic};
use bytes::Bytes;
pub use code::CodeOptions;
pub use lines::Lines;
use list::Entry;
pub use nested::ParquetRows;
use noted::Tally;
pub use noted::{Noted, Places};
pub use table::Cells;

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
    /// The JSONL field, or the column with JSON in it, that says where phrases are: a list of
    /// `[start, end]`, or of objects with `start` and `end`, in characters, the end excluded.
    /// spaCy's `ents` and the entities of `transformers` are such.
    pub spans: Option<String>,
    /// Which files of source code are documents.
    pub code: CodeOptions,
}

impl Default for ReadOptions {
    fn default() -> Self {
        let (field, code) = ("text".to_owned(), CodeOptions::default());
        Self { format: None, field, separator: None, spans: None, code }
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
    /// A plain book: what Project Gutenberg puts around it taken off, its lines joined to
    /// paragraphs; Latin-1 or another encoding that it declares, if not UTF-8.
    Book,
    /// A file of source code. In folders those with the ending of a language are read, but for
    /// what `.gitignore` and `.ignore` there name and folders of others' code (`node_modules`,
    /// `vendor` ..). Never said by a name alone.
    Code,
}

/// Reads one file.
trait Records: Send + 'static {
    fn next_document(&mut self) -> Result<Option<Document>, DataError>;

    /// Where the last document stands, of a format with records.
    fn place(&self) -> Option<String>;

    /// What it says of phrases, as JSON.
    fn spans(&mut self) -> Option<String> {
        None
    }
}

/// A document, or a part of a long one.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The text.
    pub text: String,
    /// Whether the document ends here; `false` for all parts of a long one but the last.
    pub ends: bool,
    /// Phrases that are annotated: bytes of the text, in order, none inside of another.
    pub spans: Vec<Range<usize>>,
}

impl Document {
    /// One without annotations.
    pub fn new(text: String, ends: bool) -> Self {
        Self { text, ends, spans: Vec::new() }
    }

    /// Takes off what begins at `at`, which ends as this did; a phrase there is cut.
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        let first = self.spans.partition_point(|span| span.end <= at);
        let mut spans = self.spans.split_off(first);
        if let Some(span) = spans.first().filter(|span| span.start < at) {
            self.spans.push(span.start..at);
        }
        for span in &mut spans {
            *span = span.start.saturating_sub(at)..span.end - at;
        }
        Self { text: self.text.split_off(at), ends: self.ends, spans }
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
        self.open_in(&Arc::default())
    }

    fn open_in(&self, tally: &Arc<Tally>) -> Result<Documents, DataError> {
        let (name, stream) = match self {
            Self::Embedded(corpus) => {
                let whole = |text| Ok(Document::new(text, true));
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
        let entries = list::list(paths, options)?.entries;
        Ok(entries.into_iter().map(|entry| entry.path).collect())
    }

    /// How many files and folders in its folders are not read, by why.
    ///
    /// # Errors
    /// As [`Source::open`].
    pub fn skipped(&self) -> Result<BTreeMap<&'static str, u64>, DataError> {
        match self {
            Self::Paths { paths, options } => Ok(list::list(paths, options)?.skipped),
            Self::Chain(sources) => {
                let mut all = BTreeMap::new();
                for source in sources {
                    for (reason, n) in source.skipped()? {
                        *all.entry(reason).or_default() += n;
                    }
                }
                Ok(all)
            }
            Self::Embedded(_) | Self::Stdin => Ok(BTreeMap::new()),
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

    /// What is to be said of the documents so far.
    pub fn noted(&self) -> Noted {
        self.tally.note().clone()
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
    options.code.check()?;
    let entries = list::list(paths, options)?.entries;
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
    let ReadOptions { field, spans, .. } = options;
    let has_records =
        matches!(entry.format, Format::Jsonl | Format::Parquet | Format::Csv | Format::Tsv);
    if let (Some(value), false) = (spans, has_records) {
        let problem = "only JSONL, Parquet, CSV and TSV have a field with spans";
        return Err(DataError::Config { field: "spans", value: value.clone(), problem });
    }
    if entry.format == Format::Parquet {
        let rows = columns::Table::open(&entry.path, field, spans.as_deref())?;
        // Its columns are read here and there: the file counts when it is open.
        let n_bytes = entry.path.metadata().map_or(0, |file| file.len());
        tally.n_read.fetch_add(n_bytes, Ordering::Relaxed);
        return Ok(stream(rows, options, tally));
    }
    if entry.format == Format::Code {
        let document = code::read(&entry.path, &options.code, tally)?;
        return Ok(Box::new(document.map(Ok).into_iter()));
    }
    let bytes = Bytes::open(&entry.path, tally)?;
    let rows = |bytes, delimiter| -> Result<Stream, DataError> {
        let table = table::Table::open(bytes, (field, spans.as_deref()), delimiter)?;
        Ok(stream(table, options, tally))
    };
    match entry.format {
        Format::Csv => rows(bytes, b','),
        Format::Tsv => rows(bytes, b'\t'),
        Format::Wiki => Ok(stream(wiki::Pages::new(bytes, tally), options, tally)),
        Format::Book => Ok(stream(book::Books::new(bytes, tally), options, tally)),
        format => Ok(from_bytes(bytes, (format, options), tally)),
    }
}

fn from_bytes(
    bytes: Bytes,
    (format, options): (Format, &ReadOptions),
    tally: &Arc<Tally>,
) -> Stream {
    if format == Format::Jsonl {
        let lines = Lines::new(bytes);
        let objects = jsonl::Objects::new(lines, &options.field, options.spans.as_deref());
        return stream(objects, options, tally);
    }
    stream(text::Texts::new(bytes, options.separator.clone()), options, tally)
}

/// The documents of a reader, with the phrases it says and what is to be noted of them.
fn stream(mut reader: impl Records, options: &ReadOptions, tally: &Arc<Tally>) -> Stream {
    let (tally, field) = (Arc::clone(tally), options.spans.clone());
    let mut next = move || {
        let Some(mut document) = reader.next_document()? else { return Ok(None) };
        if document.text.trim().is_empty()
            && let Some(place) = reader.place()
        {
            tally.note().empty.add(1, || place);
        }
        if let Some(field) = &field {
            let json = reader.spans();
            let place = || reader.place().unwrap_or_default();
            spans::annotate(&mut document, json.as_deref(), &tally, &place).map_err(|problem| {
                DataError::Spans { place: place(), field: field.clone(), problem }
            })?;
        }
        Ok(Some(document))
    };
    Box::new(std::iter::from_fn(move || next().transpose()))
}

fn describe(paths: &[PathBuf]) -> String {
    match paths {
        [one] => format!("`{}`", one.display()),
        many => format!("the {} paths together", many.len()),
    }
}

#[cfg(test)]
mod tests;
