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

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use tasks::{Losses, Part};
use tensor::Loss;

use crate::evaluate::Evaluation;

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
    /// The share of targets that had the highest score.
    #[serde(with = "number", default = "number::nan")]
    pub accuracy: f64,
    /// How many targets there were.
    #[serde(default)]
    pub targets: u64,
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
    /// What an objective tells beside its loss, by name: rewards, divergences.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub told: BTreeMap<String, f64>,
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
    /// Loss a byte of text, in bits: comparable between vocabularies. None where not every token
    /// of the text was a target.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "number::option")]
    pub bits_per_byte: Option<f64>,
    /// The share of targets that had the highest score.
    #[serde(with = "number", default = "number::nan")]
    pub accuracy: f64,
    /// How many targets there were.
    #[serde(default)]
    pub targets: u64,
    /// By part, where an objective has several.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, PartScores>,
    /// By source, where there are several.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sources: BTreeMap<String, PartScores>,
    /// What a task is judged by, none where it is not defined; the best of a run is so by the
    /// first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<(String, Option<f64>)>,
    /// Whether the best has least of that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_better_small: bool,
}

/// How a model did in one part of an objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartScores {
    /// Mean loss a target, in nats.
    #[serde(with = "number")]
    pub loss: f64,
    /// The share of targets that had the highest score.
    #[serde(with = "number")]
    pub accuracy: f64,
    /// How many targets there were.
    pub targets: u64,
}

impl PartScores {
    fn of(loss: Loss) -> Self {
        Self {
            loss: loss.mean().unwrap_or(f64::NAN),
            accuracy: loss.accuracy().unwrap_or(f64::NAN),
            targets: loss.n_targets,
        }
    }
}

impl Scores {
    /// Of an evaluation.
    pub fn of(found: &Evaluation) -> Self {
        let first = found.losses.first();
        let part = |part: &Part| (part.name.to_owned(), PartScores::of(part.loss));
        let source = |(name, losses): (&String, &Losses)| {
            let scores = PartScores::of(losses.first());
            (name.clone(), PartScores { loss: losses.mean().unwrap_or(f64::NAN), ..scores })
        };
        // What is only told is among the metrics.
        let learned = found.losses.0.iter().filter(|part| part.weight != 0.0);
        let several = Some(learned).filter(|parts| parts.clone().count() > 1);
        Self {
            loss: found.losses.mean().unwrap_or(f64::NAN),
            bits_per_byte: found.bits_per_byte,
            accuracy: first.accuracy().unwrap_or(f64::NAN),
            targets: first.n_targets,
            parts: several.into_iter().flatten().map(part).collect(),
            sources: found.sources.iter().map(source).collect(),
            metrics: found.metrics.clone(),
            is_better_small: found.is_better_small,
        }
    }

    /// What the best is best in, and how much of it a checkpoint has that is noted with `noted`.
    pub fn best_of(&self, noted: f64) -> (&str, f64) {
        match (self.metrics.first(), self.bits_per_byte) {
            (Some((name, _)), _) => (name, if self.is_better_small { noted } else { -noted }),
            (None, Some(_)) => ("bits/byte", noted),
            (None, None) => ("nats", noted),
        }
    }

    /// What the best of a run has the least of.
    pub fn best_by(&self) -> f64 {
        match self.metrics.first() {
            Some((_, metric)) if self.is_better_small => metric.unwrap_or(f64::NAN),
            Some((_, metric)) => -metric.unwrap_or(f64::NAN),
            None => self.bits_per_byte.unwrap_or(self.loss),
        }
    }
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
