//! Text to batches of token ids: sources, the token store, shuffled windows. Plain vectors only.
//!
//! - [`Corpus`]: the two corpora in the binary. [`Source`]: documents from files, folders, JSONL,
//!   Parquet, compressed or not, or a stream.
//! - [`build()`]: tokenizes a source into one or two [`Store`]s (training, validation), which are
//!   memory-mapped files that know their tokenizer.
//! - [`marks`]: where words, phrases and sentences begin, a byte a token.
//! - [`Batches`]: batches of one store or a [`Mixture`] of several, in an order that depends on seed and epoch alone, from any [`Cursors`];
//!   [`EvalBatches`]: every token once, in order.
//! - [`read_sound`]: the samples of an audio file; [`LogMel`]: their spectrum.
//!
//! Nothing of a text is lost or read twice in silence: a file that cannot be read whole is an
//! error that names the file and the place.

mod atomic;
mod audio;
mod build;
mod corpus;
mod error;
pub mod marks;
mod permutation;
mod source;
mod split;
mod store;
mod windows;

pub use audio::{AudioProblem, LogMel, Recording, read_sound, read_sound_bytes};
pub use build::{Encoder, build, train_tokenizer};
pub use corpus::Corpus;
pub use error::DataError;
pub use marks::Marker;
pub use source::{Document, Documents, Format, ReadOptions, Source, spool};
pub use store::{Store, StoreMeta, StoreWriter};
pub use windows::{
    Batch, BatchConfig, Batches, Cursor, Cursors, EvalBatches, IGNORED, Ingredient, Mixture, Mode,
    Shares,
};
