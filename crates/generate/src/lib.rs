//! Text out of a model: prefill, then one position at a time.
//!
//! The map: [`Sampling`] draws a token from logits and is pure; [`Decoder`] holds the cache and
//! runs the model; [`generate`] joins the two. Tokens in, tokens out: no text here.

mod decoder;
mod error;
mod sampling;

pub use decoder::{Decoder, Finish, Request, generate};
pub use error::GenerateError;
pub use sampling::{Sampling, SamplingError};
