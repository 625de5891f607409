//! A model: its config, its architecture, its weights.

use std::path::Path;
use std::sync::Arc;

use checkpoint::{Dtype, Entry, Stored, Weights};
use nn::{Beside, ConfigError, Context, Input};
use serde_json::Value;
use tensor::{Params, ParamsBuilder, Tape, Var};

use crate::adapted::{Adapter, Plan};
use crate::architecture::Architecture;
use crate::coded::Coding;
use crate::encoder_decoder::EncoderDecoder;
use crate::error::ModelError;
use crate::families::{ModelConfig, refused};
use crate::gguf;
use crate::import;

use crate::stack::Stack;

/// Stored tensors that nothing here is made of: worth a warning.
pub type Unused = Vec<String>;

/// A family's config, the architecture it amounts to, and the weights.
pub struct Model {
    /// The family's config.
    pub config: ModelConfig,
    /// How it computes.
    pub architecture: Architecture,
    /// What it computes with.
    pub params: Params,
    /// What changes the weights without touching them.
    pub adapters: Vec<Adapter>,
}

/// A `config.json` is small; what is larger is no config.
const MAX_CONFIG_BYTES: u64 = 8 << 20;

impl Model {
    /// A fresh model, drawn from `seed`.
    ///
    /// # Errors
    /// Where the config cannot be built.
    pub fn new(config: ModelConfig, seed: u64) -> Result<Self, ConfigError> {
        let (architecture, builder) = Self::register(&config)?;
        let params = builder.build(seed);
        Ok(Self { config, architecture, params, adapters: Vec::new() })
    }

    /// The stack of a model that is one, or a detector.
    ///
    /// # Panics
    /// For another architecture: what knows stacks alone refuses it first.
    #[track_caller]
    pub fn stack(&self) -> &Stack {
        self.architecture.stack().expect("refused at the edge")
    }

    /// The encoder-decoder of a model that is one.
    ///
    /// # Panics
    /// For another architecture: what knows encoder-decoders alone refuses it first.
    #[track_caller]
    pub fn pair(&self) -> &EncoderDecoder {
        match &self.architecture {
            Architecture::EncoderDecoder(pair) => pair,
            _ => panic!("pair: refused at the edge"),
        }
    }

    /// The stack that has the heads: of an encoder-decoder, its decoder.
    ///
    /// # Panics
    /// For a model of two encoders: what knows texts alone refuses it first.
    #[track_caller]
    pub fn head_stack(&self) -> &Stack {
        match &self.architecture {
            Architecture::EncoderDecoder(pair) => &pair.decoder,
            _ => self.stack(),
        }
    }

