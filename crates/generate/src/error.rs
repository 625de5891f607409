//! What can go wrong while a model writes.

use thiserror::Error;

/// Why a model could not go on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GenerateError {
    /// No token can be drawn from such scores.
    #[error("the model's scores after position {position} are not finite")]
    NotFinite {
        /// The last position that it was shown, counted from 0.
        position: usize,
    },
}

impl GenerateError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFinite { .. } => Some(
                "the weights are damaged, or the precision is too low for them: try `f32`"
                    .to_owned(),
            ),
        }
    }
}
