//! A `tokenizer.json` in the making: every other format becomes one, and is then read as one.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use crate::settings::{Class, Listed, Settings};

/// The parts of a `tokenizer.json`, and the tokens known so far.
pub(crate) struct Draft {
    model: Value,
    pub(crate) normalizer: Value,
    pub(crate) pre_tokenizer: Value,
    pub(crate) decoder: Value,
    pub(crate) post: Post,
    /// Tokens that the vocabulary's own file calls special or user-defined.
    pub(crate) added: Vec<Listed>,
    ids: HashMap<String, u64>,
    next_id: u64,
}

/// What a model wants around a text.
pub(crate) enum Post {
    /// Nothing but what `add_bos_token` and `add_eos_token` say.
    Flags,
    /// The same, on a byte-level vocabulary.
    ByteLevel,
    /// Templates of a text and of a pair, in words `NAME:TYPE`: `A`, `B`, a role, or a token.
    Template(&'static str, &'static str),
}

impl Draft {
    /// Of a model with a vocabulary that is an object (`token: id`) or a list (`[token, score]`).
    pub(crate) fn new(model: Value) -> Self {
        let ids: HashMap<String, u64> = match &model["vocab"] {
            Value::Object(vocab) => {
                vocab.iter().filter_map(|(t, id)| Some((t.clone(), id.as_u64()?))).collect()
            }
            Value::Array(pieces) => {
                let texts = pieces.iter().map(|piece| piece[0].as_str().unwrap_or_default());
                texts.zip(0..).map(|(text, id)| (text.to_owned(), id)).collect()
            }
            _ => HashMap::new(),
        };
        let next_id = ids.values().max().map_or(0, |max| max + 1);
        Self {
            model,
            normalizer: Value::Null,
            pre_tokenizer: Value::Null,
            decoder: Value::Null,
            post: Post::Flags,
            added: Vec::new(),
            ids,
            next_id,
        }
    }

    /// Settles the special tokens and gives the whole.
    pub(crate) fn finish(mut self, settings: &Settings) -> Result<Value, String> {
        let mut added: BTreeMap<u64, Listed> = BTreeMap::new();
        let of_class = crate::settings::ROLES.into_iter().filter_map(|role| settings.token(role));
        let of_class = of_class.filter(|token| self.ids.contains_key(*token)).map(Listed::special);
        let of_class: Vec<Listed> = of_class.collect();
        let own = std::mem::take(&mut self.added);
        for token in settings.listed().into_iter().chain(own).chain(of_class) {
            let id = self.place(&token)?;
            let special = token.special;
            added.entry(id).or_insert(token).special |= special;
        }
        let post_processor = self.post_processor(settings)?;
        let added: Vec<Value> = added
            .into_iter()
            .map(|(id, token)| {
                json!({
                    "id": id, "content": token.content, "single_word": token.single_word,
                    "lstrip": token.lstrip, "rstrip": token.rstrip,
                    "normalized": token.normalized, "special": token.special,
                })
            })
            .collect();
        Ok(json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
            "normalizer": self.normalizer, "pre_tokenizer": self.pre_tokenizer,
            "post_processor": post_processor, "decoder": self.decoder, "model": self.model,
        }))
    }

    /// The id of a listed token; one that is new is put into the vocabulary, where the list says.
    fn place(&mut self, token: &Listed) -> Result<u64, String> {
        const GAP_MAX: u64 = 1 << 16;
        let name = || token.content.escape_debug();
        if token.content.is_empty() {
            return Err("an added token is empty".to_owned());
        }
        if let Some(&id) = self.ids.get(&token.content) {
            let differs = token.id.is_some_and(|listed| listed != id);
            let problem = || format!("`{}` has the id {id}, and another as an added token", name());
            return if differs { Err(problem()) } else { Ok(id) };
        }
        let id = token.id.unwrap_or(self.next_id);
        match &mut self.model["vocab"] {
            Value::Object(vocab) => {
                if token.id.is_some() && self.ids.values().any(|&taken| taken == id) {
                    return Err(format!("the id {id} of the added token `{}` is taken", name()));
                }
                vocab.insert(token.content.clone(), id.into());
            }
            Value::Array(pieces) if (self.next_id..self.next_id + GAP_MAX).contains(&id) => {
                let gap = (self.next_id..id).map(|id| json!([format!("<|reserved_{id}|>"), 0.0]));
                pieces.extend(gap);
                pieces.push(json!([token.content, 0.0]));
            }
            _ => return Err(format!("the id {id} of the added token `{}` is taken", name())),
        }
        self.ids.insert(token.content.clone(), id);
        self.next_id = self.next_id.max(id + 1);
        Ok(id)
    }

    fn post_processor(&self, settings: &Settings) -> Result<Value, String> {
        let id = |token: &str| self.ids.get(token).copied();
        match self.post {
            Post::Template(single, pair) => template(single, pair, settings, id),
            Post::Flags => Ok(flagged(settings, id)?.unwrap_or(Value::Null)),
            Post::ByteLevel => {
                Ok(flagged(settings, id)?.unwrap_or_else(|| part::byte_level(true, false, true)))
            }
        }
    }
}

