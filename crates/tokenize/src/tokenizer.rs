//! The tokenizer itself.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use rayon::prelude::*;
use serde_json::Value;
use tokenizers::decoders::DecoderWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;

use crate::bytes::token_bytes;
use crate::guard::attempt;
use crate::plain::Plain;
use crate::{DecodeStream, SpecialIds, TokenizeError, safe_cut};

/// Texts longer than this are encoded in parts, in parallel: cut where no token reaches across, or,
/// in a stretch of so much without a blank, anywhere.
const PART_BYTES: usize = 64 << 10;

/// A vocabulary and the way from text to its ids and back.
#[derive(Debug)]
pub struct Tokenizer {
    /// Encodes the text of special tokens as ordinary text.
    plain: Plain,
    /// Encodes it as the special tokens; made when it is first asked for.
    full: OnceLock<tokenizers::Tokenizer>,
    /// Other files of the directory it came from (`tokenizer_config.json` ..), kept as they were.
    pub(crate) companions: BTreeMap<&'static str, Vec<u8>>,
    special_ids: SpecialIds,
    vocab_size: usize,
    can_cut: bool,
    hash: OnceLock<String>,
}

impl Tokenizer {
    /// Wraps a checked tokenizer; truncation and padding are for batches, and switched off.
    pub(crate) fn wrap(
        mut inner: tokenizers::Tokenizer,
        special_ids: SpecialIds,
    ) -> tokenizers::Result<Self> {
        inner.with_padding(None);
        inner.with_truncation(None)?;
        let vocab_size =
            inner.get_vocab(true).into_values().max().map_or(0, |max| max as usize + 1);
        let can_cut = can_cut(&inner);
        let (plain, full) = Plain::of(inner)?;
        Ok(Self {
            plain,
            full: full.map_or_else(OnceLock::new, OnceLock::from),
            companions: BTreeMap::new(),
            special_ids,
            vocab_size,
            can_cut,
            hash: OnceLock::new(),
        })
    }

