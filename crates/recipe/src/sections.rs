//! The sections of a recipe.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use data::{Corpus, Mode, ReadOptions, Shares};
use models::{ArchitectureConfig, Gpt2Config, HfConfig, Model, ModelConfig, SeedConfig, Sizes};
use serde::{Deserialize, Serialize, Serializer};
use tokenize::SpecialIds;

use super::refused;
use terminal::failure::Failure;

/// What a vocabulary decides of a model's config.
#[derive(Clone, Copy, Debug, Default)]
pub struct Words {
    /// `V`.
    pub vocab_size: usize,
    /// Its special tokens; none where it is not made yet.
    pub ids: SpecialIds,
    /// Whether two texts are asked about.
    pub pair: bool,
}

/// What is trained. `depth` alone sets every size; single sizes override it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSection {
    /// `gpt2`, `llama`, `bert`, `ernie`, `distilbert`, `roberta`, `electra`, `t5`, `bart` or
    /// `seed_transformer`.
    pub family: String,
    /// A model directory to go on from; its config decides all sizes, and the family.
    pub from: Option<PathBuf>,
    /// A size by name: `gpt2`, `gpt2-medium`, `gpt2-large`, `gpt2-xl`.
    pub preset: Option<String>,
    /// The one dial: layers; heads of width 64 and every other size follow.
    pub depth: Option<usize>,
    /// Layers.
    pub n_layers: Option<usize>,
    /// Width of the residual stream.
    pub d_model: Option<usize>,
    /// Heads.
    pub n_heads: Option<usize>,
    /// Width of the feed-forward network.
    pub d_ff: Option<usize>,
    /// The share that the generator of an `electra` has of every width: 0.25.
    pub generator_size: Option<f64>,
    /// Dropout, everywhere the family has it.
    #[serde(serialize_with = "shortest")]
    pub dropout: f32,
}

impl Default for ModelSection {
    fn default() -> Self {
        Self {
            family: "gpt2".into(),
            from: None,
            preset: None,
            depth: None,
            n_layers: None,
            d_model: None,
            n_heads: None,
            d_ff: None,
            generator_size: None,
            dropout: 0.0,
        }
    }
}

impl ModelSection {
    /// The family's config, for a vocabulary and a window.
    ///
    /// # Errors
    /// Where the family or a preset is unknown, or a size is given that it does not have.
    pub fn config(&self, words: Words, max_len: usize) -> Result<ModelConfig, Failure> {
        if let Some(dir) = &self.from {
            return self.config_of(dir, words.vocab_size, max_len);
        }
        if self.depth == Some(0) {
            return Err(refused("model.depth", "0 is not at least 1"));
        }
        if let Some(share) = self.generator_size {
            if self.family != "electra" {
                let problem = format!("the family `{}` has no generator", self.family);
                return Err(refused("model.generator_size", problem));
            }
            if !(share > 0.0 && share <= 1.0) {
                return Err(refused("model.generator_size", format!("{share} is not in (0, 1]")));
            }
        }
        match self.family.as_str() {
            "gpt2" => {
                let end = words.ids.eos;
                self.gpt2(words.vocab_size, max_len, end).map(ModelConfig::Gpt2)
            }
            "seed_transformer" => self.seed(words.vocab_size).map(ModelConfig::Seed),
            other => self.hf(other, words, max_len).map(ModelConfig::Hf),
        }
    }

    /// That of a model to go on from, with a vocabulary that is as large at least.
    fn config_of(&self, dir: &Path, vocab: usize, max_len: usize) -> Result<ModelConfig, Failure> {
        let Self { depth, n_layers, d_model, n_heads, d_ff, .. } = *self;
        let sizes = [depth, n_layers, d_model, n_heads, d_ff];
        let is_sized = sizes.iter().any(Option::is_some) || self.generator_size.is_some();
        if is_sized || self.preset.is_some() {
            let problem = "the sizes are those of `model.from`: take the others out";
            return Err(refused("model", problem));
        }
        let config = Model::load_config(dir)?;
        let text = match config.family().architecture()? {
            ArchitectureConfig::Stack(stack) => stack.embed,
            ArchitectureConfig::EncoderDecoder(pair) => pair.decoder.embed,
            ArchitectureConfig::Detector(pair) => pair.discriminator.embed,
            ArchitectureConfig::DualEncoder(_) => {
                return Err(refused("model.from", "a model of texts and images learns otherwise"));
            }
        };
        let Some(tokens) = text.tokens() else {
            return Err(refused("model.from", "it reads no text"));
        };
        if tokens.max_len < max_len {
            let most = tokens.max_len;
            let problem = format!("{max_len} tokens, and the model knows {most} positions");
            return Err(refused("data.seq_len", problem));
        }
        Ok(if vocab > tokens.vocab_size { config.with_vocab_size(vocab)? } else { config })
    }

