//! What can be wrong with a search that is asked for.

use std::fmt::Write as _;

/// Why there is nothing to try.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// A text that is no key and values.
    #[error("`{text}`: {problem}")]
    Axis {
        /// What was given.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A key that is there twice.
    #[error("`{0}` is given twice")]
    Twice(String),
    /// No key at all.
    #[error("nothing to try is given")]
    Nothing,
    /// A range where every value is wanted.
    #[error("`{0}` is a range, and a grid needs values")]
    Range(String),
    /// More than anybody waits for.
    #[error("{n} trials are more than {most}")]
    TooMany {
        /// How many.
        n: usize,
        /// At most.
        most: usize,
    },
    /// Less than a half, or nothing, goes on.
    #[error("one of {0} goes on: at least 2 is wanted")]
    Eta(usize),
}

impl SearchError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        let mut hint = String::new();
        let out = &mut hint;
        match self {
            Self::Axis { .. } => {
                write!(out, "values are listed, `optim.peak_lr=1e-5,3e-5`, or drawn from a range, ")
                    .and_then(|()| write!(out, "`optim.peak_lr=1e-5..1e-3:log`"))
            }
            Self::Twice(key) => write!(out, "list all values at once: `{key}=A,B`"),
            Self::Nothing => write!(out, "name a key and values: `--over optim.peak_lr=1e-5,3e-5`"),
            Self::Range(_) => write!(out, "list its values, or draw some: `--trials 20`"),
            Self::TooMany { .. } => write!(out, "draw some of them: `--trials 50`"),
            Self::Eta(_) => write!(out, "`--halve 3` lets a third go on"),
        }
        .expect("a string takes all");
        Some(hint)
    }
}
