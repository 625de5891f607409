//! The seam between a model and what it learns.

use data::Batch;
use models::Model;
use tensor::Tape;

use crate::example::Example;
use crate::losses::Losses;
use crate::micro_batch::MicroBatch;

/// How wrong a model is.
pub trait Objective: Sync {
    /// The summed losses of one micro-batch.
    ///
    /// Runs `model` on the tape and ends in losses; where the tape records, it starts the backward
    /// pass ([`Tape::seed`], or an op that does, as [`Tape::linear_cross_entropy`]). The gradient
    /// is that of the first part's sum, and of every other's mean times its weight times the first
    /// part's targets in the whole batch: sums, never means, as micro-batches and ranks must add
    /// up. What is seeded by hand is multiplied with [`Tape::loss_scale`] first.
    fn loss<'a>(&self, tape: &Tape<'a>, model: &'a Model, batch: &MicroBatch) -> Losses;
}

/// One that makes its questions of plain text.
pub trait TextObjective: Objective {
    /// What a model is shown of the rows of `batch`: what each is depends on it, its sample id and
    /// `seed` alone, unless an objective says otherwise.
    fn examples(&self, batch: &Batch, seed: u64) -> Vec<Example>;

    /// Whether every token of a text is a target, once: its loss is then one of the text's bytes.
    fn counts_text(&self) -> bool {
        false
    }
}
