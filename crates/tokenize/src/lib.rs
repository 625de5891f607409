//! Text to token ids and back, on the `tokenizers` crate.
//!
//! - [`Tokenizer`]: encode, decode, what its ids mean, and the hash that names it.
//! - [`Tokenizer::train`]: a byte-level BPE with GPT-2's pre-tokenisation.
//! - [`Tokenizer::load`], [`Tokenizer::files`]: Hugging Face directories, both ways.
//! - [`DecodeStream`]: text as tokens arrive, never half a character.
//! - [`safe_cut`]: where a long text may be cut without changing its tokens.
//!
//! Three laws hold for every trained vocabulary: `decode(encode(x)) == x` for any text, a text
//! that contains `<|endoftext|>` does not get the special id, and training the same text gives the
//! same vocabulary.

mod bytes;
mod cut;
mod error;
mod files;
mod guard;
mod precheck;
mod stream;
mod tokenizer;
mod train;

pub use cut::safe_cut;
pub use error::TokenizeError;
pub use stream::DecodeStream;
pub use tokenizer::Tokenizer;
pub use train::{END_OF_TEXT, MAX_VOCAB_SIZE, MIN_VOCAB_SIZE};
