//! `lyceum plan`: what a recipe will take, before it takes it.

use std::path::Path;

use data::{DataError, Source};
use models::{ArchitectureConfig, Model, ModelConfig};
use serde_json::json;
use train::report::format::{bytes, compact, duration, grouped};

use super::Shown;
use super::pretrain::{self, corpus};
use super::table::{Facts, or_dash};
use crate::cli::RecipeArgs;
use crate::environment::Env;
use crate::failure::Failure;
use crate::machine;
use recipe::Recipe;
use recipe::estimate::{Estimate, parameters_by};

/// Text that tokens are counted in.
const SAMPLE_BYTES: usize = 1 << 20;
/// Text of unknown size is read so far.
const READ_BYTES: u64 = 64 << 20;

/// What the recipe will take.
///
/// # Errors
/// Where the recipe is refused, or its text is not there.
pub fn plan(args: &RecipeArgs, env: &Env) -> Result<Shown, Failure> {
    let recipe = Recipe::asked(args.name.as_deref(), &args.set)?;
    recipe.without_effect().into_iter().for_each(|what| env.warn(what));
    let text_bytes = corpus::text_bytes(&recipe)?;
    let config = pretrain::asked_model(&recipe)?;
    let estimate = |recipe: &Recipe| Estimate::new(&config, recipe, env.isa, text_bytes);
    let fits_into = |recipe: &Recipe, most: u64| {
        estimate(recipe).is_ok_and(|found| found.total_bytes() <= most)
    };
    let estimate = estimate(&recipe)?;
    let (needed, available) = (estimate.total_bytes(), machine::memory());
    let available_bytes = available.map(|memory| memory.available_bytes);
    let fits = available_bytes.map(|most| needed <= most);
    let smaller = available_bytes.filter(|most| needed > *most);
    let smaller = smaller.and_then(|most| largest(&recipe, |recipe| fits_into(recipe, most)));

    let text = text(&recipe, text_bytes, env)?;
    let too_few = text.1.filter(|n| *n < recipe.data.seq_len as u64);
    let verdict = verdict(fits, smaller) + &too_few.map_or_else(String::new, too_little_text);
    let facts = arithmetic(&recipe, &config, &estimate, text)?;
    let precision = recipe.train.precision(env.isa)?;
    let (peak, share) = (pretrain::peak_gflops(env, precision), share_of_peak(&config)?);
    let precision = precision.compute;
    let step = estimate.flops_per_token * step_tokens(&recipe) as f64 / (peak * 1e9 * share);
    let run = step * recipe.train.steps as f64;
    // Weights, and two moments of each.
    let checkpoint = (estimate.n_params as u64).saturating_mul(12);
    let n_kept = recipe.train.keep_last as u64 + 1;
    let kept = format!("{n_kept} are kept: {}", bytes(checkpoint.saturating_mul(n_kept)));
    let about = |seconds: f64| format!("about {}", duration(seconds));
    let at = format!("{}, at {:.0} % of the peak", about(step), share * 100.0);
    Ok(facts
        .named("memory", "memory_bytes", needed, bytes(needed))
        .parts("memory", &estimate.memory, bytes)
        .named(
            "memory available",
            "memory_available_bytes",
            available_bytes,
            available.map_or_else(|| "unknown".to_owned(), |memory| memory.to_string()),
        )
        .named("peak, measured", "peak_gflops", peak, format!("{peak:.0} GFLOP/s in {precision}"))
        .named("time a step", "seconds_per_step", step, at)
        .named("time of the run", "seconds", run, about(run))
        .named(
            "a checkpoint",
            "checkpoint_bytes",
            checkpoint,
            format!("{}; {kept}", bytes(checkpoint)),
        )
        .more(json!({
            "micro_batch_that_fits": smaller,
            "precision": precision.to_string(),
            "share_of_peak": share,
            "checkpoints_kept": n_kept,
            "enough_text": text.1.map(|_| too_few.is_none()),
        }))
        .section("fits", (verdict, fits.into()))
        .end())
}

fn step_tokens(recipe: &Recipe) -> u64 {
    (recipe.train.batch_size as u64).saturating_mul(recipe.data.seq_len as u64)
}