    fn hf(&self, family: &str, words: Words, max_len: usize) -> Result<HfConfig, Failure> {
        if self.preset.is_some() {
            let problem = format!("the family `{family}` has no such choice");
            return Err(refused("model.preset", problem));
        }
        let depth = self.depth.unwrap_or(6);
        let SpecialIds { bos, cls, eos, sep, pad, .. } = words.ids;
        let d_model = self.d_model.unwrap_or(depth.saturating_mul(64));
        let n_heads = self.n_heads.unwrap_or((d_model / 64).max(1));
        if n_heads == 0 || !d_model.is_multiple_of(n_heads) {
            let problem = format!("{n_heads} does not divide `model.d_model` = {d_model}");
            return Err(refused("model.n_heads", problem));
        }
        let sizes = Sizes {
            vocab_size: words.vocab_size,
            max_len,
            n_layers: self.n_layers.unwrap_or(depth),
            d_model,
            n_heads,
            d_ff: self.d_ff,
            dropout: self.dropout,
            pair: words.pair,
            generator: self.generator_size.unwrap_or(0.25),
            ids: [bos.or(cls), eos.or(sep), pad],
        };
        HfConfig::fresh(family, &sizes).ok_or_else(|| {
            let known = HfConfig::FRESH.join(", ");
            let problem = format!("`{family}` is not one of gpt2, {known}, seed_transformer");
            refused("model.family", problem)
        })
    }

    fn gpt2(&self, vocab: usize, max_len: usize, end: Option<u32>) -> Result<Gpt2Config, Failure> {
        let base = match (&self.preset, self.depth) {
            (Some(name), Some(_)) if Gpt2Config::preset(name).is_some() => {
                let problem = "`model.depth` sets every size too: take one of the two out";
                return Err(refused("model.preset", problem));
            }
            (Some(name), _) => Gpt2Config::preset(name).ok_or_else(|| {
                let known = "gpt2, gpt2-medium, gpt2-large, gpt2-xl";
                refused("model.preset", format!("`{name}` is not one of {known}"))
            })?,
            (None, depth) => Gpt2Config::depth(depth.unwrap_or(6), vocab, max_len),
        };
        Ok(Gpt2Config {
            vocab_size: vocab,
            max_len,
            n_layers: self.n_layers.unwrap_or(base.n_layers),
            d_model: self.d_model.unwrap_or(base.d_model),
            n_heads: self.n_heads.unwrap_or(base.n_heads),
            d_ff: self.d_ff.or(base.d_ff),
            dropout: self.dropout,
            embed_dropout: self.dropout,
            attention_dropout: self.dropout,
            eos_token_id: end,
            bos_token_id: end,
            ..base
        })
    }

    fn seed(&self, vocab_size: usize) -> Result<SeedConfig, Failure> {
        let given = [("model.d_ff", self.d_ff.is_some()), ("model.preset", self.preset.is_some())];
        if let Some((field, _)) = given.iter().find(|(_, given)| *given) {
            return Err(refused(field, "the family `seed_transformer` has no such choice"));
        }
        let depth = self.depth.unwrap_or(6);
        Ok(SeedConfig {
            vocab_size,
            n_layers: self.n_layers.unwrap_or(depth),
            d_model: self.d_model.unwrap_or(depth.saturating_mul(64)),
            n_heads: self.n_heads.unwrap_or(depth),
            dropout: self.dropout,
        })
    }
}

/// An f32 by its own shortest digits, not those of the f64 it is.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
pub(super) fn shortest<S: Serializer>(x: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(x.to_string().parse().expect("a float is written as one"))
}

/// How text becomes tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenizerSection {
    /// One of this size is trained on the data, of the kind that the model's family has.
    pub vocab_size: usize,
    /// Or one is loaded from this directory.
    pub path: Option<PathBuf>,
    /// Whether letters lose their case and accents; where words and their parts are trained.
    pub lowercase: bool,
    /// Tokens that are added to it.
    pub add: Vec<String>,
}

impl Default for TokenizerSection {
    fn default() -> Self {
        Self { vocab_size: 4096, path: None, lowercase: true, add: vec![] }
    }
}

/// Where text comes from, and how it is cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataSection {
    /// A corpus in the program, where no paths are given: `austen` (the default) or `tang`.
    pub corpus: Option<Corpus>,
    /// Files and folders; `-` is standard input.
    pub paths: Vec<PathBuf>,
    /// Tokens of a window.
    pub seq_len: usize,
    /// Windows over the stream of all documents, or documents packed whole.
    pub mode: Mode,
    /// Share of the text that is kept for evaluation: the tail of long documents, and some short
    /// ones whole; 0 for none.
    pub validation_fraction: f64,
    /// How files are read.
    pub read: ReadOptions,
    /// The share of records without text that is put up with; they are left out.
    pub max_empty: f64,
    /// Several sources, in place of `corpus` or `paths`.
    pub sources: Vec<SourceSection>,
    /// Sources without a weight of their own are read as often as they have tokens, to the power of
    /// one over this: 1 if nothing is said, above it small ones are read more often.
    pub temperature: Option<f64>,
    /// Other weights from a step on.
    pub schedule: Vec<WeightsSection>,
}

