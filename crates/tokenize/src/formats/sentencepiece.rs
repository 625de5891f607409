//! `tokenizer.model`, `spiece.model`: vocabularies of `SentencePiece`, unigram and BPE.
//!
//! Each class of `transformers` has its own pipeline around such a vocabulary; a model of no known
//! class gets what the file itself says, which is what the `sentencepiece` library does. Where a
//! model's map composes characters out of several, the ids are those of the `tokenizers` crate,
//! which looks at one grapheme at a time.

pub(crate) mod charsmap;
mod model;
mod wire;

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::merges::{Order, char_cuts, recover};
use crate::base64;
use crate::draft::part::{self, SPACE};
use crate::draft::{Draft, Post};
use crate::settings::{Class, Listed, Settings};
pub(crate) use model::{Kind, Model, Piece, Role};

/// Reads a model file.
pub(crate) fn read(bytes: &[u8], settings: &Settings) -> Result<Value, String> {
    convert(Model::read(bytes)?, settings)
}

/// A model in the pipeline of its class.
pub(crate) fn convert(model: Model, settings: &Settings) -> Result<Value, String> {
    match (settings.class, model.kind) {
        (Class::T5, Kind::Unigram) => t5(model, settings),
        (Class::Albert, Kind::Unigram) => albert(&model, settings),
        (Class::XlmRoberta, Kind::Unigram) => xlm_roberta(model, settings),
        (Class::Llama, Kind::Bpe) => llama(&model, &with_bos(settings)),
        (Class::Gemma, Kind::Bpe) => gemma(&model, &with_bos(settings)),
        _ => as_the_file_says(&model, settings),
    }
}

/// LLaMA and Gemma begin every text, unless told otherwise.
fn with_bos(settings: &Settings) -> Cow<'_, Settings> {
    match settings.flag("add_bos_token") {
        Some(_) => Cow::Borrowed(settings),
        None => Cow::Owned(settings.with("add_bos_token", true.into())),
    }
}

/// `T5Tokenizer`: sentinels after the vocabulary, the last one first.
fn t5(mut model: Model, settings: &Settings) -> Result<Value, String> {
    const EXTRA_IDS: u64 = 100;
    const EXTRA_IDS_MAX: u64 = 1 << 16;
    let n_extra = settings.number("extra_ids").unwrap_or(EXTRA_IDS).min(EXTRA_IDS_MAX);
    let extra: Vec<String> = (0..n_extra).rev().map(|id| format!("<extra_id_{id}>")).collect();
    let known: Vec<&str> = model.pieces.iter().map(|piece| piece.text.as_str()).collect();
    let new: Vec<Piece> = extra
        .iter()
        .filter(|text| !known.contains(&text.as_str()))
        .map(|text| Piece { text: text.clone(), score: 0.0, role: Role::Control })
        .collect();
    model.pieces.extend(new);
    let mut draft = words(&model, precompiled(&model).as_slice(), true);
    draft.added.extend(extra.iter().map(|text| Listed::special(text)));
    draft.post = Post::Template("A:0 eos:0", "A:0 eos:0 B:0 eos:0");
    draft.finish(settings)
}

/// `AlbertTokenizer`.
fn albert(model: &Model, settings: &Settings) -> Result<Value, String> {
    let mut steps = vec![part::replace("``", "\""), part::replace("''", "\"")];
    if settings.flag("keep_accents") != Some(true) {
        steps.push(json!({ "type": "NFKD" }));
        steps.push(json!({ "type": "StripAccents" }));
    }
    if settings.flag("do_lower_case") != Some(false) {
        steps.push(json!({ "type": "Lowercase" }));
    }
    steps.extend(precompiled(model));
    let mut draft = words(model, &steps, settings.flag("add_prefix_space").unwrap_or(true));
    draft.post = Post::Template("cls:0 A:0 sep:0", "cls:0 A:0 sep:0 B:1 sep:1");
    draft.finish(settings)
}

/// `XLMRobertaTokenizer`: four tokens of its own before the vocabulary's fourth, one after it.
fn xlm_roberta(mut model: Model, settings: &Settings) -> Result<Value, String> {
    let piece = |text: &str, role| Piece { text: text.to_owned(), score: 0.0, role };
    let token = |role: &str| settings.token(role).unwrap_or_default();
    let mut pieces = vec![
        piece(token("bos_token"), Role::Control),
        piece(token("pad_token"), Role::Control),
        piece(token("eos_token"), Role::Control),
        piece(token("unk_token"), Role::Unknown),
    ];
    pieces.extend(model.pieces.drain(..).skip(3));
    pieces.push(piece(token("mask_token"), Role::Control));
    model.pieces = pieces;
    model.check()?;
    let steps = precompiled(&model);
    let mut draft =
        words(&model, steps.as_slice(), settings.flag("add_prefix_space").unwrap_or(true));
    draft.post = Post::Template("bos:0 A:0 eos:0", "bos:0 A:0 eos:0 eos:0 B:0 eos:0");
    draft.finish(settings)
}

