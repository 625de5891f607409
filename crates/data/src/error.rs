//! What can be wrong with data.

use std::io;
use std::path::PathBuf;

use thiserror::Error;
use tokenize::TokenizeError;

/// Why data could not be read, stored or cut into batches.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// The system refused.
    #[error("failed to {action} `{path}`")]
    Io {
        /// `open`, `read`, `write` ..
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder has nothing that is read.
    #[error("no file to read in `{path}` ({n_skipped} skipped)")]
    NoFiles {
        /// The folder.
        path: PathBuf,
        /// Files whose format is not known.
        n_skipped: usize,
    },
    /// No text where some must be.
    #[error("{origin} holds no text")]
    Empty {
        /// The file or source.
        origin: String,
    },
    /// Not UTF-8.
    #[error("`{file}` is not UTF-8 at byte {byte}{}", line_suffix(*line))]
    Utf8 {
        /// The file.
        file: String,
        /// Offset in the (decompressed) text, from 0.
        byte: u64,
        /// Line from 1, where the format has lines.
        line: Option<u64>,
        /// The text starts as UTF-16 does.
        utf16: bool,
    },
    /// A NUL byte: not text at all.
    #[error("`{file}` is a binary file: byte {byte} is NUL")]
    Binary {
        /// The file.
        file: String,
        /// Offset in the (decompressed) text, from 0.
        byte: u64,
    },
    /// A compressed file is damaged or cut short.
    #[error("`{file}` cannot be decompressed ({format}): {reason}")]
    Compressed {
        /// The file.
        file: String,
        /// `gzip` or `zstd`.
        format: &'static str,
        /// What the decompressor said.
        reason: String,
    },
    /// A line of JSONL is not an object with the text in it.
    #[error("`{file}`, line {line}: {problem}")]
    Line {
        /// The file.
        file: String,
        /// From 1.
        line: u64,
        /// What is wrong.
        problem: LineProblem,
    },
    /// A Parquet file cannot be read.
    #[error("`{file}` is not a readable Parquet file: {reason}")]
    Parquet {
        /// The file.
        file: String,
        /// What the reader said.
        reason: String,
    },
    /// A Parquet column is missing or holds no text.
    #[error("`{file}`: column `{column}` {problem}")]
    Column {
        /// The file.
        file: String,
        /// The column asked for.
        column: String,
        /// What is wrong.
        problem: String,
        /// The columns that hold text.
        columns: Vec<String>,
    },
    /// A source cannot be what was asked.
    #[error("{origin} cannot be read as {format}: {reason}")]
    Format {
        /// The file or source.
        origin: String,
        /// `Parquet` ..
        format: &'static str,
        /// Why not.
        reason: &'static str,
    },
    /// The tokenizer failed.
    #[error("the text could not be tokenized")]
    Tokenize(#[from] TokenizeError),
    /// A token store is damaged.
    #[error("token store `{path}` is damaged: {reason}")]
    Store {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// A token store was made with another tokenizer.
    #[error("token store `{path}` was made with tokenizer {found}, not {expected}")]
    OtherTokenizer {
        /// The file.
        path: PathBuf,
        /// Hash of the tokenizer in use.
        expected: String,
        /// Hash in the store.
        found: String,
    },
    /// Not enough tokens for one window.
    #[error("the corpus has {n_tokens} tokens, one window of seq_len = {seq_len} needs {needed}")]
    TooFewTokens {
        /// Tokens there are.
        n_tokens: u64,
        /// The window asked for.
        seq_len: usize,
        /// Tokens one window needs.
        needed: u64,
    },
    /// A setting that cannot be.
    #[error("`{field}` = {value} is out of range: {problem}")]
    Config {
        /// The setting.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        problem: &'static str,
    },
    /// A cursor of another store or another window size.
    #[error("cursor at window {window}, but an epoch has {n_windows} windows")]
    Cursor {
        /// Where the cursor stands.
        window: u64,
        /// Windows an epoch.
        n_windows: u64,
    },
}

/// What is wrong with one line of JSONL.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LineProblem {
    /// Not JSON.
    #[error("{0}")]
    Json(serde_json::Error),
    /// JSON, but not an object.
    #[error("it is {0}, not an object")]
    NotObject(&'static str),
    /// An object without the field.
    #[error("field `{field}` is missing (it has {has})")]
    Missing {
        /// The field asked for.
        field: String,
        /// The fields there are.
        has: String,
    },
    /// The field holds something else.
    #[error("field `{field}` is {found}, not a string")]
    NotString {
        /// The field asked for.
        field: String,
        /// What it is.
        found: &'static str,
    },
    /// Longer than a line may be.
    #[error("it is longer than {limit} bytes")]
    TooLong {
        /// The largest length.
        limit: usize,
    },
}

fn line_suffix(line: Option<u64>) -> String {
    line.map(|line| format!(" (line {line})")).unwrap_or_default()
}

impl DataError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "check the path; a relative one starts at the current directory".to_owned()
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "the disk is full: free some space and run the command again".to_owned()
            }
            Self::NoFiles { .. } => "a folder is searched for .txt, .text, .md, .jsonl, .ndjson \
                and .parquet, also .gz and .zst; set `format` to read every file"
                .to_owned(),
            Self::Empty { .. } => "name a file with text in it".to_owned(),
            Self::Utf8 { file, utf16: true, .. } => {
                format!("it looks like UTF-16: `iconv -f UTF-16 -t UTF-8 {file} > utf8.txt`")
            }
            Self::Utf8 { file, .. } => {
                format!("convert it first, such as `iconv -f LATIN1 -t UTF-8 {file} > utf8.txt`")
            }
            Self::Binary { .. } => "only text is read; extract the text first".to_owned(),
            Self::Compressed { .. } => "the download may be incomplete: fetch it again".to_owned(),
            Self::Line { problem, .. } => problem.hint(),
            Self::Column { columns, .. } if columns.is_empty() => {
                "the file has no column of strings".to_owned()
            }
            Self::Column { columns, .. } => {
                format!("columns of strings are: {}", quoted(columns))
            }
            Self::Store { .. } => "delete it; it is built again from the text".to_owned(),
            Self::OtherTokenizer { .. } => {
                "use the tokenizer it was made with, or build it again".to_owned()
            }
            Self::TooFewTokens { n_tokens, needed, seq_len } => {
                let fits = (*seq_len as u64).saturating_sub(needed.saturating_sub(*n_tokens));
                if fits == 0 {
                    "add text: there is nothing to predict".to_owned()
                } else {
                    format!("`seq_len = {fits}` would do, or add text")
                }
            }
            Self::Cursor { .. } => {
                "the checkpoint belongs to other data or another `seq_len`".to_owned()
            }
            Self::Format { .. } => "save it as a file, decompressed".to_owned(),
            Self::Tokenize(error) => return error.hint(),
            Self::Io { .. } | Self::Parquet { .. } | Self::Config { .. } => return None,
        })
    }
}

impl LineProblem {
    fn hint(&self) -> String {
        match self {
            Self::Json(_) | Self::NotObject(_) => {
                "JSONL is one JSON object a line; a text file is `format = \"text\"`".to_owned()
            }
            Self::Missing { .. } | Self::NotString { .. } => {
                "name the field that holds the text with `field`".to_owned()
            }
            Self::TooLong { .. } => "is it one JSON object a line?".to_owned(),
        }
    }
}

/// "`a`, `b`", at most eight.
pub(crate) fn quoted<T: AsRef<str>>(names: &[T]) -> String {
    let mut list: Vec<String> =
        names.iter().take(8).map(|name| format!("`{}`", name.as_ref().escape_debug())).collect();
    if names.len() > 8 {
        list.push(format!("{} more", names.len() - 8));
    }
    list.join(", ")
}
