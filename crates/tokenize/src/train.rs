//! Training a vocabulary.
//!
//! Sennrich, Haddow, Birch, "Neural Machine Translation of Rare Words with Subword Units",
//! arXiv:1508.07909, algorithm 1, over bytes and with the pattern of Radford et al., "Language
//! Models are Unsupervised Multitask Learners" (2019), section 2.2.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use ahash::RandomState;
use compact_str::CompactString;
use rayon::ThreadPoolBuilder;
use tokenizers::decoders::wordpiece::WordPiece as WordPieceDecoder;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::models::unigram::{Unigram, UnigramTrainer};
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::{BertNormalizer, NFKC};
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, Tokenizer as Inner, TokenizerBuilder, TokenizerImpl, Trainer};

use crate::guard::attempt;
use crate::settings::Settings;
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
        attempt("train a vocabulary", || gpt2(train_bpe(texts, &[], vocab_size - 1)?))
    }
}

/// A vocabulary of bytes and merges, the `specials` before them.
fn train_bpe(
    texts: impl Iterator<Item = String> + Send,
    specials: &[&str],
    vocab_size: usize,
) -> tokenizers::Result<BPE> {
    let mut trainer = BpeTrainer::builder()
        .vocab_size(vocab_size)
        .min_frequency(MIN_FREQUENCY)
        .show_progress(false)
        .special_tokens(specials.iter().map(|name| special(name)).collect())
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

/// What is trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// GPT-2's bytes and merges, with [`END_OF_TEXT`] as the last token.
    #[default]
    Gpt,
    /// The same with `<s>`, `<pad>`, `</s>`, `<unk>` and `<mask>` as the first ones, and
    /// `<s> .. </s>` around a text: `RoBERTa` and BART.
    Bart,
    /// Words and their parts, with `[PAD]`, `[UNK]`, `[CLS]`, `[SEP]` and `[MASK]` as the first
    /// tokens: BERT and its kin. Chinese characters are words of their own.
    Bert {
        /// Whether letters lose their case, and their accents.
        lowercase: bool,
    },
    /// Pieces of the highest likelihood, with `<pad>`, `</s>` and `<unk>` as the first tokens and
    /// so many sentinels, the first one last, at the end: T5. Kudo, "Subword Regularization",
    /// arXiv:1804.10959.
    T5 {
        /// `<extra_id_0>` and on.
        n_sentinels: usize,
    },
}

/// The special tokens of BERT, in the order of their ids.
const BERT: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
/// Those of BART.
const BART: [&str; 5] = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"];
/// Those of T5, before its sentinels.
const T5: [&str; 3] = ["<pad>", "</s>", "<unk>"];

impl Scheme {
    /// The fewest tokens it can be asked for.
    pub fn min_vocab_size(self) -> usize {
        match self {
            Self::Gpt => MIN_VOCAB_SIZE,
            Self::Bart => 256 + BART.len(),
            // A few letters.
            Self::Bert { .. } => 64,
            Self::T5 { n_sentinels } => 64 + n_sentinels,
        }
    }
}

impl Tokenizer {
    /// Trains a vocabulary of at most `vocab_size` tokens on `texts`, as `scheme` has it.
    ///
    /// # Errors
    /// When `vocab_size` is out of range, or the texts give no vocabulary.
    pub fn train_as(
        scheme: Scheme,
        texts: impl Iterator<Item = String> + Send,
        vocab_size: usize,
    ) -> Result<Self, TokenizeError> {
        let (min, max) = (scheme.min_vocab_size(), MAX_VOCAB_SIZE);
        if !(min..=max).contains(&vocab_size) {
            return Err(TokenizeError::VocabSize { vocab_size, min, max });
        }
        let wrap = |inner: Inner| {
            let ids = SpecialIds::find(&inner, &Settings::default())?;
            Self::wrap(inner, ids)
        };
        match scheme {
            Scheme::Gpt => Self::train(texts, vocab_size),
            Scheme::Bart => attempt("train a vocabulary", || {
                let model = train_bpe(texts, &BART, vocab_size)?;
                wrap(bart(model)?)
            }),
            Scheme::Bert { lowercase } => {
                attempt("train a vocabulary", || wrap(bert(texts, lowercase, vocab_size)?))
            }
            Scheme::T5 { n_sentinels } => {
                attempt("train a vocabulary", || wrap(t5(texts, n_sentinels, vocab_size)?))
            }
        }
    }
}

