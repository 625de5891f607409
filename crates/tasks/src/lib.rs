//! Objectives: from a batch to a loss that adds up.
//!
//! The map: [`MicroBatch`] is what a model is shown, [`Objective`] what it is asked, [`NextToken`]
//! the one objective so far. [`bits_per_byte`] makes losses of different vocabularies comparable.

mod metrics;
mod micro_batch;
mod next_token;
mod objective;

pub use metrics::bits_per_byte;
pub use micro_batch::MicroBatch;
pub use next_token::NextToken;
pub use objective::Objective;
