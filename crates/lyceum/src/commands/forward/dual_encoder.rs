//! The pass of a tower for texts and one for images, and how well they fit.

use models::{DualEncoder, Seen, Stack};
use nn::Context;
use tensor::Tape;

use super::encoder_decoder::call;
use super::images::{PIXELS, Pixels};
use super::inputs::{Inputs, ROWS, TOKENS};
use super::outputs::{Layers, Output, as_is, capture};
use super::{Pass, refuse_beyond_memory};
use crate::failure::Failure;
use recipe::estimate::forward_bytes;

/// Runs both over the inputs.
///
/// # Errors
/// Where inputs are refused, or would take more memory than there is.
pub fn forward(pair: &DualEncoder, pass: &Pass) -> Result<Vec<Output>, Failure> {
    let (loaded, config) = (pass.loaded, pair.config());
    let known = &TOKENS[..3];
    let texts = Inputs::read(pass.weights, known, config.text.tokens(), ROWS)?;
    let patches = config.vision.embed.patches().expect("a tower that sees");
    let pixels = Pixels::read(pass.weights, patches)?;
    pass.warn_of_others(&[known, &[PIXELS]].concat());
    let images = [pixels.shape[0], pixels.n_positions];
    let bytes = |stack: &Stack, shape| {
        let width = stack.config().trunk.d_model;
        forward_bytes(stack, loaded.precision, shape, width, pass.wanted())
    };
    let needed = bytes(&pair.text, texts.shape).saturating_add(bytes(&pair.vision, images));
    refuse_beyond_memory(needed)?;

    let (device, capture) = (pass.env.device(), capture(pass.wanted()));
    let tape = Tape::new(&device, &loaded.model.params, loaded.precision).with_capture(&capture);
    let mut ctx = Context { call: call(texts.shape, texts.mask.clone()), cache: None };
    if let Some(positions) = &texts.positions {
        ctx.call.positions = positions.clone();
    }
    let text = pair.read(&tape, &texts.ids, texts.shape, &mut ctx);
    let mut ctx = Context::plain(images[0], images[1]);
    let vision = pair.see(&tape, &pixels.tensor(&tape), &mut ctx);
    drop(tape);

    let [t, v] = [&text, &vision].map(|seen| seen.embeds.value());
    let (n, m, width) = (t.rows().0, v.rows().0, t.rows().1);
    let scores = pair.scores(&loaded.model.params, t, v);
    let per_text = scores.per_text;
    let per_image = (0..n * m).map(|i| per_text[i % n * m + i / n]).collect();
    let mut outputs: Vec<Output> = vec![
        ("logits_per_image".into(), vec![m, n], per_image),
        ("logits_per_text".into(), vec![n, m], per_text),
        ("text_embeds".into(), vec![n, width], scores.text),
        ("image_embeds".into(), vec![m, width], scores.images),
    ];
    let found = capture.into_found();
    for (name, seen, stack) in [("text", text, &pair.text), ("vision", vision, &pair.vision)] {
        let path = &format!("{name}.");
        let layers = Layers { found: &found, path, n: stack.config().trunk.n_layers };
        outputs.extend(tower(&format!("{name}_model_output"), &seen, &layers, pass.wanted()));
    }
    Ok(outputs)
}

/// What is inside of one tower.
fn tower(
    name: &str,
    seen: &Seen,
    layers: &Layers,
    (hidden_states, attentions): (bool, bool),
) -> Vec<Output> {
    let mut outputs = vec![
        as_is(format!("{name}.last_hidden_state"), seen.hidden.value()),
        as_is(format!("{name}.pooler_output"), seen.embeds.value()),
    ];
    if hidden_states {
        // The last one is before the last norm, unlike that of models of tokens alone.
        let last = &layers.found[&format!("{}hidden", layers.path)];
        outputs.extend(layers.hidden_states(&format!("{name}.hidden_states"), last, as_is));
    }
    if attentions {
        outputs.extend(layers.attentions(&format!("{name}.attentions"), "attn"));
    }
    outputs
}