fn special(name: &str) -> AddedToken {
    AddedToken::from(name, true).normalized(false)
}

/// The template that puts special tokens around a text, and around two.
fn template(
    inner: &Inner,
    one: &str,
    two: &str,
    names: &[&str],
) -> tokenizers::Result<TemplateProcessing> {
    let id = |name: &&str| ((*name).to_owned(), inner.token_to_id(name).unwrap_or(0));
    let template = TemplateProcessing::builder()
        .try_single(one)?
        .try_pair(two)?
        .special_tokens(names.iter().map(id).collect::<Vec<_>>())
        .build()?;
    Ok(template)
}

fn bart(model: BPE) -> tokenizers::Result<Inner> {
    let mut inner = Inner::new(model);
    inner.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
    inner.with_decoder(Some(ByteLevel::new(true, true, true)));
    inner.add_special_tokens(BART.map(special))?;
    let template = template(&inner, "<s> $A </s>", "<s> $A </s> </s> $B </s>", &["<s>", "</s>"])?;
    inner.with_post_processor(Some(template));
    Ok(inner)
}

fn bert(
    texts: impl Iterator<Item = String> + Send,
    lowercase: bool,
    vocab_size: usize,
) -> tokenizers::Result<Inner> {
    let mut words: Words = TokenizerBuilder::new()
        .with_model(BPE::default())
        .with_normalizer(Some(BertNormalizer::new(true, true, None, lowercase)))
        .with_pre_tokenizer(Some(BertPreTokenizer))
        .with_post_processor(None)
        .with_decoder(Some(WordPieceDecoder::default()))
        .build()?;
    let trainer = BpeTrainer::builder()
        .vocab_size(vocab_size)
        .min_frequency(MIN_FREQUENCY)
        .special_tokens(BERT.map(special).to_vec())
        .continuing_subword_prefix("##".into())
        .show_progress(false)
        .build();
    words.train(&mut InOrder { trainer, words: BTreeMap::new() }, lines(texts))?;
    // Whose unknown word is `[UNK]`.
    let mut inner = Inner::new(WordPiece::from_bpe(words.get_model()));
    inner.add_special_tokens(BERT.map(special))?;
    inner.with_normalizer(Some(BertNormalizer::new(true, true, None, lowercase)))?;
    inner.with_pre_tokenizer(Some(BertPreTokenizer));
    inner.with_decoder(Some(WordPieceDecoder::default()));
    let (one, two) = ("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1");
    let template = template(&inner, one, two, &["[CLS]", "[SEP]"])?;
    inner.with_post_processor(Some(template));
    Ok(inner)
}

fn t5(
    texts: impl Iterator<Item = String> + Send,
    n_sentinels: usize,
    vocab_size: usize,
) -> tokenizers::Result<Inner> {
    let metaspace = Metaspace::new('\u{2581}', PrependScheme::Always, true);
    let mut pieces: Pieces = TokenizerBuilder::new()
        .with_model(Unigram::default())
        .with_normalizer(Some(NFKC))
        .with_pre_tokenizer(Some(metaspace.clone()))
        .with_post_processor(None)
        .with_decoder(Some(metaspace.clone()))
        .build()?;
    let trainer = UnigramTrainer::builder()
        .vocab_size((vocab_size - n_sentinels) as u32)
        .special_tokens(T5.map(special).to_vec())
        .unk_token(Some("<unk>".to_owned()))
        .show_progress(false)
        .build()?;
    pieces.train(&mut InOrder { trainer, words: BTreeMap::new() }, lines(texts))?;
    let mut inner = Inner::new(pieces.get_model().clone());
    inner.with_normalizer(Some(NFKC))?;
    inner.with_pre_tokenizer(Some(metaspace.clone()));
    inner.with_decoder(Some(metaspace));
    inner.add_special_tokens(T5.map(special))?;
    let sentinels: Vec<_> =
        (0..n_sentinels).rev().map(|i| special(&format!("<extra_id_{i}>"))).collect();
    inner.add_special_tokens(sentinels)?;
    let template = template(&inner, "$A </s>", "$A </s> $B </s>", &["</s>"])?;
    inner.with_post_processor(Some(template));
    Ok(inner)
}

