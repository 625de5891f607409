//! One op, one file: the equation, forward, backward, the gradient test.

mod activation;
mod add;
mod attention;
mod dropout;
mod embedding;
mod gated_activation;
mod head_norm;
mod layer_norm;
mod linear;
mod linear_cross_entropy;
mod relative_bias;
mod rms_norm;
mod rope;
mod scale;
mod select_rows;
#[cfg(test)]
pub(crate) mod testing;
mod unfold;

pub use attention::{AttentionArgs, KeyValues, Projected};
pub use dropout::DropSite;
pub use linear::LinearArgs;
pub use linear_cross_entropy::{CrossEntropyArgs, Loss, NO_TARGET};
pub use rms_norm::RmsNormArgs;
pub use unfold::UnfoldArgs;
