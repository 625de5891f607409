//! One op, one file: the equation, forward, backward, the gradient test.

mod activation;
mod add;
mod attention;
mod binary_cross_entropy;
mod columns;
mod dropout;
mod embedding;
mod experts;
mod gated_activation;
mod grouped_linear;
mod head_norm;
mod layer_norm;
mod linear;
mod linear_cross_entropy;
mod low_rank;
mod overlay;
mod patches;
mod relative_bias;
mod rms_norm;
mod rope;
mod route;
mod scale;
mod select_rows;
mod sigmoid_gate;
#[cfg(test)]
pub(crate) mod testing;
mod unfold;

pub use attention::{AttentionArgs, KeyValues, Projected, Reads};
pub use dropout::DropSite;
pub use linear::LinearArgs;
pub use linear_cross_entropy::{CrossEntropyArgs, LogitsWatch, Loss, NO_TARGET, RowLoss};
pub use low_rank::{LowRankArgs, LowRankPart};
pub use patches::PatchArgs;
pub use rms_norm::RmsNormArgs;
pub use route::{Balance, RouteArgs, Routing};
pub use unfold::UnfoldArgs;
