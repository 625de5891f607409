//! How likely a model thinks what texts say, and losses that are functions of that alone.

use std::sync::Arc;

use data::IGNORED;
use models::{Model, Stack};
use nn::{Call, Context};
use tensor::{CrossEntropyArgs, Device, Precision, Tape, Var};

use crate::example::Example;
use crate::losses::Losses;
use crate::micro_batch::MicroBatch;

/// What is asked of a micro-batch, as the head sees it.
struct Asked {
    /// Which of the rows `[B * T]`.
    rows: Arc<[u32]>,
    targets: Vec<u32>,
    /// What the head projects.
    hidden: Var,
}

impl Asked {
    fn new<'a>(
        tape: &Tape<'a>,
        stack: &'a Stack,
        (batch, temperature): (&MicroBatch, f32),
    ) -> Self {
        // Nothing is dropped, as nothing was where learning began, or where answers were drawn.
        let mut ctx = Context { call: Call { rng: None, ..batch.input.call.clone() }, cache: None };
        let hidden = stack.forward(tape, &batch.input.ids, batch.input.shape, &mut ctx);
        let is_asked = |row: &u32| batch.targets[*row as usize] != IGNORED;
        let rows: Arc<[u32]> = (0..batch.targets.len() as u32).filter(is_asked).collect();
        let targets = rows.iter().map(|&row| batch.targets[row as usize]).collect();
        let head = stack.token_head().expect("a head over the vocabulary");
        let project = || {
            let hidden = head.hidden(tape, &tape.select_rows(&hidden, &rows));
            if temperature == 1.0 {
                return hidden;
            }
            // Logits are linear in it, but for a bias.
            assert!(!head.has_bias(), "log_probs: temperature {temperature} of a head with a bias");
            tape.scale(&hidden, 1.0 / temperature)
        };
        let hidden = tape.scope("head", None, project);
        Self { rows, targets, hidden }
    }

    fn args<'v>(&'v self, stack: &'v Stack) -> CrossEntropyArgs<'v> {
        stack.token_head().expect("a head over the vocabulary").cross_entropy(&self.targets)
    }

    /// `[B * T]`, 0 where nothing is asked.
    fn log_probs(&self, tape: &Tape, stack: &Stack, n_rows: usize) -> Vec<f32> {
        let mut all = vec![0.0; n_rows];
        let losses = tape.linear_losses(&self.hidden, self.args(stack));
        for (&row, lost) in self.rows.iter().zip(losses) {
            all[row as usize] = -lost.loss;
        }
        all
    }
}

/// Learns by what `judge` makes of the log-probability of each target at `temperature`, `[B * T]`
/// and 0 where there is none: losses, and their slope for each of these. The trunk runs once and
/// the head twice, as its logits are not kept.
pub(crate) fn learn<'a>(
    tape: &Tape<'a>,
    model: &'a Model,
    (batch, temperature): (&MicroBatch, f32),
    judge: impl FnOnce(&[f32]) -> (Losses, Vec<f64>),
) -> Losses {
    let stack = model.stack();
    let asked = Asked::new(tape, stack, (batch, temperature));
    let (losses, slopes) = judge(&asked.log_probs(tape, stack, batch.targets.len()));
    if tape.is_recording() {
        let weight = |&row: &u32| -slopes[row as usize] as f32;
        let weights: Vec<f32> = asked.rows.iter().map(weight).collect();
        let args = CrossEntropyArgs { row_weights: Some(&weights), ..asked.args(stack) };
        tape.scope("head", None, || tape.linear_cross_entropy(&asked.hidden, args));
    }
    losses
}

/// The log-probability of every target of `examples` where logits are divided by `temperature`, 0
/// where there is none: about `n_tokens` tokens are shown at once, in the order of the examples.
///
/// # Panics
/// When the model has no head over its vocabulary, or one with a bias and `temperature` is not 1.
pub fn log_probs(
    (model, device, precision): (&Model, &Device, Precision),
    examples: &[Example],
    (n_tokens, temperature): (usize, f32),
) -> Vec<Vec<f32>> {
    let mut all = Vec::with_capacity(examples.len());
    for some in portions(examples, n_tokens) {
        let micro = MicroBatch::flat(some, 0..some.len(), None);
        let tape = Tape::new(device, &model.params, precision);
        let asked = Asked::new(&tape, model.stack(), (&micro, temperature));
        let mut found = &asked.log_probs(&tape, model.stack(), micro.targets.len())[..];
        for example in some {
            let (own, rest) = found.split_at(example.targets.len());
            all.push(own.to_vec());
            found = rest;
        }
    }
    all
}

/// Examples that follow one another, about `n_tokens` tokens of them at a time.
pub(crate) fn portions(examples: &[Example], n_tokens: usize) -> impl Iterator<Item = &[Example]> {
    let mut left = examples;
    std::iter::from_fn(move || {
        let mut n = 0;
        let fits = |example: &&Example| {
            n += example.n_tokens();
            n <= n_tokens
        };
        let n_taken = left.iter().take_while(fits).count().max(1).min(left.len());
        let taken = left.split_off(..n_taken)?;
        (!taken.is_empty()).then_some(taken)
    })
}
