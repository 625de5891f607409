//! `lyceum run`: what a model does, on texts or on sounds.

mod answers;
mod inputs;
mod npy;
mod searching;
mod text;
mod transcribe;
mod translate;
mod workers;

use models::Architecture;
use nn::EmbedConfig;

use super::load::Loaded;
use crate::cli::Run;
use crate::environment::Env;
use crate::failure::{Exit, Failure};

/// Runs every input through the model.
///
/// # Errors
/// Where the model, its tokenizer, an option or an input is refused.
pub fn run(args: &Run, env: &Env) -> Result<Exit, Failure> {
    let loaded = Loaded::with(&args.model, &args.adapters, args.precision, env)?;
    match &loaded.model.architecture {
        Architecture::EncoderDecoder(pair) if pair.decoder.heads.is_empty() => {
            let problem = format!("`{}` has no head", loaded.dir.display());
            Err(Failure::new(problem).hint("`lyceum forward` gives what it computes"))
        }
        Architecture::EncoderDecoder(pair) => match &pair.config().encoder.embed {
            EmbedConfig::Audio(audio) => {
                check_options(args, env, Reads::Sound)?;
                transcribe::run(args, env, (&loaded, pair, audio))
            }
            EmbedConfig::Token(_) if pair.decoder.token_head().is_none() => {
                check_options(args, env, Reads::Text)?;
                text::run(args, env, &loaded)
            }
            EmbedConfig::Token(_) | EmbedConfig::Patch(_) => {
                check_options(args, env, Reads::TextToWrite)?;
                translate::run(args, env, (&loaded, pair))
            }
        },
        Architecture::Stack(_) | Architecture::Detector(_) | Architecture::DualEncoder(_) => {
            check_options(args, env, Reads::Text)?;
            text::run(args, env, &loaded)
        }
    }
}

/// What a model reads, and whether it writes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reads {
    Text,
    TextToWrite,
    Sound,
}

/// Says which options are of no use with such a model; a file that would not be written is refused.
fn check_options(args: &Run, env: &Env, reads: Reads) -> Result<(), Failure> {
    let (writes, hears) = (reads != Reads::Text, reads == Reads::Sound);
    if writes && args.out.is_some() {
        return Err(Failure::new("`--out` is for embeddings, and the model makes none")
            .hint("leave it out: what the model says is written to standard output"));
    }
    let (search, filters) = (&args.search, args.search.filters);
    let draws = [search.temperature, filters.top_p, filters.min_p, search.repetition_penalty];
    let searches = search.beams.is_some()
        || search.max_tokens.is_some()
        || filters.top_k.is_some()
        || draws.iter().any(Option::is_some);
    let embeds = args.pooling.is_some() || args.no_normalize;
    for (option, is_given, is_used) in [
        ("`--pooling` or `--no-normalize`", embeds, !writes),
        ("--jsonl", args.jsonl, !hears),
        ("--task", args.task.is_some(), writes),
        ("--language", args.language.is_some(), hears),
        ("--timestamps", args.timestamps, hears),
        ("an option of how to write, such as `--beams`,", searches, writes),
    ] {
        if is_given && !is_used {
            env.warn(&format!("{option} has no effect with this model"));
        }
    }
    Ok(())
}
