//! `lyceum bench finetune`: one step's time and memory, of a model that is tuned.

use std::fs;
use std::path::Path;
use std::time::Instant;

use kernels::philox::philox4x32;
use models::{HeadKind, LoraConfig, Method, Model, ModelConfig, Targets, Tuning};
use optim::{AdamWConfig, Schedule};
use serde_json::{Value, json};
use tasks::{Asked, Example, Label, Labelled, NextToken, Objective, Row};
use tokenize::Tokenizer;
use train::{StepConfig, TrainError, Trainer};

use super::{engine, median, round};
use crate::cli::BenchFinetune;
use crate::commands::load::model_dir;
use crate::environment::Env;
use crate::failure::{Context, Failure};
use crate::machine;
use recipe::{TrainSection, quantised};

/// Steps that are not counted.
const WARMUP: usize = 4;

/// Times steps on random tokens, or on the lines of a file: the same step as `finetune`'s.
///
/// # Errors
/// Where the model, the file or a step is refused.
pub fn finetune(args: &BenchFinetune, env: &Env) -> Result<Value, Failure> {
    let dir = model_dir(&args.model)?;
    let base = Model::load_config(&dir)?;
    let is_lora = args.lora.is_some();
    let head = HeadKind::Classes { labels: vec!["0".into(), "1".into()] };
    let config =
        if is_lora { base } else { base.with_head(&head).map_err(|e| Failure::of(&e, None))? };
    let texts = texts(args, &dir, &config)?;
    let lora = |rank| LoraConfig {
        rank,
        alpha: 2.0 * rank as f64,
        targets: Some(Targets::Pattern("all-linear".into())),
        ..LoraConfig::default()
    };
    let method = args.lora.map_or(Method::Full, |rank| Method::Lora(lora(rank)));
    let quantise = args.quantise.as_deref().map(quantised).transpose()?;
    let tuning = Tuning { method, quantise, ..Tuning::default() };
    let (model, _) = Model::load_tuned(&dir, Some(config), &tuning, 0)?;
    let labelled = Labelled::new(Asked::Class);
    let next = NextToken::default();
    let objective: &dyn Objective = if is_lora { &next } else { &labelled };
    let batch = texts.len().min(args.batch);
    let train = TrainSection { precision: args.mode.clone(), ..TrainSection::default() };
    let step = StepConfig {
        precision: train.precision(env.isa)?,
        schedule: Schedule::Constant { peak_lr: 5e-5 },
        adamw: AdamWConfig { beta2: 0.999, weight_decay: 0.01, ..AdamWConfig::default() },
        max_grad_norm: 1.0,
        micro_batch: batch,
        flat: true,
        recompute: args.recompute,
        seed: 0,
    };
    let mut trainer = Trainer::new(model, objective, env.device(), step);
    let (mut times, mut n_tokens, mut loss) = (vec![], 0, f64::NAN);
    for step in 0..args.steps + WARMUP {
        let of = |i: usize| &texts[(step * batch + i) % texts.len()];
        let examples: Vec<Example> = (0..batch).map(|i| example(i, of(i), is_lora)).collect();
        let began = Instant::now();
        let report = trainer.step(&examples).map_err(TrainError::from)?;
        if step >= WARMUP {
            times.push(began.elapsed().as_secs_f64());
            n_tokens += report.counts.n_tokens;
        }
        loss = report.losses.mean().unwrap_or(f64::NAN);
    }
    let seconds: f64 = times.iter().sum();
    Ok(json!({
        "engine": engine(env), "mode": args.mode, "batch": batch,
        "tokens_a_step": n_tokens / args.steps as u64,
        "ms_median": round(median(&mut times) * 1e3),
        "ms_mean": round(seconds / args.steps as f64 * 1e3),
        "tokens_per_s": (n_tokens as f64 / seconds).round(),
        "peak_mib": machine::peak_rss_bytes().map(|bytes| bytes >> 20),
        "loss": loss,
    }))
}

/// Tokens of each sample: the lines of a file, or random ones, all of one length.
fn texts(args: &BenchFinetune, dir: &Path, config: &ModelConfig) -> Result<Vec<Vec<u32>>, Failure> {
    let stack = config.family().stack()?;
    let Some(tokens) = stack.embed.tokens() else {
        return Err(Failure::new("the model reads no text"));
    };
    let most = tokens.max_len;
    if args.seq > most {
        let problem = format!("{} tokens are asked for, the model knows {most}", args.seq);
        return Err(Failure::new(problem).hint("ask for less with `--seq`"));
    }
    let Some(path) = &args.texts else {
        let token =
            |i: usize| philox4x32([i as u32, 0, 0, 0], [7, 7])[0] % tokens.vocab_size as u32;
        let row = |i: usize| (i * args.seq..(i + 1) * args.seq).map(token).collect();
        return Ok((0..args.batch).map(row).collect());
    };
    let text = fs::read_to_string(path).context(format!("cannot read `{}`", path.display()))?;
    let tokenizer = Tokenizer::load(dir)?;
    let line = |line: &str| -> Result<Vec<u32>, Failure> {
        let mut ids = tokenizer.encode_for_model(line, None)?.ids;
        ids.truncate(args.seq);
        Ok(ids)
    };
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let texts = lines.map(line).collect::<Result<Vec<_>, _>>()?;
    if texts.is_empty() {
        return Err(Failure::new(format!("`{}` has no line", path.display())));
    }
    Ok(texts)
}

/// A sample that is asked for a class, or for each next token.
fn example(i: usize, ids: &[u32], is_lora: bool) -> Example {
    let mut targets = vec![];
    if is_lora {
        targets.extend(ids[1..].iter().copied().chain([data::IGNORED]));
    }
    let label = if is_lora { Label::None } else { Label::Class(i as u32 % 2) };
    let input = Row::plain(ids.to_vec());
    Example { input, targets, label, ..Example::of(i as u64) }
}
