//! `lyceum run`: what a model does, on texts or on sounds.

mod inputs;
mod npy;
mod searching;
mod text;
mod transcribe;
mod translate;

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
    let loaded = Loaded::open(&args.model, args.precision, env)?;
    match &loaded.model.architecture {
        Architecture::EncoderDecoder(pair) if pair.decoder.token_head().is_none() => {
            let problem = format!("`{}` has no head that scores tokens", loaded.dir.display());
            Err(Failure::new(problem).hint("`lyceum forward` gives what it computes"))
        }
        Architecture::EncoderDecoder(pair) => match &pair.config().encoder.embed {
            EmbedConfig::Audio(audio) => transcribe::run(args, env, (&loaded, pair, audio)),
            EmbedConfig::Token(_) | EmbedConfig::Patch(_) => {
                translate::run(args, env, (&loaded, pair))
            }
        },
        Architecture::Stack(_) | Architecture::DualEncoder(_) => text::run(args, env, &loaded),
    }
}
