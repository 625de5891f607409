//! `lyceum plan`: what a recipe will take, before it takes it.

mod text;

use models::{Model, ModelConfig};
use serde_json::{Value, json};
use train::report::format::{bytes, compact, duration, grouped};

use self::text::Text;
use super::pretrain::{self, corpus};
use super::table::Table;
use super::{print, print_json};
use crate::cli::Plan;
use crate::environment::Env;
use crate::estimate::{Estimate, StepShape};
use crate::failure::{Exit, Failure};
use crate::machine::{self, Bound, Memory};
use crate::recipe::{self, Recipe, RecipeError};

/// Everything that is known before the first step.
struct Planned {
    /// Trainable values by part of the model.
    params: Vec<(&'static str, u64)>,
    estimate: Estimate,
    memory: Option<Memory>,
    /// The largest micro-batch that fits, where the recipe's does not.
    micro_batch_that_fits: Option<usize>,
    peak_gflops: f64,
    /// The share of that peak which steps of this model reach, about.
    share: f64,
    precision: String,
    /// Steps of the run and tokens of a step.
    n_steps: u64,
    step_tokens: u64,
    text: Option<Text>,
    checkpoint_bytes: u64,
    n_checkpoints: u64,
}

/// Prints what the recipe will take.
///
/// # Errors
/// Where the recipe is refused, or its text is not there.
pub fn run(args: &Plan, env: &Env) -> Result<Exit, Failure> {
    let recipe = Recipe::load(args.recipe.as_deref().unwrap_or(recipe::DEFAULT), &args.set)?;
    recipe.check()?;
    let planned = Planned::new(&recipe, env)?;
    if args.json { print_json(&planned.to_json()) } else { print(&planned.table()) }
}

impl Planned {
    fn new(recipe: &Recipe, env: &Env) -> Result<Self, Failure> {
        let text_bytes = corpus::text_bytes(recipe)?;
        let (vocab_size, end) = pretrain::asked_vocabulary(recipe)?;
        let config = recipe.model.config(vocab_size, recipe.data.seq_len, end)?;
        let shape = pretrain::shape(recipe, env, text_bytes)?;
        let estimate = Estimate::new(&config, shape).map_err(RecipeError::model)?;
        let (memory, precision) = (machine::memory(), shape.precision);
        let n_params = estimate.n_params as u64;
        Ok(Self {
            params: params(&config)?,
            micro_batch_that_fits: memory
                .filter(|memory| memory.available_bytes < estimate.total_bytes())
                .and_then(|memory| largest_fitting(&config, shape, memory.available_bytes)),
            estimate,
            memory,
            peak_gflops: pretrain::peak_gflops(env, precision),
            share: share_of_peak(&config)?,
            precision: precision.compute.to_string(),
            n_steps: recipe.train.steps,
            step_tokens: (recipe.train.batch_size as u64)
                .saturating_mul(recipe.data.seq_len as u64),
            text: Text::measure(recipe, text_bytes, env)?,
            // Weights, and two moments of each.
            checkpoint_bytes: n_params.saturating_mul(12),
            n_checkpoints: recipe.train.keep_last as u64 + 1,
        })
    }

    fn run_tokens(&self) -> u64 {
        self.step_tokens.saturating_mul(self.n_steps)
    }

    fn fits(&self) -> Option<bool> {
        Some(self.estimate.total_bytes() <= self.memory?.available_bytes)
    }

    fn step_seconds(&self) -> f64 {
        let flops = self.estimate.flops_per_token * self.step_tokens as f64;
        flops / (self.peak_gflops * 1e9 * self.share)
    }

    fn epochs(&self) -> Option<f64> {
        let n_tokens = self.text?.n_tokens?;
        (n_tokens > 0).then(|| self.run_tokens() as f64 / n_tokens as f64)
    }

    fn table(&self) -> String {
        let mut table = Table::default();
        let flops = self.estimate.flops_per_token;
        table.fact("parameters", grouped(self.estimate.n_params as u64));
        for (name, n) in &self.params {
            table.fact(&format!("  {name}"), grouped(*n));
        }
        table.fact("a step", format!("{} tokens", grouped(self.step_tokens)));
        table.fact("the run", format!("{} steps, {}", self.n_steps, self.tokens()));
        table.fact("FLOPs a token", compact(flops));
        table.fact("FLOPs a step", compact(flops * self.step_tokens as f64));
        table.fact("FLOPs of the run", compact(flops * self.run_tokens() as f64));
        table.fact("memory", bytes(self.estimate.total_bytes()));
        for (name, n) in self.estimate.memory.iter().filter(|(_, n)| *n > 0) {
            table.fact(&format!("  {name}"), bytes(*n));
        }
        table.fact("memory available", self.available());
        let (peak, share) = (self.peak_gflops, self.share * 100.0);
        table.fact("peak, measured", format!("{peak:.0} GFLOP/s in {}", self.precision));
        let step = duration(self.step_seconds());
        table.fact("time a step", format!("about {step}, at {share:.0} % of the peak"));
        let all = duration(self.step_seconds() * self.n_steps as f64);
        table.fact("time of the run", format!("about {all}"));
        let (one, n) = (self.checkpoint_bytes, self.n_checkpoints);
        let disk = bytes(one.saturating_mul(n));
        table.fact("a checkpoint", format!("{}; {n} are kept: {disk}", bytes(one)));
        table.text() + &self.verdict()
    }

