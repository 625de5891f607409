//! What a checkpoint holds beside the model.

use data::Cursor;
use serde::{Deserialize, Serialize};

/// Everything a resumed run goes on from, apart from weights and moments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainerState {
    /// Steps done.
    pub step: u64,
    /// Updates done: the steps that no f16 overflow skipped. What the optimizer counts by.
    pub updates: u64,
    /// Targets trained on so far.
    pub tokens: u64,
    /// Where the data stands.
    pub cursor: Cursor,
    /// What losses are multiplied with; 1 unless activations are f16.
    pub loss_scale: f32,
    /// Steps since that scale last changed.
    pub steps_at_scale: u64,
    /// Seconds spent so far, over all sessions.
    pub seconds: f64,
}

impl TrainerState {
    /// Before the first step.
    pub fn start(loss_scale: f32) -> Self {
        Self {
            step: 0,
            updates: 0,
            tokens: 0,
            cursor: Cursor::default(),
            loss_scale,
            steps_at_scale: 0,
            seconds: 0.0,
        }
    }
}
