//! Replaced tokens: one model fills in what is hidden, and another finds what was filled in.
//!
//! Clark, Luong, Le, Manning, "ELECTRA: Pre-training Text Encoders as Discriminators Rather Than
//! Generators", arXiv:2003.10555, section 2. No gradient goes through what is drawn.

use std::cell::RefCell;
use std::ops::Range;

use data::Batch;
use kernels::philox::Key;
use kernels::softmax;
use models::{Architecture, Model};
use nn::Context;
use rayon::prelude::*;
use tensor::{Isa, NO_TARGET, Tape};

use crate::example::Example;
use crate::losses::{Losses, Part};
use crate::masked::{Masked, find_hidden, hidden_rows};
use crate::micro_batch::{MicroBatch, Shown};
use crate::objective::{Objective, TextObjective};
use crate::select::Replacement;

/// A generator that is asked for hidden tokens, and a discriminator that is asked which tokens are
/// not those of the text.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplacedTokens {
    /// What is hidden; a question about two texts is no part of it.
    pub masked: Masked,
    /// What the mean over all tokens counts beside that over hidden ones.
    pub weight: f64,
}

impl ReplacedTokens {
    /// Appendix A of the paper.
    pub const WEIGHT: f64 = 50.0;
    /// Of the authors' code: no hidden token is shown as a random one.
    pub const REPLACEMENT: Replacement = Replacement { mask: 0.85, random: 0.0 };
}

impl Objective for ReplacedTokens {
    fn loss<'a>(&self, tape: &Tape<'a>, model: &'a Model, batch: &MicroBatch) -> Losses {
        let Architecture::Detector(pair) = &model.architecture else {
            panic!("replaced tokens: refused at the edge")
        };
        let Shown { ids, shape, call } = &batch.input;
        let context = || Context { call: call.clone(), cache: None };
        let filled = RefCell::new(ids.to_vec());
        let generator = tape.scope("generator", None, || {
            let hidden = pair.generator.forward(tape, ids, *shape, &mut context());
            let (rows, targets) = hidden_rows(batch);
            let fill = |some: Range<usize>, logits: &[f32]| {
                let (isa, rows) = (tape.device().isa, &rows[some]);
                let drawn = logits.par_chunks_exact(logits.len() / rows.len().max(1)).zip(rows);
                let drawn: Vec<u32> =
                    drawn.map(|(logits, &row)| draw(isa, logits, place(batch, row))).collect();
                let mut filled = filled.borrow_mut();
                rows.iter().zip(drawn).for_each(|(&row, id)| filled[row as usize] = id);
            };
            let asked = (&rows[..], &targets[..]);
            tape.scope("head", None, || {
                find_hidden(tape, &pair.generator, asked, &hidden, Some(&fill))
            })
        });
        let filled = filled.into_inner();
        let replaced = replaced(batch, &filled);
        let discriminator = &pair.discriminator;
        let hidden = discriminator.forward(tape, &filled.into(), *shape, &mut context());
        let head = discriminator.tag_head().expect("a head over positions");
        // Of the mean over the whole batch, as the first part's is of a sum.
        let (n_targets, n_tokens) = (batch.counts.n_targets, batch.counts.n_tokens.max(1));
        let weight = self.weight * n_targets as f64 / n_tokens as f64;
        let call = &batch.input.call;
        let found = tape.scope("head", None, || {
            tape.binary_cross_entropy(&head.forward(tape, &hidden, call), &replaced, weight as f32)
        });
        let part = |name, weight, loss| Part { name, weight, loss };
        Losses(vec![part("generator", 1.0, generator), part("replaced", self.weight, found)])
    }
}

impl TextObjective for ReplacedTokens {
    fn examples(&self, batch: &Batch, seed: u64) -> Vec<Example> {
        self.masked.examples(batch, seed)
    }
}

/// One where a token is not that of the text, 0 where it is; nothing is asked of padding.
fn replaced(batch: &MicroBatch, filled: &[u32]) -> Vec<u32> {
    let segments = batch.input.call.mask.segments.as_deref();
    let is_text = |at: usize| segments.is_none_or(|segments| segments[at] != 0);
    let asked = filled.iter().zip(&batch.targets).enumerate();
    let label = |(at, (id, target)): (usize, (&u32, &u32))| match *target {
        _ if !is_text(at) => NO_TARGET,
        NO_TARGET => 0,
        target => u32::from(target != *id),
    };
    asked.map(label).collect()
}

