//! The run's own log: `metrics.jsonl`, one JSON object a line, appended as training goes on.
//!
//! A training step is `{"step", "loss", "grad_norm", "lr", "tokens", "tokens_per_s", ..}`; an
//! evaluation is its own object, `{"step", "eval": {"loss", "bits_per_byte"}}`, with no top-level
//! `loss`. Samples have a file of their own, `samples.jsonl`, with `{"step", "text"}`.
//!
//! JSON has no word for a number that is not finite: such a one is written as the string `"NaN"`,
//! `"inf"` or `"-inf"` (which `float()` of Python reads as it stands), and read back from it;
//! `null` is read as NaN.
//!
//! [`Log`] appends and resumes, [`read`] reads a file back.

mod append;
mod log;
mod number;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

pub(crate) use append::AppendFile;
pub use log::{Log, read};

/// File name of the metrics inside a run directory.
pub const METRICS_FILE: &str = "metrics.jsonl";
/// File name of the samples inside a run directory.
pub const SAMPLES_FILE: &str = "samples.jsonl";

/// The log of steps and evaluations.
pub type MetricsLog = Log<MetricsRow>;
/// The log of samples written during training.
pub type SampleLog = Log<SampleRow>;

/// A row of a [`Log`].
pub trait Row: Serialize + DeserializeOwned {
    /// The step after which the row was written.
    fn step(&self) -> u64;
}

/// One training step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRow {
    /// Counts from 1: the row is written when the step is done.
    pub step: u64,
    /// Mean loss of the step's targets, in nats.
    #[serde(with = "number")]
    pub loss: f64,
    /// Global norm of the mean gradient, before clipping.
    #[serde(with = "number")]
    pub grad_norm: f64,
    /// Learning rate of the step.
    #[serde(with = "number")]
    pub lr: f64,
    /// Tokens trained on so far, this step's included.
    pub tokens: u64,
    /// Tokens of this step over its seconds.
    #[serde(with = "number")]
    pub tokens_per_s: f64,
    /// Model FLOPs of the step over what the machine's measured peak allows, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_of_peak: Option<f64>,
    /// Largest resident memory of the process so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

/// One evaluation on held-out data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvalRow {
    /// The step after which the model was evaluated.
    pub step: u64,
    /// How it did.
    pub eval: Scores,
}

/// How a model did on held-out data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Mean loss a target, in nats.
    #[serde(with = "number")]
    pub loss: f64,
    /// Loss a byte of text, in bits: comparable between vocabularies.
    #[serde(with = "number")]
    pub bits_per_byte: f64,
}

/// A text the model wrote during training.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleRow {
    /// The step after which it was written.
    pub step: u64,
    /// Prompt and completion.
    pub text: String,
}

/// A line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum MetricsRow {
    /// A training step.
    Step(StepRow),
    /// An evaluation.
    Eval(EvalRow),
}

// By hand, and not `untagged`: a bad row then says which field is wrong.
impl<'de> Deserialize<'de> for MetricsRow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let row = if value.get("eval").is_some() {
            serde_json::from_value(value).map(Self::Eval)
        } else {
            serde_json::from_value(value).map(Self::Step)
        };
        row.map_err(D::Error::custom)
    }
}

impl Row for MetricsRow {
    fn step(&self) -> u64 {
        match self {
            Self::Step(row) => row.step,
            Self::Eval(row) => row.step,
        }
    }
}

impl Row for SampleRow {
    fn step(&self) -> u64 {
        self.step
    }
}

/// Splits a log into its steps and its evaluations, each in file order.
pub fn split(rows: Vec<MetricsRow>) -> (Vec<StepRow>, Vec<EvalRow>) {
    let (mut steps, mut evals) = (Vec::new(), Vec::new());
    for row in rows {
        match row {
            MetricsRow::Step(row) => steps.push(row),
            MetricsRow::Eval(row) => evals.push(row),
        }
    }
    (steps, evals)
}

/// Why a log of the run could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file system refused.
    #[error("failed to {action} `{}`", path.display())]
    Io {
        /// What was tried, as in "failed to append to".
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's own reason.
        source: io::Error,
    },
    /// The log could not be cut back; it is as it was.
    #[error(transparent)]
    Rewrite(#[from] checkpoint::CheckpointError),
    /// A line that is not the last is no row: the file was edited or damaged, not torn by a kill.
    #[error("line {line} of `{}` is damaged", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Counts from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl LogError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Row { path, line, .. } => {
                Some(format!("remove it: `sed -i {line}d '{}'`", path.display()))
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("free some disk space; what was written before is intact".into())
            }
            Self::Io { .. } => None,
            Self::Rewrite(source) => source.hint(),
        }
    }
}
