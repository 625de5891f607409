//! Text as a model wants it: with `[CLS]` and `[SEP]`, with a beginning, with an end.

use crate::guard::attempt;
use crate::tokenizer::parts;
use crate::{TokenizeError, Tokenizer};

/// One or two texts as a model's input; all lists have the same length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// The tokens.
    pub ids: Vec<u32>,
    /// Which text a token is of, as the model counts them (BERT: 0 and 1).
    pub type_ids: Vec<u32>,
    /// Which text a token is of; none where `special`.
    pub texts: Vec<Option<usize>>,
    /// Which word of its text a token is of, as the tokenizer cuts a text before anything else.
    pub words: Vec<Option<u32>>,
    /// Whether a token was put around the texts.
    pub special: Vec<bool>,
    /// The bytes of its own text that a token stands for; `(0, 0)` where `special`.
    pub offsets: Offsets,
}

/// The bytes of a text that each of its tokens stands for.
pub type Offsets = Vec<(usize, usize)>;

impl Tokenizer {
    /// [`Tokenizer::encode`], and the bytes of `text` that each token stands for.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_with_offsets(&self, text: &str) -> Result<(Vec<u32>, Offsets), TokenizeError> {
        let (mut ids, mut offsets, mut start) = (Vec::new(), Vec::new(), 0);
        let parts = if self.can_cut() { parts(text) } else { vec![text] };
        for part in parts {
            let safe = self.plain().safe(part);
            let encoding = attempt("encode", || self.inner().encode(&*safe, false))?;
            ids.extend_from_slice(encoding.get_ids());
            offsets.extend(encoding.get_offsets().iter().map(|&(a, b)| (start + a, start + b)));
            start += part.len();
        }
        Ok((ids, offsets))
    }

    /// `text`, or a pair of texts, with the tokens that the model was trained to see around them.
    /// Special tokens written in a text are text like any other.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_for_model(
        &self,
        text: &str,
        pair: Option<&str>,
    ) -> Result<Encoded, TokenizeError> {
        let plain = self.plain();
        around(&plain.inner, &plain.safe(text), pair.map(|pair| plain.safe(pair)).as_deref())
    }

    /// [`Tokenizer::encode_for_model`] of texts whose special tokens are meant: `[MASK]` in a text
    /// that is to be filled in.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_for_model_with_specials(
        &self,
        text: &str,
        pair: Option<&str>,
    ) -> Result<Encoded, TokenizeError> {
        around(self.full(), text, pair)
    }

    /// The ids of a text whose special tokens are meant, with nothing around them: what a
    /// [`ChatTemplate`](crate::ChatTemplate) wrote. Not for a text that a user could write.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_with_specials(&self, text: &str) -> Result<Vec<u32>, TokenizeError> {
        attempt("encode", || Ok(self.full().encode_fast(text, false)?.get_ids().to_vec()))
    }

    /// [`Tokenizer::encode_with_specials`], and the bytes of `text` that each token stands for.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_written(&self, text: &str) -> Result<(Vec<u32>, Offsets), TokenizeError> {
        let encoding = attempt("encode", || self.full().encode(text, false))?;
        Ok((encoding.get_ids().to_vec(), encoding.get_offsets().to_vec()))
    }
}

fn around(
    inner: &tokenizers::Tokenizer,
    text: &str,
    pair: Option<&str>,
) -> Result<Encoded, TokenizeError> {
    attempt("encode", || {
        let encoding = match pair {
            Some(pair) => inner.encode((text, pair), true)?,
            None => inner.encode(text, true)?,
        };
        Ok(Encoded {
            ids: encoding.get_ids().to_vec(),
            type_ids: encoding.get_type_ids().to_vec(),
            texts: encoding.get_sequence_ids(),
            words: encoding.get_word_ids().to_vec(),
            special: encoding.get_special_tokens_mask().iter().map(|&mask| mask == 1).collect(),
            offsets: encoding.get_offsets().to_vec(),
        })
    })
}
