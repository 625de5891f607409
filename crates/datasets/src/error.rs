//! What can be wrong with labelled data.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use data::DataError;
use thiserror::Error;

/// Where a row stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The file.
    pub file: Arc<str>,
    /// What is counted: `line`, `row`, `question`.
    pub unit: &'static str,
    /// From 1.
    pub number: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "`{}`, {} {}", self.file, self.unit, self.number)
    }
}

/// Why labelled data could not be read, or predictions not be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// A file cannot be read as what it is.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A name or a pattern stands for no file.
    #[error("`{pattern}` {problem}")]
    Files {
        /// As it was given.
        pattern: String,
        /// What is wrong.
        problem: String,
    },
    /// A row is not what its format says.
    #[error("{at}: {problem}")]
    Row {
        /// Where.
        at: Place,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// The columns are of no task, or not of the one that was named.
    #[error("`{file}`: {problem} (it has {})", quoted(columns))]
    Columns {
        /// The file.
        file: String,
        /// What is wrong.
        problem: String,
        /// Its columns.
        columns: Vec<String>,
        /// What to do about it.
        hint: String,
    },
    /// A setting, a task, a set or a split that there is not.
    #[error("there is no {what} `{name}`")]
    Unknown {
        /// What was named.
        what: &'static str,
        /// How.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A cell does not hold what is wanted of it.
    #[error("{at}: `{column}` {problem}")]
    Value {
        /// Where.
        at: Place,
        /// The column.
        column: String,
        /// What it holds, and what it should.
        problem: String,
        /// What to do about it.
        hint: String,
    },
    /// Two rows have one id.
    #[error("{at}: id `{id}` is that of {first} too")]
    Duplicate {
        /// Where it is for the second time.
        at: Place,
        /// The id.
        id: String,
        /// Where it is first.
        first: Place,
    },
    /// Nothing to learn from, or to measure with.
    #[error("{what} is empty")]
    Empty {
        /// The split or files.
        what: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// Rows, and no record of them.
    #[error("none of the {n_rows} rows of `{file}` is left: {}", why.join("; "))]
    AllLeftOut {
        /// The first file.
        file: String,
        /// How many there are.
        n_rows: u64,
        /// How many were left out for what reason, and the first of them.
        why: Vec<String>,
    },
    /// More than fits in memory.
    #[error("{at}: the records before it have more than {bytes_max} bytes")]
    TooLarge {
        /// The first row that is too much.
        at: Place,
        /// The bound.
        bytes_max: u64,
    },
    /// As many predictions as records, and of their kind.
    #[error("{set}: {problem}")]
    Predictions {
        /// The named set.
        set: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// Predictions cannot be written.
    #[error("failed to write the predictions")]
    Write(#[from] io::Error),
    /// A folder lacks the files of a split.
    #[error("`{}` has no files of {set} ({split})", dir.display())]
    NoSplit {
        /// The folder.
        dir: PathBuf,
        /// The named set.
        set: &'static str,
        /// The split.
        split: &'static str,
        /// The files that it would have.
        names: Vec<String>,
    },
}

impl DatasetError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Data(error) => return error.hint(),
            Self::Files { .. } => "a file, a folder, or a pattern such as `data/train-*.parquet` \
                in quotes; .csv, .tsv, .jsonl, .json, .parquet and CoNLL's .txt, .conll, .iob are \
                read"
                .to_owned(),
            Self::Row { hint, .. } | Self::Empty { hint, .. } => (*hint).to_owned(),
            Self::Columns { hint, .. } | Self::Value { hint, .. } => hint.clone(),
            Self::Unknown { what: "role", name, known } => match nearest(name, known) {
                Some(near) => format!("did you mean `{near}`? There are {}", quoted(known)),
                None => format!("there are {}", quoted(known)),
            },
            Self::AllLeftOut { .. } => "mend the rows, or name another file".to_owned(),
            Self::Unknown { name, known, .. } => match nearest(name, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", quoted(known)),
            },
            Self::Duplicate { .. } => "give each row an id of its own, or set the column `id` to \
                none for rows to be numbered"
                .to_owned(),
            Self::TooLarge { .. } => "read fewer files at once, or raise the bound".to_owned(),
            Self::NoSplit { names, .. } => format!("it would be {}", names.join(" or ")),
            Self::Predictions { .. } => {
                "predict every record of that split, in its order".to_owned()
            }
            Self::Write(_) => return None,
        })
    }
}

/// "`a`, `b`", at most twelve.
pub(crate) fn quoted<T: AsRef<str>>(names: &[T]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let mut list: Vec<String> =
        names.iter().take(12).map(|name| format!("`{}`", short(name.as_ref()))).collect();
    if names.len() > 12 {
        list.push(format!("{} more", names.len() - 12));
    }
    list.join(", ")
}

/// Text for a message: without control characters, and not long.
pub(crate) fn short(text: &str) -> String {
    let mut shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    if text.chars().nth(40).is_some() {
        shown.push_str("..");
    }
    shown
}

/// What of `known` is most like `name`, if anything is.
pub(crate) fn nearest<'a, T: AsRef<str>>(name: &str, known: &'a [T]) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let alike = |k: &&'a str| strsim::jaro_winkler(&lower, &k.to_lowercase());
    let names = known.iter().map(AsRef::as_ref).filter(|k| alike(k) > 0.8);
    names.max_by(|a, b| alike(a).total_cmp(&alike(b)))
}
