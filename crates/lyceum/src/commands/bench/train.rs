//! `lyceum bench train`: one training step's time, speed and memory.

use std::time::Instant;

use data::Batch;
use kernels::philox::philox4x32;
use models::{Gpt2Config, Model, ModelConfig};
use optim::{AdamWConfig, Schedule};
use serde_json::{Value, json};
use tasks::{NextToken, TextObjective};
use train::{StepConfig, TrainError, Trainer};

use super::{engine, median, round};
use crate::cli::BenchTrain;
use crate::environment::Env;
use crate::failure::Failure;
use crate::machine;
use recipe::Recipe;
use recipe::estimate::Estimate;

/// `(vocab_size, max_len, layers, d_model, heads, batch, seq_len)` of the sizes people compare.
fn sizes(size: &str) -> [usize; 7] {
    match size {
        "S" => [10_000, 256, 6, 512, 8, 8, 256],
        "M" => [50_257, 1024, 12, 768, 12, 4, 64],
        _ => [50_257, 1024, 12, 768, 12, 4, 512],
    }
}

/// Steps that are not counted.
const WARMUP: usize = 2;

/// Times training steps on random tokens: the same step as `pretrain`'s.
///
/// # Errors
/// Where a step is refused.
pub fn train(args: &BenchTrain, env: &Env) -> Result<Value, Failure> {
    let [vocab_size, max_len, n_layers, d_model, n_heads, batch, seq_len] = sizes(&args.size);
    let (batch, seq_len) = (args.batch.unwrap_or(batch), args.seq.unwrap_or(seq_len));
    let config = ModelConfig::Gpt2(Gpt2Config {
        vocab_size,
        max_len: max_len.max(seq_len),
        n_layers,
        d_model,
        n_heads,
        ..Gpt2Config::fresh()
    });
    let mut recipe = Recipe::default();
    recipe.train.precision.clone_from(&args.mode);
    recipe.train.batch_size = batch;
    recipe.train.micro_batch = args.micro_batch.unwrap_or(batch);
    recipe.train.recompute = args.recompute;
    (recipe.data.seq_len, recipe.data.validation_fraction) = (seq_len, 0.0);
    let estimate = Estimate::new(&config, &recipe, env.isa, Some(0))?;
    let hint = "ask for less with `--batch`, `--micro-batch` or `--seq`";
    machine::refuse_beyond_memory("bench train", estimate.total_bytes(), hint)?;
    let flops = estimate.flops_per_token;
    let step = StepConfig {
        precision: recipe.train.precision(env.isa)?,
        schedule: Schedule::Constant { peak_lr: 1e-4 },
        adamw: AdamWConfig { beta2: 0.999, weight_decay: 0.01, ..AdamWConfig::default() },
        max_grad_norm: 1.0,
        micro_batch: recipe.train.micro_batch,
        flat: false,
        recompute: args.recompute,
        seed: 0,
    };
    let model = Model::new(config, 0)?;
    let objective = NextToken::default();
    let mut trainer = Trainer::new(model, &objective, env.device(), step);
    let tokens = objective.examples(&random_batch(vocab_size as u32, batch, seq_len), 0);
    let (mut times, mut loss) = (vec![], 0.0);
    for _ in 0..args.steps + WARMUP {
        let began = Instant::now();
        let report = trainer.step(&tokens).map_err(TrainError::from)?;
        times.push(began.elapsed().as_secs_f64());
        loss = report.losses.mean().unwrap_or(f64::NAN);
    }
    let mut times = times.split_off(WARMUP);
    let (median, n_tokens) = (median(&mut times), (batch * seq_len) as f64);
    Ok(json!({
        "engine": engine(env),
        "size": args.size, "mode": args.mode, "batch": batch, "seq": seq_len,
        "ms_median": round(median * 1e3), "ms_min": round(times[0] * 1e3),
        "tokens_per_s": (n_tokens / median).round(),
        "gflop_per_s": round(flops * n_tokens / median / 1e9),
        "peak_mib": machine::peak_rss_bytes().map(|bytes| bytes >> 20),
        "loss": loss,
    }))
}

fn random_batch(vocab_size: u32, rows: usize, seq_len: usize) -> Batch {
    let draw = |i: usize, stream: u32| philox4x32([i as u32, stream, 0, 0], [7, 7])[0] % vocab_size;
    let n = rows * seq_len;
    Batch {
        seq_len,
        inputs: (0..n).map(|i| draw(i, 0)).collect(),
        targets: (0..n).map(|i| draw(i, 1)).collect(),
        sample_ids: (0..rows as u64).collect(),
        n_targets: n as u64,
        ..Batch::default()
    }
}
