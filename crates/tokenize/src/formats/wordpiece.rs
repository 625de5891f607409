//! `vocab.txt`: one token a line, its id the line.
//!
//! Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers", arXiv:1810.04805,
//! section 3, and its published tokenizer, as `transformers`' `BertTokenizer` reads it.

use serde_json::{Map, Value, json};

use crate::draft::{Draft, Post};
use crate::settings::{Class, Settings};

/// Reads the vocabulary of a BERT, `DistilBERT` or ERNIE; where nothing names a class it is BERT's.
pub(crate) fn read(bytes: &[u8], settings: &Settings) -> Result<Value, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let mut vocab = Map::new();
    for (id, line) in text.lines().enumerate() {
        if let Some(first) = vocab.insert(line.to_owned(), id.into()) {
            let first = first.as_u64().unwrap_or(0) + 1;
            let token = line.escape_debug();
            return Err(format!("line {}: the token `{token}` is on line {first} too", id + 1));
        }
    }
    let settings = &settings.or_class(Class::Bert);
    let role = |name: &str| settings.token(name).unwrap_or_default();
    for name in ["unk_token", "cls_token", "sep_token"] {
        if !vocab.contains_key(role(name)) {
            return Err(format!("its `{name}`, `{}`, is on no line", role(name).escape_debug()));
        }
    }
    draft(vocab, settings).finish(settings)
}

/// BERT's pipeline around a vocabulary.
pub(crate) fn draft(vocab: Map<String, Value>, settings: &Settings) -> Draft {
    let mut model = json!({
        "type": "WordPiece", "unk_token": settings.token("unk_token").unwrap_or_default(),
        "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
    });
    model["vocab"] = vocab.into();
    let mut draft = Draft::new(model);
    draft.normalizer = json!({
        "type": "BertNormalizer", "clean_text": true,
        "handle_chinese_chars": settings.flag("tokenize_chinese_chars").unwrap_or(true),
        "strip_accents": settings.flag("strip_accents"),
        "lowercase": settings.flag("do_lower_case").unwrap_or(true),
    });
    draft.pre_tokenizer = json!({ "type": "BertPreTokenizer" });
    draft.decoder = json!({ "type": "WordPiece", "prefix": "##", "cleanup": true });
    draft.post = Post::Template("cls:0 A:0 sep:0", "cls:0 A:0 sep:0 B:1 sep:1");
    draft
}
