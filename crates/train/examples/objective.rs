//! An objective of one's own: every position predicts the token after the next one.
//!
//! `cargo run --release -p train --example objective`
#![allow(clippy::print_stdout)]

use std::sync::Arc;

use data::{Batch, BatchConfig, Batches, Cursor, Store, StoreMeta};
use models::{Gpt2Config, Model, ModelConfig};
use nn::Context;
use optim::{AdamWConfig, Schedule};
use tasks::{Example, Losses, MicroBatch, NextToken, Objective, TextObjective};
use tensor::{Device, Isa, NO_TARGET, Precision, Tape};
use train::{StepConfig, Trainer};

/// Gloeckle et al., "Better & Faster Large Language Models via Multi-token Prediction",
/// arXiv:2404.19737, with the second token alone.
struct SecondToken;

impl Objective for SecondToken {
    fn loss<'a>(&self, tape: &Tape<'a>, model: &'a Model, batch: &MicroBatch) -> Losses {
        let (stack, input) = (model.stack(), &batch.input);
        let mut ctx = Context { call: input.call.clone(), cache: None };
        let hidden = stack.forward(tape, &input.ids, input.shape, &mut ctx);
        let shift = |row: &[u32]| row[1..].iter().copied().chain([NO_TARGET]).collect::<Vec<_>>();
        let targets: Vec<u32> = batch.targets.chunks(input.shape[1]).flat_map(shift).collect();
        let head = stack.token_head().expect("a head over the vocabulary");
        let loss = tape.linear_cross_entropy(&hidden, head.cross_entropy(&targets));
        Losses::one("second", loss)
    }
}

impl TextObjective for SecondToken {
    fn examples(&self, batch: &Batch, seed: u64) -> Vec<Example> {
        NextToken::default().examples(batch, seed)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Fibonacci's numbers modulo 31: two tokens decide all that follow.
    let next = |pair: &(u32, u32)| Some((pair.1, (pair.0 + pair.1) % 31));
    let from = |a| std::iter::successors(Some((a, 1)), next).map(|pair| pair.0).take(200).collect();
    let meta = StoreMeta {
        vocab_size: 32,
        end_of_text: Some(31),
        tokenizer_hash: [0; 32],
        has_marks: false,
    };
    let store = Arc::new(Store::in_memory(&(0..31).map(from).collect::<Vec<_>>(), &meta));
    let order = BatchConfig { batch: 16, seq_len: 32, seed: 1, ..BatchConfig::default() };
    let mut batches = Batches::new(store, order, Cursor::default())?;

    let sizes = Gpt2Config { d_model: 64, n_heads: 4, ..Gpt2Config::depth(2, 32, 32) };
    let model = Model::new(ModelConfig::Gpt2(sizes), 1)?;
    let config = StepConfig {
        precision: Precision::F32,
        schedule: Schedule::Constant { peak_lr: 2e-3 },
        adamw: AdamWConfig::default(),
        max_grad_norm: 1.0,
        micro_batch: 16,
        flat: false,
        recompute: false,
        seed: 1,
    };
    let mut trainer = Trainer::new(model, &SecondToken, Device::cpu(Isa::detect()), config);
    for step in 1..=300 {
        let report = trainer.step(&SecondToken.examples(&batches.next_batch()?, 1))?;
        if step % 50 == 0 {
            println!("step {step}: {:.3} nats a target", report.losses.mean().unwrap_or_default());
        }
    }
    Ok(())
}
