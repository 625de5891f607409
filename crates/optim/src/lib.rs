//! What decides an update, apart from the gradient: learning rate, decay groups, clipping.
//!
//! Each of those is a pure function, so a resumed run needs no state of theirs; the moments of
//! [`AdamW`] and the means of an [`Average`] are the only state.
//!
//! ```text
//! schedule  learning rate as a function of the step
//! groups    which parameters decay, and which learn slower
//! clip      by how much a gradient is too long
//! adamw     the update, over arenas
//! average   a running mean of the weights
//! ```

pub mod adamw;
pub mod average;
pub mod clip;
pub mod groups;
pub mod schedule;

pub use adamw::{AdamW, AdamWConfig};
pub use average::Average;
pub use clip::clip_scale;
pub use groups::{decays, layer_rates};
pub use schedule::{Schedule, ScheduleError};
