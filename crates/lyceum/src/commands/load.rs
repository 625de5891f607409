//! What a command needs of a model directory, with every surprise said.

use std::path::{Path, PathBuf};
use std::time::Instant;

use checkpoint::gguf::{Metadata, Value as Meta};
use checkpoint::{Disk, Dtype, OsDisk, Stored, Weights};
use clap::ValueEnum;
use generate::Settings;
use kernels::Isa;
use models::{Architecture, HeadKind, Model, Unused};
use serde_json::{Map, Value};
use tensor::{Pattern, Precision};
use tokenize::{ChatTemplate, GgufVocab, SpecialIds, TokenizeError, Tokenizer};

use crate::cli::AdapterArgs;
use crate::environment::Env;
use crate::failure::{Context, Failure};
pub use recipe::model_dir;

/// A file of settings is small.
const MAX_JSON_BYTES: u64 = 8 << 20;

/// In what precision a model that is there already is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PrecisionArg {
    /// As the weights are stored: bf16 for bf16 where the CPU has its dot product, else f32.
    #[default]
    Auto,
    /// Everything in 32 bits.
    F32,
    /// Products and activations in bfloat16, sums in 32 bits.
    Bf16,
}

impl PrecisionArg {
    /// The precision for weights stored as `dtypes` say.
    pub fn resolve(self, isa: Isa, dtypes: impl IntoIterator<Item = Stored>) -> Precision {
        let stored_bf16 = || dtypes.into_iter().all(|dtype| dtype.is(Dtype::BF16));
        match self {
            Self::Bf16 => Precision::BF16,
            Self::Auto if isa == Isa::Avx512Bf16 && stored_bf16() => Precision::BF16,
            Self::F32 | Self::Auto => Precision::F32,
        }
    }
}

/// The model of a directory, to be run, and where its weights are: of that of an adapter, its base
/// with it; and with more adapters, so many times each.
fn loaded(dir: &Path, more: &AdapterArgs) -> Result<(Model, Unused, PathBuf), Failure> {
    let mut adapters = Vec::new();
    let mut base = dir.to_owned();
    if dir.join("adapter_config.json").exists() {
        let (config, _) = models::open_adapter(dir)?;
        let Some(named) = config.base() else {
            let dir = dir.display();
            let problem = format!("the adapter in `{dir}` does not say what its base is");
            return Err(Failure::new(problem).hint(
                "give the base, and this with `--adapter`, or name it in \
                 `base_model_name_or_path` of its `adapter_config.json`",
            ));
        };
        base = model_dir(Path::new(named))?;
        adapters.push((dir.to_owned(), 1.0));
    }
    for (path, by) in &more.all {
        adapters.push((model_dir(path)?, *by));
    }
    if adapters.is_empty() {
        let (model, unused) = Model::load_frozen(dir)?;
        return Ok((model, unused, base));
    }
    let (model, unused) = Model::load_beside(&base, &adapters)?;
    Ok((model, unused, base))
}

/// Tokens that a merged model is held against the other on.
const PROBE: usize = 16;
/// How far apart these may be, of the largest number.
const MERGED: f32 = 1e-3;

/// A model and where it came from.
pub struct Loaded {
    /// The model's directory.
    pub dir: PathBuf,
    /// Where its weights are: the same, unless that is an adapter's.
    pub base: PathBuf,
    /// The model.
    pub model: Model,
    /// The precision to run it in.
    pub precision: Precision,
}

impl Loaded {
    /// Loads the model that `path` means, a model directory or a run.
    ///
    /// # Errors
    /// Where there is none, or it is damaged.
    pub fn open(path: &Path, precision: PrecisionArg, env: &Env) -> Result<Self, Failure> {
        Self::with(path, &AdapterArgs::default(), precision, env)
    }

    /// The same with adapters beside it.
    ///
    /// # Errors
    /// Where one is damaged, or of another base.
    pub fn with(
        path: &Path,
        adapters: &AdapterArgs,
        precision: PrecisionArg,
        env: &Env,
    ) -> Result<Self, Failure> {
        let began = Instant::now();
        let resolved = checkpoint::resolve(path)?;
        let dir = resolved.dir;
        for skipped in &resolved.skipped {
            env.warn(&format!("{skipped}; `{}` is used", dir.display()));
        }
        let (model, unused, base) = loaded(&dir, adapters)?;
        if let [first, ..] = &unused[..] {
            let n = unused.len();
            env.warn(&format!("{n} tensors in `{}` are not used: `{first}` ..", dir.display()));
        }
        let weights = Weights::open(&base)?;
        let dtypes = weights.names().filter_map(|name| Some(weights.get(name).ok()?.dtype));
        let precision = precision.resolve(env.isa, dtypes);
        env.debug(|| format!("loaded `{}` in {:.2?}", dir.display(), began.elapsed()));
        Ok(Self { dir, base, model, precision })
    }

