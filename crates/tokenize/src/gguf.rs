//! A tokenizer from the metadata of a GGUF file.
//!
//! The keys are llama.cpp's `tokenizer.ggml.*`. Reading the file is not done here.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::bytes::is_spelled;
use crate::draft::part::{self, SPACE};
use crate::files::build;
use crate::formats::byte_level;
use crate::formats::patterns::{QWEN2, Split};
use crate::formats::sentencepiece::{self, Kind, Model, Piece, Role};
use crate::formats::wordpiece;
use crate::settings::{Class, Listed, Settings};
use crate::{SpecialIds, TokenizeError, Tokenizer, precheck};

/// What a GGUF file says of its vocabulary; a key that is not in the file is left as it is by
/// default.
#[derive(Clone, Debug, Default)]
pub struct GgufVocab {
    /// `tokenizer.ggml.model`: `gpt2`, `llama`, `bert` or `t5`.
    pub model: String,
    /// `tokenizer.ggml.pre`: how `gpt2` cuts text into words.
    pub pre: Option<String>,
    /// `tokenizer.ggml.tokens`, a token's id being its place.
    pub tokens: Vec<String>,
    /// `tokenizer.ggml.scores`.
    pub scores: Vec<f32>,
    /// `tokenizer.ggml.token_type`: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused,
    /// 6 byte.
    pub token_types: Vec<i32>,
    /// `tokenizer.ggml.merges`, two tokens with a space between.
    pub merges: Vec<String>,
    /// `tokenizer.ggml.bos_token_id` and the others (`seperator_token_id` is spelled so).
    pub special: SpecialIds,
    /// `tokenizer.ggml.add_bos_token`.
    pub add_bos: Option<bool>,
    /// `tokenizer.ggml.add_eos_token`.
    pub add_eos: Option<bool>,
    /// `tokenizer.ggml.add_space_prefix`.
    pub add_space_prefix: Option<bool>,
    /// `tokenizer.ggml.precompiled_charsmap`.
    pub charsmap: Vec<u8>,
}

impl Tokenizer {
    /// The tokenizer of a GGUF file; `path` is the file's name in errors.
    ///
    /// # Errors
    /// When the pieces do not fit together, or the kind of vocabulary is not known.
    pub fn from_gguf(path: &Path, vocab: &GgufVocab) -> Result<Self, TokenizeError> {
        let unsupported = |what| TokenizeError::Unsupported { path: path.to_owned(), what };
        let malformed = |reason| TokenizeError::Malformed { path: path.to_owned(), reason };
        let pre = vocab.pre.as_deref().unwrap_or("default");
        let split = Split::of_gguf(pre);
        let class = match vocab.model.as_str() {
            "gpt2" if split.is_none() => {
                return Err(unsupported(format!(
                    "`tokenizer.ggml.pre` is `{}`",
                    pre.escape_debug()
                )));
            }
            "gpt2" if split == Some(QWEN2) => Class::Qwen2,
            "gpt2" => Class::Gpt2,
            "llama" => Class::Llama,
            "bert" => Class::Bert,
            "t5" => Class::T5,
            other => {
                let what = format!("`tokenizer.ggml.model` is `{}`", other.escape_debug());
                return Err(unsupported(what));
            }
        };
        let settings = vocab.settings(class).map_err(malformed)?;
        let json = match class {
            Class::Llama => vocab.llama(&settings),
            Class::Bert => vocab.bert(&settings),
            Class::T5 => vocab.t5(&settings),
            _ => vocab.byte_level(split.unwrap_or(Split::Gpt2), &settings),
        };
        build(path, &json.map_err(malformed)?, &settings)
    }
}

impl GgufVocab {
    /// The metadata in the words of a `tokenizer_config.json`.
    fn settings(&self, class: Class) -> Result<Settings, String> {
        let lengths = [
            ("scores", self.scores.len(), matches!(class, Class::Llama | Class::T5)),
            ("token_type", self.token_types.len(), false),
        ];
        for (name, n_found, needed) in lengths {
            let n_tokens = self.tokens.len();
            if n_found != n_tokens && (n_found > 0 || needed) {
                return Err(format!("{n_tokens} tokens, and {n_found} of `{name}`"));
            }
        }
        let mut config = Map::new();
        let SpecialIds { bos, eos, unk, sep, pad, cls, mask } = self.special;
        let roles = [
            ("bos_token", bos),
            ("eos_token", eos),
            ("unk_token", unk),
            ("sep_token", sep),
            ("pad_token", pad),
            ("cls_token", cls),
            ("mask_token", mask),
        ];
        for (role, id) in roles {
            let Some(id) = id else { continue };
            let token = self.tokens.get(id as usize);
            let token = token.ok_or_else(|| format!("`{role}` is {id}, which is no token"))?;
            config.insert(role.to_owned(), token.as_str().into());
        }
        let flags = [
            ("add_bos_token", self.add_bos),
            ("add_eos_token", self.add_eos),
            ("add_prefix_space", self.add_space_prefix),
        ];
        let flags = flags.into_iter().filter_map(|(name, flag)| Some((name, flag?)));
        config.extend(flags.map(|(name, flag)| (name.to_owned(), flag.into())));
        Ok(Settings::of(config.into(), class))
    }

