//! The layers of a Transformer and the one trunk they form.
//!
//! The map: [`TransformerConfig`] is checked, then [`Transformer::new`] registers its parameters
//! with a [`tensor::ParamsBuilder`]; its forward pass takes `[B, T, D]` and a [`Context`] and
//! serves training, prefill and decoding alike. [`Embed`] makes the residual stream, [`Head`] reads
//! it out. No files, no text, no loss and no clock here. Axes: the legend of the crate `tensor`.

mod attention;
mod block;
mod cache;
mod config;
mod context;
mod dropout;
mod embed;
mod ffn;
mod head;
mod linear;
mod norm;
mod transformer;

pub use cache::KvCache;
pub use config::{
    AttnPositions, BiasConfig, Checked, ConfigError, DropoutConfig, FfnKind, NormKind,
    NormPlacement, TransformerConfig, WeightInit, check_probability, check_size,
};
pub use context::{Call, Context, Mask};
pub use embed::{Embed, EmbedConfig, TokenEmbedding, TokenPositions};
pub use head::Head;
pub use linear::Linear;
pub use norm::Norm;
pub use transformer::Transformer;
