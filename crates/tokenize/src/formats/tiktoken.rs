//! `*.tiktoken`: lines of a token in base64 and its rank, the rank being the id.
//!
//! The format of `OpenAI`'s `tiktoken`; Llama 3's `tokenizer.model` is one too. Merges are
//! recovered from the ranks as `TikTokenConverter` of `transformers` does.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::byte_level;
use super::merges::{Order, byte_cuts, recover};
use super::patterns::Split;
use crate::base64;
use crate::bytes::spell;
use crate::draft::part;
use crate::settings::{Listed, Settings};

/// A longer token would need more merges than any vocabulary has.
const TOKEN_BYTES_MAX: usize = 1024;

const RANK_MAX: u64 = 1 << 24;

/// Special tokens of `OpenAI`'s encodings, which stand in no file, by the file's name.
const KNOWN: [(&str, &[(&str, u64)]); 2] = [
    (
        "cl100k_base",
        &[
            ("<|endoftext|>", 100_257),
            ("<|fim_prefix|>", 100_258),
            ("<|fim_middle|>", 100_259),
            ("<|fim_suffix|>", 100_260),
            ("<|endofprompt|>", 100_276),
        ],
    ),
    ("o200k_base", &[("<|endoftext|>", 199_999), ("<|endofprompt|>", 200_018)]),
];

/// Reads the ranks; `name` is the file's, and says how text is cut.
pub(crate) fn read(bytes: &[u8], name: &str, settings: &Settings) -> Result<Value, String> {
    let ranks = ranks(bytes)?;
    let mut vocab = Map::new();
    for (token, rank) in &ranks {
        vocab.insert(spell(token), (*rank).into());
    }
    let tokens: Vec<&[u8]> = ranks.iter().map(|(token, _)| token.as_slice()).collect();
    let merges = recover(&tokens, Order::Parts, |idx| Some(ranks[idx].1), byte_cuts);
    let spelled = |idx: u32| spell(tokens[idx as usize]);
    let merges: Vec<Value> =
        merges.into_iter().map(|(a, b)| json!([spelled(a), spelled(b)])).collect();
    let mut model = part::bpe(vocab, merges);
    model["ignore_merges"] = true.into();
    let mut draft = byte_level::draft(model, Split::of_file(name), false);
    let known = KNOWN.iter().find(|(stem, _)| name.strip_suffix(".tiktoken") == Some(stem));
    for &(content, id) in known.map_or(&[][..], |(_, tokens)| tokens) {
        draft.added.push(Listed { id: Some(id), ..Listed::special(content) });
    }
    draft.finish(settings)
}

/// Whether the bytes look like ranks, and not like a `SentencePiece` model.
pub(crate) fn is_ranks(bytes: &[u8]) -> bool {
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let mut words = line.trim_ascii_end().split(|&byte| byte == b' ');
    let token = words.next().and_then(base64::decode);
    token.is_some_and(|token| !token.is_empty())
        && words.next().is_some_and(|rank| !rank.is_empty() && rank.iter().all(u8::is_ascii_digit))
}

/// The tokens in the order of their ranks.
fn ranks(bytes: &[u8]) -> Result<Vec<(Vec<u8>, u64)>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let mut seen: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut ranks: Vec<(Vec<u8>, u64)> = Vec::new();
    for (line, text) in text.lines().enumerate().filter(|(_, text)| !text.is_empty()) {
        let line = line + 1;
        let (token, rank) =
            text.split_once(' ').ok_or_else(|| format!("line {line} is not `token rank`"))?;
        let token = base64::decode(token.as_bytes()).filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| format!("line {line}: the token is not base64"))?;
        if token.len() > TOKEN_BYTES_MAX {
            return Err(format!("line {line}: a token of {} bytes", token.len()));
        }
        let rank = rank.trim_end().parse().ok().filter(|&rank: &u64| rank <= RANK_MAX);
        let rank = rank.ok_or_else(|| format!("line {line}: the rank is no number"))?;
        if let Some(first) = seen.insert(token.clone(), line) {
            return Err(format!("line {line}: the token of line {first} again"));
        }
        ranks.push((token, rank));
    }
    ranks.sort_by_key(|(_, rank)| *rank);
    if let Some(byte) = (0..=255).find(|&byte| !seen.contains_key(&vec![byte])) {
        return Err(format!("the byte {byte:#04x} is no token"));
    }
    match ranks.windows(2).find(|pair| pair[0].1 == pair[1].1) {
        Some(pair) => Err(format!("two tokens have the rank {}", pair[0].1)),
        None => Ok(ranks),
    }
}
