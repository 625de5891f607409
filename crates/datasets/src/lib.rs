//! Labelled data, for fine-tuning and evaluation, as plain records. No tensors, no tokens.
//!
//! - [`Table`]: rows of named columns, from CSV, TSV, JSONL, JSON, Parquet, `SQuAD`'s articles and
//!   `CoNLL`'s columns; each [`Row`] knows its [`Place`].
//! - [`Task`], [`Record`], [`Input`]: what is learned, and of what.
//! - [`Schema`]: which column is what, guessed and shown; [`Schema::read`] makes records.
//! - [`Dataset`]: the splits of a set; [`hold_out`] makes one. [`Named`]: GLUE and `SuperGLUE`,
//!   with their metrics and files of predictions.
//! - [`Overview`]: what is in a set, and what is there twice.
//!
//! What a file holds is refused, with its place, where it is not what is wanted; what is left out
//! or mended is counted in [`Notes`].

mod dataset;
mod error;
mod named;
mod overview;
mod read;
mod record;
mod schema;
mod table;

#[cfg(test)]
mod fixtures;

pub use dataset::{Dataset, Split, hold_out};
pub use error::{DatasetError, Place};
pub use named::{Benchmark, Named};
pub use overview::{Overview, SplitOverview};
pub use read::{BYTES_MAX, Loaded};
pub use record::{Input, Label, Message, Record, Said, Task};
pub use schema::{Schema, Wanted};
pub use table::{Fields, Format, Notes, Row, Rows, Table};
