//! What a checkpoint holds beside the model.

use std::collections::BTreeMap;

use data::Cursors;
use serde::{Deserialize, Serialize};

/// Everything a resumed run goes on from, apart from weights and moments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainerState {
    /// Steps done.
    pub step: u64,
    /// Updates done: the steps that no f16 overflow skipped. What the optimizer counts by.
    pub updates: u64,
    /// Targets trained on so far.
    pub tokens: u64,
    /// Where every source stands.
    pub cursors: Cursors,
    /// What losses are multiplied with; 1 unless activations are f16.
    pub loss_scale: f32,
    /// Steps since that scale last changed.
    pub steps_at_scale: u64,
    /// Seconds spent so far, over all sessions.
    pub seconds: f64,
    /// The best that an evaluation found, as [`crate::metrics::Scores::best_by`] has it, and how
    /// many came after it: kept where a run may end early.
    #[serde(default)]
    pub best: Option<f64>,
    /// That number.
    #[serde(default)]
    pub waited: u64,
    /// Whether the step was to be judged, and that failed: a run that goes on makes up for it.
    #[serde(default)]
    pub unjudged: bool,
    /// Hashes of what it is trained on and judged by; none before a run has begun.
    #[serde(default)]
    pub data: DataHashes,
}

/// Hashes of a run's data by its name: the run goes on from the same alone.
pub type DataHashes = BTreeMap<String, String>;

impl TrainerState {
    /// Before the first step.
    pub fn start(loss_scale: f32) -> Self {
        Self { loss_scale, ..Self::default() }
    }
}
