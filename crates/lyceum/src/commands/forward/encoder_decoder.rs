//! The pass of an encoder, and of the decoder that reads what it gave.

use std::sync::Arc;

use models::EncoderDecoder;
use nn::{AudioStem, Call, Context, EmbedConfig, Input, Mask, TokenEmbedConfig};
use tensor::Tape;

use super::frames::{FRAMES, Frames};
use super::inputs::{DECODER_TOKENS, Inputs, ROWS, TOKENS};
use super::outputs::{Layers, Output, as_is, capture, heads};
use super::{Pass, refuse_beyond_memory};
use crate::failure::Failure;
use recipe::estimate::forward_bytes;

/// Runs both over the inputs.
///
/// # Errors
/// Where inputs are refused, or would take more memory than there is.
pub fn forward(pair: &EncoderDecoder, pass: &Pass) -> Result<Vec<Output>, Failure> {
    let (loaded, config) = (pass.loaded, pair.config());
    let written = &DECODER_TOKENS[..];
    let (read, source) = match &config.encoder.embed {
        EmbedConfig::Token(tokens) => {
            let inputs = Inputs::read(pass.weights, &TOKENS[..2], tokens, ROWS)?;
            (&TOKENS[..2], Source::Tokens(inputs))
        }
        EmbedConfig::Audio(audio) => {
            (&[FRAMES][..], Source::Frames(Frames::read(pass.weights, audio)?))
        }
        EmbedConfig::Patch(_) => unreachable!("no family has a decoder behind images"),
    };
    let (target, rows) = target(&source, pass, config.decoder.tokens())?;
    pass.warn_of_others(&[read, written].concat());
    let shape = source.shape();
    if shape[0] != target.shape[0] {
        let (source, target) = (shape[0], target.shape[0]);
        let problem = format!("`{}` has {source} rows, `decoder_input_ids` {target}", read[0]);
        return Err(Failure::new(problem));
    }
    let (hidden_states, attentions) = pass.wanted();
    let bytes =
        |stack, shape, width| forward_bytes(stack, loaded.precision, shape, width, pass.wanted());
    let needed = bytes(&pair.encoder, shape, config.encoder.trunk.d_model).saturating_add(bytes(
        &pair.decoder,
        target.shape,
        config.decoder.tokens().vocab_size,
    ));
    refuse_beyond_memory(needed)?;

    let (device, capture) = (pass.env.device(), capture(pass.wanted()));
    let tape = Tape::new(&device, &loaded.model.params, loaded.precision).with_capture(&capture);
    let memory = match &source {
        Source::Tokens(tokens) => {
            let input = Input::Tokens(&tokens.ids, tokens.shape);
            pair.encode(&tape, input, call(shape, tokens.mask.clone()))
        }
        Source::Frames(frames) => {
            let frames = device.tensor(&frames.shape, &frames.values);
            pair.encode(&tape, Input::Frames(&frames), call(shape, None))
        }
    };
    let mut ctx = Context { call: call(target.shape, target.mask), cache: None };
    ctx.call.memory = Some(memory.clone());
    let hidden = pair.decode(&tape, &target.ids, target.shape, &mut ctx);
    let mut outputs = heads(&pair.decoder, &tape, &hidden, (&rows, 1));
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

/// What the decoder reads, and the rows that a class is read from. A model of classes or spans
/// reads the same text in both, where nothing else is given.
fn target(
    source: &Source,
    pass: &Pass,
    embed: &TokenEmbedConfig,
) -> Result<(Inputs, Arc<[u32]>), Failure> {
    let model = &pass.loaded.model;
    let (Source::Tokens(tokens), None) = (source, model.head_stack().token_head()) else {
        let target = Inputs::read(pass.weights, &DECODER_TOKENS, embed, ROWS)?;
        return Ok((target, [].into()));
    };
    let is_base = model.head_stack().heads.is_empty();
    let target = if is_base || pass.weights.contains(DECODER_TOKENS[0]) {
        Inputs::read(pass.weights, &DECODER_TOKENS, embed, ROWS)?
    } else {
        Inputs::plain(model.shifted(&tokens.ids, tokens.shape[1]), tokens.shape)
    };
    if model.head_stack().class_head().is_none() {
        return Ok((target, [].into()));
    }
    if target.shape != tokens.shape {
        let (source, target) = (tokens.shape, target.shape);
        let problem = format!("`input_ids` has shape {source:?}, `decoder_input_ids` {target:?}");
        let hint = "a class is read where the text ends: leave out `decoder_input_ids`";
        return Err(Failure::new(problem).hint(hint));
    }
    let rows = match model.config.end_of_source() {
        Some(end) => tokens.end_rows(end)?,
        None => tokens.last_rows(model.config.padding()),
    };
    Ok((target, rows))
}

/// What the encoder reads.
enum Source {
    Tokens(Inputs),
    Frames(Frames),
}

impl Source {
    /// `[B, S]`'s sizes, in positions of the encoder.
    fn shape(&self) -> [usize; 2] {
        match self {
            Self::Tokens(tokens) => tokens.shape,
            Self::Frames(frames) => [frames.shape[0], AudioStem::n_positions(frames.shape[1])],
        }
    }
}

/// The call in which something of this shape is shown: at positions `0..T`, padded or not.
pub fn call([batch, len]: [usize; 2], segments: Option<Arc<[u32]>>) -> Call {
    let mask = Mask { segments, keys_only: true, prefix: 0 };
    Call { mask, ..Context::plain(batch, len).call }
}