/// [`flagged`], unless the class has a template of its own.
pub(crate) fn overruled(
    settings: &Settings,
    id: impl Fn(&str) -> Option<u64>,
) -> Result<Option<Value>, String> {
    match settings.class {
        Class::Gpt2 | Class::Qwen2 | Class::Llama | Class::Gemma | Class::Other => {
            flagged(settings, id)
        }
        _ => Ok(None),
    }
}

/// The template that `add_bos_token` and `add_eos_token` ask for, where either is set at all.
fn flagged(settings: &Settings, id: impl Fn(&str) -> Option<u64>) -> Result<Option<Value>, String> {
    let [bos, eos] = ["add_bos_token", "add_eos_token"].map(|name| settings.flag(name));
    if bos.is_none() && eos.is_none() {
        return Ok(None);
    }
    let has = |flag: Option<bool>, role| {
        flag == Some(true) && settings.token(role).and_then(&id).is_some()
    };
    let (single, pair) = match (has(bos, "bos_token"), has(eos, "eos_token")) {
        (false, false) => ("A:0", "A:0 B:1"),
        (true, false) => ("bos:0 A:0", "bos:0 A:0 bos:1 B:1"),
        (false, true) => ("A:0 eos:0", "A:0 eos:0 B:1 eos:1"),
        (true, true) => ("bos:0 A:0 eos:0", "bos:0 A:0 eos:0 bos:1 B:1 eos:1"),
    };
    template(single, pair, settings, id).map(Some)
}

/// `TemplateProcessing` of templates as [`Post::Template`] has them.
fn template(
    single: &str,
    pair: &str,
    settings: &Settings,
    id: impl Fn(&str) -> Option<u64>,
) -> Result<Value, String> {
    let mut specials = serde_json::Map::new();
    let mut steps = |text: &str| -> Result<Vec<Value>, String> {
        let mut steps = Vec::new();
        for word in text.split(' ') {
            let (name, type_id) = word.rsplit_once(':').unwrap_or((word, "0"));
            let type_id: u64 = type_id.parse().unwrap_or(0);
            if let "A" | "B" = name {
                steps.push(json!({ "Sequence": { "id": name, "type_id": type_id } }));
                continue;
            }
            let token = settings.token(&format!("{name}_token")).unwrap_or(name);
            let id = id(token).ok_or_else(|| {
                format!("`{}`, which goes around a text, is no token", token.escape_debug())
            })?;
            specials.insert(token.into(), json!({ "id": token, "ids": [id], "tokens": [token] }));
            steps.push(json!({ "SpecialToken": { "id": token, "type_id": type_id } }));
        }
        Ok(steps)
    };
    let (single, pair) = (steps(single)?, steps(pair)?);
    Ok(json!({
        "type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": specials,
    }))
}

/// The parts of `tokenizer.json` that several formats share.
pub(crate) mod part {
    use serde_json::{Map, Value, json};

    /// What stands for a space in `SentencePiece`'s vocabularies.
    pub(crate) const SPACE: &str = "\u{2581}";

    /// A BPE; the parts that are not there are null.
    pub(crate) fn bpe(vocab: Map<String, Value>, merges: Vec<Value>) -> Value {
        let mut model = json!({
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": false,
        });
        model["vocab"] = vocab.into();
        model["merges"] = merges.into();
        model
    }

    pub(crate) fn byte_level(add_prefix_space: bool, trim_offsets: bool, use_regex: bool) -> Value {
        json!({
            "type": "ByteLevel", "add_prefix_space": add_prefix_space,
            "trim_offsets": trim_offsets, "use_regex": use_regex,
        })
    }

    pub(crate) fn split(regex: &str, behavior: &str, invert: bool) -> Value {
        json!({
            "type": "Split", "pattern": { "Regex": regex }, "behavior": behavior, "invert": invert,
        })
    }

    pub(crate) fn replace(pattern: &str, content: &str) -> Value {
        json!({ "type": "Replace", "pattern": { "String": pattern }, "content": content })
    }

    pub(crate) fn replace_regex(pattern: &str, content: &str) -> Value {
        json!({ "type": "Replace", "pattern": { "Regex": pattern }, "content": content })
    }

    pub(crate) fn metaspace(prepend_scheme: &str, split: bool) -> Value {
        json!({
            "type": "Metaspace", "replacement": SPACE, "prepend_scheme": prepend_scheme,
            "split": split,
        })
    }

    /// Spaces and bytes back; then `last`, which takes the space before the first word away.
    pub(crate) fn fallback_decoder(last: Option<Value>) -> Value {
        let mut steps =
            vec![replace(SPACE, " "), json!({ "type": "ByteFallback" }), json!({ "type": "Fuse" })];
        steps.extend(last);
        json!({ "type": "Sequence", "decoders": steps })
    }

    /// One space before the first word away.
    pub(crate) fn strip_first() -> Value {
        json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 })
    }

    pub(crate) fn normalizers(steps: &[Value]) -> Value {
        match steps.len() {
            0 => Value::Null,
            _ => json!({ "type": "Sequence", "normalizers": steps }),
        }
    }
}
