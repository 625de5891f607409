//! `vocab.json` and `merges.txt`: byte-level BPE as GPT-2, `RoBERTa`, CLIP, Whisper and
//! Qwen2 have it.

use serde_json::{Map, Value, json};

use super::patterns::{QWEN2, Split};
use crate::draft::{Draft, Post, part};
use crate::settings::{Class, Listed, Settings};
use crate::{END_OF_TEXT, precheck};

const CLIP_PATTERN: &str = concat!(
    r"<\|startoftext\|>|<\|endoftext\|>",
    r"|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
);

/// The lines of `merges.txt`.
pub(crate) fn read_merges(bytes: &[u8], vocab: &Map<String, Value>) -> Result<Vec<Value>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let lines = text.lines().filter(|line| !line.starts_with("#version") && !line.is_empty());
    let merges: Vec<Value> = lines.map(Value::from).collect();
    precheck::check_merges(&merges, vocab, "")?;
    Ok(merges)
}

/// A byte-level BPE with the pipeline of its class.
pub(crate) fn convert(
    vocab: Map<String, Value>,
    merges: Vec<Value>,
    settings: &Settings,
) -> Result<Value, String> {
    let mut model = part::bpe(vocab, merges);
    if settings.class == Class::Clip {
        model["end_of_word_suffix"] = "</w>".into();
        model["unk_token"] = settings.token("unk_token").into();
    }
    let space = settings.flag("add_prefix_space").unwrap_or(false);
    let mut draft = draft(model, Split::Gpt2, space);
    match settings.class {
        Class::Roberta => {
            draft.post = Post::Template("cls:0 A:0 sep:0", "cls:0 A:0 sep:0 sep:0 B:0 sep:0");
        }
        Class::Clip => {
            draft.normalizer = part::normalizers(&[
                json!({ "type": "NFC" }),
                part::replace_regex(r"\s+", " "),
                json!({ "type": "Lowercase" }),
            ]);
            let words = part::split(CLIP_PATTERN, "Removed", true);
            let bytes = part::byte_level(false, true, true);
            draft.pre_tokenizer = json!({ "type": "Sequence", "pretokenizers": [words, bytes] });
            // The mark at the end of a word is a space in the text, but for the last.
            draft.decoder = json!({
                "type": "Sequence",
                "decoders": [
                    part::byte_level(true, true, true), part::replace("</w>", " "),
                    part::replace_regex(" $", ""),
                ],
            });
            draft.post = Post::Template("bos:0 A:0 eos:0", "bos:0 A:0 eos:0 eos:0 B:0 eos:0");
        }
        Class::Whisper => {
            let start = "<|startoftranscript|>:0 <|notimestamps|>:0 A:0 eos:0";
            let pair = "<|startoftranscript|>:0 <|notimestamps|>:0 A:0 B:1 eos:1";
            draft.post = Post::Template(start, pair);
        }
        Class::Qwen2 => {
            draft.normalizer = json!({ "type": "NFC" });
            draft.pre_tokenizer = QWEN2.pre_tokenizer(space);
        }
        _ => draft.added.push(Listed::special(END_OF_TEXT)),
    }
    draft.finish(settings)
}

/// A byte-level pipeline around a model.
pub(crate) fn draft(model: Value, split: Split, add_prefix_space: bool) -> Draft {
    let mut draft = Draft::new(model);
    draft.pre_tokenizer = split.pre_tokenizer(add_prefix_space);
    draft.decoder = part::byte_level(true, true, true);
    draft.post = Post::ByteLevel;
    draft
}
