//! Text to batches of token ids: sources, the token store, shuffled windows. Plain vectors only.
//!
//! - [`Corpus`]: the two corpora in the binary. [`Source`]: documents from files, folders, JSONL,
//!   Parquet, tables, dumps of wikis, books, source code, compressed or not, or a stream.
//! - [`Lines`], [`Cells`], [`ParquetRows`]: files of records, for who wants more than their text.
//! - [`build()`]: tokenizes a source into one or two [`Store`]s (training, validation), which are
//!   memory-mapped files that know their tokenizer.
//! - [`marks`]: where words, phrases and sentences begin, a byte a token.
//! - [`Origin`]: the documents of a store or a source, surveyed, sampled, compared.
//! - [`check()`]: what is in archives and folders of images, and what is wrong with them.
//! - [`Batches`]: batches of one store or a [`Mixture`] of several, in an order that depends on
//!   seed and epoch alone, from any [`Cursors`];
//!   [`EvalBatches`]: every token once, in order.
//! - [`read_sound`]: the samples of an audio file; [`LogMel`]: their spectrum.
//!
//! Nothing of a text is lost or read twice in silence: a file that cannot be read whole is an
//! error that names the file and the place.

mod atomic;
mod audio;
mod build;
mod check;
mod corpus;
mod error;
pub mod marks;
mod permutation;
mod source;
mod split;
mod store;
mod survey;
mod windows;

pub use audio::{AudioProblem, LogMel, Recording, read_sound, read_sound_bytes};
pub use build::{Built, Encoder, Marked, build, build_watched, train_tokenizer};
pub use check::{Checked, Layout, Problem, check};
pub use corpus::Corpus;
pub use error::DataError;
pub use marks::Marker;
pub use permutation::Permutation;
pub use source::{
    Cells, CodeOptions, Document, Documents, Format, Lines, Noted, ParquetRows, Places,
    ReadOptions, Source, spool,
};
pub use store::{Store, StoreMeta, StoreWriter};
pub use survey::{Difference, Lengths, Origin, Survey, sample};
pub use windows::{
    Batch, BatchConfig, Batches, Cursor, Cursors, EvalBatches, IGNORED, Ingredient, Mixture, Mode,
    Shares,
};