    /// Puts the adapter, where there is one, into the weights; the model as it was comes back.
    ///
    /// # Errors
    /// Where the model does not say the same then, but for rounding.
    pub fn merge(&mut self, env: &Env) -> Result<Option<Model>, Failure> {
        if self.model.adapters.is_empty() {
            return Ok(None);
        }
        self.reads_text()?;
        let (model, apart) = self.model.merged(&env.device(), &self.probe(), MERGED)?;
        env.say(&format!("merged: {apart:.1e} apart on {PROBE} tokens, at most {MERGED:.0e}"));
        if let Some(form) = self.model.adapters.iter().find_map(|adapter| adapter.rounded) {
            let form = form.name();
            env.say(&format!("its base is what the adapter learned beside: rounded to {form}"));
        }
        Ok(Some(std::mem::replace(&mut self.model, model)))
    }

    /// Holds what this was stored as at `path` against the model `beside` its adapters; what does
    /// not say the same is removed.
    ///
    /// # Errors
    /// Where it does not say the same, but for rounding.
    pub fn check_stored(
        &self,
        (beside, path): (&Model, &Path),
        dtype: Stored,
        env: &Env,
    ) -> Result<(), Failure> {
        // A small model is 1.2e-3, 1.1e-2 and 3.4e-2 apart.
        let most = match dtype {
            Stored::Plain(Dtype::F16) => 1e-2,
            Stored::Plain(Dtype::BF16) => 5e-2,
            Stored::Blocks(_) => 1e-1,
            Stored::Plain(_) => MERGED,
        };
        let (stored, _) = Model::load_frozen(path)?;
        let apart = beside.apart(&stored, &env.device(), &self.probe(), most);
        let apart = apart.inspect_err(|_| drop(OsDisk.remove(path)))?;
        env.say(&format!("stored as {dtype}: {apart:.1e} apart, at most {most:.0e}"));
        Ok(())
    }

    /// Tokens of the whole vocabulary.
    fn probe(&self) -> Vec<u32> {
        let vocab_size = self.model.head_stack().config().tokens().vocab_size;
        (0..PROBE).map(|i| (i * vocab_size / PROBE) as u32).collect()
    }

    /// Where a file beside the weights is, if anywhere: that of an adapter goes before its base's.
    pub fn file(&self, name: &str) -> PathBuf {
        let path = self.dir.join(name);
        if path.exists() { path } else { self.base.join(name) }
    }

    /// The model's tokenizer.
    ///
    /// # Errors
    /// Where there is none, it is damaged, or has more tokens than the model.
    pub fn tokenizer(&self) -> Result<Tokenizer, Failure> {
        let missing = |error: TokenizeError| match error {
            TokenizeError::Missing { .. } => Failure::from(error).hint(
                "the model reads tokens: copy its `tokenizer.json` into the directory, or use \
                 `lyceum forward` with token ids",
            ),
            error => error.into(),
        };
        self.tokenizer_or(missing)?
    }

    /// The same, or what `without` makes of why there is none that is read.
    ///
    /// # Errors
    /// Where it is damaged, or has more tokens than the model.
    pub fn tokenizer_or<E>(
        &self,
        without: impl FnOnce(TokenizeError) -> E,
    ) -> Result<Result<Tokenizer, E>, Failure> {
        let weights = Weights::open(&self.base)?;
        let loaded = match weights.metadata() {
            Some(metadata) => Tokenizer::from_gguf(&self.dir, &gguf_vocab(metadata)),
            None => Tokenizer::load(&self.dir),
        };
        let loaded = match loaded {
            // What others write of an adapter has none.
            Err(TokenizeError::Missing { .. }) if self.base != self.dir => {
                Tokenizer::load(&self.base)
            }
            loaded => loaded,
        };
        let tokenizer = match loaded {
            Err(error @ (TokenizeError::Missing { .. } | TokenizeError::Unsupported { .. })) => {
                return Ok(Err(without(error)));
            }
            loaded => loaded?,
        };
        // Encoder-decoders of others come with a token too many (the mask of BART): there the
        // tokens of each text are looked at.
        let stack = self.model.architecture.stack();
        let vocab_size = stack.map_or(usize::MAX, |stack| stack.config().tokens().vocab_size);
        let n = tokenizer.vocab_size();
        if n > vocab_size {
            let dir = self.dir.display();
            let problem =
                format!("the tokenizer in `{dir}` has {n} tokens, the model {vocab_size}");
            return Err(Failure::new(problem).hint("copy the tokenizer the model was trained with"));
        }
        Ok(Ok(tokenizer))
    }

