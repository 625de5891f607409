//! The pass of an encoder, and of the decoder that reads what it gave.

use models::EncoderDecoder;
use nn::{Call, Context, Mask};
use tensor::Tape;

use super::inputs::{DECODER_TOKENS, Inputs, TOKENS};
use super::outputs::{Layers, Output, as_is, capture, heads};
use super::{Pass, refuse_beyond_memory};
use crate::estimate::forward_bytes;
use crate::failure::Failure;

/// Runs both over the inputs.
///
/// # Errors
/// Where inputs are refused, or would take more memory than there is.
pub fn forward(pair: &EncoderDecoder, pass: &Pass) -> Result<Vec<Output>, Failure> {
    let (loaded, config) = (pass.loaded, pair.config());
    let (read, written) = (&TOKENS[..2], &DECODER_TOKENS[..]);
    let source = Inputs::read(pass.weights, read, &config.encoder.embed)?;
    let target = Inputs::read(pass.weights, written, &config.decoder.embed)?;
    pass.warn_of_others(&[read, written].concat());
    if source.shape[0] != target.shape[0] {
        let [source, target] = [source.shape, target.shape];
        let problem = format!("`input_ids` has shape {source:?}, `decoder_input_ids` {target:?}");
        return Err(Failure::new(problem));
    }
    let (hidden_states, attentions) = pass.wanted();
    let bytes =
        |stack, shape, width| forward_bytes(stack, loaded.precision, shape, width, pass.wanted());
    let needed = bytes(&pair.encoder, source.shape, config.encoder.trunk.d_model)
        .saturating_add(bytes(&pair.decoder, target.shape, config.decoder.embed.vocab_size));
    refuse_beyond_memory(needed)?;

    let (device, capture) = (pass.env.device(), capture(pass.wanted()));
    let tape = Tape::new(&device, &loaded.model.params, loaded.precision).with_capture(&capture);
    let memory = pair.encode(&tape, &source.ids, source.shape, call(&source));
    let mut ctx = Context { call: call(&target), cache: None };
    ctx.call.memory = Some(memory.clone());
    let hidden = pair.decode(&tape, &target.ids, target.shape, &mut ctx);
    let mut outputs = heads(&pair.decoder, &tape, &hidden);
    drop(tape);
    let (memory, hidden) = (memory.hidden.value(), hidden.value());
    outputs.push(as_is("encoder_last_hidden_state".into(), memory));
    let found = &capture.into_found();
    let encoder = Layers { found, path: "encoder.", n: config.encoder.trunk.n_layers };
    let decoder = Layers { found, path: "decoder.", n: config.decoder.trunk.n_layers };
    if hidden_states {
        outputs.extend(encoder.hidden_states("encoder_hidden_states", memory, as_is));
        outputs.extend(decoder.hidden_states("decoder_hidden_states", hidden, as_is));
    }
    if attentions {
        outputs.extend(encoder.attentions("encoder_attentions", "attn"));
        outputs.extend(decoder.attentions("decoder_attentions", "attn"));
        outputs.extend(decoder.attentions("cross_attentions", "cross"));
    }
    Ok(outputs)
}

/// The call in which the inputs are shown: at positions `0..T`, padded or not.
pub fn call(inputs: &Inputs) -> Call {
    let [batch, len] = inputs.shape;
    let mask = Mask { segments: inputs.mask.clone(), keys_only: true };
    Call { mask, ..Context::plain(batch, len).call }
}
