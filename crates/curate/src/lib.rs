//! From web archives to clean documents, with a reason for each that went.
//!
//! A [`Document`] is a text with where it came from; every stage takes one and gives it back, or
//! says why it goes.

pub mod contamination;
pub mod crawl;
pub mod dedup;
mod document;
pub mod filter;
pub mod html;
pub mod language;
pub mod personal;
mod place;
mod tally;
pub mod warc;
pub mod words;

pub use document::Document;
pub use place::{Places, ServerConfig, join};
pub use remote::{Keys, RemoteError, Secret};
pub use tally::{Count, Notes, Tally};