/// Where in `[0, 1)` the draw of a row of `[B, T]` falls: a function of seed, step, sample and
/// position, whatever the micro-batch.
fn place(batch: &MicroBatch, row: u32) -> f64 {
    let Shown { shape: [_, len], call, .. } = &batch.input;
    let (seed, step) = call.rng.map_or((0, 0), |rng| (rng.seed, rng.step));
    let (sample, position) = (row as usize / len, row as usize % len);
    // "generate", so that nothing else draws the same.
    let key = Key::new(seed).fold(0x6765_6e65_7261_7465).fold(step).fold(batch.sample_ids[sample]);
    f64::from(key.words(position as u64)[0]) / (f64::from(u32::MAX) + 1.0)
}

/// The token on which `place` falls, where each has as much of `[0, 1)` as its softmax: a draw a
/// row. The largest of scores with Gumbel noise is drawn alike, and takes a draw and two logarithms
/// a token of the vocabulary.
fn draw(isa: Isa, logits: &[f32], place: f64) -> u32 {
    let mut shares = logits.to_vec();
    softmax::rows(isa, &mut shares, logits.len());
    let mut sum = 0.0;
    let reached = shares.iter().position(|&share| {
        sum += f64::from(share);
        place < sum
    });
    // Roundings may leave the sum below one.
    let last = || shares.iter().rposition(|&share| share > 0.0);
    reached.or_else(last).unwrap_or(0) as u32
}

#[cfg(test)]
mod tests {
    use nn::Context;
    use tensor::Rng;

    use super::*;
    use crate::micro_batch::Counts;

    #[test]
    fn tokens_are_drawn_as_often_as_the_softmax_says() {
        let shares = [0.5, 0.0, 0.125, 0.25, 0.125_f32];
        let logits: Vec<f32> = shares.iter().map(|share| share.ln() + 3.0).collect();
        let mut found = [0.0; 5];
        for i in 0..1000 {
            found[draw(Isa::detect(), &logits, f64::from(i) / 1000.0) as usize] += 0.001;
        }
        for (found, share) in found.iter().zip(shares) {
            assert!((found - f64::from(share)).abs() < 0.0015, "{found} {share}");
        }
        assert_eq!(draw(Isa::detect(), &logits, 1.0), 4);
        assert_eq!(draw(Isa::detect(), &[f32::NAN; 5], 0.5), 0);
    }

    fn batch(step: u64, sample_ids: &[u64]) -> MicroBatch {
        let shape = [sample_ids.len(), 4];
        let mut call = Context::plain(shape[0], shape[1]).call;
        call.rng = Some(Rng { seed: 3, step, first_sample: 9, first_token: 0 });
        let n = shape[0] * shape[1];
        MicroBatch {
            input: Shown { ids: vec![7; n].into(), shape, call },
            output: None,
            targets: vec![7; n],
            reference: Vec::new(),
            labels: vec![crate::Label::None; shape[0]],
            texts: Vec::new(),
            of_example: Vec::new(),
            counts: Counts::default(),
            sample_ids: sample_ids.to_vec(),
        }
    }

    #[test]
    fn a_draw_belongs_to_step_sample_and_position() {
        let (two, one) = (batch(1, &[5, 6]), batch(1, &[6]));
        let places = |batch: &MicroBatch, rows: Range<u32>| -> Vec<f64> {
            rows.map(|row| place(batch, row)).collect()
        };
        assert_eq!(places(&two, 4..8), places(&one, 0..4));
        let all = [places(&two, 0..8), places(&batch(2, &[6]), 0..4)].concat();
        let distinct: std::collections::HashSet<u64> = all.iter().map(|x| x.to_bits()).collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn what_is_filled_in_as_it_was_is_not_replaced() {
        let mut batch = batch(1, &[5]);
        batch.targets = vec![NO_TARGET, 7, 8, NO_TARGET];
        batch.input.call.mask.segments = Some(vec![1, 1, 1, 0].into());
        assert_eq!(replaced(&batch, &[3, 7, 7, 0]), [0, 0, 1, NO_TARGET]);
    }
}