/// One source of several.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourceSection {
    /// Letters, digits, `-` and `_`.
    pub name: String,
    /// A corpus in the program, where no paths are given.
    pub corpus: Option<Corpus>,
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// How files are read.
    pub read: ReadOptions,
    /// Its share, in any unit; as many as it has tokens, if nothing is said.
    pub weight: Option<f64>,
    /// How often it is read, at most.
    pub max_epochs: Option<f64>,
}

/// Weights from a step on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WeightsSection {
    /// The first step they hold for.
    pub from_step: u64,
    /// By the name of a source; what is not named is not read.
    pub weights: BTreeMap<String, f64>,
}

impl Default for DataSection {
    fn default() -> Self {
        Self {
            corpus: None,
            paths: vec![],
            seq_len: 256,
            mode: Mode::Stream,
            validation_fraction: 0.02,
            read: ReadOptions::default(),
            max_empty: 0.01,
            sources: vec![],
            temperature: None,
            schedule: vec![],
        }
    }
}

impl DataSection {
    /// Every source; where there is but one, it has no name.
    pub fn all(&self) -> Vec<SourceSection> {
        if !self.sources.is_empty() {
            return self.sources.clone();
        }
        let (corpus, paths, read) = (self.corpus, self.paths.clone(), self.read.clone());
        vec![SourceSection { corpus, paths, read, ..SourceSection::default() }]
    }

    /// What can be wrong with several sources.
    ///
    /// # Errors
    /// With the first field at fault.
    pub fn check_sources(&self) -> Result<(), Failure> {
        let several = !self.sources.is_empty();
        let alone = [
            ("data.paths", several && !self.paths.is_empty()),
            ("data.corpus", several && self.corpus.is_some()),
            ("data.read", several && self.read != ReadOptions::default()),
            ("data.temperature", !several && self.temperature.is_some()),
            ("data.schedule", !several && !self.schedule.is_empty()),
        ];
        if let Some((field, _)) = alone.iter().find(|(_, is_wrong)| *is_wrong) {
            let beside = if several { "stands beside" } else { "says nothing without" };
            return Err(refused(field, format!("{beside} `data.sources`")));
        }
        let named = |name: &str| self.sources.iter().filter(|s| s.name == name).count();
        for SourceSection { name, paths, weight, max_epochs, .. } in &self.sources {
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            let problem = if name.is_empty() || !name.chars().all(is_word) {
                "a source needs a name of letters, digits, `-` and `_`"
            } else if named(name) > 1 {
                "two sources have this name"
            } else if paths.iter().any(|path| path == Path::new("-")) {
                "standard input stands alone"
            } else if weight.is_some_and(|w| !(0.0..f64::MAX).contains(&w)) {
                "its weight is not in [0, inf)"
            } else if max_epochs.is_some_and(|n| n.is_nan() || n <= 0.0) {
                "`max_epochs` is not above 0"
            } else {
                continue;
            };
            return Err(refused("data.sources", format!("`{name}`: {problem}")));
        }
        if self.temperature.is_some_and(|t| !(1e-3..=1e3).contains(&t)) {
            return Err(refused("data.temperature", "it is not in [0.001, 1000]"));
        }
        let mut before = 0;
        for WeightsSection { from_step, weights } in &self.schedule {
            if *from_step <= before {
                let problem = format!("step {from_step} does not come after step {before}");
                return Err(refused("data.schedule", problem));
            }
            before = *from_step;
            if let Some(name) = weights.keys().find(|name| named(name) == 0) {
                return Err(refused("data.schedule", format!("there is no source `{name}`")));
            }
            let fits = |w: &f64| (0.0..f64::MAX).contains(w);
            if !weights.values().all(fits) || weights.values().sum::<f64>() <= 0.0 {
                let problem = format!(
                    "the weights of step {from_step}: none may be below 0, one \
                                       must be above"
                );
                return Err(refused("data.schedule", problem));
            }
        }
        Ok(())
    }

    /// How much is read of each source, which have so many tokens.
    pub fn shares(&self, n_tokens: &[u64]) -> Vec<Shares> {
        let sources = self.all();
        let power = 1.0 / self.temperature.unwrap_or(1.0);
        let own = sources.iter().zip(n_tokens);
        let own = own.map(|(source, n)| source.weight.unwrap_or((*n as f64).max(1.0).powf(power)));
        let first = Shares { from_step: 0, weights: own.collect() };
        let later = self.schedule.iter().map(|section| {
            let weight = |s: &SourceSection| section.weights.get(&s.name).copied().unwrap_or(0.0);
            let weights = sources.iter().map(weight).collect();
            Shares { from_step: section.from_step, weights }
        });
        [first].into_iter().chain(later).collect()
    }

    /// Whether the text comes from standard input.
    pub fn is_stdin(&self) -> bool {
        self.paths == [Path::new("-")]
    }
}