    fn role(&self, idx: usize) -> Result<Role, String> {
        let Some(&number) = self.token_types.get(idx) else { return Ok(Role::Normal) };
        let unknown = || format!("the token {idx} has the type {number}");
        Role::of(number.into()).ok_or_else(unknown)
    }

    /// The vocabulary as an object; no two tokens are the same.
    fn object(&self, spell: impl Fn(&str) -> String) -> Result<Map<String, Value>, String> {
        let mut vocab = Map::new();
        for (id, token) in self.tokens.iter().enumerate() {
            if let Some(first) = vocab.insert(spell(token), id.into()) {
                let token = token.escape_debug();
                return Err(format!("the tokens {first} and {id} are both `{token}`"));
            }
        }
        Ok(vocab)
    }

    fn byte_level(&self, split: Split, settings: &Settings) -> Result<Value, String> {
        let vocab = self.object(str::to_owned)?;
        let merges: Vec<Value> = self.merges.iter().map(|merge| merge.as_str().into()).collect();
        precheck::check_merges(&merges, &vocab, "")?;
        let mut model = part::bpe(vocab, merges);
        model["ignore_merges"] = (self.pre.as_deref() == Some("llama-bpe")).into();
        let space = settings.flag("add_prefix_space").unwrap_or(false);
        let mut draft = byte_level::draft(model, split, space);
        if settings.class == Class::Qwen2 {
            draft.normalizer = json!({ "type": "NFC" });
        }
        for (idx, token) in self.tokens.iter().enumerate() {
            match self.role(idx)? {
                Role::Control => draft.added.push(Listed::special(token)),
                Role::UserDefined if is_spelled(token) => {
                    draft.added.push(Listed { special: false, ..Listed::special(token) });
                }
                _ => {}
            }
        }
        draft.finish(settings)
    }

    fn pieces(&self) -> Result<Vec<Piece>, String> {
        let mut pieces = Vec::with_capacity(self.tokens.len());
        for (idx, (text, &score)) in self.tokens.iter().zip(&self.scores).enumerate() {
            let unknown = self.special.unk == Some(idx as u32);
            let role = if unknown { Role::Unknown } else { self.role(idx)? };
            pieces.push(Piece { text: text.clone(), score, role });
        }
        Ok(pieces)
    }

    fn llama(&self, settings: &Settings) -> Result<Value, String> {
        let model = self.sentencepiece(Kind::Bpe, true)?;
        sentencepiece::convert(model, settings)
    }

    fn t5(&self, settings: &Settings) -> Result<Value, String> {
        let mut model = self.sentencepiece(Kind::Unigram, false)?;
        // The sentinels are there, under names that stand for nothing; there are no others.
        let is_filler = |piece: &&mut Piece| piece.text.starts_with("[PAD");
        for (piece, id) in model.pieces.iter_mut().filter(is_filler).zip((0..100).rev()) {
            piece.text = format!("<extra_id_{id}>");
        }
        sentencepiece::convert(model, &settings.with("extra_ids", 0.into()))
    }

    fn sentencepiece(&self, kind: Kind, byte_fallback: bool) -> Result<Model, String> {
        let model = Model {
            pieces: self.pieces()?,
            kind,
            byte_fallback,
            charsmap: self.charsmap.clone(),
            add_dummy_prefix: self.add_space_prefix.unwrap_or(true),
            remove_extra_whitespaces: kind == Kind::Unigram,
        };
        model.check()?;
        Ok(model)
    }

    /// llama.cpp marks the beginnings of words, BERT what is no beginning.
    fn bert(&self, settings: &Settings) -> Result<Value, String> {
        let is_special = |token: &str| token.starts_with('[') && token.ends_with(']');
        let vocab = self.object(|token| match token.strip_prefix(SPACE) {
            Some(word) => word.to_owned(),
            None if is_special(token) => token.to_owned(),
            None => format!("##{token}"),
        })?;
        // The metadata does not say whether case counts: a vocabulary that has upper case says it.
        let has_case =
            |token: &&String| !is_special(token) && token.chars().any(char::is_uppercase);
        let lower = !self.tokens.iter().any(|token| has_case(&token));
        let settings = settings.with("do_lower_case", lower.into());
        wordpiece::draft(vocab, &settings).finish(&settings)
    }
}

mod write;

#[cfg(test)]
mod tests;
