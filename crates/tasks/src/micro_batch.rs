//! The rows of a batch that go through the model at once.

use std::ops::Range;
use std::sync::Arc;

use data::Batch;
use models::Stack;
use nn::{Call, Mask};
use tensor::Rng;

// Targets go from one to the other as they are.
const _: () = assert!(data::IGNORED == tensor::NO_TARGET);

/// Some rows of a [`Batch`], with the call they are made in.
pub struct MicroBatch {
    /// `[B, T]`.
    pub inputs: Arc<[u32]>,
    /// `[B, T]`, [`tensor::NO_TARGET`] where nothing is asked.
    pub targets: Vec<u32>,
    /// `[B, T]`'s sizes.
    pub shape: [usize; 2],
    /// Mask, positions, randomness.
    pub call: Call,
    /// Which samples these are, for messages.
    pub sample_ids: Vec<u64>,
}

impl MicroBatch {
    /// The rows `rows` of `batch`, whose rows are `len` long. `rng` is that of the whole batch.
    pub fn new(batch: &Batch, len: usize, rows: Range<usize>, rng: Option<Rng>) -> Self {
        let at = rows.start * len..rows.end * len;
        let shape = [rows.len(), len];
        let mut call = Stack::plain_call(shape);
        if let Some(positions) = &batch.positions {
            call.positions = positions[at.clone()].into();
        }
        let segments = batch.segments.as_ref().map(|s| s[at.clone()].into());
        call.mask = Mask { segments, ..Mask::default() };
        call.rng = rng.map(|rng| Rng { first_sample: rng.first_sample + rows.start as u64, ..rng });
        Self {
            inputs: batch.inputs[at.clone()].into(),
            targets: batch.targets[at].to_vec(),
            shape,
            call,
            sample_ids: batch.sample_ids[rows].to_vec(),
        }
    }

    /// How many targets are counted.
    pub fn n_targets(&self) -> u64 {
        self.targets.iter().filter(|&&t| t != tensor::NO_TARGET).count() as u64
    }
}
