//! Why training stopped.

use std::path::PathBuf;

use checkpoint::CheckpointError;
use data::DataError;
use generate::GenerateError;
use tensor::NotFinite;
use thiserror::Error;

use crate::metrics::LogError;

/// Why a step was refused. The weights are as they were.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum StepError {
    /// Nothing in the batch is to be learned.
    #[error("step {step}: no target in the whole batch")]
    NoTargets {
        /// The step, counted from 1.
        step: u64,
    },
    /// Backward would leave parameters as they are.
    #[error("step {step}: no gradient reaches {}", names.join(", "))]
    Unwritten {
        /// The step, counted from 1.
        step: u64,
        /// The parameters, in backticks.
        names: Vec<String>,
    },
    /// A number overflowed, or was never one.
    #[error(
        "step {step}: loss {loss}, gradient norm {grad_norm}{}",
        at.as_ref().map(|at| format!("; {at}")).unwrap_or_default()
    )]
    NotFinite {
        /// The step, counted from 1.
        step: u64,
        /// Nats a target.
        loss: f64,
        /// Of the mean gradient.
        grad_norm: f64,
        /// The first op it was seen in.
        at: Option<NotFinite>,
        /// The samples of that micro-batch; of the whole batch where no op was found.
        sample_ids: Vec<u64>,
    },
}

/// Why a run stopped.
#[derive(Debug, Error)]
#[allow(missing_docs)] // Each is named by its source.
pub enum TrainError {
    #[error(transparent)]
    Step(#[from] StepError),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Generate(#[from] GenerateError),
    #[error(transparent)]
    Reward(#[from] tasks::rewards::RewardError),
    /// A step that was refused, with what is needed to look at it again.
    #[error("{step}")]
    Refused {
        step: StepError,
        /// The batch, in full.
        replay: PathBuf,
        /// The weights it met.
        checkpoint: PathBuf,
    },
    /// The checkpoint is of another model.
    #[error("checkpoint `{dir}` does not fit: {problem}")]
    Mismatch { dir: PathBuf, problem: String },
    /// The data is not what the run began with.
    #[error("checkpoint `{dir}` is of other data: the hash of the {what} differs")]
    OtherData { dir: PathBuf, what: String },
    /// A learning rate of nothing.
    #[error("`{pattern}` of `optim.rates` is the name of nothing that learns")]
    Rate { pattern: String, names: String },
    /// There is nothing left to do, and no way back.
    #[error("checkpoint `{dir}` is at step {step}, beyond the {steps} that are asked for")]
    Beyond { dir: PathBuf, step: u64, steps: u64 },
}

impl TrainError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Step(StepError::NoTargets { .. }) => {
                Some("nothing in the batch has an answer to be learned: look at the data".into())
            }
            Self::Step(StepError::Unwritten { .. }) => {
                Some("these parameters would never learn: the model's config is at fault".into())
            }
            Self::Step(StepError::NotFinite { .. }) => None,
            Self::Data(e) => e.hint(),
            Self::Checkpoint(e) => e.hint(),
            Self::Log(e) => e.hint(),
            Self::Generate(e) => e.hint(),
            Self::Reward(e) => e.hint(),
            Self::Refused { replay, checkpoint, .. } => Some(format!(
                "the weights are untouched and saved in `{}`, the batch in `{}`; resume with a \
                 smaller `optim.peak_lr`, or in f32",
                checkpoint.display(),
                replay.display()
            )),
            Self::OtherData { .. } => {
                Some("bring back `data/` of the run as it was, or start another run".into())
            }
            Self::Beyond { step, .. } => {
                Some(format!("ask for more than {step} with `train.steps`, or leave it as it was"))
            }
            Self::Rate { names, .. } => Some(format!("`*` is anything, and names are as {names}")),
            Self::Mismatch { .. } => Some("resume with the recipe the run began with".into()),
        }
    }
}
