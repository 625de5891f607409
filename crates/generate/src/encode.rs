//! The encoder's part: what came in, read once.

use std::sync::Arc;

use models::{Architecture, Model};
use nn::{AudioStem, Context, Input, Mask, Memory};
use tensor::{Device, Precision, Tape, Tensor, Var};

/// What an encoder reads.
pub enum Source<'a> {
    /// Rows of tokens; shorter ones are padded, and what is padded is never read.
    Tokens(&'a [Vec<u32>]),
    /// The spectra of sounds, `[B, S, C]` in f32, frame by frame.
    Frames(Tensor),
}

/// Runs the encoder over `source`: a row of the memory each.
///
/// # Panics
/// When the model has no encoder, or one for something else.
pub fn encode((model, device, precision): (&Model, &Device, Precision), source: &Source) -> Memory {
    let Architecture::EncoderDecoder(pair) = &model.architecture else {
        panic!("encode: a model without an encoder")
    };
    let tape = Tape::new(device, &model.params, precision);
    let memory = match source {
        Source::Frames(frames) => {
            let &[batch, len, _] = frames.shape() else { panic!("encode: {:?}", frames.shape()) };
            let call = Context::plain(batch, AudioStem::n_positions(len)).call;
            pair.encode(&tape, Input::Frames(frames), call)
        }
        Source::Tokens(rows) => {
            let len = rows.iter().map(Vec::len).max().unwrap_or(0);
            let padded = |row: &Vec<u32>| {
                let padding = std::iter::repeat_n(0, len - row.len());
                row.iter().copied().chain(padding).collect::<Vec<_>>()
            };
            let ids: Arc<[u32]> = rows.iter().flat_map(padded).collect();
            let shape = [rows.len(), len];
            let mut call = Context::plain(rows.len(), len).call;
            if rows.iter().any(|row| row.len() < len) {
                let held = rows.iter().flat_map(|row| (0..len).map(|i| u32::from(i < row.len())));
                call.mask = Mask { segments: Some(held.collect()), keys_only: true, prefix: 0 };
            }
            pair.encode(&tape, Input::Tokens(&ids, shape), call)
        }
    };
    Memory { hidden: Var::constant(memory.hidden.into_value()), ..memory }
}
