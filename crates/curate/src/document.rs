//! A text on its way from a source to a shard.

use serde::{Deserialize, Serialize};

use crate::personal::Span;

/// A text, and where it came from: what a line of an output shard holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Document {
    /// The text.
    pub text: String,
    /// The file it was read from.
    pub source: String,
    /// Where in that file its record begins, in bytes; of a compressed file, compressed ones.
    pub offset: u64,
    /// Its address; empty where there is none.
    pub url: String,
    /// When it was fetched, as RFC 3339 has it; empty where nobody said.
    pub date: String,
    /// ISO 639 code of its language; empty where it was not identified.
    pub language: String,
    /// How sure that is, from 0 to 1.
    pub language_score: f32,
    /// Where personal data stands in the text, where that is asked for.
    pub personal: Vec<Span>,
}
