//! Objectives: what a model is asked, and a loss that adds up.
//!
//! The map: a [`TextObjective`] makes [`Example`]s of the rows of a batch (plain ids, a function of
//! row and seed alone) and a [`Losses`] of a [`MicroBatch`] of them. [`NextToken`], [`Masked`],
//! [`ReplacedTokens`], [`SpanCorruption`], [`Denoising`] are the objectives; a [`Vocabulary`] names
//! the tokens they put between those of the text. [`bits_per_byte`] makes losses of different
//! vocabularies comparable.

mod answers;
mod contrast;
mod corruption;
mod denoising;
mod dialogue;
mod draws;
mod example;
mod frame;
mod graded;
mod grouped;
mod labelled;
mod log_probs;
mod losses;
mod masked;
pub mod matching;
mod micro_batch;
mod next_token;
mod objective;
mod pairs;
mod predict;
mod preference;
mod replaced;
pub mod rewards;
mod samples;
mod select;
mod vocabulary;
mod write;

pub use answers::Weighed;
pub use contrast::{Contrast, Near, Pooling, cosine, rankings};
pub use corruption::SpanCorruption;
pub use denoising::Denoising;
pub use dialogue::{Dialogue, DialogueError, Spoken};
pub use example::{Example, Label, Row};
pub use frame::{Frame, Framed};
pub use graded::{
    answers, are_entities, by_word, entities, is_better_small, is_of_answers, largest, metric,
    of_rankings, right, tagged, usual_metrics,
};
pub use grouped::{Grouped, advantages, spread};
pub use labelled::{Asked, Labelled};
pub use log_probs::log_probs;
pub use losses::{Losses, Part, bits_per_byte};
pub use masked::{Masked, Pair};
pub use micro_batch::{Counts, MicroBatch, Shown};
pub use next_token::{Infilling, NextToken, Prefix};
pub use objective::{Objective, TextObjective};
pub use predict::{losses_of, predict, probabilities};
pub use preference::Preference;
pub use replaced::ReplacedTokens;
pub use samples::{class_counts, digest, mean_one};
pub use select::{Replacement, Unit};
pub use vocabulary::{INFILLING, Vocabulary};
pub use write::Writing;