    /// The ids of `text`. Special tokens written in it are text like any other.
    ///
    /// # Errors
    /// When the vocabulary cannot express the text; a byte-level one can express any.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizeError> {
        if let Some(ids) = self.plain.encode_fast(text) {
            return Ok(ids);
        }
        if !self.can_cut || text.len() <= PART_BYTES {
            return self.plain.encode(text);
        }
        let ids: Result<Vec<_>, _> =
            parts(text).par_iter().map(|part| self.plain.encode(part)).collect();
        Ok(ids?.concat())
    }

    /// [`Tokenizer::encode`] of many texts, in parallel, in their order.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_batch<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
    ) -> Result<Vec<Vec<u32>>, TokenizeError> {
        texts.par_iter().map(|text| self.encode(text.as_ref())).collect()
    }

    /// The text of `ids`. Special tokens and ids outside the vocabulary give no text, and bytes
    /// that are not UTF-8 give U+FFFD.
    ///
    /// # Errors
    /// When the vocabulary's decoder fails, which a byte-level one does not.
    pub fn decode(&self, ids: &[u32]) -> Result<String, TokenizeError> {
        attempt("decode", || self.inner().decode(ids, true))
    }

    /// Decodes ids as they arrive.
    pub fn decode_stream(&self) -> DecodeStream<'_> {
        DecodeStream::new(self)
    }

    /// The vocabulary's own spelling of `id` (byte-level: a space is `\u{120}`).
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner().id_to_token(id)
    }

    /// The bytes of text that each id stands for, special ones for none; `None` where that depends
    /// on what is beside it.
    pub fn byte_lengths(&self) -> Option<Vec<u32>> {
        let length = |id| match self.token(id) {
            Some(token) if !self.is_special(id) => token_bytes(&token).len() as u32,
            _ => 0,
        };
        self.is_byte_level().then(|| (0..self.vocab_size as u32).map(length).collect())
    }

    /// Whether `id` is a special token, which decoding leaves out.
    pub fn is_special(&self, id: u32) -> bool {
        let added = self.inner().get_added_vocabulary().get_added_tokens_decoder();
        added.get(&id).is_some_and(|token| token.special)
    }

    /// One more than the largest id: the rows an embedding needs.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The id that ends a document, and starts text from nothing.
    pub fn end_of_text(&self) -> Option<u32> {
        self.special_ids.eos
    }

    /// The ids of the special tokens that have a name.
    pub fn special_ids(&self) -> SpecialIds {
        self.special_ids
    }

    /// The token that the model was trained to see before every text, where there is one.
    pub fn beginning(&self) -> Option<u32> {
        let bos = self.special_ids().bos?;
        let around = self.encode_for_model("", None).ok()?;
        (around.ids.first() == Some(&bos)).then_some(bos)
    }

    /// BLAKE3 of everything that decides which ids a text gets, in hexadecimal.
    ///
    /// The same for a tokenizer, for what [`Tokenizer::files`] gave of it, and for what
    /// `transformers` wrote of that.
    ///
    /// # Panics
    /// When the tokenizer cannot be written as JSON, which loading and training have ruled out.
    pub fn hash(&self) -> &str {
        self.hash.get_or_init(|| {
            let text = self.to_json(false).expect("written once before");
            let mut value: Value = serde_json::from_str(&text).expect("it was just written");
            // `transformers` writes no prefix as an empty one.
            for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
                if value["model"][key] == "" {
                    value["model"][key] = Value::Null;
                }
            }
            let mut hasher = blake3::Hasher::new();
            hash_value(&mut hasher, &value);
            hasher.update(&self.special_ids.eos.unwrap_or(u32::MAX).to_le_bytes());
            hasher.finalize().to_hex().to_string()
        })
    }

    /// The content of `tokenizer.json`.
    pub(crate) fn to_json(&self, pretty: bool) -> Result<String, TokenizeError> {
        attempt("write as JSON", || self.full().to_string(pretty))
    }

    /// The tokenizer that `encode` uses; its added tokens are those of [`Tokenizer::full`].
    pub(crate) fn inner(&self) -> &tokenizers::Tokenizer {
        &self.plain.inner
    }

    pub(crate) fn plain(&self) -> &Plain {
        &self.plain
    }

    /// The tokenizer as its file has it, special tokens in a text being special tokens.
    pub(crate) fn full(&self) -> &tokenizers::Tokenizer {
        self.full.get_or_init(|| {
            let mut full = self.plain.inner.clone();
            full.set_encode_special_tokens(false);
            full
        })
    }

    /// Whether GPT-2's own class has this pipeline.
    pub(crate) fn is_gpt2(&self) -> bool {
        self.is_byte_level() && self.can_cut
    }

    pub(crate) fn is_byte_level(&self) -> bool {
        matches!(self.inner().get_decoder(), Some(DecoderWrapper::ByteLevel(_)))
    }
}

/// Whether a cut by [`safe_cut`] changes no token: GPT-2's pattern on the plain text, and no
/// added token that could lie across a cut.
fn can_cut(inner: &tokenizers::Tokenizer) -> bool {
    let added = inner.get_added_vocabulary().get_added_tokens_decoder();
    inner.get_normalizer().is_none()
        && added.values().all(|token| token.special)
        && matches!(
            inner.get_pre_tokenizer(),
            Some(PreTokenizerWrapper::ByteLevel(level))
                if level.use_regex && !level.add_prefix_space
        )
}

/// A text in parts of about [`PART_BYTES`], by [`safe_cut`].
pub(crate) fn parts(mut text: &str) -> Vec<&str> {
    let mut parts = Vec::with_capacity(text.len() / PART_BYTES + 1);
    while !text.is_empty() {
        let (part, rest) = text.split_at(safe_cut(text, PART_BYTES));
        parts.push(part);
        text = rest;
    }
    parts
}

/// Hashes a JSON value with its keys in order, so that the order in a file does not count.
fn hash_value(hasher: &mut blake3::Hasher, value: &Value) {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<_, _> = map.iter().collect();
            hasher.update(b"{").update(&(sorted.len() as u64).to_le_bytes());
            for (key, value) in sorted {
                hasher.update(&(key.len() as u64).to_le_bytes()).update(key.as_bytes());
                hash_value(hasher, value);
            }
        }
        Value::Array(items) => {
            hasher.update(b"[").update(&(items.len() as u64).to_le_bytes());
            for item in items {
                hash_value(hasher, item);
            }
        }
        leaf => {
            let text = leaf.to_string();
            hasher.update(b"=").update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests;
