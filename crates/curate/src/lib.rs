//! From web archives to clean documents, with a reason for each that went.
//!
//! A [`Document`] is a text with where it came from; every stage takes one and gives it back, or
//! says why it goes.

pub mod contamination;
pub mod dedup;
mod document;
pub mod filter;
pub mod personal;
pub mod words;
pub mod html;
pub mod language;
pub mod crawl;
mod document;
mod place;
mod tally;
pub mod warc;

pub use document::Document;
pub use place::Places;
pub use tally::{Count, Tally};
