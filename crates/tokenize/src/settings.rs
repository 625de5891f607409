//! What stands beside a vocabulary: which class it is read as, which tokens are special.
//!
//! `tokenizer_config.json`, `special_tokens_map.json`, `added_tokens.json`, and `config.json` for
//! the model's type, as `transformers` reads them; what none of them says follows from the class.

use std::path::Path;

use serde_json::Value;

use crate::TokenizeError;
use crate::files::{CONFIG, parse, read_if_there};

/// The names of special tokens in `transformers`' files.
pub(crate) const ROLES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// Which class of `transformers` a tokenizer is: it decides what no vocabulary file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Class {
    Bert,
    Gpt2,
    Roberta,
    Qwen2,
    Clip,
    Whisper,
    T5,
    Albert,
    XlmRoberta,
    Marian,
    Llama,
    Gemma,
    /// Nothing is known: the files alone decide.
    #[default]
    Other,
}

impl Class {
    /// Of a `tokenizer_class` or a `model_type`.
    fn named(name: &str) -> Self {
        let name = name.trim_end_matches("Fast").trim_end_matches("Tokenizer");
        match name.to_ascii_lowercase().replace(['-', '_'], "").as_str() {
            "bert" | "distilbert" | "electra" | "ernie" | "mobilebert" | "convbert"
            | "squeezebert" | "layoutlm" | "lxmert" => Self::Bert,
            "gpt2" | "gptneo" | "gptj" | "codegen" | "opt" => Self::Gpt2,
            "roberta" | "bart" | "led" | "longformer" | "mvp" => Self::Roberta,
            "qwen2" | "qwen3" | "qwen2moe" | "qwen3moe" => Self::Qwen2,
            "clip" => Self::Clip,
            "whisper" => Self::Whisper,
            "t5" | "mt5" => Self::T5,
            "albert" => Self::Albert,
            "xlmroberta" | "camembertv2" => Self::XlmRoberta,
            "marian" => Self::Marian,
            "llama" | "codellama" | "mistral" | "mixtral" | "phi3" => Self::Llama,
            "gemma" | "gemma2" | "gemma3" | "gemma3text" => Self::Gemma,
            _ => Self::Other,
        }
    }

    /// The token that the class has in a role, where no file names one.
    fn default_token(self, role: &str) -> Option<&'static str> {
        let tokens = match self {
            Self::Bert => [None, None, Some("[UNK]"), Some("[SEP]"), Some("[PAD]"), Some("[CLS]")],
            Self::Gpt2 | Self::Whisper => {
                let end = Some("<|endoftext|>");
                [end, end, end, None, None, None]
            }
            Self::Qwen2 => {
                let end = Some("<|endoftext|>");
                [None, end, end, None, end, None]
            }
            Self::Clip => {
                let end = Some("<|endoftext|>");
                [Some("<|startoftext|>"), end, end, None, end, None]
            }
            Self::Roberta | Self::XlmRoberta => {
                let (start, end) = (Some("<s>"), Some("</s>"));
                [start, end, Some("<unk>"), end, Some("<pad>"), start]
            }
            Self::T5 | Self::Marian => {
                [None, Some("</s>"), Some("<unk>"), None, Some("<pad>"), None]
            }
            Self::Albert => {
                let (start, end) = (Some("[CLS]"), Some("[SEP]"));
                [start, end, Some("<unk>"), end, Some("<pad>"), start]
            }
            Self::Llama => [Some("<s>"), Some("</s>"), Some("<unk>"), None, None, None],
            Self::Gemma => [Some("<bos>"), Some("<eos>"), Some("<unk>"), None, Some("<pad>"), None],
            Self::Other => [None; 6],
        };
        let idx = ROLES.iter().position(|name| *name == role)?;
        match (tokens.get(idx), self) {
            (Some(token), _) => *token,
            (None, Self::Bert | Self::Albert) => Some("[MASK]"),
            (None, Self::Roberta | Self::XlmRoberta | Self::Gemma) => Some("<mask>"),
            (None, _) => None,
        }
    }
}

/// A token that a file lists beside the vocabulary.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the fields of the field's own `AddedToken`")]
pub(crate) struct Listed {
    /// Its id, where the file says one.
    pub(crate) id: Option<u64>,
    pub(crate) content: String,
    pub(crate) special: bool,
    pub(crate) lstrip: bool,
    pub(crate) rstrip: bool,
    pub(crate) single_word: bool,
    pub(crate) normalized: bool,
}

impl Listed {
    /// A special token, matched as it is spelled.
    pub(crate) fn special(content: &str) -> Self {
        Self { content: content.to_owned(), special: true, ..Self::default() }
    }

