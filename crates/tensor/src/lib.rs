//! Tensors, parameters in arenas, and reverse-mode differentiation over Transformer-sized ops.
//!
//! The map: [`Device`] hands out [`Tensor`]s from a caching [`Pool`]; weights live in [`Params`],
//! their gradients in [`Grads`]; a [`Tape`] runs ops (one file each, under `ops`) and, when it
//! records, goes back over them. No files, no text and no clock here.
//!
//! # Axes
//!
//! One legend for the whole workspace: `B` batch, `T` query length, `S` key length, `D` `d_model`,
//! `N` heads, `K` key/value heads, `H` head width, `F` `d_ff`, `V` vocabulary, `L` layers, `R`
//! flattened rows (`B * T`), `E` shared embedding.

mod arena;
mod dtype;
mod frozen;
mod ops;
mod params;
mod pool;
mod rng;
mod tape;
mod value;
mod watch;

pub use arena::Arena;
pub use dtype::{DType, Precision};
pub use frozen::{Code, Frozen, Rows, Values};
pub use kernels::Isa;
pub use kernels::activation::Activation;
pub use kernels::attention::{BRANCH_SHIFT, Pattern};
pub use kernels::rope::{Pairing as RopePairing, RopeTable};
pub use ops::{
    AttentionArgs, Balance, CrossEntropyArgs, DropSite, KeyValues, LinearArgs, LogitsWatch, Loss,
    LowRankArgs, LowRankPart, NO_TARGET, PatchArgs, Projected, Reads, RmsNormArgs, RouteArgs,
    Routing, RowLoss, UnfoldArgs,
};
pub use params::{Entry, Grads, Init, LowRankSpec, Param, Params, ParamsBuilder, PartSpec};
pub use pool::{Pool, PoolStats};
pub use rng::Rng;
pub use tape::{Sweep, Tape, Var};
pub use value::{Device, Tensor};
pub use watch::{Capture, NotFinite};
