//! What is asked of the model.

use std::path::PathBuf;

use data::{BatchConfig, Mode};
use models::{Architecture, ArchitectureConfig, ModelConfig, StackConfig};
use nn::HeadConfig;
use serde::{Deserialize, Serialize};
use tasks::{
    Denoising, Infilling, Masked, NextToken, Pair, Prefix, ReplacedTokens, Replacement,
    SpanCorruption, TextObjective, Unit, Vocabulary,
};
use tensor::Pattern;
use tokenize::{Scheme, Tokenizer};

use super::refused;
use super::sections::{DataSection, shortest};
use terminal::failure::Failure;

/// Which objective.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectiveKind {
    /// The next token, from those before it: GPT.
    #[default]
    NextToken,
    /// The next token of the second part of a row, whose first part is seen whole.
    PrefixLm,
    /// The next token; of some documents, the middle comes last.
    FillInTheMiddle,
    /// Tokens that are hidden: BERT, ERNIE, `RoBERTa`.
    MaskedTokens,
    /// Tokens that a generator put in for hidden ones: ELECTRA.
    ReplacedTokens,
    /// Spans that were taken out: T5.
    SpanCorruption,
    /// A text as it was, of one with holes and its sentences out of order: BART.
    Denoising,
}

/// What is hidden together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitKind {
    /// Each token by itself.
    Token,
    /// Whole words; Chinese ones by segmentation.
    Word,
    /// Runs of up to `max_words` words.
    Span,
    /// Phrases that records name (`data.read.spans`) or `lexicon` has, and words outside of them.
    Phrase,
}

/// What is asked of two texts in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PairKind {
    /// Whether the second follows the first.
    NextSentence,
    /// Whether they are in their order.
    SentenceOrder,
}

/// What is asked of the model. What an objective does not know of is refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaskSection {
    /// Which objective.
    pub objective: ObjectiveKind,
    /// Label smoothing, in `[0, 1)`.
    #[serde(serialize_with = "shortest")]
    pub label_smoothing: f32,
    /// Share of tokens that is hidden, or taken out: 0.15, and 0.3 in denoising.
    pub mask_rate: Option<f64>,
    /// What is hidden together; tokens, if nothing is said.
    pub unit: Option<UnitKind>,
    /// The longest run of words that is hidden together, 3 if nothing is said.
    pub max_words: Option<usize>,
    /// A file with a phrase a line.
    pub lexicon: Option<PathBuf>,
    /// What is asked of two texts.
    pub pair: Option<PairKind>,
    /// What the mean loss of replaced tokens counts beside the generator's: 50.
    pub replaced_weight: Option<f64>,
    /// How long a span is on average, in tokens (in denoising, in words): 3.
    pub mean_span: Option<f64>,
    /// Whether sentences are put in another order; so they are, if nothing is said.
    pub permute_sentences: Option<bool>,
    /// Share of documents whose middle comes last: 0.5.
    pub infilling_rate: Option<f64>,
}

