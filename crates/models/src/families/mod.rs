//! The families: each a config in its own file, what it amounts to, and its import table.

mod bart;
mod decoder;
mod dual;
mod electra;
mod encoder;
mod fields;
pub mod gpt2;
pub mod heads;
pub mod hf;
pub mod preset;
pub(crate) mod refused;
pub mod seed;
mod t5;
mod vit;
mod whisper;

use checkpoint::{CheckpointError, Weights};
use nn::ConfigError;
use serde::Serialize;
use serde_json::Value;

use self::gpt2::Gpt2Config;
use self::hf::HfConfig;
use self::seed::SeedConfig;
use crate::architecture::ArchitectureConfig;
use crate::import::Import;
use crate::stack::StackConfig;

/// What every family says of itself.
pub trait Family {
    /// `model_type` in `config.json`.
    fn model_type(&self) -> &'static str;

    /// The architecture it amounts to.
    ///
    /// # Errors
    /// Where the family cannot be built so.
    fn architecture(&self) -> Result<ArchitectureConfig, ConfigError>;

    /// The same, where that is a stack.
    ///
    /// # Errors
    /// Where it is another architecture, too.
    fn stack(&self) -> Result<StackConfig, ConfigError> {
        self.architecture()?.into_stack()
    }

    /// External names, in the order they are written.
    fn imports(&self) -> Vec<Import>;

    /// What names begin with that some files leave out: the base model saved without its head.
    fn prefix(&self) -> Option<&'static str>;

    /// The id that ends a text, where the config says one.
    fn end(&self) -> Option<u32> {
        None
    }

    /// Whether it is written without that.
    fn is_base(&self) -> bool {
        false
    }

    /// Whether an external tensor that the table lacks may be passed over: a buffer, or a copy.
    fn ignores(&self, name: &str) -> bool;

    /// `config.json`.
    fn to_json(&self) -> Value;
}

/// A family's config.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelConfig {
    /// GPT-2.
    Gpt2(Gpt2Config),
    /// The encoder with a causal mask that the project began with.
    Seed(SeedConfig),
    /// Any other family of `transformers`.
    Hf(HfConfig),
}

impl ModelConfig {
    /// The family behind it.
    pub fn family(&self) -> &dyn Family {
        match self {
            Self::Gpt2(c) => c,
            Self::Seed(c) => c,
            Self::Hf(c) => c,
        }
    }

    /// Reads a `config.json` whose `model_type` was found to be `model_type`; none for an unknown
    /// one.
    pub(crate) fn from_json(model_type: &str, json: Value) -> Option<serde_json::Result<Self>> {
        Some(match model_type {
            gpt2::MODEL_TYPE => serde_json::from_value(json).map(Self::Gpt2),
            seed::MODEL_TYPE => serde_json::from_value(json).map(Self::Seed),
            _ => match json {
                Value::Object(fields) => Ok(Self::Hf(HfConfig::new(model_type, fields)?)),
                _ => return None,
            },
        })
    }

    /// Settles what the config leaves to the weights; where there are none, nothing.
    pub(crate) fn fit(&mut self, open: impl FnOnce() -> Result<Weights, CheckpointError>) {
        if let Self::Hf(config) = self {
            config.fit(open);
        }
    }

    /// Every known `model_type`.
    pub fn known() -> impl Iterator<Item = &'static str> {
        [gpt2::MODEL_TYPE, seed::MODEL_TYPE].into_iter().chain(HfConfig::known())
    }
}

/// The fields of a config as they are written: through text, so that 0.1 of an f32 stays 0.1.
fn fields(config: &impl Serialize) -> Value {
    let text = serde_json::to_string(config).expect("plain fields");
    serde_json::from_str(&text).expect("just written")
}
