//! Decoding while tokens arrive.

use crate::bytes::{Utf8Stream, token_bytes};
use crate::guard::attempt;
use crate::{TokenizeError, Tokenizer};

/// Turns ids into text one by one; what is given is always whole characters.
///
/// All pieces joined, `finish` included, are [`Tokenizer::decode`] of all ids.
#[derive(Debug)]
pub struct DecodeStream<'a> {
    tokenizer: &'a Tokenizer,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Byte-level vocabularies: a token is bytes.
    Bytes(Utf8Stream),
    /// Others: a token's text depends on its neighbours, so a window is decoded again and again.
    Window { ids: Vec<u32>, prefix: String, prefix_idx: usize },
}

impl<'a> DecodeStream<'a> {
    pub(crate) fn new(tokenizer: &'a Tokenizer) -> Self {
        let state = if tokenizer.is_byte_level() {
            State::Bytes(Utf8Stream::default())
        } else {
            State::Window { ids: Vec::new(), prefix: String::new(), prefix_idx: 0 }
        };
        Self { tokenizer, state }
    }

    /// The characters that `id` completes; often none in the middle of one.
    ///
    /// # Errors
    /// When the vocabulary's decoder fails, which a byte-level one does not.
    pub fn push(&mut self, id: u32) -> Result<String, TokenizeError> {
        let inner = self.tokenizer.inner();
        match &mut self.state {
            State::Bytes(stream) => {
                let token = self.tokenizer.token(id).filter(|_| !self.tokenizer.is_special(id));
                Ok(token.map(|token| stream.push(&token_bytes(&token))).unwrap_or_default())
            }
            State::Window { ids, prefix, prefix_idx } => attempt("decode", || {
                tokenizers::step_decode_stream(inner, vec![id], true, ids, prefix, prefix_idx)
            })
            .map(Option::unwrap_or_default),
        }
    }

    /// What is left at the end: the beginning of a character that never came whole is U+FFFD.
    ///
    /// # Errors
    /// As [`DecodeStream::push`].
    pub fn finish(mut self) -> Result<String, TokenizeError> {
        match &mut self.state {
            State::Bytes(stream) => Ok(stream.finish()),
            State::Window { ids, prefix, .. } => {
                let text = self.tokenizer.decode(ids)?;
                Ok(text.strip_prefix(prefix.as_str()).unwrap_or_default().to_owned())
            }
        }
    }
}
