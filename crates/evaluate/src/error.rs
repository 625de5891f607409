//! What can be wrong with a task, its data, or what a model says of it.

use std::io;
use std::path::PathBuf;

use datasets::{DatasetError, Place};
use generate::GenerateError;
use metrics::MetricError;
use thiserror::Error;
use tokenize::{ChatError, TokenizeError};

/// Why nothing was measured.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EvalError {
    /// A file cannot be read.
    #[error("failed to read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A task file says what cannot be followed.
    #[error("`{}`{}: {problem}", path.display(), in_line(*line))]
    Task {
        /// The file.
        path: PathBuf,
        /// Where, from 1, where that is known.
        line: Option<usize>,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        hint: String,
    },
    /// A document is not what its task says.
    #[error("{at}: {problem}")]
    Document {
        /// Where it stands.
        at: Place,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        hint: String,
    },
    /// Something that was asked for does not fit.
    #[error("{problem}")]
    Refused {
        /// What.
        problem: String,
        /// What to do about it.
        hint: String,
    },
    /// A log or a result is not what this program writes.
    #[error("`{}`{}: {problem}", path.display(), in_line(*line))]
    Log {
        /// The file.
        path: PathBuf,
        /// Where, from 1.
        line: Option<usize>,
        /// What is wrong.
        problem: String,
    },
    /// The model's scores of a text are no numbers.
    #[error("{at}: the model gives no finite probability")]
    NotFinite {
        /// Where the text is from.
        at: Place,
    },
    /// Labelled data cannot be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A text cannot be encoded.
    #[error(transparent)]
    Tokenize(#[from] TokenizeError),
    /// A chat template fails.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// The model cannot go on with a text.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// A metric has no value.
    #[error(transparent)]
    Metric(#[from] MetricError),
}

impl EvalError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Task { hint, .. } | Self::Document { hint, .. } | Self::Refused { hint, .. } => {
                Some(hint.clone()).filter(|hint| !hint.is_empty())
            }
            Self::Log { .. } => Some("name a folder that `lyceum eval .. --out` wrote".to_owned()),
            Self::NotFinite { .. } => Some(
                "a weight is not finite, or bf16 holds too little: try `--precision f32`"
                    .to_owned(),
            ),
            Self::Dataset(error) => error.hint(),
            Self::Tokenize(error) => error.hint(),
            Self::Chat(error) => error.hint(),
            Self::Generate(error) => error.hint(),
            Self::Read { .. } | Self::Metric(_) => None,
        }
    }

    pub(crate) fn refused(problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused { problem: problem.into(), hint: hint.into() }
    }
}

/// Why a metric has no value.
pub(crate) fn undefined(error: &MetricError) -> String {
    match error {
        MetricError::Undefined { reason, .. } => (*reason).to_owned(),
        // A hint follows in a paragraph of its own.
        error => error.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}

fn in_line(line: Option<usize>) -> String {
    line.map_or(String::new(), |line| format!(", line {line}"))
}

/// What came of it.
pub type Result<T, E = EvalError> = std::result::Result<T, E>;

/// What of `known` is most like `name`, if anything is.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let alike = |known: &&str| strsim::jaro_winkler(&lower, &known.to_lowercase());
    let near = known.into_iter().filter(|known| alike(known) > 0.75);
    near.max_by(|a, b| alike(a).total_cmp(&alike(b)))
}

/// "did you mean `x`?", else what there is.
pub(crate) fn did_you_mean<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    if let Some(near) = nearest(name, known.clone()) {
        return format!("did you mean `{near}`?");
    }
    let all: Vec<&str> = known.into_iter().take(24).collect();
    format!("there are `{}`", all.join("`, `"))
}
