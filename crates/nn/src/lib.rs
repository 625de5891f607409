//! The layers of a Transformer and the one trunk they form.
//!
//! The map: [`TransformerConfig`] is checked, then [`Transformer::new`] registers its parameters
//! with a [`tensor::ParamsBuilder`]; its forward pass takes `[B, T, D]` and a [`Context`] and
//! serves training, prefill and decoding alike. [`Embed`] makes the residual stream, [`Head`] reads
//! it out. No files, no text, no loss and no clock here. Axes: the legend of the crate `tensor`.

mod attention;
mod audio;
mod beside;
mod block;
mod cache;
mod config;
mod context;
mod cross;
mod dropout;
mod embed;
mod experts;
mod ffn;
mod head;
mod lead;
mod linear;
mod low_rank;
mod norm;
mod patch;
mod pool;
mod relative;
mod rope;
mod transformer;
mod waves;

pub use audio::{AudioConfig, AudioStem};
pub use beside::{BOTTLENECK, BY, Beside, BottleneckConfig};
pub use cache::KvCache;
pub use config::{
    AttnPositions, BiasConfig, Checked, ConfigError, DropoutConfig, FfnKind, LayerConfig, NormKind,
    NormPlacement, Sharing, TransformerConfig, WeightInit, check_matrix, check_probability,
    check_size,
};
pub use context::{Call, Context, Mask, Memory, NO_POSITION};
pub use embed::{Embed, EmbedConfig, Input, TokenEmbedConfig, TokenEmbedding, TokenPositions};
pub use experts::ExpertsConfig;
pub use head::{
    Head, HeadConfig, PooledHead, PooledHeadConfig, TagHead, TagHeadConfig, TokenHead,
    TokenHeadConfig,
};
pub use lead::{Lead, Led, LedRows};
pub use linear::Linear;
pub use low_rank::LORA;
pub use norm::{Norm, NormConfig};
pub use patch::{PatchConfig, PatchEmbedding};
pub use pool::{EmbeddingHead, EmbeddingHeadConfig, Pool, ProbeConfig};
pub use rope::{RopeConfig, RopeScaling};
pub use transformer::Transformer;
pub use waves::{WaveKind, Waves};