/// Parameters, tokens and FLOPs.
fn arithmetic(
    recipe: &Recipe,
    config: &ModelConfig,
    estimate: &Estimate,
    (text_bytes, text_tokens): (Option<u64>, Option<u64>),
) -> Result<Facts, Failure> {
    let (n_steps, step_tokens) = (recipe.train.steps, step_tokens(recipe));
    let run_tokens = step_tokens.saturating_mul(n_steps);
    let (n_params, flops) = (estimate.n_params as u64, estimate.flops_per_token);
    let epochs = text_tokens.filter(|n| *n > 0).map(|n| run_tokens as f64 / n as f64);
    let about = |n: u64| format!("about {}", compact(n as f64));
    let of_text = epochs.map(|n| format!(": {n:.1} epochs of {}", or_dash(text_tokens, about)));
    let seen = compact(run_tokens as f64) + " tokens" + &of_text.unwrap_or_default();
    let (_, builder) = Model::register(config)?;
    let params = parameters_by(&builder, |name| match name {
        name if name.contains("norm") => "norms",
        name if name.contains("embed.") => "embedding",
        name if name.contains(".attn.") => "attention",
        name if name.contains(".ffn.") => "feed-forward",
        _ => "head",
    });
    let times = |n: u64| flops * n as f64;
    Ok(Facts::default()
        .named("parameters", "n_params", n_params, grouped(n_params))
        .parts("params", &params, grouped)
        .named("a step", "tokens_per_step", step_tokens, format!("{} tokens", grouped(step_tokens)))
        .named("the run", "tokens", run_tokens, format!("{n_steps} steps, {seen}"))
        .named("FLOPs a token", "flops_per_token", flops, compact(flops))
        .named("FLOPs a step", "flops_per_step", times(step_tokens), compact(times(step_tokens)))
        .named("FLOPs of the run", "flops", times(run_tokens), compact(times(run_tokens)))
        .more(json!({
            "steps": n_steps,
            "text_bytes": text_bytes,
            "text_tokens": text_tokens,
            "epochs": epochs,
        })))
}

fn verdict(fits: Option<bool>, micro_batch_that_fits: Option<usize>) -> String {
    match (fits, micro_batch_that_fits) {
        (None, _) => "whether it fits is unknown\n".to_owned(),
        (Some(true), _) => "it fits into memory\n".to_owned(),
        (_, Some(n)) => {
            format!("it does not fit\n  hint: it does with `--set train.micro_batch={n}`\n")
        }
        _ => "it does not fit, whatever the micro-batch\n  hint: take a smaller model, or \
              `--set train.recompute=true`\n"
            .to_owned(),
    }
}

fn too_little_text(n_tokens: u64) -> String {
    let n = compact(n_tokens as f64);
    format!("the text does not fill a window: about {n} tokens\n  hint: lower `data.seq_len`\n")
}

/// Steps of wide models are nearly all matrix products; in narrow ones what moves memory counts.
/// Fitted to measured steps: 60 % at a width of 256, 85 % at 768.
pub fn share_of_peak(config: &ModelConfig) -> Result<f64, Failure> {
    const HALF: f64 = 150.0;
    let d = match config.family().architecture()? {
        ArchitectureConfig::EncoderDecoder(pair) => pair.decoder.trunk.d_model,
        _ => config.family().stack()?.trunk.d_model,
    } as f64;
    Ok(d / (d + HALF))
}

/// The largest micro-batch, of those that halve the recipe's, which `fits`.
fn largest(recipe: &Recipe, fits: impl Fn(&Recipe) -> bool) -> Option<usize> {
    let mut recipe = recipe.clone();
    loop {
        recipe.train.micro_batch = recipe.train.micro_batch() / 2;
        match recipe.train.micro_batch {
            0 => return None,
            n if fits(&recipe) => return Some(n),
            _ => {}
        }
    }
}

/// Bytes of the recipe's text, and about how many tokens to train on that is, counted in a sample;
/// none where it is standard input, which can be read but once, or more than is read for a plan.
fn text(
    recipe: &Recipe,
    n_bytes: Option<u64>,
    env: &Env,
) -> Result<(Option<u64>, Option<u64>), Failure> {
    if recipe.data.is_stdin() {
        env.warn("standard input is not read by a plan: how much text there is, it cannot know");
        return Ok((None, None));
    }
    let source = corpus::source(recipe, Path::new(""))?;
    corpus::warn_of_skipped(&source, env)?;
    let sample = corpus::first_texts(&source, SAMPLE_BYTES)?;
    let n_bytes = n_bytes.map_or_else(|| counted(&source), |n| Ok(Some(n)))?;
    env.say("counting tokens in a sample of the text ..");
    let tokenizer = corpus::tokenizer_of(recipe, &sample)?;
    let n_sampled = sample.iter().map(String::len).sum::<usize>();
    // All of the text: a run will find no more in it.
    if n_sampled < SAMPLE_BYTES && recipe.tokenizer.path.is_none() {
        corpus::warn_of_fewer(&tokenizer, recipe.tokenizer.vocab_size, env);
    }
    let tokens: usize = tokenizer.encode_batch(&sample)?.iter().map(Vec::len).sum();
    let a_token = n_sampled as f64 / tokens.max(1) as f64;
    let trained = 1.0 - recipe.data.validation_fraction;
    Ok((n_bytes, n_bytes.map(|n| (n as f64 * trained / a_token) as u64)))
}

/// Bytes of text, by reading; none where there are more than [`READ_BYTES`].
fn counted(source: &Source) -> Result<Option<u64>, DataError> {
    let mut n_bytes = 0;
    for document in source.open()? {
        n_bytes += document?.text.len() as u64;
        if n_bytes > READ_BYTES {
            return Ok(None);
        }
    }
    Ok(Some(n_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_to_fit_is_not_said_to() {
        assert_eq!(verdict(Some(true), None), "it fits into memory\n");
        assert_eq!(verdict(None, None), "whether it fits is unknown\n");
        assert!(verdict(Some(false), Some(2)).contains("train.micro_batch=2"));
    }
}
