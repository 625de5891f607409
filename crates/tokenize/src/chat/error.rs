//! What can go wrong with a chat template.

use std::error::Error as _;
use std::io;

use minijinja::{Error, ErrorKind};
use thiserror::Error;

/// Why a chat template could not be read, or gave no text.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ChatError {
    /// It is not UTF-8.
    #[error("the chat template is not text: {reason}")]
    NotText {
        /// What is wrong, and where.
        reason: String,
    },
    /// It is larger than any template.
    #[error("the chat template has {n_bytes} bytes, at most {limit} are read")]
    TooLarge {
        /// Its size.
        n_bytes: usize,
        /// The largest size that is read.
        limit: usize,
    },
    /// It is not Jinja.
    #[error("line {line} of the chat template is no Jinja: {reason}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// It refused the conversation by `raise_exception`.
    #[error("the chat template refuses the conversation: {message}")]
    Raised {
        /// Its own words.
        message: String,
    },
    /// It takes more steps, or moves more bytes, than any conversation needs.
    #[error("the chat template does not come to an end (line {line})")]
    Endless {
        /// Where it was stopped.
        line: usize,
    },
    /// It writes more than any model reads.
    #[error("the chat template writes more than {limit} bytes")]
    TooLong {
        /// The most that is taken.
        limit: usize,
    },
    /// It asks for another template or a file.
    #[error("line {line} of the chat template reaches for a file: {reason}")]
    OutOfReach {
        /// The line.
        line: usize,
        /// What it reached for.
        reason: String,
    },
    /// What it writes of a conversation is not where the conversation with its next turn begins: no
    /// one can say which part of the text is that turn's.
    #[error(
        "the chat template writes what comes before turn {turn} of {n} otherwise when more follows"
    )]
    NotPrefix {
        /// The assistant's turn, from 1.
        turn: usize,
        /// Turns in all.
        n: usize,
    },
    /// The system gave no thread to run it on.
    #[error("no thread for a template")]
    Thread {
        /// What the system said.
        source: io::Error,
    },
    /// It failed while it ran.
    #[error("line {line} of the chat template failed: {reason}")]
    Failed {
        /// The line.
        line: usize,
        /// What went wrong.
        reason: String,
    },
}

/// What `raise_exception` said, carried through the engine.
#[derive(Debug, Error)]
#[error("{message}")]
pub(super) struct Raised {
    pub(super) message: String,
}

/// That a template writes more than is taken.
#[derive(Debug, Error)]
#[error("writes more than {limit} bytes")]
pub(super) struct TooMuch {
    pub(super) limit: usize,
}

impl ChatError {
    /// The system gave no thread to run a template on.
    pub fn thread(source: io::Error) -> Self {
        Self::Thread { source }
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Raised { .. } => {
                "roles are `system`, `user` and `assistant`; many models want user and assistant \
                 in turn, and have no system message"
            }
            Self::Endless { .. } | Self::TooLong { .. } | Self::OutOfReach { .. } => {
                "a chat template comes with a model and is a program: do not use this one"
            }
            Self::NotText { .. } | Self::TooLarge { .. } | Self::Syntax { .. } => {
                "copy the tokenizer files again from where the model came from"
            }
            Self::Failed { .. } => {
                "the template is at fault, or of another version: copy the tokenizer files again, \
                 or use `lyceum generate`, which needs none"
            }
            Self::NotPrefix { .. } => {
                "such templates leave out what the assistant thought in earlier turns: make each \
                 answer a conversation of its own, which ends with it"
            }
            Self::Thread { .. } => return None,
        };
        Some(hint.to_owned())
    }

    pub(super) fn of(error: &Error) -> Self {
        let line = error.line().unwrap_or(1);
        let reason = || match error.detail() {
            Some(detail) => format!("{}: {detail}", error.kind()),
            None => error.kind().to_string(),
        };
        let mut source = error.source();
        while let Some(inner) = source {
            if let Some(Raised { message }) = inner.downcast_ref() {
                return Self::Raised { message: message.clone() };
            }
            if let Some(TooMuch { limit }) = inner.downcast_ref() {
                return Self::TooLong { limit: *limit };
            }
            // What failed inside of an include, a macro or a block.
            if let Some(inner) = inner.downcast_ref::<Error>() {
                return Self::of(inner);
            }
            source = inner.source();
        }
        match error.kind() {
            ErrorKind::SyntaxError | ErrorKind::BadEscape => {
                let reason = error.detail().map_or_else(reason, str::to_owned);
                Self::Syntax { line, reason }
            }
            ErrorKind::OutOfFuel => Self::Endless { line },
            ErrorKind::TemplateNotFound | ErrorKind::BadInclude => {
                Self::OutOfReach { line, reason: reason() }
            }
            _ => Self::Failed { line, reason: reason() },
        }
    }
}