impl TaskSection {
    /// What can be wrong with it by itself, and together with how data comes.
    ///
    /// # Errors
    /// With the first field at fault.
    pub fn check(&self, data: &DataSection) -> Result<(), Failure> {
        use ObjectiveKind as K;
        let is = |kinds: &[K]| kinds.contains(&self.objective);
        let masks = is(&[K::MaskedTokens, K::ReplacedTokens]);
        let spans = is(&[K::SpanCorruption, K::Denoising]);
        let hides = masks || spans;
        let phrases = self.unit == Some(UnitKind::Phrase);
        let annotated = data.all().iter().any(|source| source.read.spans.is_some());
        let given = [
            ("task.mask_rate", self.mask_rate.is_some(), hides),
            ("task.unit", self.unit.is_some(), masks),
            ("task.max_words", self.max_words.is_some(), self.unit == Some(UnitKind::Span)),
            ("task.lexicon", self.lexicon.is_some(), phrases),
            ("data.read.spans", annotated, phrases),
            ("task.pair", self.pair.is_some(), is(&[K::MaskedTokens])),
            ("task.replaced_weight", self.replaced_weight.is_some(), is(&[K::ReplacedTokens])),
            ("task.mean_span", self.mean_span.is_some(), spans),
            ("task.permute_sentences", self.permute_sentences.is_some(), is(&[K::Denoising])),
            ("task.infilling_rate", self.infilling_rate.is_some(), is(&[K::FillInTheMiddle])),
            ("task.label_smoothing", self.label_smoothing != 0.0, is(&[K::NextToken, K::PrefixLm])),
        ];
        for (field, is_given, is_known) in given {
            if is_given && !is_known {
                let name = toml_name(self.objective);
                return Err(refused(field, format!("has no part in `{name}` as it is set here")));
            }
        }
        let share = |x: Option<f64>| x.is_none_or(|x| x > 0.0 && x < 1.0);
        let spans = self.mean_span.is_none_or(|n| (1.0..=64.0).contains(&n));
        let weight = self.replaced_weight.is_none_or(|w| w > 0.0 && w <= 1e4);
        let words = self.max_words.is_none_or(|n| (1..=64).contains(&n));
        let ranges = [
            ("task.mask_rate", share(self.mask_rate), "a share above 0 and below 1"),
            ("task.infilling_rate", share(self.infilling_rate), "a share above 0 and below 1"),
            ("task.mean_span", spans, "1 to 64"),
            ("task.max_words", words, "1 to 64"),
            ("task.replaced_weight", weight, "above 0, at most 10000"),
        ];
        for (field, fits, range) in ranges {
            if !fits {
                return Err(refused(field, format!("it has to be {range}")));
            }
        }
        let one_document = is(&[K::SpanCorruption, K::Denoising, K::PrefixLm]);
        if data.mode == Mode::Documents && (one_document || self.pair.is_some()) {
            let problem = "documents side by side are not kept apart by this task";
            return Err(refused("data.mode", problem).hint("set `data.mode=stream`"));
        }
        Ok(())
    }

    /// Whether it asks what words, phrases or sentences are.
    pub fn needs_marks(&self) -> bool {
        self.pair.is_some()
            || self.unit().needs_marks()
            || self.objective == ObjectiveKind::Denoising
    }

    /// Whether the model can go on with a text by itself.
    pub fn writes(&self) -> bool {
        matches!(self.objective, ObjectiveKind::NextToken | ObjectiveKind::FillInTheMiddle)
    }