    /// How the model is to be run, by its `generation_config.json`, else its `config.json`; with
    /// what one of the `task_specific_params` of the latter changes, and puts before a text.
    ///
    /// # Errors
    /// Where there is no such task, or a file cannot be followed.
    pub fn settings(&self, task: Option<&str>) -> Result<(Settings, String), Failure> {
        let object = |value: Value| match value {
            Value::Object(object) => object,
            _ => Map::new(),
        };
        let mut config = object(self.model.config.family().to_json());
        let path = self.file("generation_config.json");
        let mut generation = None;
        if path.exists() {
            let text = mapped::read_small(&path, MAX_JSON_BYTES).reading(&path)?;
            generation = Some(object(serde_json::from_slice(&text).reading(&path)?));
        }
        let mut prefix = String::new();
        if let Some(task) = task {
            let tasks = object(config.get("task_specific_params").cloned().unwrap_or_default());
            let Some(params) = tasks.get(task) else {
                let known: Vec<&str> = tasks.keys().map(String::as_str).collect();
                let problem = format!("the model's config has no task `{task}`");
                return Err(Failure::new(problem).hint(match &known[..] {
                    [] => {
                        "leave out `--task`: there are no `task_specific_params` in it".to_owned()
                    }
                    known => format!("it has {}", known.join(", ")),
                }));
            };
            let mut params = object(params.clone());
            if let Some(Value::String(before)) = params.remove("prefix") {
                prefix = before;
            }
            generation.as_mut().unwrap_or(&mut config).extend(params);
        }
        let settings = Settings::read(generation.as_ref(), &config).map_err(|error| {
            let what = format!("the generation settings in `{}`", self.dir.display());
            Failure::new(format!("{what} cannot be followed: {error}"))
                .hint("correct them in `generation_config.json`, else `config.json`")
        })?;
        Ok((settings, prefix))
    }

    /// What a row of a search holds that goes so far.
    pub fn row_bytes(&self, positions: usize) -> u64 {
        recipe::estimate::row_bytes_of(&self.model, positions, self.precision)
    }

    /// Refuses tokens that what writes does not know.
    ///
    /// # Errors
    /// With the first of them.
    pub fn writes(&self, tokens: impl IntoIterator<Item = u32>) -> Result<(), Failure> {
        let vocab_size = self.model.head_stack().config().tokens().vocab_size;
        match tokens.into_iter().find(|id| *id as usize >= vocab_size) {
            None => Ok(()),
            Some(token) => {
                let problem = format!("a text is to begin with token {token} of {vocab_size}");
                let hint = "correct the model's `generation_config.json`, or copy the tokenizer \
                    that it was trained with";
                Err(Failure::new(problem).hint(hint))
            }
        }
    }

    /// Refuses a model that does not score the next token of a text: what has an encoder needs
    /// something to read, too.
    ///
    /// # Errors
    /// With what it is.
    pub fn scores_tokens(self) -> Result<Self, Failure> {
        let (why, hint) = match &self.model.architecture {
            Architecture::Stack(stack) if stack.token_head().is_some() => {
                let layers = &stack.config().trunk.cycle;
                if layers.iter().all(|layer| !matches!(layer.pattern, Pattern::Full)) {
                    return Ok(self);
                }
                ("which sees what comes after a token", "`lyceum run` fills in its mask token")
            }
            _ if self.model.config.head().is_some_and(|head| head != HeadKind::Tokens) => {
                ("with a head for another task", "`lyceum run` says what it makes of a text")
            }
            Architecture::Stack(_) | Architecture::Detector(_) | Architecture::DualEncoder(_) => {
                ("without a head that scores tokens", "`lyceum forward` gives what it computes")
            }
            Architecture::EncoderDecoder(_) => (
                "whose decoder reads what its encoder makes of another input",
                "`lyceum run` writes what it makes of a text or a sound",
            ),
        };
        let (dir, family) = (self.dir.display(), self.model.config.family().model_type());
        Err(Failure::new(format!("`{dir}` is a `{family}` {why}")).hint(hint))
    }

    /// Refuses a model that does not read tokens alone.
    ///
    /// # Errors
    /// With what it is.
    pub fn reads_text(&self) -> Result<(), Failure> {
        let embed = match &self.model.architecture {
            Architecture::Stack(stack) => Some(&stack.embed),
            Architecture::Detector(pair) => Some(&pair.discriminator.embed),
            Architecture::EncoderDecoder(pair) => Some(&pair.encoder.embed),
            Architecture::DualEncoder(_) => None,
        };
        if embed.is_some_and(|embed| matches!(embed, nn::Embed::Token(_))) {
            return Ok(());
        }
        let (dir, family) = (self.dir.display(), self.model.config.family().model_type());
        let problem = format!("`{dir}` is a `{family}`, which does not read a text alone");
        Err(Failure::new(problem).hint("`lyceum forward` gives what it computes"))
    }

