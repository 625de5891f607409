//! Two stacks: what one reads is the memory of the other.

use std::sync::Arc;

use nn::{Call, Checked, ConfigError, Context, Input, Memory};
use tensor::{ParamsBuilder, Tape, Var};

use crate::stack::{Stack, StackConfig};

/// What an encoder-decoder is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderDecoderConfig {
    /// What reads; without heads.
    pub encoder: StackConfig,
    /// What writes: its trunk attends to the encoder's last hidden state.
    pub decoder: StackConfig,
    /// Whether the encoder's table of tokens is the decoder's, too.
    pub shared: bool,
}

impl EncoderDecoderConfig {
    /// Everything that can be wrong with it.
    ///
    /// # Errors
    /// With the first field that is wrong.
    pub fn check(self) -> Result<Checked<Self>, ConfigError> {
        self.encoder.clone().check()?;
        self.decoder.clone().check()?;
        let (encoder, decoder) = (&self.encoder, &self.decoder);
        let [one, other] = [encoder, decoder].map(|stack| stack.trunk.d_model);
        if one != other {
            let problem = format!("{one} in the encoder and {other} in the decoder");
            return Err(ConfigError::new("d_model", problem));
        }
        if encoder.trunk.cross || !decoder.trunk.cross || !encoder.heads.is_empty() {
            return Err(ConfigError::new("cross", "a decoder alone reads a memory and has heads"));
        }
        let table = |stack: &StackConfig| stack.embed.tokens().map(|c| [c.vocab_size, c.width()]);
        let [one, other] = [encoder, decoder].map(table);
        if self.shared && one != other {
            let problem =
                format!("one table is {one:?} in the encoder and {other:?} in the decoder");
            return Err(ConfigError::new("vocab_size", problem));
        }
        Ok(Checked::vouch(self))
    }
}

/// An encoder and a decoder: T5, BART, Marian, Whisper.
pub struct EncoderDecoder {
    config: Checked<EncoderDecoderConfig>,
    /// What reads.
    pub encoder: Stack,
    /// What writes.
    pub decoder: Stack,
}

impl EncoderDecoder {
    /// Registers every parameter, as `encoder.` and `decoder.`; a shared table is the encoder's.
    pub fn new(builder: &mut ParamsBuilder, config: Checked<EncoderDecoderConfig>) -> Self {
        let checked = |c: &StackConfig| c.clone().check().expect("a part of a checked config");
        let EncoderDecoderConfig { encoder, decoder, shared } = config.get();
        let (encoder, decoder) = (checked(encoder), checked(decoder));
        let encoder = builder.scope("encoder", |b| Stack::new(b, encoder));
        let tokens = encoder.embed.table().filter(|_| *shared);
        let decoder = builder.scope("decoder", |b| Stack::sharing(b, decoder, [tokens, None]));
        Self { config, encoder, decoder }
    }

    /// What it is made of.
    pub fn config(&self) -> &EncoderDecoderConfig {
        self.config.get()
    }

    /// What comes in to what the decoder reads, `[B, S, D]`.
    pub fn encode<'a>(&'a self, tape: &Tape<'a>, input: Input, call: Call) -> Memory {
        let segments = call.mask.segments.clone();
        let first_token = call.rng.map_or(0, |rng| rng.first_token);
        let mut ctx = Context { call, cache: None };
        let forward = || self.encoder.read(tape, input, &mut ctx);
        Memory { hidden: tape.scope("encoder", None, forward), segments, first_token }
    }

    /// `[B, T]` tokens, in a call with a memory, to the last hidden state `[B, T, D]`: training,
    /// prefill and decoding alike.
    pub fn decode<'a>(
        &'a self,
        tape: &Tape<'a>,
        ids: &Arc<[u32]>,
        shape: [usize; 2],
        ctx: &mut Context,
    ) -> Var {
        tape.scope("decoder", None, || self.decoder.forward(tape, ids, shape, ctx))
    }
}
