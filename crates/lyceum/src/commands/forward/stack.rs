//! The pass of a single trunk.

use models::{CHOICES, ModelConfig, Stack};
use nn::{Context, Mask, Pool};
use tensor::{Balance, Tape, Tensor};

use super::inputs::{ALL, Inputs, ROWS, TOKENS};
use super::outputs::{Layers, Output, as_is, capture, heads};
use super::{Pass, refuse_beyond_memory};
use crate::failure::Failure;
use recipe::estimate::forward_bytes;

/// Runs the stack over the inputs.
///
/// # Errors
/// Where inputs are refused, or would take more memory than there is.
pub fn forward(stack: &Stack, pass: &Pass) -> Result<Vec<Output>, Failure> {
    let (loaded, config) = (pass.loaded, stack.config());
    let is_seed = matches!(loaded.model.config, ModelConfig::Seed(_));
    let known = if is_seed { &["src"] } else { &TOKENS[..3 + config.tokens().types.len()] };
    let inputs = if is_seed {
        Inputs::time_first(pass.weights, known, config.tokens())?
    } else {
        let axes = if stack.heads.iter().any(|(name, _)| *name == CHOICES) { ALL } else { ROWS };
        Inputs::read(pass.weights, known, config.tokens(), axes)?
    };
    let reads_last = stack.class_head().is_some_and(|head| head.at() == Pool::Last);
    let rows = if reads_last {
        inputs.last_rows(loaded.model.config.padding())
    } else {
        Pool::First.rows(None, inputs.shape)
    };
    let n_choices = inputs.n_choices;
    pass.warn_of_others(known);
    let width = match stack.token_head() {
        Some(_) if !is_seed => config.tokens().vocab_size,
        _ => config.trunk.d_model,
    };
    let (hidden_states, attentions) = pass.wanted();
    let needed = forward_bytes(stack, loaded.precision, inputs.shape, width, pass.wanted());
    refuse_beyond_memory(needed)?;

    let (device, capture) = (pass.env.device(), capture(pass.wanted()));
    let tape = Tape::new(&device, &loaded.model.params, loaded.precision).with_capture(&capture);
    let [batch, len] = inputs.shape;
    let mut ctx = Context::plain(batch, len);
    let balance = Balance::new(0.0, inputs.mask.clone());
    ctx.call.balance = Some(balance.clone());
    ctx.call.mask = Mask { segments: inputs.mask, keys_only: true, prefix: 0 };
    ctx.call.types = inputs.types;
    if let Some(positions) = inputs.positions {
        ctx.call.positions = positions;
    }
    let hidden = stack.forward(&tape, &inputs.ids, inputs.shape, &mut ctx);
    let write: fn(String, &Tensor) -> Output = if is_seed { time_first } else { as_is };
    let mut outputs = if is_seed {
        vec![time_first("output".into(), hidden.value())]
    } else {
        heads(stack, &tape, &hidden, (&rows, n_choices))
    };
    drop(tape);
    let found = capture.into_found();
    let layers = Layers { found: &found, path: "", n: config.trunk.n_layers };
    if hidden_states {
        outputs.extend(layers.hidden_states("hidden_states", hidden.value(), write));
    }
    if attentions {
        outputs.extend(layers.attentions("attentions", "attn"));
    }
    if let Some(loss) = balance.loss() {
        outputs.push(("aux_loss".into(), vec![1], vec![loss as f32]));
        outputs.extend(layers.router_logits());
    }
    Ok(outputs)
}

/// `[B, T, D]` as `[T, B, D]`.
fn time_first(name: String, x: &Tensor) -> Output {
    let &[batch, len, d] = x.shape() else { panic!("time_first: {:?}", x.shape()) };
    let values = x.to_vec();
    let rows = (0..len).flat_map(|t| (0..batch).map(move |b| (b * len + t) * d));
    let turned = rows.flat_map(|at| values[at..at + d].iter().copied()).collect();
    (name, vec![len, batch, d], turned)
}
