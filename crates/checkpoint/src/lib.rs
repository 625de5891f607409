//! Files of weights and runs: what is on the disk, and how it gets there whole or not at all.
//!
//! ```text
//! weights   safetensors, PyTorch, GGUF, Flax files: hostile ones refused, read in place; writers
//! disk      the file operations a save is made of, as a trait: a test can fail any of them
//! atomic    a file under another name, synced, then renamed; leftovers of a kill removed
//! staged    the same for a directory, with a manifest
//! manifest  BLAKE3 and size of every file of a checkpoint, written last
//! run       the run directory: checkpoints by step, newest valid, best, retention, lock
//! resolve   a model directory, a run directory or a step: the directory to load from
//! trainer   moments and state beside the model, for the next resume
//! faults    a disk that fills up, or loses power, at a chosen operation: for tests
//! ```
//!
//! This crate knows files and names, not models.

#[cfg(target_endian = "big")]
compile_error!("safetensors are little-endian, and are read in place");

pub mod atomic;
pub mod disk;
mod error;
#[cfg(test)]
mod faults;
pub mod manifest;
mod resolve;
mod run;
mod staged;
pub mod trainer;
pub mod weights;

pub use disk::{Disk, OsDisk};
pub use error::{CheckpointError, Damage, Unread};
pub use manifest::{Manifest, Origin};
pub use resolve::{Resolved, resolve};
pub use run::{Best, Checkpoint, Newest, RunDir};
pub use safetensors::Dtype;
pub use staged::StagedDir;
pub use weights::{Entry, Stored, TensorView, Values, Weights, gguf};
