//! `lyceum bench decode`: a model's load, the reading of a prompt, and a token after another.

use std::iter;
use std::time::Instant;

use ::generate::Decoder;
use kernels::philox::philox4x32;
use kernels::roof;
use models::Model;
use nn::{Embed, HeadConfig};
use serde_json::{Value, json};

use super::{engine, median, round};
use crate::cli::BenchDecode;
use crate::commands::load::Loaded;
use crate::environment::Env;
use crate::failure::Failure;
use crate::machine;

/// Times a prompt of random tokens, and what follows it.
///
/// # Errors
/// Where the model is refused, or the context is too short for what is asked.
pub fn decode(args: &BenchDecode, env: &Env) -> Result<Value, Failure> {
    let began = Instant::now();
    let loaded = Loaded::open(&args.model, args.precision, env)?.scores_tokens()?;
    let load_ms = began.elapsed().as_secs_f64() * 1e3;
    let (capacity, max_len) = (args.prompt.saturating_add(args.tokens), loaded.max_len());
    if capacity > max_len {
        let problem =
            format!("{capacity} positions are asked for, the model's context is {max_len}");
        return Err(Failure::new(problem).hint("ask for less with `--prompt` and `--tokens`"));
    }
    let vocab_size = loaded.vocab_size() as u32;
    let token = |i: usize| philox4x32([i as u32, 0, 0, 0], [7, 7])[0] % vocab_size;
    let prompt: Vec<u32> = (0..args.prompt).map(token).collect();
    let device = env.device();
    let (mut prefill, mut each) = (vec![], vec![]);
    // The first round warms up: it is not counted.
    for round in 0..=args.rounds {
        let shape = [1, capacity];
        let mut decoder = Decoder::new(&loaded.model, &device, loaded.precision, shape);
        let mut advance = |tokens: &[u32]| {
            let began = Instant::now();
            decoder.advance(tokens).map(|_| began.elapsed().as_secs_f64() * 1e3)
        };
        let read = advance(&prompt)?;
        let tokens = (0..args.tokens).map(|i| advance(&[token(i)]));
        let tokens: Vec<f64> = tokens.collect::<Result<_, _>>()?;
        if round > 0 {
            prefill.push(read);
            each.extend(tokens);
        }
    }
    let (prefill, each) = (median(&mut prefill), median(&mut each));
    let peak = machine::peak_rss_bytes();
    let roof = iter::repeat_with(|| roof::read_gb_per_s(env.isa)).take(3).fold(0.0, f64::max);
    let bytes = bytes_per_token(&loaded.model);
    let gb_per_s = bytes as f64 / each / 1e6;
    Ok(json!({
        "engine": engine(env), "precision": loaded.precision.compute.to_string(),
        "load_ms": round(load_ms), "prompt": args.prompt, "prefill_ms": round(prefill),
        "prefill_tokens_per_s": round(args.prompt as f64 / prefill * 1e3),
        "decode_ms": (each * 1e3).round() / 1e3, "decode_tokens_per_s": round(1e3 / each),
        "mb_per_token": round(bytes as f64 / 1e6), "gb_per_s": round(gb_per_s),
        "read_gb_per_s": round(roof), "share": round(100.0 * gb_per_s / roof),
        "peak_mib": peak.map(|bytes| bytes >> 20),
    }))
}

/// What a token reads: every weight, but of a table of words that is no head a row.
fn bytes_per_token(model: &Model) -> usize {
    let params = &model.params;
    let all = params.entries().iter().map(|entry| params.n_bytes(&entry.param)).sum();
    let (stack, tied) =
        (model.stack(), |head: &HeadConfig| matches!(head, HeadConfig::Token(head) if head.tied));
    let is_head = stack.config().heads.iter().any(|(_, head)| tied(head));
    match &stack.embed {
        Embed::Token(embed) if !is_head => all - params.n_bytes(&embed.table),
        _ => all,
    }
}
