//! Hugging Face tokenizer directories, read and written.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tokenizers::PostProcessorWrapper;

use crate::formats::{byte_level, marian, sentencepiece, tiktoken, wordpiece};
use crate::guard::guarded;
use crate::settings::{Class, ROLES, Settings};
use crate::{SpecialIds, TokenizeError, Tokenizer, draft, precheck};

/// The largest known `tokenizer.json` (256 000 tokens, pretty-printed) has 33 MB.
const FILE_BYTES_MAX: u64 = 256 << 20;

pub(crate) const CONFIG: &str = "tokenizer_config.json";

/// Files beside `tokenizer.json` that are carried along unchanged.
const COMPANIONS: [&str; 4] =
    [CONFIG, "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"];

impl Tokenizer {
    /// Reads the tokenizer of a model directory: the first that is there of
    ///
    /// 1. `tokenizer.json`,
    /// 2. `vocab.txt` of BERT and its kin,
    /// 3. `vocab.json` with `merges.txt`, byte-level BPE,
    /// 4. `source.spm` with `vocab.json`, Marian's source language,
    /// 5. `tokenizer.model`, `spiece.model` or `sentencepiece.bpe.model`, `SentencePiece` (or
    ///    ranks, as Llama 3 has them),
    /// 6. a `.tiktoken` file.
    ///
    /// `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` say which tokens
    /// are special, and they and `config.json` say which class of `transformers` it is, whose ids
    /// a text then gets.
    ///
    /// # Errors
    /// When there is none, its files are damaged, hostile or too large, or 2 or 3 is of a class
    /// that is not known: how that cuts a text stands in no file.
    pub fn load(dir: &Path) -> Result<Self, TokenizeError> {
        let settings = Settings::load(dir)?;
        let mut tokenizer = match Found::in_dir(dir)? {
            Some(found) => found.load(&settings)?,
            None => return Err(TokenizeError::Missing { dir: dir.to_owned() }),
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
        let class = if self.is_gpt2() { "GPT2Tokenizer" } else { "PreTrainedTokenizerFast" };
        config["tokenizer_class"] = class.into();
        if self.is_gpt2() {
            config["add_prefix_space"] = false.into();
        }
        config["clean_up_tokenization_spaces"] = false.into();
        config
    }

    fn special_tokens(&self) -> Value {
        let SpecialIds { bos, eos, unk, sep, pad, cls, mask } = self.special_ids();
        let ids = ROLES.into_iter().zip([bos, eos, unk, sep, pad, cls, mask]);
        let tokens = ids.filter_map(|(role, id)| Some((role.to_owned(), self.token(id?)?.into())));
        Value::Object(tokens.collect())
    }
}

/// A vocabulary's file.
enum Found {
    Json(PathBuf),
    WordPiece(PathBuf),
    Merges { vocab: PathBuf, merges: PathBuf },
    Marian { vocab: PathBuf, source: PathBuf },
    SentencePiece(PathBuf),
    Tiktoken(PathBuf),
}

impl Found {
    /// The first that is there.
    fn in_dir(dir: &Path) -> Result<Option<Self>, TokenizeError> {
        let there = |name: &str| Some(dir.join(name)).filter(|path| path.exists());
        let found = there("tokenizer.json")
            .map(Self::Json)
            .or_else(|| there("vocab.txt").map(Self::WordPiece))
            .or_else(|| {
                let (vocab, merges) = (there("vocab.json")?, there("merges.txt")?);
                Some(Self::Merges { vocab, merges })
            })
            .or_else(|| {
                let (vocab, source) = (there("vocab.json")?, there("source.spm")?);
                Some(Self::Marian { vocab, source })
            })
            .or_else(|| {
                let names = ["tokenizer.model", "spiece.model", "sentencepiece.bpe.model"];
                names.into_iter().find_map(there).map(Self::SentencePiece)
            })
            .or_else(|| there("tiktoken.model").map(Self::Tiktoken));
        Ok(match found {
            Some(found) => Some(found),
            None => ranks_in(dir)?.map(Self::Tiktoken),
        })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Marian { source: path, .. }
            | Self::Merges { vocab: path, .. }
            | Self::Json(path)
            | Self::WordPiece(path)
            | Self::SentencePiece(path)
            | Self::Tiktoken(path) => path,
        }
    }

    /// Lists of words or merges alone do not say how a text is cut: what class says it, where that
    /// is not known, or has other files.
    fn unread(&self, settings: &Settings) -> Option<String> {
        let is_read = match self {
            Self::WordPiece(_) => matches!(settings.class, Class::Bert | Class::Other),
            _ => true,
        };
        match &settings.unknown {
            Some(name) if matches!(self, Self::WordPiece(_) | Self::Merges { .. }) => {
                Some(format!("`tokenizer_class` is `{}`", name.escape_debug()))
            }
            _ if !is_read => Some(format!("words, where the model is of {:?}", settings.class)),
            _ => None,
        }
    }

