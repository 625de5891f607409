//! Models measured as the field does it.
//!
//! The map: a [`TaskFile`] is a task in the words of `lm-evaluation-harness`, a [`Task`] that file
//! with its data, and a [`Sample`] what is asked about one document. A [`Runner`] answers: how
//! likely continuations are ([`log_likelihoods`]), or what follows ([`Writer`]). [`score()`] makes
//! [`Item`]s of answers, a [`Kind`] one number of many. [`Results`] and their logs are files, which
//! [`compare()`] and a [`Leaderboard`] read again. Heads for tasks of their own are [`Judged`].

mod compare;
mod encode;
mod error;
mod file;
mod heads;
mod labelled;
mod leaderboard;
mod metric;
mod page;
mod results;
mod rows;
mod run;
mod score;
mod task;
mod template;
mod write;
mod yaml;

pub use compare::{Compared, Difference, compare};
pub use encode::Encoder;
pub use error::{EvalError, Result};
pub use file::{Generation, MetricSpec, OutputType, Parts, Pipeline, Step, TaskFile};
pub use heads::{Calibration, HeadReport, Judged, Slice, Worst};
pub use labelled::{DATA, LabelledData, Learned, Scores};
pub use leaderboard::Leaderboard;
pub use metric::{Gathered, Item, Kind, Measured};
pub use results::{
    Logged, LoggedItem, MetricResult, RESULTS_FILE, Results, TaskResult, log_path, log_text,
    read_log,
};
pub use run::{Asked, Response, Runner, Scored, score};
pub use score::{Ask, Said, log_likelihoods};
pub use task::{Gold, Request, Sample, Setting, Task};
pub use write::Writer;
