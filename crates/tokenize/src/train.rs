//! Training a byte-level BPE.
//!
//! Sennrich, Haddow, Birch, "Neural Machine Translation of Rare Words with Subword Units",
//! arXiv:1508.07909, algorithm 1, over bytes and with the pattern of Radford et al., "Language
//! Models are Unsupervised Multitask Learners" (2019), section 2.2.

use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, TokenizerBuilder, TokenizerImpl};

use crate::guard::attempt;
use crate::tokenizer::parts;
use crate::{SpecialIds, TokenizeError, Tokenizer};

/// The token that ends a document, as in GPT-2.
pub const END_OF_TEXT: &str = "<|endoftext|>";

/// The 256 bytes and [`END_OF_TEXT`].
pub const MIN_VOCAB_SIZE: usize = 257;

/// The largest that is trained.
pub const MAX_VOCAB_SIZE: usize = 1 << 20;

/// A pair that is seen once is no regularity.
const MIN_FREQUENCY: u64 = 2;

type Gpt2 = TokenizerImpl<
    BPE,
    tokenizers::NormalizerWrapper,
    ByteLevel,
    tokenizers::PostProcessorWrapper,
    ByteLevel,
>;

impl Tokenizer {
    /// Trains a byte-level BPE of at most `vocab_size` tokens on `texts`.
    ///
    /// The result is what GPT-2's own tokenizer is, with another vocabulary: no normalisation,
    /// no space before the first word, and `<|endoftext|>` as the **last** id, inside the
    /// vocabulary. A small corpus may not have as many pairs as were asked for: see
    /// [`Tokenizer::vocab_size`]. The same texts give the same vocabulary, whatever the threads.
    ///
    /// # Errors
    /// When `vocab_size` is out of range.
    pub fn train(
        texts: impl Iterator<Item = String> + Send,
        vocab_size: usize,
    ) -> Result<Self, TokenizeError> {
        if !(MIN_VOCAB_SIZE..=MAX_VOCAB_SIZE).contains(&vocab_size) {
            let (min, max) = (MIN_VOCAB_SIZE, MAX_VOCAB_SIZE);
            return Err(TokenizeError::VocabSize { vocab_size, min, max });
        }
        attempt("train a vocabulary", || gpt2(train_bpe(texts, vocab_size - 1)?))
    }
}

/// A vocabulary of bytes and merges, without special tokens.
fn train_bpe(
    texts: impl Iterator<Item = String> + Send,
    vocab_size: usize,
) -> tokenizers::Result<BPE> {
    let mut trainer = BpeTrainer::builder()
        .vocab_size(vocab_size)
        .min_frequency(MIN_FREQUENCY)
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    let mut tokenizer: Gpt2 = TokenizerBuilder::new()
        .with_model(BPE::default())
        .with_normalizer(None)
        .with_pre_tokenizer(Some(ByteLevel::new(false, true, true)))
        .with_post_processor(None)
        .with_decoder(Some(ByteLevel::default()))
        .build()?;
    // In parts, so that a few long texts are work for every thread; no token crosses a cut.
    let parts = texts
        .flat_map(|text| -> Vec<String> { parts(&text).into_iter().map(str::to_owned).collect() });
    tokenizer.train(&mut trainer, parts)?;
    Ok(tokenizer.get_model().clone())
}

/// GPT-2's pipeline around `model`, with the end-of-text token added at the end where missing.
fn gpt2(model: BPE) -> tokenizers::Result<Tokenizer> {
    let mut inner = tokenizers::Tokenizer::new(with_end_of_text(model)?);
    inner.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
    inner.with_post_processor(Some(ByteLevel::new(true, false, true)));
    inner.with_decoder(Some(ByteLevel::new(true, true, true)));
    inner.add_special_tokens([AddedToken::from(END_OF_TEXT, true).normalized(false)])?;
    let id = inner.token_to_id(END_OF_TEXT);
    Tokenizer::wrap(inner, SpecialIds { eos: id, bos: id, unk: id, ..SpecialIds::default() })
}

/// The special token has to be in the vocabulary too, as in GPT-2's files: tools that read only
/// `vocab` then agree on its size. Adding it goes through JSON, the crate's one public way to
/// the merges.
fn with_end_of_text(model: BPE) -> tokenizers::Result<BPE> {
    if model.get_vocab().contains_key(END_OF_TEXT) {
        return Ok(model);
    }
    let last = model.get_vocab().into_values().max().map_or(0, |max| max + 1);
    let mut json = serde_json::to_value(&model)?;
    json["vocab"][END_OF_TEXT] = last.into();
    Ok(serde_json::from_str(&json.to_string())?)
}