    fn load(&self, settings: &Settings) -> Result<Tokenizer, TokenizeError> {
        if let Self::Json(path) = self {
            return load_json(path, settings);
        }
        let path = self.path();
        if let Some(what) = self.unread(settings) {
            return Err(TokenizeError::Unsupported { path: path.to_owned(), what });
        }
        let json = match self {
            Self::Json(_) | Self::WordPiece(_) => wordpiece::read(&read(path)?, settings),
            Self::Merges { vocab, merges } => {
                let tokens = object(vocab)?;
                let pairs = byte_level::read_merges(&read(merges)?, &tokens);
                let pairs = pairs.map_err(malformed(merges))?;
                byte_level::convert(tokens, pairs, settings)
            }
            Self::Marian { vocab, .. } => marian::read(&read(path)?, &object(vocab)?, settings),
            Self::SentencePiece(_) | Self::Tiktoken(_) => {
                let bytes = read(path)?;
                let is_ranks = matches!(self, Self::Tiktoken(_)) || tiktoken::is_ranks(&bytes);
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                if is_ranks {
                    tiktoken::read(&bytes, name, settings)
                } else {
                    sentencepiece::read(&bytes, settings)
                }
            }
        };
        build(path, &json.map_err(malformed(path))?, settings)
    }
}

/// The one `.tiktoken` file of a directory, the first by name where there are several.
fn ranks_in(dir: &Path) -> Result<Option<PathBuf>, TokenizeError> {
    let failed = |source| TokenizeError::Read { path: dir.to_owned(), source };
    let mut found = Vec::new();
    for entry in dir.read_dir().map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "tiktoken") {
            found.push(path);
        }
    }
    Ok(found.into_iter().min())
}

/// The tokenizer of a `tokenizer.json` that was made from `path`.
pub(crate) fn build(
    path: &Path,
    json: &Value,
    settings: &Settings,
) -> Result<Tokenizer, TokenizeError> {
    precheck::check(json).map_err(malformed(path))?;
    checked(path, || wrap(tokenizers::Tokenizer::from_bytes(json.to_string())?, settings))
}

/// The tokenizer of a `tokenizer.json`; `add_bos_token` and `add_eos_token` overrule what it
/// puts around a text, as they do in `transformers`.
fn load_json(path: &Path, settings: &Settings) -> Result<Tokenizer, TokenizeError> {
    let bytes = read(path)?;
    precheck::check(&parse(path, &bytes)?).map_err(malformed(path))?;
    checked(path, || {
        let mut inner = tokenizers::Tokenizer::from_bytes(&bytes)?;
        let id = |token: &str| inner.token_to_id(token).map(u64::from);
        if let Some(template) = draft::overruled(settings, id)? {
            let template: PostProcessorWrapper = serde_json::from_str(&template.to_string())?;
            inner.with_post_processor(Some(template));
        }
        wrap(inner, settings)
    })
}

fn wrap(inner: tokenizers::Tokenizer, settings: &Settings) -> tokenizers::Result<Tokenizer> {
    let special_ids = SpecialIds::find(&inner, settings)?;
    Tokenizer::wrap(inner, special_ids)
}

/// A tokenizer that cannot say a word, or cannot be saved, is found out here.
fn checked(
    path: &Path,
    make: impl FnOnce() -> tokenizers::Result<Tokenizer>,
) -> Result<Tokenizer, TokenizeError> {
    let tokenizer = guarded(make).map_err(malformed(path))?;
    let probe = tokenizer.encode_for_model("a \u{6c34}\n", None);
    probe.map_err(|error| malformed(path)(error.to_string()))?;
    tokenizer.to_json(false).map_err(|error| malformed(path)(error.to_string()))?;
    Ok(tokenizer)
}

fn malformed(path: &Path) -> impl Fn(String) -> TokenizeError {
    let path = path.to_owned();
    move |reason| TokenizeError::Malformed { path: path.clone(), reason }
}

/// A file that is an object of tokens and ids.
fn object(path: &Path) -> Result<Map<String, Value>, TokenizeError> {
    let Value::Object(vocab) = parse(path, &read(path)?)? else {
        return Err(malformed(path)("it is not an object".to_owned()));
    };
    precheck::check_vocab(&vocab).map_err(malformed(path))?;
    Ok(vocab)
}

fn pretty(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Value, TokenizeError> {
    serde_json::from_slice(bytes).map_err(|error| TokenizeError::Malformed {
        path: path.to_owned(),
        reason: format!("it is not JSON: {error}"),
    })
}

pub(crate) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, TokenizeError> {
    if path.exists() { read(path).map(Some) } else { Ok(None) }
}

fn read(path: &Path) -> Result<Vec<u8>, TokenizeError> {
    let failed = |source| TokenizeError::Read { path: path.to_owned(), source };
    mapped::read_small(path, FILE_BYTES_MAX).map_err(failed)
}
