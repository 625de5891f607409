//! Whole models: how things come in, one trunk, how they go out; and the families as presets.
//!
//! The map: [`Stack`] is embed, trunk and heads, [`EncoderDecoder`], [`DualEncoder`] and
//! [`Detector`] two of them; a family (a file under `families`) is a config of its own, the
//! [`ArchitectureConfig`] it amounts to, and an import table of external names, used both ways.
//! [`Model`] is a family's config with a built architecture and its weights, loaded from a
//! directory or fresh.

mod adapted;
mod architecture;
mod base;
mod coded;
mod detector;
mod dual_encoder;
mod encoder_decoder;
mod error;
mod families;
mod gguf;
mod grow;
mod import;
mod lora;
mod merged;
mod model;
mod opened;
mod peft;
mod stack;

pub use adapted::{Adapter, Method, TRAINED, Tuning, glob, open_adapter, some_names};
pub use architecture::{Architecture, ArchitectureConfig};
pub use base::{BASE_FILE, base_file, check_base, check_merged};
pub use coded::Quantised;
pub use detector::{Detector, DetectorConfig};
pub use dual_encoder::{DualEncoder, DualEncoderConfig, Scores, Seen};
pub use encoder_decoder::{EncoderDecoder, EncoderDecoderConfig};
pub use error::ModelError;
pub use families::gpt2::Gpt2Config;
pub use families::heads::{CHOICES, HeadKind, SPANS};
pub use families::hf::HfConfig;
pub use families::preset::Sizes;
pub use families::seed::SeedConfig;
pub use families::{Family, ModelConfig};
pub use import::{Import, Source};
pub use lora::{Layers, LoraConfig, Targets};
pub use model::{Model, Unused};
pub use opened::Fitted;
pub use peft::{AdapterConfig, BesideConfig};
pub use stack::{Stack, StackConfig};
