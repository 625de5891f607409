//! `lyceum forward`: one forward pass, tensors in, tensors out, under the names of `transformers`.

mod images;
mod inputs;

use std::path::Path;

use ::checkpoint::weights::save_file;
use ::checkpoint::{Entry, OsDisk, Values, Weights};
use models::{ModelConfig, Stack};
use nn::{Context, Head, Mask};
use tensor::{Balance, Capture, Tape, Tensor, Var};

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
    let stack = &loaded.model.stack;
    let outputs = match stack.config().embed.patches {
        Some(patches) => images::forward((stack, patches), &weights, &loaded, (args, env))?,
        None => tokens(&weights, &loaded, (args, env))?,
    };
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

/// Says how many tensors of the file are none of `known`.
fn warn_of_others(weights: &Weights, known: &[&str], (args, env): (&Forward, &Env)) {
    let n = weights.names().filter(|name| !known.contains(name)).count();
    if n > 0 {
        let name = args.inputs.display();
        env.warn(&format!("{n} tensors of `{name}` are no inputs of this model"));
    }
}

/// The pass of a model that reads tokens.
fn tokens(
    weights: &Weights,
    loaded: &Loaded,
    (args, env): (&Forward, &Env),
) -> Result<Vec<Output>, Failure> {
    let (inputs, known) = Inputs::read(weights, loaded)?;
    warn_of_others(weights, known, (args, env));
    let wanted = (args.hidden_states, args.attentions);
    let stack = &loaded.model.stack;
    let width = match stack.token_head() {
        Some(_) if !is_seed(loaded) => loaded.vocab_size(),
        _ => stack.config().trunk.d_model,
    };
    refuse_beyond_memory(forward_bytes(stack, loaded.precision, inputs.shape, width, wanted))?;
    Ok(forward(&inputs, loaded, (args, env)))
}

fn forward(inputs: &Inputs, loaded: &Loaded, (args, env): (&Forward, &Env)) -> Vec<Output> {
    let has_experts = loaded.model.stack.config().trunk.experts.is_some();
    let wanted = [
        ("hidden", args.hidden_states),
        ("attentions", args.attentions),
        ("router_logits", has_experts),
    ];
    let capture = Capture::new(wanted.iter().filter(|(_, is)| *is).map(|(name, _)| *name));
    let device = env.device();
    let model = &loaded.model;
    let tape = Tape::new(&device, &model.params, loaded.precision).with_capture(&capture);
    let [batch, len] = inputs.shape;
    let mut ctx = Context::plain(batch, len);
    ctx.call.mask = Mask { segments: inputs.mask.clone(), keys_only: true };
    ctx.call.types.clone_from(&inputs.types);
    let balance = Balance::new(0.0, inputs.mask.clone());
    ctx.call.balance = has_experts.then(|| balance.clone());
    if let Some(positions) = &inputs.positions {
        ctx.call.positions = positions.clone();
    }
    let hidden = model.stack.forward(&tape, &inputs.ids, inputs.shape, &mut ctx);
    let is_seed = is_seed(loaded);
    let mut outputs = if is_seed {
        vec![time_first("output".into(), hidden.value())]
    } else {
        heads(&model.stack, &tape, &hidden)
    };
    drop(tape);
    let found = capture.into_found();
    let n_layers = model.stack.config().trunk.n_layers;
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
    if let Some(loss) = balance.loss() {
        outputs.push(("aux_loss".into(), vec![1], vec![loss as f32]));
        let routers =
            (0..n_layers).filter_map(|i| found.get(&format!("blocks.{i}.ffn.router_logits")));
        let router = |(i, logits)| as_is(format!("router_logits.{i}"), logits);
        outputs.extend(routers.enumerate().map(router));
    }
    outputs
}

fn is_seed(loaded: &Loaded) -> bool {
    matches!(loaded.model.config, ModelConfig::Seed(_))
}

/// What every head gives, and the last hidden state where none scores anything.
fn heads<'a>(stack: &'a Stack, tape: &Tape<'a>, hidden: &Var) -> Vec<Output> {
    let head = |(name, head): &'a (&'static str, Head)| {
        let out = match head {
            Head::Token(head) => head.logits(tape, hidden),
            Head::Pooled(head) => head.forward(tape, hidden),
            Head::Embedding(_) => unreachable!("a head of a dual encoder"),
        };
        as_is((*name).into(), out.value())
    };
    let is_base = stack.heads.iter().all(|(name, _)| *name == "pooler_output");
    let last = is_base.then(|| as_is("last_hidden_state".into(), hidden.value()));
    last.into_iter().chain(stack.heads.iter().map(head)).collect()
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
