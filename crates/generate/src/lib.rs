//! Text out of a model: prefill, then one position at a time.
//!
//! The map: [`Decoder`] holds the cache and runs the model; [`encode()`] gives it a memory to read,
//! where the model has an encoder. [`draw`] and [`beam()`] decide what comes next, the one by
//! [`Sampling`], which is pure, the other by keeping the best few; both are told in a [`Search`]
//! how far to go and which [`Rules`] to keep to. [`find`] is all of it at once, [`generate_all`]
//! that of many prompts of unequal lengths, and [`transcribe`] repeats it over the windows of a
//! [`Sound`]. [`Settings`] are what a model's files say of that.
//! Tokens in, tokens out: no text here.

mod beam;
mod decoder;
mod encode;
mod error;
mod requests;
mod rules;
mod sampling;
mod search;
mod settings;
mod speech;

pub use beam::{Beams, Found, Stopping, beam};
pub use decoder::Decoder;
pub use encode::{Source, encode};
pub use error::GenerateError;
pub use requests::{Event, ROWS_AT_ONCE, Request, generate, generate_all, rows_at_once};
pub use rules::{Rules, Timestamps};
pub use sampling::{Sampling, SamplingError};
pub use search::{Choice, Draw, Finish, Search, draw, find};
pub use settings::{Settings, SettingsError, Speech};
pub use speech::{Segment, Sound, likeliest, transcribe};
