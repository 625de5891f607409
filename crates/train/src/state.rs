//! What a checkpoint holds beside the model.

use std::collections::BTreeMap;

use data::Cursors;
use serde::{Deserialize, Serialize};

use crate::run::RunSource;

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
    /// Hashes of what it is trained on and judged by; none before a run has begun.
    #[serde(default)]
    pub data: DataHashes,
}

/// Hashes of a run's data by its name: the run goes on from the same alone.
pub type DataHashes = BTreeMap<String, String>;

/// The hashes of a run's tokenizer and stores.
pub(crate) fn hashes(sources: &[RunSource]) -> DataHashes {
    let mut hashes = DataHashes::new();
    for RunSource { name, store, validation, .. } in sources {
        let of = if name.is_empty() { String::new() } else { format!(" of `{name}`") };
        hashes.insert("tokenizer".into(), store.tokenizer_hash());
        hashes.insert(format!("training tokens{of}"), store.content_hash());
        if let Some(store) = validation {
            hashes.insert(format!("validation tokens{of}"), store.content_hash());
        }
    }
    hashes
}

impl TrainerState {
    /// Before the first step.
    pub fn start(loss_scale: f32) -> Self {
        Self { loss_scale, ..Self::default() }
    }
}
