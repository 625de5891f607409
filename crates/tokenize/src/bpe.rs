//! Byte-level BPE at speed: the pipelines of GPT-2, GPT-4, Llama 3, Qwen and their kin.
//!
//! `classes` and `split` cut a text into words, `cache` knows most of them, `merges` does the
//! others. A tokenizer is only taken where its every part is one that is known here; the ids are
//! those of the `tokenizers` crate, which encodes all others.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aho_corasick::{AhoCorasick, BuildError};
use rayon::prelude::*;
use serde_json::{Value, json};
use tokenizers::models::ModelWrapper;
use tokenizers::models::bpe::BPE;
use unicode_normalization_alignments::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use crate::bytes::{is_spelled, token_bytes};
use crate::cut::sure_cut;

mod cache;
mod classes;
mod merges;
mod split;

use cache::Cache;
use merges::{Merges, Scratch};
use split::Cut;

/// Texts longer than this are encoded in parts, in parallel.
const PART_BYTES: usize = 128 << 10;

/// A tokenizer whose every part is known.
#[derive(Debug)]
pub(crate) struct Bpe {
    cut: Cut,
    merges: Merges,
    /// Words that are tokens, whatever the merges; empty where merges decide.
    whole: HashMap<Vec<u8>, u32>,
    /// Whether a text is put into Unicode's normal form C first.
    is_nfc: bool,
    /// Added tokens that are no special ones: a text that has one is encoded elsewhere.
    added: Option<AhoCorasick>,
    /// What a thread needs; as many as ever worked at once.
    workers: Mutex<Vec<Worker>>,
}

#[derive(Debug, Default)]
struct Worker {
    cache: Cache,
    scratch: Scratch,
}

impl Bpe {
    /// Of a tokenizer that takes special tokens as text; `None` where it is not of this kind.
    pub(crate) fn of(inner: &tokenizers::Tokenizer) -> Option<Self> {
        let ModelWrapper::BPE(model) = inner.get_model() else { return None };
        let is_empty = |text: &Option<String>| text.as_deref().unwrap_or_default().is_empty();
        if model.dropout.is_some_and(|p| p > 0.0)
            || !is_empty(&model.continuing_subword_prefix)
            || !is_empty(&model.end_of_word_suffix)
        {
            return None;
        }
        let normalizer = serde_json::to_value(inner.get_normalizer()).ok()?;
        let is_nfc = normalizer == json!({ "type": "NFC" });
        if !is_nfc && !normalizer.is_null() {
            return None;
        }
        let cut = cut(serde_json::to_value(inner.get_pre_tokenizer()).ok()?)?;
        let vocab = model.get_vocab();
        let bytes = bytes(model, &vocab)?;
        let merges = Merges::new(&bytes, &pairs(model, &vocab)?);
        let whole = vocab.into_iter().filter(|(token, _)| is_spelled(token));
        let whole = whole.filter(|_| model.ignore_merges);
        Some(Self {
            cut,
            merges,
            whole: whole.map(|(token, id)| (token_bytes(&token), id)).collect(),
            is_nfc,
            added: added(inner).ok()?,
            workers: Mutex::default(),
        })
    }

    /// The ids of `text`; `None` where an added token may be in it.
    pub(crate) fn encode(&self, text: &str) -> Option<Vec<u32>> {
        let normal = if self.is_nfc { nfc(text) } else { text.into() };
        // Some are looked for before the text is put into its form, some after.
        if self.added.as_ref().is_some_and(|added| added.is_match(text) || added.is_match(&*normal))
        {
            return None;
        }
        let text = normal;
        let parts = parts(&text);
        Some(match &*parts {
            [part] => self.part(part),
            parts => parts.par_iter().map(|part| self.part(part)).collect::<Vec<_>>().concat(),
        })
    }

    fn part(&self, text: &str) -> Vec<u32> {
        let workers = || self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut worker = workers().pop().unwrap_or_default();
        let Worker { cache, scratch } = &mut worker;
        let mut ids = Vec::with_capacity(text.len() / 3);
        self.cut.words(text, |text, from, to| {
            cache.encode(text, (from, to), &mut ids, |word, ids| match self.whole.get(word) {
                Some(&id) => ids.push(id),
                None => self.merges.apply(word, scratch, ids),
            });
        });
        workers().push(worker);
        ids
    }
}

/// The pattern of a pre-tokenizer: one that is known, or the same in other words.
fn cut(mut pre_tokenizer: Value) -> Option<Cut> {
    /// Offsets are not asked for, and all that is matched is all that there is.
    fn same(step: &mut Value) {
        if step["type"] == "ByteLevel" {
            step["trim_offsets"] = true.into();
        }
        if step["behavior"] == "Removed" && step["invert"] == true {
            (step["behavior"], step["invert"]) = ("Isolated".into(), false.into());
        }
    }
    same(&mut pre_tokenizer);
    let steps = pre_tokenizer.get_mut("pretokenizers").and_then(Value::as_array_mut);
    steps.into_iter().flatten().for_each(same);
    let known = Cut::KNOWN.iter().find(|(split, _)| split.pre_tokenizer(false) == pre_tokenizer);
    known.map(|(_, cut)| *cut)
}

/// The token of each byte; a byte may lack one where nothing stands for it.
fn bytes(model: &BPE, vocab: &HashMap<String, u32>) -> Option<[Option<u32>; 256]> {
    let bytes = std::array::from_fn(|byte| vocab.get(&crate::bytes::spell(&[byte as u8])).copied());
    let stands_for = model.unk_token.is_some() || model.byte_fallback;
    (!stands_for || !bytes.contains(&None)).then_some(bytes)
}

/// The merges in their order; to write them is the one way to them.
fn pairs(model: &BPE, vocab: &HashMap<String, u32>) -> Option<Vec<((u32, u32), u32)>> {
    let json = serde_json::to_value(model).ok()?;
    let pair = |merge: &Value| {
        let (left, right) = (merge[0].as_str()?, merge[1].as_str()?);
        let id = |token: &str| vocab.get(token).copied();
        Some(((id(left)?, id(right)?), id(&format!("{left}{right}"))?))
    };
    json["merges"].as_array()?.iter().map(pair).collect()
}

/// What finds the added tokens that are looked for in a text.
fn added(inner: &tokenizers::Tokenizer) -> Result<Option<AhoCorasick>, BuildError> {
    let added = inner.get_added_vocabulary().get_added_tokens_decoder();
    let found = added.values().filter(|token| !token.special).map(|token| token.content.as_str());
    let texts: Vec<String> = found.flat_map(|text| [text.to_owned(), composed(text)]).collect();
    if texts.is_empty() { Ok(None) } else { AhoCorasick::new(texts).map(Some) }
}

fn nfc(text: &str) -> Cow<'_, str> {
    // Nothing below U+0300 composes with what is before it.
    if text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        return text.into();
    }
    composed(text).into()
}

fn composed(text: &str) -> String {
    text.nfc().map(|(c, _)| c).collect()
}

/// A text in parts of about [`PART_BYTES`], longer ones where there is no place to cut.
fn parts(mut text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut limit = PART_BYTES;
    while text.len() > limit {
        match sure_cut(text, limit) {
            Some(at) => {
                let (part, rest) = text.split_at(at);
                parts.push(part);
                (text, limit) = (rest, PART_BYTES);
            }
            None => limit *= 2,
        }
    }
    parts.push(text);
    parts
}

#[cfg(test)]
mod tests;
