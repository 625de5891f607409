//! `lyceum forward`: one forward pass, tensors in, tensors out, under the names of `transformers`.

mod inputs;

use std::path::Path;

use ::checkpoint::weights::save_file;
use ::checkpoint::{Entry, OsDisk, Values, Weights};
use models::ModelConfig;
use nn::{Context, Mask};
use tensor::{Capture, Tape, Tensor};

use self::inputs::Inputs;
use super::load::Loaded;
use crate::cli::Forward;
use crate::environment::Env;
use crate::estimate::forward_bytes;
use crate::failure::{Exit, Failure};
use crate::machine;

/// A tensor to be written: name, shape, values.
type Output = (String, Vec<usize>, Vec<f32>);

/// Runs the model once over the inputs.
///
/// # Errors
/// Where inputs or model are refused, or the outputs cannot be written: whole or not at all.
pub fn run(args: &Forward, env: &Env) -> Result<Exit, Failure> {
    refuse_same_file(&args.inputs, &args.outputs)?;
    let loaded = Loaded::open(&args.model, args.precision, env)?;
    let weights = Weights::open(&args.inputs)?;
    let (inputs, n_unread) = Inputs::read(&weights, &loaded)?;
    if n_unread > 0 {
        let name = args.inputs.display();
        env.warn(&format!("{n_unread} tensors of `{name}` are no inputs of this model"));
    }
    let wanted = (args.hidden_states, args.attentions);
    let stack = &loaded.model.stack;
    let width = match loaded.model.config {
        ModelConfig::Seed(_) => stack.config().trunk.d_model,
        ModelConfig::Gpt2(_) => loaded.vocab_size(),
    };
    let needed = forward_bytes(stack, loaded.precision, inputs.shape, width, wanted);
    let hint = "give fewer or shorter sequences, or ask for less with them";
    machine::refuse_beyond_memory("the forward pass", needed, hint)?;
    let outputs = forward(&inputs, &loaded, (args, env));
    let is_finite = |(_, _, values): &&Output| values.iter().all(|x| x.is_finite());
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

fn forward(inputs: &Inputs, loaded: &Loaded, (args, env): (&Forward, &Env)) -> Vec<Output> {
    let wanted = [("hidden", args.hidden_states), ("attentions", args.attentions)];
    let capture = Capture::new(wanted.iter().filter(|(_, is)| *is).map(|(name, _)| *name));
    let device = env.device();
    let model = &loaded.model;
    let tape = Tape::new(&device, &model.params, loaded.precision).with_capture(&capture);
    let [batch, len] = inputs.shape;
    let mut ctx = Context::plain(batch, len);
    ctx.call.mask = Mask { segments: inputs.mask.clone(), keys_only: true, pattern: None };
    if let Some(positions) = &inputs.positions {
        ctx.call.positions = positions.clone();
    }
    let hidden = model.stack.forward(&tape, &inputs.ids, inputs.shape, &mut ctx);
    let is_seed = matches!(model.config, ModelConfig::Seed(_));
    let head = if is_seed {
        time_first("output".into(), hidden.value())
    } else {
        as_is("logits".into(), model.stack.head.logits(&tape, &hidden).value())
    };
    drop(tape);
    let found = capture.into_found();
    let n_layers = model.stack.config().trunk.n_layers;
    let mut outputs = vec![head];
    if args.hidden_states {
        // The last block's own output is not among them: what follows is after the final norm.
        let inner = (0..n_layers).map(|i| &found[&format!("blocks.{i}.hidden")]);
        let write = if is_seed { time_first } else { as_is };
        let all = inner.chain([hidden.value()]).enumerate();
        outputs.extend(all.map(|(i, x)| write(format!("hidden_states.{i}"), x)));
    }
    if args.attentions {
        let of_layer = |i: usize| &found[&format!("blocks.{i}.attn.attentions")];
        outputs.extend((0..n_layers).map(|i| as_is(format!("attentions.{i}"), of_layer(i))));
    }
    outputs
}

fn as_is(name: String, x: &Tensor) -> Output {
    (name, x.shape().to_vec(), x.to_vec())
}

/// `[B, T, D]` as `[T, B, D]`.
fn time_first(name: String, x: &Tensor) -> Output {
    let &[batch, len, d] = x.shape() else { panic!("time_first: {:?}", x.shape()) };
    let values = x.to_vec();
    let rows = (0..len).flat_map(|t| (0..batch).map(move |b| (b * len + t) * d));
    let turned = rows.flat_map(|at| values[at..at + d].iter().copied()).collect();
    (name, vec![len, batch, d], turned)
}
