//! What can be wrong with data.

use std::io;
use std::path::PathBuf;

use thiserror::Error;
use tokenize::TokenizeError;

use crate::AudioProblem;

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
        /// Files and folders that are not read.
        n_skipped: u64,
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
        /// `gzip`, `zstd` or `bzip2`.
        format: &'static str,
        /// What the decompressor said.
        reason: String,
    },
    /// A file is not the XML, or the book, that it should be, or unpacks to far more than text
    /// does.
    #[error("`{file}` cannot be read at byte {byte}: {reason}")]
    Markup {
        /// The file.
        file: String,
        /// Offset in the (decompressed) text, from 0.
        byte: u64,
        /// What is wrong.
        reason: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// A line of JSONL is not an object with the text in it, or a row of a table no row.
    #[error("`{file}`, line {line}: {problem}")]
    Line {
        /// The file.
        file: String,
        /// From 1.
        line: u64,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// What a record says of phrases cannot be read.
    #[error("{place}: field `{field}` is no list of spans: {problem}")]
    Spans {
        /// The file, and the line or row.
        place: String,
        /// The field or column.
        field: String,
        /// What is wrong.
        problem: String,
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
    /// Parquet inside of gzip or zstd.
    #[error("`{file}` cannot be read as Parquet: its index is at the end, which compression hides")]
    CompressedParquet {
        /// The file.
        file: String,
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
    #[error("the text has {n_tokens} tokens, one window of seq_len = {seq_len} needs {needed}")]
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
    /// A file has no sound that can be had.
    #[error("`{file}` {problem}")]
    Audio {
        /// The file.
        file: String,
        /// Why.
        problem: AudioProblem,
    },
    /// Cursors of another mixture.
    #[error("there are cursors for {found} sources, and {expected} sources")]
    Cursors {
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// Every source was read as often as it may be.
    #[error("every source was read as often as it may be, after {n_windows} windows")]
    UsedUp {
        /// Windows that were read.
        n_windows: u64,
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

fn line_suffix(line: Option<u64>) -> String {
    line.map(|line| format!(" (line {line})")).unwrap_or_default()
}

impl DataError {
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "check the path; a relative one starts at the current directory"
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "the disk is full: free some space and run the command again"
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::InvalidInput => {
                "what a pipe gives is read on standard input, where a command takes `-`; else save \
                it as a file"
            }
            Self::NoFiles { .. } => {
                "a folder is searched for .txt, .text, .md, .jsonl, .ndjson, .parquet, .csv, .tsv \
                and .xml, also .gz, .zst and .bz2; to read every file set its format, `code` for \
                 source code: `--format`, or in a recipe `data.read.format`"
            }
            Self::Empty { .. } => "name a file with text in it",
            Self::Utf8 { utf16, .. } => {
                let (what, from) = if *utf16 {
                    ("it looks like UTF-16:", "UTF-16")
                } else {
                    ("convert it first, such as", "LATIN1")
                };
                return Some(format!("{what} `iconv -f {from} -t UTF-8 FILE > utf8.txt`"));
            }
            Self::Binary { file, .. } if file.ends_with(".tokens") => {
                "a run makes its own token stores, with validation text apart: name the text that \
                this one was made of"
            }
            Self::Binary { .. } => "only text is read; extract the text first",
            Self::Compressed { .. } => "the download may be incomplete: fetch it again",
            Self::Spans { .. } => {
                "spans are `[[start, end], ..]` or `[{\"start\": .., \"end\": ..}, ..]`, in \
                characters, the end excluded"
            }
            Self::Line { hint, .. } | Self::Markup { hint, .. } => hint,
            Self::Column { columns, .. } if columns.is_empty() => {
                "the file has no column of strings"
            }
            Self::Column { columns, column, .. } if columns == std::slice::from_ref(column) => {
                "write the column again, as UTF-8"
            }
            Self::Column { columns, .. } => {
                return Some(format!("columns of strings are: {}", quoted(columns)));
            }
            Self::Store { .. } => {
                "restore it; or delete it where its text is unchanged: it is built again the same"
            }
            Self::OtherTokenizer { .. } => "use the tokenizer it was made with, or build it again",
            Self::TooFewTokens { n_tokens, needed, seq_len } => {
                let fits = (*seq_len as u64).saturating_sub(needed.saturating_sub(*n_tokens));
                // A shorter window would not do, or nothing could be learned from it.
                if *n_tokens >= 16 && fits >= 16 {
                    return Some(format!("`data.seq_len={fits}` would do, or add text"));
                }
                "add text: this is too little to learn from"
            }
            Self::UsedUp { .. } => "raise `max_epochs` of a source, or ask for fewer `train.steps`",
            Self::Cursor { .. } | Self::Cursors { .. } => {
                "the checkpoint belongs to other data or another `seq_len`"
            }
            Self::CompressedParquet { .. } => "save it as a file, decompressed",
            Self::Audio { problem, .. } => problem.hint(),
            Self::Tokenize(error) => return error.hint(),
            Self::Parquet { .. } => {
                "fetch it again; or write it again, uncompressed or in snappy, gzip or zstd"
            }
            Self::Io { .. } | Self::Config { .. } => return None,
        };
        Some(hint.to_owned())
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
