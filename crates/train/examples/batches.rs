//! What it costs to have the next examples, beside the step they are for: as a line of JSON, the
//! share of the time from one step to the next that goes into reading a batch and making examples
//! of it.
//!
//! `cargo run --release -p train --example batches`
//!
//! A GPT-2 of size S (as of `lyceum bench train`) on rows of 256 tokens, and the small BERT of
//! `recipes/bert.toml`, whole words hidden. Both read the novels in the program out of a store on
//! disk, mapped; its pages are in memory after the first time.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use data::{
    BatchConfig, Batches, Corpus, Cursors, Encoder, Marker, Source, Store, build, train_tokenizer,
};
use models::{Gpt2Config, HfConfig, Model, ModelConfig, Sizes};
use optim::{AdamWConfig, Schedule};
use tasks::{Masked, NextToken, Replacement, TextObjective, Unit, Vocabulary};
use tensor::{Device, Isa, Precision};
use tokenize::{Scheme, Tokenizer};
use train::{StepConfig, Trainer};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const BATCHES: usize = 200;
const STEPS: usize = 5;

fn main() -> Result<()> {
    let (tokenizer, store) = prepared(Scheme::Gpt, 10_000, None)?;
    let sizes = Gpt2Config {
        vocab_size: tokenizer.vocab_size(),
        max_len: 256,
        n_layers: 6,
        d_model: 512,
        n_heads: 8,
        ..Gpt2Config::fresh()
    };
    let model = Model::new(ModelConfig::Gpt2(sizes), 1)?;
    let rows = BatchConfig { batch: 8, seq_len: 256, ..BatchConfig::default() };
    let gpt2 = measure(store, rows, model, &NextToken::default())?;

    let marker = Marker::new(None)?;
    let (tokenizer, store) = prepared(Scheme::Bert { lowercase: true }, 6144, Some(&marker))?;
    let vocabulary = Vocabulary::of(&tokenizer);
    let sizes = Sizes {
        vocab_size: tokenizer.vocab_size(),
        max_len: 128,
        n_layers: 4,
        d_model: 256,
        n_heads: 4,
        d_ff: None,
        dropout: 0.0,
        pair: false,
        generator: 0.25,
        ids: [None; 3],
    };
    let config = HfConfig::fresh("bert", &sizes).ok_or("no such family")?;
    let special = |id: Option<u32>| id.ok_or("the tokenizer is not one of masked tokens");
    let objective = Masked {
        mask: special(vocabulary.mask)?,
        begin: special(vocabulary.begin)?,
        end: special(vocabulary.end)?,
        rate: 0.15,
        unit: Unit::Word,
        replacement: Replacement::default(),
        pair: None,
        vocabulary,
    };
    let around = Masked::AROUND;
    let rows = BatchConfig { batch: 32, seq_len: 128, around, ..BatchConfig::default() };
    let bert = measure(store, rows, Model::new(ModelConfig::Hf(config), 1)?, &objective)?;
    println!(r#"{{"gpt2": {gpt2}, "bert": {bert}}}"#);
    Ok(())
}

fn prepared(scheme: Scheme, n: usize, marker: Option<&Marker>) -> Result<(Tokenizer, Arc<Store>)> {
    let source = Source::Embedded(Corpus::Austen);
    let tokenizer = train_tokenizer(&source, scheme, n)?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("tokens");
    build(&source, Encoder { tokenizer: &tokenizer, marker }, &path, None)?;
    // What is open outlives its name.
    let store = Store::open(&path)?;
    Ok((tokenizer, Arc::new(store)))
}

/// Milliseconds of a batch and its examples, and of a step on all threads, which makes them too.
fn measure(
    store: Arc<Store>,
    rows: BatchConfig,
    model: Model,
    objective: &dyn TextObjective,
) -> Result<String> {
    let mut batches = Batches::new(store, rows, Cursors::default())?;
    let (mut reads, mut makes) = (Vec::new(), Vec::new());
    for _ in 0..BATCHES {
        let began = Instant::now();
        let batch = batches.next_batch()?;
        reads.push(began.elapsed().as_secs_f64() * 1e3);
        black_box(objective.examples(&batch, 1));
        makes.push(began.elapsed().as_secs_f64() * 1e3 - reads[reads.len() - 1]);
    }
    let isa = Isa::detect();
    let config = StepConfig {
        precision: if isa == Isa::Avx512Bf16 { Precision::BF16 } else { Precision::F32 },
        schedule: Schedule::Constant { peak_lr: 1e-4 },
        adamw: AdamWConfig::default(),
        max_grad_norm: 1.0,
        micro_batch: rows.batch,
        flat: false,
        recompute: false,
        seed: 1,
    };
    let mut trainer = Trainer::new(model, objective, Device::cpu(isa), config);
    let mut steps = Vec::new();
    for _ in 0..=STEPS {
        let batch = batches.next_batch()?;
        let began = Instant::now();
        trainer.step(&objective.examples(&batch, 1))?;
        steps.push(began.elapsed().as_secs_f64() * 1e3);
    }
    // The first one finds its memory.
    let (read, make, step) = (median(reads), median(makes), median(steps.split_off(1)));
    let share = 100.0 * (read + make) / (read + step);
    Ok(format!(
        r#"{{"read_ms": {read}, "examples_ms": {make}, "step_ms": {step}, "share": {share}}}"#
    ))
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
