//! How byte-level vocabularies cut a text into words before any merge.
//!
//! The patterns are those of `tiktoken` and `transformers`; the names in GGUF files are llama.cpp's
//! (`tokenizer.ggml.pre`).

use serde_json::{Value, json};

use crate::draft::part;

/// A way to cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Split {
    /// GPT-2's own pattern, which the `tokenizers` crate has built in.
    Gpt2,
    /// A pattern whose every match is a word.
    Pattern(&'static str),
    /// Digits one by one, then GPT-2's pattern.
    DigitsGpt2,
}

pub(crate) const CL100K: Split = Split::Pattern(concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
));

pub(crate) const QWEN2: Split = Split::Pattern(concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
));

pub(crate) const QWEN35: Split = Split::Pattern(concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}",
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
));

pub(crate) const O200K: Split = Split::Pattern(concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
));

pub(crate) const TEKKEN: Split = Split::Pattern(concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
));

impl Split {
    /// Of a `.tiktoken` file, by its name; most are cut as `cl100k_base` is.
    pub(crate) fn of_file(name: &str) -> Self {
        let has = |part| name.contains(part);
        match () {
            () if has("o200k") => O200K,
            () if has("qwen") => QWEN2,
            () if has("gpt2") || has("r50k") || has("p50k") => Self::Gpt2,
            () => CL100K,
        }
    }

    /// By the name that a GGUF file gives; `None` when it is not known.
    pub(crate) fn of_gguf(pre: &str) -> Option<Self> {
        Some(match pre {
            "gpt-2" | "default" | "phi-2" | "jina-es" | "jina-de" | "roberta-bpe" | "mpt"
            | "olmo" | "jina-v1-en" | "jina-v2-code" => Self::Gpt2,
            "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" => Self::DigitsGpt2,
            "llama-bpe" | "llama3" | "llama-v3" | "falcon3" | "falcon-h1" | "pixtral" | "dbrx"
            | "smaug-bpe" | "lfm2" | "midm-2.0" => CL100K,
            "qwen2" | "deepseek-r1-qwen" | "megrez" | "stablelm2" | "hunyuan" | "kormo" => QWEN2,
            "qwen35" => QWEN35,
            "tekken" => TEKKEN,
            "gpt-4o" | "llama4" | "kanana2" | "minimax-m2" => O200K,
            _ => return None,
        })
    }

    /// The pre-tokenizer in `tokenizer.json`.
    pub(crate) fn pre_tokenizer(self, add_prefix_space: bool) -> Value {
        let first = match self {
            Self::Gpt2 => return part::byte_level(add_prefix_space, true, true),
            Self::Pattern(pattern) => part::split(pattern, "Isolated", false),
            Self::DigitsGpt2 => json!({ "type": "Digits", "individual_digits": true }),
        };
        let bytes = part::byte_level(add_prefix_space, true, self == Self::DigitsGpt2);
        json!({ "type": "Sequence", "pretokenizers": [first, bytes] })
    }
}