type Pieces = TokenizerImpl<Unigram, NFKC, Metaspace, tokenizers::PostProcessorWrapper, Metaspace>;

type Words = TokenizerImpl<
    BPE,
    BertNormalizer,
    BertPreTokenizer,
    tokenizers::PostProcessorWrapper,
    WordPieceDecoder,
>;

/// The crate's trainers, whose words come in the order of hashes, and some sums in that of threads:
/// here in order, so that the same texts give the same vocabulary.
struct InOrder<T> {
    trainer: T,
    words: BTreeMap<String, u64>,
}

/// Counts the words that `process` makes of texts.
fn count<S: AsRef<str>>(
    words: &mut BTreeMap<String, u64>,
    texts: impl Iterator<Item = S>,
    process: impl Fn(&str) -> tokenizers::Result<Vec<String>>,
) -> tokenizers::Result<()> {
    for text in texts {
        for word in process(text.as_ref())? {
            *words.entry(word).or_default() += 1;
        }
    }
    Ok(())
}

impl Trainer for InOrder<BpeTrainer> {
    type Model = BPE;

    fn should_show_progress(&self) -> bool {
        false
    }

    fn train(&self, model: &mut BPE) -> tokenizers::Result<Vec<AddedToken>> {
        // Hashes without a secret: what is put in in order comes out in one.
        let mut words = HashMap::with_hasher(RandomState::with_seeds(1, 2, 3, 4));
        words.extend(self.words.iter().map(|(word, n)| (CompactString::from(word), *n)));
        self.trainer.do_train(&words.into(), model)
    }

    fn feed<I, S, F>(&mut self, texts: I, process: F) -> tokenizers::Result<()>
    where
        I: Iterator<Item = S> + Send,
        S: AsRef<str> + Send,
        F: Fn(&str) -> tokenizers::Result<Vec<String>> + Sync,
    {
        count(&mut self.words, texts, process)
    }
}

impl Trainer for InOrder<UnigramTrainer> {
    type Model = Unigram;

    fn should_show_progress(&self) -> bool {
        false
    }

    fn train(&self, model: &mut Unigram) -> tokenizers::Result<Vec<AddedToken>> {
        let counted =
            |(word, n): (&String, &u64)| (word.clone(), u32::try_from(*n).unwrap_or(u32::MAX));
        let words: Vec<(String, u32)> = self.words.iter().map(counted).collect();
        let one = ThreadPoolBuilder::new().num_threads(1).build()?;
        let added = one.install(|| self.trainer.do_train(words, model))?;
        *model = self.in_order(model)?;
        Ok(added)
    }

    fn feed<I, S, F>(&mut self, texts: I, process: F) -> tokenizers::Result<()>
    where
        I: Iterator<Item = S> + Send,
        S: AsRef<str> + Send,
        F: Fn(&str) -> tokenizers::Result<Vec<String>> + Sync,
    {
        count(&mut self.words, texts, process)
    }
}