    /// From a string, or an object of `transformers`' `AddedToken`.
    fn read(token: &Value, special: bool) -> Option<Self> {
        let content = content(token)?;
        let flag = |name: &str| token.get(name).and_then(Value::as_bool);
        let is_special = special || flag("special") == Some(true);
        Some(Self {
            id: None,
            content: content.to_owned(),
            special: is_special,
            lstrip: flag("lstrip") == Some(true),
            rstrip: flag("rstrip") == Some(true),
            single_word: flag("single_word") == Some(true),
            normalized: flag("normalized").unwrap_or(!is_special),
        })
    }
}

/// The files beside a vocabulary, read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    config: Value,
    map: Value,
    added: Value,
    pub(crate) class: Class,
    /// A `tokenizer_class` that is none of them.
    pub(crate) unknown: Option<String>,
}

impl Settings {
    /// Reads what a model directory has of them.
    pub(crate) fn load(dir: &Path) -> Result<Self, TokenizeError> {
        let file = |name: &str| match read_if_there(&dir.join(name))? {
            Some(bytes) => parse(&dir.join(name), &bytes),
            None => Ok(Value::Null),
        };
        let config = file(CONFIG)?;
        let name = config.get("tokenizer_class").and_then(Value::as_str);
        let class = name.map_or(Class::Other, Class::named);
        let unknown = name.filter(|_| class == Class::Other).map(str::to_owned);
        let class = match class {
            Class::Other => {
                let model = file("config.json")?;
                Class::named(model.get("model_type").and_then(Value::as_str).unwrap_or_default())
            }
            class => class,
        };
        let (map, added) = (file("special_tokens_map.json")?, file("added_tokens.json")?);
        Ok(Self { config, map, added, class, unknown })
    }

    /// As if there were no files but a `tokenizer_config.json` of this content.
    pub(crate) fn of(config: Value, class: Class) -> Self {
        Self { config, class, ..Self::default() }
    }

    /// The same files read as of `class`, where they say nothing of it.
    pub(crate) fn or_class(&self, class: Class) -> Self {
        let class = if self.class == Class::Other { class } else { self.class };
        Self { class, ..self.clone() }
    }

    /// The same files with one more line in `tokenizer_config.json`.
    pub(crate) fn with(&self, name: &str, value: Value) -> Self {
        let mut changed = self.clone();
        match &mut changed.config {
            Value::Object(config) => drop(config.insert(name.to_owned(), value)),
            config => *config = serde_json::json!({ name: value }),
        }
        changed
    }

    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        self.config.get(name).and_then(Value::as_bool)
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.config.get(name).and_then(Value::as_u64)
    }

    /// The token that a file names in this role.
    pub(crate) fn named(&self, role: &str) -> Option<&str> {
        [&self.config, &self.map].into_iter().find_map(|file| content(file.get(role)?))
    }

    /// [`Settings::named`], else what the class has.
    pub(crate) fn token(&self, role: &str) -> Option<&str> {
        self.named(role).or_else(|| self.class.default_token(role))
    }

    /// Every token that the files list, in the order in which `transformers` adds them.
    pub(crate) fn listed(&self) -> Vec<Listed> {
        let mut listed = Vec::new();
        if let Some(tokens) = self.config.get("added_tokens_decoder").and_then(Value::as_object) {
            let by_id = tokens.iter().filter_map(|(id, token)| {
                let id = id.parse().ok()?;
                Some(Listed { id: Some(id), ..Listed::read(token, false)? })
            });
            listed.extend(by_id);
        }
        if let Some(tokens) = self.added.as_object() {
            let is_role = |token: &str| ROLES.iter().any(|role| self.token(role) == Some(token));
            listed.extend(tokens.iter().map(|(content, id)| Listed {
                id: id.as_u64(),
                special: is_role(content),
                content: content.clone(),
                ..Listed::default()
            }));
        }
        listed.sort_by_key(|token| token.id);
        let files = [&self.config, &self.map];
        for role in ROLES {
            let token = files.iter().find_map(|file| Listed::read(file.get(role)?, true));
            listed.extend(token);
        }
        for (file, key) in files.iter().flat_map(|&file| {
            ["additional_special_tokens", "extra_special_tokens"].map(|key| (file, key))
        }) {
            match file.get(key) {
                Some(Value::Array(tokens)) => {
                    listed.extend(tokens.iter().filter_map(|token| Listed::read(token, true)));
                }
                Some(Value::Object(tokens)) => {
                    listed.extend(tokens.values().filter_map(|token| Listed::read(token, true)));
                }
                _ => {}
            }
        }
        listed
    }
}

/// The text of a token that is a string or an object with a `content`.
fn content(token: &Value) -> Option<&str> {
    token.get("content").unwrap_or(token).as_str()
}