    /// The id that ends a text: the tokenizer's, else the config's.
    pub fn end(&self, tokenizer: &Tokenizer) -> Option<u32> {
        let configured = self.model.config.family().end();
        let configured = configured.filter(|&id| (id as usize) < self.vocab_size());
        tokenizer.end_of_text().or(configured)
    }

    /// Every id that ends a text: that one, and those of the generation settings, as models that
    /// were taught to end a turn have them.
    ///
    /// # Errors
    /// Where the settings cannot be followed.
    pub fn ends(&self, tokenizer: &Tokenizer) -> Result<Vec<u32>, Failure> {
        let mut ends = self.settings(None)?.0.ends;
        ends.extend(self.end(tokenizer).filter(|end| !ends.contains(end)));
        Ok(ends)
    }

    /// The model's chat template.
    ///
    /// # Errors
    /// Where there is none, or it is no template.
    pub fn chat_template(&self, tokenizer: &Tokenizer) -> Result<ChatTemplate, Failure> {
        let weights = Weights::open(&self.base)?;
        let source = weights.metadata().and_then(|m| m.get("tokenizer.chat_template"));
        let found = match source.as_ref().and_then(Meta::as_str) {
            Some(source) => Some(tokenizer.chat_template_from(source)?),
            None => tokenizer.chat_template()?,
        };
        found.ok_or_else(|| {
            let problem = format!("`{}` has no chat template", self.dir.display());
            Failure::new(problem).hint("`lyceum generate` continues a text without one")
        })
    }

    /// Tokens the model knows.
    pub fn vocab_size(&self) -> usize {
        self.model.head_stack().config().tokens().vocab_size
    }

    /// Positions the model knows.
    pub fn max_len(&self) -> usize {
        self.model.head_stack().max_len()
    }
}

/// The vocabulary that a GGUF file holds.
fn gguf_vocab(metadata: Metadata) -> GgufVocab {
    let get = |key: &str| metadata.get(&format!("tokenizer.ggml.{key}"));
    let id = |key: &str| get(key).and_then(|v| v.to_u64()).and_then(|id| id.try_into().ok());
    let flag = |key: &str| get(key).and_then(|v| v.to_bool());
    let text = |key: &str| get(key).and_then(|v| v.as_str().map(str::to_owned));
    let all = |key: &str| get(key).and_then(|v| v.as_array().cloned());
    let texts = |key: &str| {
        let text = |value: Meta| value.as_str().unwrap_or_default().to_owned();
        all(key).map(|array| array.iter().map(text).collect()).unwrap_or_default()
    };
    let numbers = |key: &str| -> Vec<f64> {
        let number = |value: Meta| value.to_f64().or(value.to_i64().map(|n| n as f64));
        all(key).map(|array| array.iter().filter_map(number).collect()).unwrap_or_default()
    };
    GgufVocab {
        model: text("model").unwrap_or_default(),
        pre: text("pre"),
        tokens: texts("tokens"),
        scores: numbers("scores").into_iter().map(|x| x as f32).collect(),
        token_types: numbers("token_type").into_iter().map(|x| x as i32).collect(),
        merges: texts("merges"),
        special: SpecialIds {
            bos: id("bos_token_id"),
            eos: id("eos_token_id"),
            unk: id("unknown_token_id"),
            sep: id("seperator_token_id"),
            pad: id("padding_token_id"),
            cls: id("cls_token_id"),
            mask: id("mask_token_id"),
        },
        add_bos: flag("add_bos_token"),
        add_eos: flag("add_eos_token"),
        add_space_prefix: flag("add_space_prefix"),
        charsmap: numbers("precompiled_charsmap").into_iter().map(|x| x as i8 as u8).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_computes_as_the_weights_are_stored() {
        let auto = |isa, dtypes: &[Dtype]| {
            PrecisionArg::Auto.resolve(isa, dtypes.iter().map(|&dtype| dtype.into()))
        };
        assert_eq!(auto(Isa::Avx512Bf16, &[Dtype::BF16; 2]), Precision::BF16);
        assert_eq!(auto(Isa::Avx512Bf16, &[Dtype::BF16, Dtype::F32]), Precision::F32);
        assert_eq!(auto(Isa::Avx2, &[Dtype::BF16]), Precision::F32);
        assert_eq!(PrecisionArg::Bf16.resolve(Isa::Avx2, []), Precision::BF16);
    }
}