impl InOrder<UnigramTrainer> {
    /// Characters that training dropped are put back with scores below all others, in the order of
    /// hashes: here by how often they were seen. Pieces of one score stand in their own order.
    fn in_order(&self, model: &Unigram) -> tokenizers::Result<Unigram> {
        let is_long = |piece: &str| piece.chars().nth(1).is_some();
        let all: Vec<(String, f64)> = model.iter().cloned().collect();
        let (specials, pieces) = all.split_at(T5.len().min(all.len()));
        let long = pieces.iter().filter(|(piece, _)| is_long(piece));
        let least = long.map(|(_, score)| *score).fold(f64::INFINITY, f64::min);
        let is_rare = |(piece, score): &&(String, f64)| !is_long(piece) && *score < least;
        let (rare, mut kept): (Vec<_>, Vec<_>) = pieces.iter().partition::<Vec<_>, _>(is_rare);
        let mut scores: Vec<f64> = rare.iter().map(|(_, score)| *score).collect();
        scores.sort_by(|a, b| b.total_cmp(a));
        let mut seen: BTreeMap<char, u64> = BTreeMap::new();
        for (word, n) in &self.words {
            word.chars().for_each(|c| *seen.entry(c).or_default() += n);
        }
        let mut rare: Vec<&str> = rare.iter().map(|(piece, _)| piece.as_str()).collect();
        let count = |piece: &str| piece.chars().next().and_then(|c| seen.get(&c)).copied();
        rare.sort_by_key(|piece| (Reverse(count(piece)), *piece));
        let rare: Vec<(String, f64)> = rare.into_iter().map(str::to_owned).zip(scores).collect();
        kept.extend(&rare);
        kept.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let vocab = specials.iter().chain(kept).cloned().collect();
        Unigram::from(vocab, T5.iter().position(|name| *name == "<unk>"), false)
    }
}

/// Texts line by line, so that long ones are work for every thread: no token of words or pieces
/// goes on over the end of a line.
fn lines(texts: impl Iterator<Item = String> + Send) -> impl Iterator<Item = String> + Send {
    texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts() -> impl Iterator<Item = String> + Send {
        let text =
            "The quick brown fox jumps over the lazy dog. \u{4e2d}\u{6587} \u{4e2d}\u{570b}!\n";
        std::iter::repeat_n(text.to_owned(), 50)
    }

    #[test]
    fn every_scheme_has_its_special_tokens_and_comes_back_from_its_files() {
        let schemes = [
            (Scheme::Bart, 300, "<s> \u{2026} </s>"),
            (Scheme::Bert { lowercase: true }, 120, "[CLS] \u{2026} [SEP]"),
            (Scheme::T5 { n_sentinels: 20 }, 120, "\u{2026} </s>"),
        ];
        for (scheme, size, around) in schemes {
            let tokenizer = Tokenizer::train_as(scheme, texts(), size).expect("trains");
            let again = Tokenizer::train_as(scheme, texts(), size).expect("trains");
            assert_eq!(again.hash(), tokenizer.hash(), "{scheme:?}: the same texts");
            assert!(tokenizer.vocab_size() <= size, "{scheme:?}: {}", tokenizer.vocab_size());
            let encoded = tokenizer.encode_for_model("the fox", None).expect("encodes");
            let token = |&id: &u32| tokenizer.token(id).expect("a token");
            let shown: Vec<String> = encoded.ids.iter().map(token).collect();
            let outside: Vec<&str> = around.split(" \u{2026} ").collect();
            assert_eq!(
                shown.last().map(String::as_str),
                outside.last().map(|s| s.trim_start_matches("\u{2026} ")),
                "{scheme:?}"
            );
            let plain = tokenizer.encode("the fox").expect("encodes");
            assert_eq!(tokenizer.decode(&plain).expect("decodes").trim(), "the fox");
            let dir = tempfile::tempdir().expect("a directory");
            for (name, bytes) in tokenizer.files().expect("files") {
                std::fs::write(dir.path().join(name), bytes).expect("written");
            }
            let loaded = Tokenizer::load(dir.path()).expect("loads");
            assert_eq!(loaded.special_ids(), tokenizer.special_ids(), "{scheme:?}");
            assert_eq!(loaded.hash(), tokenizer.hash(), "{scheme:?}");
            assert!(loaded.end_of_text().is_some(), "{scheme:?}");
        }
    }

    #[test]
    fn sentinels_count_down_from_the_last_id() {
        let scheme = Scheme::T5 { n_sentinels: 20 };
        let tokenizer = Tokenizer::train_as(scheme, texts(), 120).expect("trains");
        let last = tokenizer.vocab_size() as u32 - 1;
        assert_eq!(tokenizer.id("<extra_id_0>"), Some(last));
        assert_eq!(tokenizer.id("<extra_id_19>"), Some(last - 19));
        let error = Tokenizer::train_as(scheme, texts(), 70).expect_err("too few");
        assert!(matches!(error, TokenizeError::VocabSize { min: 84, .. }), "{error}");
    }
}
