//! The seam between a model and what it learns.

use models::Stack;
use tensor::{Loss, Tape};

use crate::micro_batch::MicroBatch;

/// What a model is asked, and how wrong it is.
///
/// An implementation runs `stack` on the tape and ends in a loss; where the tape records, it starts
/// the backward pass ([`Tape::seed`], or an op that does, as [`Tape::linear_cross_entropy`]). Sums,
/// never means: micro-batches and ranks must add up. What is seeded by hand is multiplied with
/// [`Tape::loss_scale`] first.
pub trait Objective: Sync {
    /// The summed loss of one micro-batch.
    fn loss<'a>(&self, tape: &Tape<'a>, stack: &'a Stack, batch: &MicroBatch) -> Loss;
}
