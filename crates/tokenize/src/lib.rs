//! Text to token ids and back, on the `tokenizers` crate.
//!
//! - [`Tokenizer`]: encode, decode, what its ids mean, and the hash that names it.
//! - [`Tokenizer::load`], [`Tokenizer::files`]: Hugging Face directories, both ways. What is read
//!   without a `tokenizer.json`: `WordPiece`, byte-level BPE, `SentencePiece`, Marian, `tiktoken`.
//! - [`Tokenizer::from_gguf`]: from the metadata of a GGUF file, see [`GgufVocab`].
//! - [`Tokenizer::encode_for_model`]: with the tokens that a model wants around a text.
//! - [`Tokenizer::train`]: a byte-level BPE with GPT-2's pre-tokenisation.
//! - [`DecodeStream`]: text as tokens arrive, never half a character.
//! - [`ChatTemplate`]: a conversation as the text that a model was trained on.
//! - [`safe_cut`]: where a long text may be cut without changing its tokens.
//!
//! Three laws hold for every trained vocabulary: `decode(encode(x)) == x` for any text, a text
//! that contains `<|endoftext|>` does not get the special id, and training the same text gives the
//! same vocabulary. The second holds for every vocabulary that is loaded, and every special token
//! but the unknown one.

mod base64;
mod bpe;
mod bytes;
mod chat;
mod cut;
mod draft;
mod encoded;
mod error;
mod files;
mod formats;
mod gguf;
mod guard;
mod plain;
mod precheck;
mod settings;
mod special;
mod stream;
mod tokenizer;
mod train;

pub use chat::{
    Chat, ChatError, ChatTemplate, Message, Transcript, deep, python_environment, render_bounded,
};
pub use cut::safe_cut;
pub use encoded::{Encoded, Offsets};
pub use error::TokenizeError;
pub use gguf::GgufVocab;
pub use special::SpecialIds;
pub use stream::DecodeStream;
pub use tokenizer::Tokenizer;
pub use train::{END_OF_TEXT, MAX_VOCAB_SIZE, MIN_VOCAB_SIZE, Scheme};
