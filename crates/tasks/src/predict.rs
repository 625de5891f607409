//! What a model says of samples: their losses and scores, whatever is shown at once.

use models::Model;
use rayon::prelude::*;
use tensor::{Device, Precision, Tape};

use crate::example::Example;
use crate::labelled::Labelled;
use crate::log_probs::portions;
use crate::losses::Losses;
use crate::micro_batch::MicroBatch;
use crate::objective::Objective;

/// The losses of `examples`, and the scores of each ([`Labelled::by_example`]): about `n_tokens`
/// tokens are shown at once, in the order of the examples.
pub fn predict(
    (model, device, precision): (&Model, &Device, Precision),
    objective: &Labelled,
    examples: &[Example],
    n_tokens: usize,
) -> (Losses, Vec<Vec<f32>>) {
    let (mut losses, mut scores) = (Losses::default(), Vec::with_capacity(examples.len()));
    for some in portions(examples, n_tokens) {
        let micro = MicroBatch::flat(some, 0..some.len(), None);
        let tape = Tape::new(device, &model.params, precision);
        let z = Labelled::scores(&tape, model, &micro, objective.asked);
        losses += objective.losses_of(&z, &micro);
        scores.extend(objective.by_example(&z.value().to_vec(), &micro));
    }
    (losses, scores)
}

/// The losses of `examples`, about `n_tokens` tokens of which are shown at once.
pub fn losses_of(
    (model, device, precision): (&Model, &Device, Precision),
    objective: &dyn Objective,
    examples: &[Example],
    n_tokens: usize,
) -> Losses {
    let mut losses = Losses::default();
    for some in portions(examples, n_tokens) {
        let micro = MicroBatch::flat(some, 0..some.len(), None);
        losses += objective.loss(&Tape::new(device, &model.params, precision), model, &micro);
    }
    losses
}

/// Scores as probabilities, a softmax over each `n` that belong together.
pub fn probabilities(scores: &[f32], n: usize) -> Vec<f32> {
    let of = |scores: &[f32]| {
        let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let all: Vec<f32> = scores.iter().map(|z| (z - most).exp()).collect();
        let sum: f32 = all.iter().sum();
        all.into_iter().map(move |p| p / sum)
    };
    scores.par_chunks(n.max(1)).flat_map_iter(of).collect()
}
