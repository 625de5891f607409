//! What a recipe of a task asks of a set of samples: each task makes a [`Goal`] of a [`Source`],
//! that is what is learned from, how wrong a model is, and how it is judged. What goes on with it
//! does not ask which task it was.
//!
//! ```text
//! set        the set that a recipe names, looked at before anything is learned
//! goal       the seam: a task's goal, and what it is made with
//! labelled   classes, numbers, choices, tags, answers in a context, documents to rank
//! written    pairs of texts, conversations
//! near       vectors of texts that belong together
//! preferred  answers that are better than others
//! problems   answers that a model writes itself, and what they are worth
//! pooling    how hidden states become one vector
//! ```

mod goal;
mod labelled;
mod near;
pub mod pooling;
mod preferred;
mod problems;
mod set;
mod written;

pub use self::goal::{Anchor, EVAL_TOKENS, Goal, MakeFeed, Rollouts, Source, Tried};
pub use self::pooling::Pool;