/// `LlamaTokenizer`.
fn llama(model: &Model, settings: &Settings) -> Result<Value, String> {
    let space = settings.flag("add_prefix_space").unwrap_or(true);
    let mut draft = around(model, true);
    draft.pre_tokenizer = match (space, settings.flag("legacy").unwrap_or(false)) {
        (true, false) => part::metaspace("first", false),
        (true, true) => part::metaspace("always", false),
        (false, _) => part::metaspace("never", false),
    };
    draft.decoder = part::fallback_decoder(space.then(part::strip_first));
    draft.finish(settings)
}

/// `GemmaTokenizer`.
fn gemma(model: &Model, settings: &Settings) -> Result<Value, String> {
    let mut draft = around(model, true);
    draft.normalizer = part::replace(" ", SPACE);
    draft.pre_tokenizer = json!({
        "type": "Split", "pattern": { "String": " " }, "behavior": "MergedWithPrevious",
        "invert": false,
    });
    draft.decoder = part::fallback_decoder(None);
    draft.finish(settings)
}

/// The file's own normalisation, and no cut before the model.
fn as_the_file_says(model: &Model, settings: &Settings) -> Result<Value, String> {
    let mut steps: Vec<Value> = precompiled(model).into_iter().collect();
    if model.remove_extra_whitespaces {
        steps.push(part::replace_regex("^ +| +$", ""));
        steps.push(part::replace_regex(" {2,}", " "));
    }
    if model.add_dummy_prefix {
        steps.push(json!({ "type": "Prepend", "prepend": SPACE }));
    }
    steps.push(part::replace(" ", SPACE));
    let mut draft = around(model, model.byte_fallback);
    draft.normalizer = part::normalizers(&steps);
    draft.decoder = part::fallback_decoder(model.add_dummy_prefix.then(part::strip_first));
    draft.finish(settings)
}

/// Words that begin with a space, each on its own.
fn words(model: &Model, normalizers: &[Value], prefix_space: bool) -> Draft {
    let scheme = if prefix_space { "always" } else { "never" };
    let mut draft = around(model, false);
    draft.normalizer = part::normalizers(normalizers);
    draft.pre_tokenizer = json!({
        "type": "Sequence",
        "pretokenizers": [{ "type": "WhitespaceSplit" }, part::metaspace(scheme, true)],
    });
    draft.decoder = part::metaspace(scheme, true);
    draft
}

/// The map of characters as a normaliser.
pub(crate) fn precompiled(model: &Model) -> Option<Value> {
    let map = (!model.charsmap.is_empty()).then(|| base64::encode(&model.charsmap))?;
    Some(json!({ "type": "Precompiled", "precompiled_charsmap": map }))
}

/// The vocabulary as a model of the `tokenizers` crate.
fn around(model: &Model, byte_fallback: bool) -> Draft {
    let unknown = model.unknown();
    let json = match model.kind {
        Kind::Unigram => {
            let pieces =
                model.pieces.iter().map(|piece| json!([piece.text, f64::from(piece.score)]));
            json!({
                "type": "Unigram", "unk_id": unknown, "byte_fallback": byte_fallback,
                "vocab": pieces.collect::<Vec<_>>(),
            })
        }
        Kind::Bpe => {
            let vocab =
                model.pieces.iter().zip(0..).map(|(piece, id)| (piece.text.clone(), id.into()));
            let mut json = part::bpe(vocab.collect::<Map<_, _>>(), merges(&model.pieces));
            json["unk_token"] = model.pieces[unknown].text.as_str().into();
            json["fuse_unk"] = true.into();
            json["byte_fallback"] = byte_fallback.into();
            json
        }
    };
    let mut draft = Draft::new(json);
    for piece in &model.pieces {
        match piece.role {
            Role::Control | Role::Unknown => draft.added.push(Listed::special(&piece.text)),
            Role::UserDefined => {
                draft.added.push(Listed { special: false, ..Listed::special(&piece.text) });
            }
            _ => {}
        }
    }
    draft
}

/// Merges by score, the best first. Tokens with a meaning of their own are never made.
fn merges(pieces: &[Piece]) -> Vec<Value> {
    let texts: Vec<&str> = pieces.iter().map(|piece| piece.text.as_str()).collect();
    let mut by_score: Vec<usize> = (0..pieces.len()).collect();
    by_score.sort_by(|&a, &b| pieces[b].score.total_cmp(&pieces[a].score));
    let mut ranks = vec![0; pieces.len()];
    by_score.iter().zip(0..).for_each(|(&idx, rank)| ranks[idx] = rank);
    let made = |role| matches!(role, Role::Normal | Role::UserDefined);
    let rank = |idx: usize| made(pieces[idx].role).then_some(ranks[idx]);
    let merges = recover(&texts, Order::Length, rank, char_cuts);
    merges.into_iter().map(|(a, b)| json!([texts[a as usize], texts[b as usize]])).collect()
}
