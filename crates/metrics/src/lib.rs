//! Metrics of the field, exact: plain functions over slices.
//!
//! | module | what it measures | held to |
//! |---|---|---|
//! | [`classes`] | class labels: accuracy, F1, Matthews, kappa | scikit-learn |
//! | [`probabilities`] | probabilities of classes: log loss, Brier, area under ROC | scikit-learn |
//! | [`values`] | numbers: correlations, errors | `SciPy`, scikit-learn |
//! | [`spans`] | entities in tags | `seqeval` |
//! | [`reading`] | answers out of a text: `SQuAD`, `ReCoRD`, `MultiRC` | the official script |
//! | [`bleu`], [`chrf`], [`ter`] | translations | `sacrebleu` |
//! | [`rouge`] | summaries | `rouge_score` |
//! | [`edits`] | transcripts: word and character error rate | `jiwer` |
//! | [`calibration`] | whether confidences are true | scikit-learn |
//! | [`ranking`] | retrieval and reranking | `pytrec_eval` |
//! | [`bootstrap`], [`paired`] | how sure a number, or a difference of two, is | `SciPy` |
//! | [`registry`] | any of the first by its name | |
//!
//! Scores have the units of who they are held to: shares from 0 to 1, but per cent for [`reading`],
//! [`bleu`], [`chrf`] and [`ter`]. What is undefined is an error unless the peer has a value
//! for it, and then it is said where; so is a NaN or an infinity that comes in. None comes out.

pub mod bleu;
pub mod bootstrap;
pub mod calibration;
pub mod chrf;
pub mod classes;
mod counts;
pub mod edits;
mod error;
mod ngrams;
pub mod paired;
pub mod probabilities;
pub mod ranking;
pub mod reading;
pub mod registry;
pub mod rouge;
mod score;
pub mod spans;
mod special;
mod stem;
pub mod ter;
mod text;
pub mod values;

pub use bootstrap::{Bootstrap, Interval};
pub use counts::{Average, Counts, Prf, average};
pub use error::{MetricError, Result};
pub use score::Score;