    /// What a model of this architecture is for, in the words of the Hugging Face hub.
    pub fn pipeline(&self, architecture: &Architecture) -> &'static str {
        match self.objective {
            _ if matches!(architecture, Architecture::EncoderDecoder(_)) => "text2text-generation",
            ObjectiveKind::MaskedTokens => "fill-mask",
            ObjectiveKind::ReplacedTokens => "token-classification",
            _ => "text-generation",
        }
    }

    /// The share of a row's tokens that are asked for.
    pub fn asked_share(&self) -> f64 {
        match self.objective {
            ObjectiveKind::MaskedTokens | ObjectiveKind::ReplacedTokens => self.rate(),
            _ => 1.0,
        }
    }

    /// Tokens that an encoder reads and a decoder writes of a row, at most.
    pub fn lengths(&self, seq_len: usize) -> [usize; 2] {
        let spans = SpanCorruption { sentinels: (0..seq_len as u32).collect(), ..self.spans() };
        match self.objective {
            ObjectiveKind::SpanCorruption => {
                spans.window(seq_len).map_or([seq_len; 2], |window| spans.lengths(window))
            }
            _ => [seq_len; 2],
        }
    }

    fn unit(&self) -> Unit {
        match self.unit {
            None | Some(UnitKind::Token) => Unit::Token,
            Some(UnitKind::Word) => Unit::Word,
            Some(UnitKind::Span) => Unit::Span { max_words: self.max_words.unwrap_or(3) },
            Some(UnitKind::Phrase) => Unit::Phrase,
        }
    }

    fn rate(&self) -> f64 {
        let usual = if self.objective == ObjectiveKind::Denoising { 0.3 } else { 0.15 };
        self.mask_rate.unwrap_or(usual)
    }

    fn mean_span(&self) -> f64 {
        self.mean_span.unwrap_or(3.0)
    }

    fn spans(&self) -> SpanCorruption {
        let (rate, mean_span) = (self.rate(), self.mean_span());
        SpanCorruption { rate, mean_span, sentinels: Vec::new(), end: 0, start: 0 }
    }

    /// How text is cut so that a model sees rows of at most `config.seq_len`.
    ///
    /// # Errors
    /// Where no text would be left.
    pub fn room(&self, config: BatchConfig) -> Result<BatchConfig, Failure> {
        let around = match self.objective {
            ObjectiveKind::NextToken | ObjectiveKind::PrefixLm => 0,
            ObjectiveKind::FillInTheMiddle => Infilling::AROUND,
            ObjectiveKind::MaskedTokens if self.pair.is_some() => Masked::AROUND_PAIR,
            ObjectiveKind::MaskedTokens | ObjectiveKind::ReplacedTokens => Masked::AROUND,
            ObjectiveKind::Denoising => Denoising::AROUND,
            ObjectiveKind::SpanCorruption => {
                let sentinels = (0..config.seq_len as u32).collect();
                let window = SpanCorruption { sentinels, ..self.spans() }.window(config.seq_len);
                let too_short = || refused("data.seq_len", "no span fits into it");
                return Ok(BatchConfig { seq_len: window.ok_or_else(too_short)?, ..config });
            }
        };
        if self.pair == Some(PairKind::NextSentence) && config.batch < 2 {
            let problem = "the sentence that does not follow is of another row of the batch";
            return Err(refused("train.batch_size", problem));
        }
        if around >= config.seq_len {
            return Err(refused("data.seq_len", format!("{around} tokens are put around a text")));
        }
        Ok(BatchConfig { around, ..config })
    }

    /// Refuses a model that this cannot be asked of.
    ///
    /// # Errors
    /// With what does not fit.
    pub fn fits(&self, config: &ModelConfig) -> Result<(), Failure> {
        use ObjectiveKind as K;
        let looks_back = |stack: &StackConfig| {
            stack.trunk.cycle.iter().all(|l| !matches!(l.pattern, Pattern::Full))
        };
        let sees_all = |stack: &StackConfig| {
            stack.trunk.cycle.iter().all(|l| matches!(l.pattern, Pattern::Full))
        };
        let has_tokens = |stack: &StackConfig| {
            stack.heads.iter().any(|(_, head)| matches!(head, HeadConfig::Token(_)))
        };
        let architecture = config.family().architecture()?;
        let fits = match (&architecture, self.objective) {
            (ArchitectureConfig::Stack(s), K::NextToken | K::PrefixLm | K::FillInTheMiddle) => {
                looks_back(s) && has_tokens(s)
            }
            (ArchitectureConfig::Stack(stack), K::MaskedTokens) => {
                sees_all(stack) && has_tokens(stack)
            }
            (ArchitectureConfig::Detector(pair), K::ReplacedTokens) => {
                sees_all(&pair.generator) && sees_all(&pair.discriminator)
            }
            (
                ArchitectureConfig::EncoderDecoder(pair),
                K::SpanCorruption | K::Denoising | K::PrefixLm,
            ) => pair.encoder.embed.tokens().is_some() && has_tokens(&pair.decoder),
            _ => false,
        };
        let (family, name) = (config.family().model_type(), toml_name(self.objective));
        if !fits {
            let problem = format!("`{name}` cannot be asked of `{family}` as it is");
            return Err(refused("task.objective", problem).hint(match self.objective {
                K::NextToken | K::FillInTheMiddle => "it takes a decoder: gpt2, llama ..",
                K::PrefixLm => "it takes a decoder or an encoder-decoder: gpt2, llama, t5, bart ..",
                K::MaskedTokens => "it takes an encoder with a head over tokens: bert, ernie ..",
                K::ReplacedTokens => "it takes a generator with a discriminator: electra",
                K::SpanCorruption | K::Denoising => "it takes an encoder-decoder: t5, bart ..",
            }));
        }
        let has_classes = |(_, head): &(&str, HeadConfig)| match head {
            HeadConfig::Pooled(head) => head.n_classes == Some(2),
            _ => false,
        };
        if let ArchitectureConfig::Stack(stack) = &architecture {
            let is_scored = stack.heads.iter().any(has_classes);
            if is_scored != self.pair.is_some() && self.objective == K::MaskedTokens {
                let problem = if is_scored {
                    format!("`{family}` has a head for two texts, which would learn nothing")
                } else {
                    format!("`{family}` has no head for two texts as it is")
                };
                return Err(refused("task.pair", problem));
            }
        }
        Ok(())
    }

    fn masked(
        &self,
        vocabulary: Vocabulary,
        [mask, begin, end]: [u32; 3],
        replacement: Replacement,
    ) -> Masked {
        let pair = self.pair.map(|pair| match pair {
            PairKind::NextSentence => Pair::NextSentence,
            PairKind::SentenceOrder => Pair::SentenceOrder,
        });
        let (rate, unit) = (self.rate(), self.unit());
        Masked { vocabulary, rate, unit, replacement, mask, begin, end, pair }
    }

    /// The objective, in the words of a tokenizer.
    ///
    /// # Errors
    /// Where it lacks a token that is needed.
    pub fn objective(
        &self,
        tokenizer: &Tokenizer,
        config: &ModelConfig,
    ) -> Result<Box<dyn TextObjective>, Failure> {
        let v = Vocabulary::of(tokenizer);
        let need =
            |id: Option<u32>, what: &str| id.ok_or_else(|| lacks(&format!("no token that {what}")));
        let begins = || need(v.begin, "begins a text");
        let ends = || need(v.end, "ends a text");
        let mask = || need(v.mask, "stands for a hidden one");
        let plain = NextToken { smoothing: self.label_smoothing, ..NextToken::default() };
        Ok(match self.objective {
            ObjectiveKind::NextToken => Box::new(plain),
            ObjectiveKind::PrefixLm => {
                let is_pair = matches!(
                    config.family().architecture()?,
                    ArchitectureConfig::EncoderDecoder(_)
                );
                let prefix = if is_pair {
                    Prefix::Read { start: start_of(config)?, end: ends()? }
                } else {
                    Prefix::Seen
                };
                Box::new(NextToken { prefix: Some(prefix), ..plain })
            }
            ObjectiveKind::FillInTheMiddle => {
                let marks = v.infilling.ok_or_else(|| lacks("no tokens for prefix and suffix"))?;
                let rate = self.infilling_rate.unwrap_or(0.5);
                let infilling = Infilling { marks, end: v.end, rate, suffix_first: 0.5 };
                Box::new(NextToken { infilling: Some(infilling), ..plain })
            }
            ObjectiveKind::MaskedTokens => {
                let ids = [mask()?, begins()?, ends()?];
                Box::new(self.masked(v, ids, Replacement::default()))
            }
            ObjectiveKind::ReplacedTokens => {
                let ids = [mask()?, begins()?, ends()?];
                let masked = self.masked(v, ids, ReplacedTokens::REPLACEMENT);
                let weight = self.replaced_weight.unwrap_or(ReplacedTokens::WEIGHT);
                Box::new(ReplacedTokens { masked, weight })
            }
            ObjectiveKind::SpanCorruption => {
                if v.sentinels.is_empty() {
                    return Err(lacks("no sentinels (`<extra_id_0>` and on)"));
                }
                let (end, start) = (ends()?, start_of(config)?);
                Box::new(SpanCorruption { sentinels: v.sentinels, end, start, ..self.spans() })
            }
            ObjectiveKind::Denoising => Box::new(Denoising {
                rate: self.rate(),
                mean_span: self.mean_span(),
                permute: self.permute_sentences.unwrap_or(true),
                mask: mask()?,
                begin: begins()?,
                end: ends()?,
                start: start_of(config)?,
            }),
        })
    }
}

/// How a vocabulary for a family is trained.
pub fn scheme(family: &str, lowercase: bool) -> Scheme {
    match family {
        "bert" | "ernie" | "distilbert" | "electra" => Scheme::Bert { lowercase },
        "roberta" | "bart" => Scheme::Bart,
        "t5" => Scheme::T5 { n_sentinels: 100 },
        _ => Scheme::Gpt,
    }
}

fn lacks(what: &str) -> Failure {
    refused("task.objective", format!("the tokenizer has {what}"))
        .hint("take a tokenizer of the model's own family, or let one be trained")
}

/// What a decoder begins with.
fn start_of(config: &ModelConfig) -> Result<u32, Failure> {
    let json = config.family().to_json();
    let id = ["decoder_start_token_id", "pad_token_id"].iter().find_map(|key| json[key].as_u64());
    let problem = "the model's config has no `decoder_start_token_id`";
    id.map(|id| id as u32).ok_or_else(|| refused("task.objective", problem))
}

/// As it is written in a recipe.
fn toml_name(kind: ObjectiveKind) -> String {
    toml::Value::try_from(kind).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}
