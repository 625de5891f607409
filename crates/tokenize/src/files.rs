//! Hugging Face tokenizer directories, read and written.

use std::path::Path;

use serde_json::{Value, json};
use tokenizers::models::bpe::BPE;

use crate::guard::guarded;
use crate::{END_OF_TEXT, TokenizeError, Tokenizer, precheck, train};

/// The largest known `tokenizer.json` (256 000 tokens, pretty-printed) has 33 MB.
const FILE_BYTES_MAX: u64 = 256 << 20;

const CONFIG: &str = "tokenizer_config.json";

/// Files beside `tokenizer.json` that are carried along unchanged.
const COMPANIONS: [&str; 4] =
    [CONFIG, "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"];

/// Names of the token that ends a document, where no configuration says which it is.
const KNOWN_ENDS: [&str; 6] =
    [END_OF_TEXT, "<|end_of_text|>", "</s>", "<eos>", "<|im_end|>", "<|eot_id|>"];

impl Tokenizer {
    /// Reads the tokenizer of a model directory: `tokenizer.json`, else `vocab.json` and
    /// `merges.txt` as GPT-2 has them. `tokenizer_config.json` says which token ends a document.
    ///
    /// # Errors
    /// When there is none, or its files are damaged, hostile or too large.
    pub fn load(dir: &Path) -> Result<Self, TokenizeError> {
        let config = match read_if_there(&dir.join(CONFIG))? {
            Some(bytes) => parse(&dir.join(CONFIG), &bytes)?,
            None => Value::Null,
        };
        let mut tokenizer = if dir.join("tokenizer.json").exists() {
            load_json(&dir.join("tokenizer.json"), &config)?
        } else if dir.join("vocab.json").exists() && dir.join("merges.txt").exists() {
            load_vocab_and_merges(dir)?
        } else {
            return Err(TokenizeError::Missing { dir: dir.to_owned() });
        };
        for name in COMPANIONS {
            if let Some(bytes) = read_if_there(&dir.join(name))? {
                tokenizer.companions.insert(name, bytes);
            }
        }
        Ok(tokenizer)
    }

    /// The files of this tokenizer by name, as `transformers.AutoTokenizer` reads them.
    ///
    /// # Errors
    /// When the tokenizer cannot be written as JSON.
    pub fn files(&self) -> Result<Vec<(&'static str, Vec<u8>)>, TokenizeError> {
        let mut files = vec![("tokenizer.json", self.to_json(true)?.into_bytes())];
        if self.companions.is_empty() {
            files.push((CONFIG, pretty(&self.config())));
            files.push(("special_tokens_map.json", pretty(&self.special_tokens())));
        }
        files.extend(self.companions.iter().map(|(&name, bytes)| (name, bytes.clone())));
        Ok(files)
    }

    fn config(&self) -> Value {
        let mut config = self.special_tokens();
        config["tokenizer_class"] = "GPT2Tokenizer".into();
        config["add_prefix_space"] = false.into();
        config["clean_up_tokenization_spaces"] = false.into();
        config
    }

    fn special_tokens(&self) -> Value {
        match self.end_of_text().and_then(|id| self.token(id)) {
            Some(end) => json!({ "bos_token": end, "eos_token": end, "unk_token": end }),
            None => json!({}),
        }
    }
}

fn load_json(path: &Path, config: &Value) -> Result<Tokenizer, TokenizeError> {
    let malformed = |reason| TokenizeError::Malformed { path: path.to_owned(), reason };
    let bytes = read(path)?;
    precheck::check(&parse(path, &bytes)?).map_err(malformed)?;
    let tokenizer = guarded(|| {
        let inner = tokenizers::Tokenizer::from_bytes(&bytes)?;
        let end = end_of_text(&inner, config)?;
        Tokenizer::wrap(inner, end)
    })
    .map_err(malformed)?;
    // A tokenizer that cannot say a word, or cannot be saved, is found out here.
    tokenizer.encode("a \u{6c34}\n").map_err(|error| malformed(error.to_string()))?;
    tokenizer.to_json(false).map_err(|error| malformed(error.to_string()))?;
    Ok(tokenizer)
}

/// What the configuration calls `eos_token`, else a special token of a known name.
fn end_of_text(inner: &tokenizers::Tokenizer, config: &Value) -> Result<Option<u32>, String> {
    let named = config.get("eos_token");
    let named = named.and_then(|token| token.get("content").unwrap_or(token).as_str());
    if let Some(name) = named {
        let id = inner.token_to_id(name);
        let missing = || format!("`eos_token` is `{}`, which is no token", name.escape_debug());
        return id.map(Some).ok_or_else(missing);
    }
    let added = inner.get_added_vocabulary();
    Ok(KNOWN_ENDS
        .into_iter()
        .filter(|name| added.is_special_token(name))
        .find_map(|name| inner.token_to_id(name)))
}

fn load_vocab_and_merges(dir: &Path) -> Result<Tokenizer, TokenizeError> {
    let (vocab_path, merges_path) = (dir.join("vocab.json"), dir.join("merges.txt"));
    let malformed = |path: &Path| {
        let path = path.to_owned();
        move |reason| TokenizeError::Malformed { path, reason }
    };
    let vocab = parse(&vocab_path, &read(&vocab_path)?)?;
    let vocab = vocab.as_object().ok_or("it is not an object".to_owned());
    let vocab = vocab.map_err(malformed(&vocab_path))?;
    precheck::check_vocab(vocab).map_err(malformed(&vocab_path))?;
    let text = String::from_utf8(read(&merges_path)?)
        .map_err(|error| malformed(&merges_path)(error.utf8_error().to_string()))?;
    let lines = text.lines().filter(|line| !line.starts_with("#version") && !line.is_empty());
    let merges: Vec<Value> = lines.map(Value::from).collect();
    precheck::check_merges(&merges, vocab, "").map_err(malformed(&merges_path))?;
    let model = json!({ "type": "BPE", "vocab": vocab, "merges": merges });
    guarded(|| train::gpt2(serde_json::from_str::<BPE>(&model.to_string())?))
        .map_err(malformed(&vocab_path))
}

fn pretty(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Value, TokenizeError> {
    serde_json::from_slice(bytes).map_err(|error| TokenizeError::Malformed {
        path: path.to_owned(),
        reason: format!("it is not JSON: {error}"),
    })
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, TokenizeError> {
    if path.exists() { read(path).map(Some) } else { Ok(None) }
}

fn read(path: &Path) -> Result<Vec<u8>, TokenizeError> {
    let failed = |source| TokenizeError::Read { path: path.to_owned(), source };
    mapped::read_small(path, FILE_BYTES_MAX).map_err(failed)
}
