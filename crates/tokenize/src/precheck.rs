//! What a tokenizer file must hold before the `tokenizers` crate sees it.
//!
//! The crate trusts its input: a merge whose result is longer than any token indexes out of a
//! buffer, an id of 4 billion asks for an embedding of that many rows, dropout in a saved model
//! makes encoding random, forty replacements of one letter by two make a terabyte of a word. Each
//! is refused here, by name.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::base64;
use crate::formats::sentencepiece::charsmap;

/// Ids above this are no vocabulary, they are an attack on the embedding.
const MAX_ID: u64 = 1 << 24;

/// Steps in a row, and rows inside rows, of a normalizer or a decoder; no known one has so many.
const MAX_STEPS: usize = 64;
const MAX_DEPTH: usize = 8;
/// How many times longer they may make a text.
const MAX_GROWTH: f64 = 256.0;

/// Checks the whole of a `tokenizer.json`.
pub(crate) fn check(tokenizer: &Value) -> Result<(), String> {
    for part in ["normalizer", "decoder"] {
        let growth = tokenizer.get(part).map_or(Ok(1.0), |steps| growth(steps, MAX_DEPTH));
        if growth.map_err(|problem| format!("`{part}` {problem}"))? > MAX_GROWTH {
            return Err(format!("`{part}` may make a text more than {MAX_GROWTH} times longer"));
        }
    }
    let model = tokenizer.get("model").and_then(Value::as_object).ok_or("it has no `model`")?;
    check_added(tokenizer.get("added_tokens"))?;
    if model.get("dropout").and_then(Value::as_f64).is_some_and(|p| p > 0.0) {
        return Err("`model.dropout` is set, which makes encoding random".to_owned());
    }
    check_charsmaps(tokenizer.get("normalizer"))?;
    let prefix = model.get("continuing_subword_prefix").and_then(Value::as_str).unwrap_or("");
    match model.get("vocab") {
        Some(Value::Object(vocab)) => {
            check_vocab(vocab)?;
            match model.get("merges") {
                Some(Value::Array(merges)) => check_merges(merges, vocab, prefix),
                None | Some(Value::Null) => Ok(()),
                Some(_) => Err("`model.merges` is not a list".to_owned()),
            }
        }
        Some(Value::Array(pieces)) if pieces.len() as u64 <= MAX_ID => check_scores(pieces),
        _ => Err("`model.vocab` is missing or not a vocabulary".to_owned()),
    }
}

/// Ids are whole numbers, small, and each is one token's alone.
pub(crate) fn check_vocab(vocab: &Map<String, Value>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for (token, id) in vocab {
        let id = id.as_u64().filter(|&id| id <= MAX_ID);
        let id = id.ok_or_else(|| {
            format!("the id of token `{}` is not in 0 to {MAX_ID}", token.escape_debug())
        })?;
        if !seen.insert(id) {
            return Err(format!("two tokens have the id {id}, one is `{}`", token.escape_debug()));
        }
    }
    if vocab.is_empty() { Err("the vocabulary is empty".to_owned()) } else { Ok(()) }
}

/// Both parts of every merge, and what they make, are tokens.
pub(crate) fn check_merges(
    merges: &[Value],
    vocab: &Map<String, Value>,
    prefix: &str,
) -> Result<(), String> {
    for (rank, merge) in merges.iter().enumerate() {
        let pair = match merge {
            Value::String(text) => text.split_once(' '),
            Value::Array(pair) => match pair.as_slice() {
                [Value::String(a), Value::String(b)] => Some((a.as_str(), b.as_str())),
                _ => None,
            },
            _ => None,
        };
        let (a, b) = pair.ok_or_else(|| format!("merge {rank} is not a pair of tokens"))?;
        let tail = if prefix.is_empty() { Some(b) } else { b.strip_prefix(prefix) };
        let lacks = || format!("merge {rank}: `{}` lacks the subword prefix", b.escape_debug());
        let merged = format!("{a}{}", tail.ok_or_else(lacks)?);
        if let Some(token) = [a, b, &merged].into_iter().find(|&token| !vocab.contains_key(token)) {
            let token = token.escape_debug();
            return Err(format!("merge {rank}: `{token}` is not in the vocabulary"));
        }
    }
    Ok(())
}

/// How many times longer a step, and the steps in it, may make a text. Told by the fields: the
/// crate takes steps that do not say what they are.
fn growth(step: &Value, depth: usize) -> Result<f64, String> {
    let len = |pointer| step.pointer(pointer).and_then(Value::as_str).map(|text| text.len() as f64);
    let prepended = 1.0 + len("/prepend").unwrap_or(0.0);
    let replaced = match (len("/content"), len("/pattern/String").filter(|len| *len > 0.0)) {
        (None, _) => 1.0,
        (Some(content), Some(pattern)) => (content / pattern).max(1.0),
        // An expression may match between any two characters.
        (Some(content), None) => 1.0 + content,
    };
    let inner = ["normalizers", "decoders"].map(|name| step.get(name).and_then(Value::as_array));
    let inner: Vec<&Value> = inner.into_iter().flatten().flatten().collect();
    if inner.len() > MAX_STEPS || (depth == 0 && !inner.is_empty()) {
        return Err(format!("has more than {MAX_STEPS} steps, or {MAX_DEPTH} levels of them"));
    }
    let own = Ok(prepended * replaced);
    inner.into_iter().fold(own, |product, step| Ok(product? * growth(step, depth - 1)?))
}

/// Every piece has a score that can be added up.
fn check_scores(pieces: &[Value]) -> Result<(), String> {
    let scored = |piece: &Value| piece.get(1).and_then(Value::as_f64).is_some_and(f64::is_finite);
    match pieces.iter().position(|piece| !scored(piece)) {
        Some(id) => Err(format!("the piece {id} has no score that is a number")),
        None => Ok(()),
    }
}

/// The maps of characters anywhere in the normalizer.
fn check_charsmaps(normalizer: Option<&Value>) -> Result<(), String> {
    let Some(normalizer) = normalizer else { return Ok(()) };
    if let Some(map) = normalizer.get("precompiled_charsmap").and_then(Value::as_str) {
        let map = base64::decode(map.as_bytes()).ok_or("`precompiled_charsmap` is not base64")?;
        charsmap::check(&map)?;
    }
    let steps = normalizer.get("normalizers").and_then(Value::as_array);
    steps.into_iter().flatten().try_for_each(|step| check_charsmaps(Some(step)))
}

fn check_added(added: Option<&Value>) -> Result<(), String> {
    let Some(added) = added.filter(|value| !value.is_null()) else { return Ok(()) };
    let added = added.as_array().ok_or("`added_tokens` is not a list")?;
    for token in added {
        let id = token.get("id").and_then(Value::as_u64);
        if id.is_none_or(|id| id > MAX_ID) {
            return Err(format!("the id of an added token is not in 0 to {MAX_ID}"));
        }
    }
    Ok(())
}