    fn tokens(&self) -> String {
        let seen = format!("{} tokens", compact(self.run_tokens() as f64));
        match (self.text.and_then(|text| text.n_tokens), self.epochs()) {
            (Some(n), Some(epochs)) => {
                format!("{seen}: {epochs:.1} epochs of about {}", compact(n as f64))
            }
            _ => seen,
        }
    }

    fn available(&self) -> String {
        match self.memory {
            None => "unknown".to_owned(),
            Some(Memory { available_bytes, bound: Bound::Machine }) => bytes(available_bytes),
            Some(Memory { available_bytes, bound: Bound::ControlGroup }) => {
                bytes(available_bytes) + " (limit of the control group)"
            }
        }
    }

    fn verdict(&self) -> String {
        match (self.fits(), self.micro_batch_that_fits) {
            (None | Some(true), _) => "\nit fits\n".to_owned(),
            (_, Some(n)) => {
                format!("\nit does not fit\n  hint: it does with `--set train.micro_batch={n}`\n")
            }
            _ => "\nit does not fit, whatever the micro-batch\n  hint: take a smaller model, or \
                  `--set train.recompute=true`\n"
                .to_owned(),
        }
    }

    fn to_json(&self) -> Value {
        let object = |parts: &[(&str, u64)]| -> Value {
            parts.iter().map(|(name, n)| ((*name).to_owned(), json!(n))).collect()
        };
        let flops = self.estimate.flops_per_token;
        json!({
            "n_params": self.estimate.n_params,
            "params": object(&self.params),
            "flops_per_token": flops,
            "flops_per_step": flops * self.step_tokens as f64,
            "flops": flops * self.run_tokens() as f64,
            "memory_bytes": self.estimate.total_bytes(),
            "memory": object(&self.estimate.memory),
            "memory_available_bytes": self.memory.map(|memory| memory.available_bytes),
            "fits": self.fits(),
            "micro_batch_that_fits": self.micro_batch_that_fits,
            "precision": self.precision,
            "peak_gflops": self.peak_gflops,
            "share_of_peak": self.share,
            "seconds_per_step": self.step_seconds(),
            "seconds": self.step_seconds() * self.n_steps as f64,
            "steps": self.n_steps,
            "tokens_per_step": self.step_tokens,
            "tokens": self.run_tokens(),
            "text_bytes": self.text.map(|text| text.n_bytes),
            "text_tokens": self.text.and_then(|text| text.n_tokens),
            "epochs": self.epochs(),
            "checkpoint_bytes": self.checkpoint_bytes,
            "checkpoints_kept": self.n_checkpoints,
        })
    }
}

/// Trainable values by what they are for.
fn params(config: &ModelConfig) -> Result<Vec<(&'static str, u64)>, RecipeError> {
    let (_, builder) = Model::register(config).map_err(RecipeError::model)?;
    let mut parts =
        [("embedding", 0), ("attention", 0), ("feed-forward", 0), ("norms", 0), ("head", 0)];
    for entry in builder.entries() {
        let part = match entry.name.as_str() {
            name if name.contains("norm") => 3,
            name if name.starts_with("embed.") => 0,
            name if name.contains(".attn.") => 1,
            name if name.contains(".ffn.") => 2,
            _ => 4,
        };
        parts[part].1 += entry.param.len() as u64;
    }
    Ok(parts.into_iter().filter(|(_, n)| *n > 0).collect())
}

/// Steps of wide models are nearly all matrix products; in narrow ones what moves memory counts.
/// Fitted to measured steps: 60 % at a width of 256, 85 % at 768.
fn share_of_peak(config: &ModelConfig) -> Result<f64, RecipeError> {
    const HALF: f64 = 150.0;
    let stack = config.family().stack().map_err(RecipeError::model)?;
    let d = stack.trunk.d_model as f64;
    Ok(d / (d + HALF))
}

/// The largest micro-batch, of those that halve the recipe's, which fits into `available`.
fn largest_fitting(config: &ModelConfig, shape: StepShape, available: u64) -> Option<usize> {
    let halved = std::iter::successors(Some(shape.micro_batch / 2), |n| Some(n / 2));
    let fits = |n: &usize| {
        let shape = StepShape { micro_batch: *n, eval_batch: shape.eval_batch.min(*n), ..shape };
        Estimate::new(config, shape).is_ok_and(|found| found.total_bytes() <= available)
    };
    halved.take_while(|n| *n > 0).find(fits)
}
