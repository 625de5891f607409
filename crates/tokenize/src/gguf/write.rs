//! A tokenizer as the metadata of a GGUF file.

use serde_json::Value;

use super::GgufVocab;
use crate::formats::patterns::Split;
use crate::{SpecialIds, TokenizeError, Tokenizer};

/// Names of llama.cpp for the ways to cut, each the first of those that cut alike.
const NAMES: [&str; 7] = ["gpt-2", "smollm", "llama-bpe", "qwen2", "qwen35", "tekken", "gpt-4o"];

/// `tokenizer.ggml.token_type`.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;

impl Tokenizer {
    /// What a GGUF file says of this tokenizer; `vocab_size` is the model's, whose last rows may
    /// have no token.
    ///
    /// # Errors
    /// When it is no byte-level BPE that cuts text in a way that llama.cpp has a name for.
    pub fn to_gguf(&self, vocab_size: usize) -> Result<GgufVocab, TokenizeError> {
        let unsupported = |what: &str| TokenizeError::Unsupported {
            path: "tokenizer.json".into(),
            what: what.to_owned(),
        };
        let json: Value = serde_json::from_str(&self.to_json(false)?).expect("just written");
        let model = &json["model"];
        if model["type"] != "BPE" || model["byte_fallback"] == true {
            return Err(unsupported("a vocabulary that is no byte-level BPE"));
        }
        let cut = pattern(&json["pre_tokenizer"]);
        let is_same = |name: &&&str| {
            Split::of_gguf(name).is_some_and(|split| pattern(&split.pre_tokenizer(false)) == cut)
        };
        let Some(pre) = NAMES.iter().find(is_same) else {
            return Err(unsupported("a way to cut text that GGUF has no name for"));
        };
        let mut tokens: Vec<String> = (0..vocab_size).map(|id| format!("[PAD{id}]")).collect();
        let mut token_types = vec![UNUSED; vocab_size];
        let mut set = |token: &str, id: &Value, kind| {
            if let Some(id) = id.as_u64().map(|id| id as usize).filter(|id| *id < vocab_size) {
                token.clone_into(&mut tokens[id]);
                token_types[id] = kind;
            }
        };
        for (token, id) in model["vocab"].as_object().into_iter().flatten() {
            set(token, id, NORMAL);
        }
        for added in json["added_tokens"].as_array().into_iter().flatten() {
            let kind = if added["special"] == true { CONTROL } else { USER_DEFINED };
            set(added["content"].as_str().unwrap_or_default(), &added["id"], kind);
        }
        let merge = |merge: &Value| match merge {
            Value::String(merge) => merge.clone(),
            pair => {
                let half = |i: usize| pair[i].as_str().unwrap_or_default();
                format!("{} {}", half(0), half(1))
            }
        };
        let merges = model["merges"].as_array().into_iter().flatten().map(merge).collect();
        let ids = self.special_ids();
        Ok(GgufVocab {
            model: "gpt2".into(),
            pre: Some((*pre).into()),
            tokens,
            token_types,
            merges,
            special: SpecialIds { eos: ids.eos.or_else(|| self.end_of_text()), ..ids },
            add_bos: Some(self.beginning().is_some()),
            add_eos: Some(false),
            ..GgufVocab::default()
        })
    }
}

/// What tells ways to cut apart: the steps and their patterns.
fn pattern(pre_tokenizer: &Value) -> Vec<String> {
    let steps = match pre_tokenizer["pretokenizers"].as_array() {
        Some(steps) => steps.clone(),
        None => vec![pre_tokenizer.clone()],
    };
    let step = |step: &Value| match step["type"].as_str() {
        Some("Split") => step["pattern"]["Regex"].as_str().unwrap_or_default().to_owned(),
        Some("ByteLevel") => format!("bytes, words {}", step["use_regex"] != false),
        other => other.unwrap_or_default().to_owned(),
    };
    steps.iter().map(step).collect()
}
