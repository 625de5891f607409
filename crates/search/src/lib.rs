//! Which settings of a recipe are best: what is tried, what goes on, and how it is shown.
//!
//! The map: an [`Axis`] is a key of a recipe and its values; a [`Plan`] makes [`Point`]s of them,
//! all of a grid or some drawn by a seed, and says how many go on to a longer [`Rung`]. A point is
//! tried once a seed ([`Plan::seeds`]); a [`Standing`] is what came of it. [`page()`] draws them.
//! Nothing here starts a process or reads a file.

mod axis;
mod error;
mod page;
mod plan;

pub use axis::Axis;
pub use error::SearchError;
pub use page::{page, table};
pub use plan::{MAX_TRIALS, Plan, Point, Rung, Standing, Strategy, ranked};

/// The key that is no choice: its values are repetitions of every point.
pub const SEED: &str = "train.seed";
