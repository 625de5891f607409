//! Vocabularies in other formats than `tokenizer.json`, each made into one.

pub(crate) mod byte_level;
pub(crate) mod marian;
pub(crate) mod merges;
pub(crate) mod patterns;
pub(crate) mod sentencepiece;
pub(crate) mod tiktoken;
pub(crate) mod wordpiece;
