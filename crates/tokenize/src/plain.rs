//! Text that is only text: what is spelled like a special token does not become one.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tokenizers::models::ModelWrapper;

use crate::TokenizeError;
use crate::bpe::Bpe;
use crate::guard::attempt;

/// A character that no text has once it is encoded: it is replaced. Unicode's noncharacters are
/// not for interchange.
pub(crate) const UNREACHED: char = '\u{ffff}';

/// A tokenizer whose special tokens no text reaches.
#[derive(Debug)]
pub(crate) struct Plain {
    pub(crate) inner: tokenizers::Tokenizer,
    /// Whether special tokens were put under a spelling with [`UNREACHED`].
    respelled: bool,
    /// The same at speed, where there is such a thing.
    bpe: OnceLock<Option<Bpe>>,
    /// Bytes encoded until it was made.
    encoded: AtomicUsize,
}

/// What is encoded in the time that making a [`Bpe`] takes.
const WORTHWHILE_BYTES: usize = 256 << 10;

impl Plain {
    fn new(inner: tokenizers::Tokenizer, respelled: bool) -> Self {
        Self { inner, respelled, bpe: OnceLock::new(), encoded: AtomicUsize::new(0) }
    }

    /// Of a tokenizer, which is given back where it had to be changed for this.
    ///
    /// Not looking for special tokens is enough for most. A unigram model has them among its
    /// pieces, and finds them there: in its copy they are spelled otherwise.
    pub(crate) fn of(
        mut inner: tokenizers::Tokenizer,
    ) -> tokenizers::Result<(Self, Option<tokenizers::Tokenizer>)> {
        inner.set_encode_special_tokens(true);
        let added = inner.get_added_vocabulary().get_added_tokens_decoder();
        let specials = added.iter().filter(|(_, token)| token.special);
        let reached = |(id, token): (&u32, &tokenizers::AddedToken)| {
            let encoded = inner.encode_fast(token.content.as_str(), false);
            encoded.is_ok_and(|encoded| encoded.get_ids().contains(id))
        };
        if !specials.clone().any(reached) {
            return Ok((Self::new(inner, false), None));
        }
        let names = specials.map(|(_, token)| token.content.clone()).collect();
        let mut full = inner.clone();
        full.set_encode_special_tokens(false);
        let mut json = serde_json::to_value(inner.get_model())?;
        respell(&mut json, names);
        inner.with_model(serde_json::from_str::<ModelWrapper>(&json.to_string())?);
        Ok((Self::new(inner, true), Some(full)))
    }

    /// The ids of `text` by the [`Bpe`]; `None` where there is none, or not for this text, or too
    /// little was encoded for its making.
    pub(crate) fn encode_fast(&self, text: &str) -> Option<Vec<u32>> {
        if self.bpe.get().is_none()
            && self.encoded.fetch_add(text.len(), Ordering::Relaxed) + text.len() < WORTHWHILE_BYTES
        {
            return None;
        }
        self.bpe.get_or_init(|| Bpe::of(&self.inner)).as_ref()?.encode(&self.safe(text))
    }

    /// The ids of `text`, with nothing around them.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizeError> {
        let text = self.safe(text);
        attempt("encode", || Ok(self.inner.encode_fast(&*text, false)?.get_ids().to_vec()))
    }

    /// `text` of the same length that reaches no special token.
    pub(crate) fn safe<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.respelled && text.contains(UNREACHED) {
            return text.replace(UNREACHED, "\u{fffd}").into();
        }
        text.into()
    }
}

/// Puts the tokens of `names` under another spelling in a model; not the unknown token, which
/// any text reaches.
fn respell(model: &mut Value, mut names: BTreeSet<String>) {
    if let Some(unknown) = model["unk_token"].as_str() {
        names.remove(unknown);
    }
    let unk_id = model["unk_id"].as_u64();
    let respelled = |name: &str| format!("{UNREACHED}{name}");
    match &mut model["vocab"] {
        Value::Object(vocab) => {
            for name in &names {
                if let Some(id) = vocab.remove(name) {
                    vocab.insert(respelled(name), id);
                }
            }
        }
        Value::Array(pieces) => {
            let reached = pieces.iter_mut().zip(0..).filter(|(_, id)| Some(*id) != unk_id);
            for (piece, _) in reached {
                if let Some(name) = piece[0].as_str().filter(|name| names.contains(*name)) {
                    piece[0] = respelled(name).into();
                }
            }
        }
        _ => {}
    }
    if let Value::Array(merges) = &mut model["merges"] {
        merges.retain(|merge| {
            let [a, b] = [0, 1].map(|idx| merge[idx].as_str().unwrap_or_default());
            ![a, b, &format!("{a}{b}")].into_iter().any(|token| names.contains(token))
        });
    }
}
