//! From web archives to clean documents, with a reason for each that went.
//!
//! A [`Document`] is a text with where it came from; every stage takes one and gives it back, or
//! says why it goes.

mod document;
pub mod html;
pub mod language;

pub use document::Document;
