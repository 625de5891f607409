//! `lyceum forward`: one forward pass, tensors in, tensors out, under the names of `transformers`.

mod dual_encoder;
mod encoder_decoder;
mod frames;
mod images;
mod inputs;
mod outputs;
mod stack;

use std::path::Path;

use ::checkpoint::weights::save_file;
use ::checkpoint::{Entry, OsDisk, Values, Weights};
use models::Architecture;

use super::load::Loaded;
use crate::cli::Forward;
use crate::environment::Env;
use crate::failure::{Exit, Failure};
use crate::machine;

/// What a pass is made with.
struct Pass<'a> {
    loaded: &'a Loaded,
    /// The file of the inputs.
    weights: &'a Weights,
    args: &'a Forward,
    env: &'a Env,
}

impl Pass<'_> {
    /// Hidden states and attentions, which need not be given out.
    fn wanted(&self) -> (bool, bool) {
        (self.args.hidden_states, self.args.attentions)
    }

    /// Says how many tensors of the file are none of `known`.
    fn warn_of_others(&self, known: &[&str]) {
        let n = self.weights.names().filter(|name| !known.contains(name)).count();
        if n > 0 {
            let name = self.args.inputs.display();
            self.env.warn(&format!("{n} tensors of `{name}` are no inputs of this model"));
        }
    }
}

/// Runs the model once over the inputs.
///
/// # Errors
/// Where inputs or model are refused, or the outputs cannot be written: whole or not at all.
pub fn run(args: &Forward, env: &Env) -> Result<Exit, Failure> {
    refuse_same_file(&args.inputs, &args.outputs)?;
    let loaded = &Loaded::open(&args.model, args.precision, env)?;
    let weights = &Weights::open(&args.inputs)?;
    let pass = Pass { loaded, weights, args, env };
    let outputs = match &loaded.model.architecture {
        Architecture::Stack(stack) => match stack.config().embed.patches() {
            Some(patches) => images::forward(stack, patches, &pass)?,
            None => stack::forward(stack, &pass)?,
        },
        Architecture::Detector(pair) => stack::forward(&pair.discriminator, &pass)?,
        Architecture::EncoderDecoder(pair) => encoder_decoder::forward(pair, &pass)?,
        Architecture::DualEncoder(pair) => dual_encoder::forward(pair, &pass)?,
    };
    let is_finite = |(_, _, values): &&outputs::Output| values.iter().all(|x| x.is_finite());
    if let Some((name, ..)) = outputs.iter().find(|output| !is_finite(output)) {
        env.warn(&format!("not all values of `{name}` are finite: look at weights and inputs"));
    }
    let entries: Vec<Entry> = outputs
        .iter()
        .map(|(name, shape, values)| Entry::new(name, shape, Values::F32(values)))
        .collect();
    save_file(&OsDisk, &args.outputs, &entries)?;
    for (name, shape, _) in &outputs {
        env.say(&format!("{name} {shape:?}"));
    }
    Ok(Exit::Done)
}

fn refuse_same_file(inputs: &Path, outputs: &Path) -> Result<(), Failure> {
    match (inputs.canonicalize(), outputs.canonicalize()) {
        (Ok(from), Ok(to)) if from == to => {
            let problem = format!("`{}` is both `--inputs` and `--outputs`", inputs.display());
            Err(Failure::new(problem).hint("name another file for the outputs"))
        }
        _ => Ok(()),
    }
}

fn refuse_beyond_memory(needed: u64) -> Result<(), Failure> {
    let hint = "give fewer or shorter sequences, or ask for less with them";
    machine::refuse_beyond_memory("the forward pass", needed, hint)
}
