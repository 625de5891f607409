//! Autoregressive language modelling: each position predicts the next token.

use models::Stack;
use nn::Context;
use tensor::{Balance, CrossEntropyArgs, Loss, NO_TARGET, Tape};

use crate::micro_batch::MicroBatch;
use crate::objective::Objective;

/// Cross entropy of the next token, in nats.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NextToken {
    /// Label smoothing, in `[0, 1)`.
    pub smoothing: f32,
}

impl NextToken {
    /// What keeps tokens spread over experts, where there are any: its gradient is that of a mean
    /// times the targets, as that of the sum beside it; the loss that is told is without it.
    fn balance(stack: &Stack, batch: &MicroBatch) -> Option<Balance> {
        let experts = stack.config().trunk.experts.as_ref()?;
        let n_targets = batch.targets.iter().filter(|&&target| target != NO_TARGET).count();
        let kept = batch.call.mask.segments.clone();
        Some(Balance::new(experts.balance * n_targets as f32, kept))
    }
}

impl Objective for NextToken {
    fn loss<'a>(&self, tape: &Tape<'a>, stack: &'a Stack, batch: &MicroBatch) -> Loss {
        let mut ctx = Context { call: batch.call.clone(), cache: None };
        ctx.call.balance = Self::balance(stack, batch).filter(|_| tape.is_recording());
        let hidden = stack.forward(tape, &batch.inputs, batch.shape, &mut ctx);
        let head = stack.token_head().expect("a head over the vocabulary");
        tape.scope("head", None, || {
            let hidden = head.hidden(tape, &hidden);
            let smoothing = if tape.is_recording() { self.smoothing } else { 0.0 };
            let args = head.cross_entropy(&batch.targets);
            tape.linear_cross_entropy(&hidden, CrossEntropyArgs { smoothing, ..args })
        })
    }
}
