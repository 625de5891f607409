//! What tests of numerics share: comparison, gradient checks, reproducible numbers, sizes.
//!
//! - [`assert_close`], [`assert_same_bits`]: say where two slices differ, and by how much.
//! - [`check_gradient`]: an analytic gradient against central differences in f64.
//! - [`Numbers`]: pseudo-random inputs, the same in every run.
//! - [`Mutator`]: files damaged on purpose, for parsers of what comes from outside.
//! - [`odd_texts`], [`digests`]: texts that are hard to cut into tokens, and their ids in short.
//! - [`EDGE_SIZES`]: the lengths at which vector code goes wrong.
//! - [`same_for_any_threads`]: a result must not depend on the number of threads.
//!
//! Depends on nothing of ours, so every crate can use it.

mod close;
mod gradient;
mod mutate;
mod numbers;
mod odd;
mod threads;

pub use close::{Tolerance, assert_close, assert_same_bits};
pub use gradient::check_gradient;
pub use mutate::Mutator;
pub use numbers::Numbers;
pub use odd::{digest, digests, odd_texts};
pub use threads::same_for_any_threads;

/// Lengths around one and two vectors of sixteen, a prime, and one that is cut into several pieces.
pub const EDGE_SIZES: [usize; 9] = [0, 1, 15, 16, 17, 31, 33, 257, 40_009];
