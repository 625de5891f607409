//! What a checkpoint holds beside the model.

use data::{Cursor, Store};
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
    /// What it was trained on; none before a run has begun.
    #[serde(default)]
    pub data: Option<DataHashes>,
}

/// What a run learns from and is judged by, as hashes: it goes on from the same alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataHashes {
    /// Of the tokenizer.
    pub tokenizer: String,
    /// Of the tokens that are learned.
    pub train: String,
    /// Of the tokens it is judged by, where it is.
    pub validation: Option<String>,
}

impl DataHashes {
    /// Those of a run's stores.
    pub fn of(train: &Store, validation: Option<&Store>) -> Self {
        Self {
            tokenizer: train.tokenizer_hash(),
            train: train.content_hash(),
            validation: validation.map(Store::content_hash),
        }
    }

    /// What of `other` is not the same.
    pub fn difference(&self, other: &Self) -> Option<&'static str> {
        match () {
            () if self.tokenizer != other.tokenizer => Some("another tokenizer"),
            () if self.train != other.train => Some("other training tokens"),
            () if self.validation != other.validation => Some("other validation tokens"),
            () => None,
        }
    }
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
            data: None,
        }
    }
}
