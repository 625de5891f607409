//! Training: the step, and the run around it.
//!
//! The map: [`Trainer`] owns model, gradients and optimizer and does one step at a time; [`Run`]
//! drives it over a data set in a run directory: evaluation, logs, samples, checkpoints,
//! resumption. An [`Observer`] sees what happens. No family and no text is known here.
//!
//! `metrics`, `tensorboard` and `report` are what a run leaves behind for people.

mod error;
mod evaluate;
mod feed;
pub mod metrics;
mod reference;
mod regime;
mod replay;
pub mod report;
mod rollouts;
mod run;
mod samples;
mod state;
pub mod tensorboard;
mod text;
mod trainer;

pub use error::{StepError, TrainError};
pub use evaluate::{Evaluation, evaluate};
pub use feed::Feed;
pub use reference::{REFERENCE_FILE, keep, kept};
pub use regime::Regime;
pub use rollouts::{
    Grade, Grades, ROWS_AT_ONCE, RolloutFeed, RolloutParts, Writing, Written, write,
};
pub use run::{Ended, Observer, Run, RunConfig, RunParts, Started, load_whole};
pub use samples::{Judge, Portion, SampleFeed, SamplePlan};
pub use state::{DataHashes, TrainerState};
pub use text::{RunSource, TextFeed};
pub use trainer::{At, StepConfig, StepReport, Trainer};