    /// `[B, T]` tokens to what heads over texts read, `[B, T, D]`.
    ///
    /// The decoder of an encoder-decoder reads the same text, one position later and as if there
    /// were no padding, as in `transformers`: there, padding belongs at the end. Lewis et al.,
    /// "BART", arXiv:1910.13461, section 3.1.
    ///
    /// # Panics
    /// For what does not read tokens.
    #[track_caller]
    pub fn hidden<'a>(
        &'a self,
        tape: &Tape<'a>,
        ids: &Arc<[u32]>,
        shape: [usize; 2],
        ctx: &mut Context,
    ) -> Var {
        let Architecture::EncoderDecoder(pair) = &self.architecture else {
            return self.stack().forward(tape, ids, shape, ctx);
        };
        let memory = pair.encode(tape, Input::Tokens(ids, shape), ctx.call.clone());
        let plain = Stack::plain_call(shape);
        let (mask, positions) = (plain.mask, plain.positions);
        let call = nn::Call { mask, positions, memory: Some(memory), ..ctx.call.clone() };
        let ids = self.shifted(ids, shape[1]);
        pair.decode(tape, &ids, shape, &mut Context { call, cache: None })
    }

    /// What a decoder reads of rows of `len` tokens: the token that it starts from, and all but the
    /// last.
    ///
    /// # Panics
    /// For what is no encoder-decoder.
    pub fn shifted(&self, ids: &[u32], len: usize) -> Arc<[u32]> {
        let start = self.config.start().expect("a head over texts has been checked for it");
        let row = |row: &[u32]| [&[start], &row[..len - 1]].concat();
        ids.chunks_exact(len).flat_map(row).collect()
    }

    /// The architecture, and its parameters before any memory is taken: enough to count them.
    ///
    /// # Errors
    /// Where the config cannot be built.
    pub fn register(config: &ModelConfig) -> Result<(Architecture, ParamsBuilder), ConfigError> {
        Self::register_in(config, ParamsBuilder::default(), Beside::Nothing)
    }

    pub(crate) fn register_in(
        config: &ModelConfig,
        mut builder: ParamsBuilder,
        beside: Beside,
    ) -> Result<(Architecture, ParamsBuilder), ConfigError> {
        let mut architecture = config.family().architecture()?;
        if beside != Beside::Nothing {
            architecture.read_text()?.trunk.beside = beside;
        }
        let architecture = architecture.build(&mut builder)?;
        Ok((architecture, builder))
    }

    /// The config of a model directory.
    ///
    /// # Errors
    /// Where there is none, or it is of no known family.
    pub fn load_config(dir: &Path) -> Result<ModelConfig, ModelError> {
        if dir.join("config.json").exists() {
            return Self::read_config(dir);
        }
        Self::config_of(dir, &Weights::open(dir)?).map(|(config, _)| config)
    }

    /// The config, and whether the weights have the names of GGUF, whose files say it themselves.
    pub(crate) fn config_of(
        path: &Path,
        weights: &Weights,
    ) -> Result<(ModelConfig, bool), ModelError> {
        let config_error = |source| ModelError::Config { path: path.to_owned(), source };
        match gguf::read(weights) {
            Some(config) => Ok((config.map_err(config_error)?, true)),
            None => Ok((Self::read_config(path)?, false)),
        }
    }

    fn read_config(dir: &Path) -> Result<ModelConfig, ModelError> {
        let path = dir.join("config.json");
        let read = |source| ModelError::Read { path: path.clone(), source };
        let text = mapped::read_small(&path, MAX_CONFIG_BYTES).map_err(read)?;
        let json_error = |source| ModelError::Json { path: path.clone(), source };
        let json: Value = serde_json::from_slice(&text).map_err(json_error)?;
        let Some(model_type) = json.get("model_type").and_then(Value::as_str) else {
            return Err(ModelError::NoModelType { path });
        };
        let found = model_type.to_owned();
        let config_error = |source| ModelError::Config { path: path.clone(), source };
        refused::check(&found, &json).map_err(config_error)?;
        match ModelConfig::from_json(&found, json) {
            None => Err(ModelError::UnknownModelType { path, found }),
            Some(Ok(mut config)) => {
                config.fit(|| Weights::open(dir));
                Ok(config)
            }
            Some(Err(source)) => Err(json_error(source)),
        }
    }

    /// Loads a model directory, to be trained. Also returns the stored tensors that were not used.
    ///
    /// # Errors
    /// Where config or weights are missing, damaged, or do not fit each other. The weights' shapes
    /// are held against the config before memory is taken.
    pub fn load(dir: &Path) -> Result<(Self, Unused), ModelError> {
        Self::load_whole(dir, |_| Ok(Plan::default()))
    }

    /// The same, to be run only: large weights stay in their file and their type.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load_frozen(dir: &Path) -> Result<(Self, Unused), ModelError> {
        Self::load_whole(dir, |_| Ok(ParamsBuilder::frozen().into()))
    }

    /// A model as it was saved, with nothing drawn but what `plan` puts beside it.
    pub(crate) fn load_whole(
        dir: &Path,
        plan: impl FnOnce(&ModelConfig) -> Result<Plan, ModelError>,
    ) -> Result<(Self, Unused), ModelError> {
        let (model, fitted) = Self::load_in(dir, None, (0, Coding::Plain), plan)?;
        Ok((model, fitted.unused))
    }

    /// Every tensor under its external name, to be written.
    pub fn entries(&self) -> Vec<Entry<'_>> {
        self.entries_as(|_, _| Dtype::F32.into())
    }

    /// The same, each stored as `dtype` says of its name and shape.
    pub fn entries_as(&self, dtype: impl Fn(&str, &[usize]) -> Stored) -> Vec<Entry<'_>> {
        let waves = self.architecture.waves().map(nn::Waves::values);
        let family = self.config.family();
        let mut table = family.imports();
        import::strip(&mut table, family.prefix().filter(|_| family.is_base()));
        import::entries(&table, &self.params, waves, dtype)
    }

    /// What a GGUF file says of this model, its tokenizer left out, and every tensor under the
    /// names of GGUF, stored as `dtype` says of name and shape.
    ///
    /// # Errors
    /// Where GGUF has no words for the family.
    #[allow(clippy::type_complexity)] // Two lists.
    pub fn gguf(
        &self,
        dtype: impl Fn(&str, &[usize]) -> Stored,
    ) -> Result<(Vec<(String, checkpoint::gguf::Value<'static>)>, Vec<Entry<'_>>), ConfigError>
    {
        let stack = self.architecture.stack()?.config();
        let metadata = gguf::metadata(&self.config, stack)?;
        let table = gguf::table(self.config.family().imports(), &self.config, stack);
        Ok((metadata, import::entries(&table, &self.params, None, dtype)))
    }

    /// The text of `config.json`.
    pub fn config_json(&self) -> String {
        format!("{:#}\n", self.config.family().to_json())
    }
}
