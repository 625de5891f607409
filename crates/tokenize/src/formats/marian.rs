//! `source.spm` with `vocab.json`: the pieces of one file under the ids of another.
//!
//! `MarianTokenizer` of `transformers` cuts with `source.spm` and looks the pieces up in
//! `vocab.json`, which holds the target language's pieces too. Those must not be cut to, but
//! decoding needs them: they are put under a spelling that no text reaches, and the decoder takes
//! it off again.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::sentencepiece::{Kind, Model, precompiled};
use crate::draft::part::{self, SPACE};
use crate::draft::{Draft, Post};
use crate::plain::UNREACHED;
use crate::precheck;
use crate::settings::{Listed, Settings};

/// The tokenizer of the source language.
pub(crate) fn read(
    source: &[u8],
    vocab: &Map<String, Value>,
    settings: &Settings,
) -> Result<Value, String> {
    let model = Model::read(source)?;
    if model.kind != Kind::Unigram {
        return Err("it is no unigram model, as Marian's are".to_owned());
    }
    precheck::check_vocab(vocab)?;
    let scores: HashMap<&str, f32> =
        model.pieces.iter().map(|piece| (piece.text.as_str(), piece.score)).collect();
    let settings = &settings.or_class(crate::settings::Class::Marian);
    let special =
        |token: &str| crate::settings::ROLES.iter().any(|r| settings.token(r) == Some(token));
    let unknown = settings.token("unk_token").and_then(|token| vocab.get(token)?.as_u64());
    let unknown = unknown.ok_or("`vocab.json` has no unknown token")?;
    let mut tokens: Vec<(&String, u64)> =
        vocab.iter().filter_map(|(token, id)| Some((token, id.as_u64()?))).collect();
    tokens.sort_by_key(|(_, id)| *id);
    if tokens.last().is_some_and(|(_, id)| *id as usize + 1 != tokens.len()) {
        return Err("the ids of `vocab.json` have gaps".to_owned());
    }
    let is_code = |token: &str| token.starts_with(">>") && token.ends_with("<<");
    let pieces: Vec<Value> = tokens
        .iter()
        .map(|(token, _)| match scores.get(token.as_str()) {
            Some(score) => json!([token, f64::from(*score)]),
            None if special(token) || is_code(token) => json!([token, 0.0]),
            None => json!([format!("{UNREACHED}{token}"), 0.0]),
        })
        .collect();
    let mut draft = Draft::new(json!({
        "type": "Unigram", "unk_id": unknown, "byte_fallback": false, "vocab": pieces,
    }));
    let codes = tokens.iter().filter(|(token, _)| is_code(token));
    // A user writes the code of the target language: it is no special token.
    draft.added.extend(codes.map(|(t, _)| Listed { special: false, ..Listed::special(t) }));
    let mut steps = vec![part::replace(&UNREACHED.to_string(), "\u{fffd}")];
    steps.extend(precompiled(&model));
    steps.push(part::replace_regex("^ +| +$", ""));
    steps.push(part::replace_regex(" {2,}", " "));
    steps.push(json!({ "type": "Prepend", "prepend": SPACE }));
    steps.push(part::replace(" ", SPACE));
    draft.normalizer = part::normalizers(&steps);
    draft.decoder = json!({
        "type": "Sequence",
        "decoders": [
            part::replace(&UNREACHED.to_string(), ""), part::replace(SPACE, " "),
            { "type": "Fuse" }, part::strip_first(),
        ],
    });
    draft.post = Post::Template("A:0 eos:0", "A:0 B:0 eos:0");
    draft.finish(settings)
}
