//! From the residual stream to what is asked for.

use tensor::{DType, LinearArgs, Param, Tape, Var};

/// How things go out: a closed set.
pub enum Head {
    /// A score for every token of the vocabulary.
    Token {
        /// `[V, D]`; tied where it is the embedding's own.
        weight: Param,
    },
}

impl Head {
    /// The projection `[V, D]`, for losses that never form all logits.
    pub fn projection(&self) -> &Param {
        match self {
            Self::Token { weight } => weight,
        }
    }

    /// `[.., D] -> [.., V]` in f32.
    pub fn logits(&self, tape: &Tape, hidden: &Var) -> Var {
        match self {
            Self::Token { weight } => {
                tape.linear(hidden, LinearArgs::new(weight, None, DType::F32))
            }
        }
    }
}
