//! What can go wrong between a vocabulary and a text.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a tokenizer could not be read, trained or used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TokenizeError {
    /// A file could not be read.
    #[error("failed to read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A directory holds no tokenizer in a format that is understood.
    #[error("no tokenizer in `{dir}`")]
    Missing {
        /// The directory.
        dir: PathBuf,
    },
    /// A tokenizer file is not what it should be.
    #[error("`{path}` is not a usable tokenizer: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// A kind of vocabulary, or a feature of one, that is not read.
    #[error("`{path}` is a tokenizer of a kind that is not read: {what}")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: String,
    },
    /// A vocabulary cannot be as small, or as large, as asked.
    #[error("a vocabulary of {vocab_size} tokens is out of range ({min} to {max})")]
    VocabSize {
        /// What was asked for.
        vocab_size: usize,
        /// The 256 bytes and the end-of-text token.
        min: usize,
        /// The largest that is trained.
        max: usize,
    },
    /// The `tokenizers` crate refused or failed.
    #[error("failed to {action}: {reason}")]
    Failed {
        /// `train`, `encode`, `decode` or `write as JSON`.
        action: &'static str,
        /// What it said.
        reason: String,
    },
}

impl TokenizeError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Missing { .. } => {
                "a tokenizer directory holds `tokenizer.json`, `vocab.txt`, `vocab.json` with \
                 `merges.txt`, `tokenizer.model`, `spiece.model`, `source.spm` with \
                 `vocab.json`, or a `.tiktoken` file"
                    .to_owned()
            }
            Self::Unsupported { .. } => "let `transformers` load and save it: what it writes is a \
                                         `tokenizer.json`"
                .to_owned(),
            Self::VocabSize { min, .. } => {
                format!("byte-level BPE needs {min}; 4096 to 50257 are usual")
            }
            Self::Malformed { .. } => {
                "copy the tokenizer files again from where the model came from".to_owned()
            }
            Self::Read { .. } | Self::Failed { .. } => return None,
        })
    }
}
