//! The report every run ends in: one HTML page that needs nothing beside it.
//!
//! No script, no font, no request: curves are inline SVG with the values as hover titles, and the
//! page forbids itself everything else by a content security policy. It follows the reader's light
//! or dark setting, and prints. Everything that came from outside (recipe, samples, names) is
//! escaped.
//!
//! [`render`] is a pure function of [`ReportFacts`]. What is not known is written as `unknown`.

pub mod energy;
pub mod format;

mod chart;
mod curves;
mod page;
mod series;
#[cfg(test)]
mod tests;

use checkpoint::Best;

use crate::metrics::{EvalRow, SampleRow, StepRow};
pub use chart::{bars, scatter};
use energy::Energy;
pub use page::{document, rows, section, tiles};
pub use series::median;

/// File name of the report inside a run directory.
pub const REPORT_FILE: &str = "report.html";

/// A name, and what is said under it.
pub type Named<'a> = (&'a str, String);

/// All a report says.
#[derive(Clone, Debug)]
pub struct ReportFacts<'a> {
    /// The run's name.
    pub title: &'a str,
    /// How it stands, in a sentence: `finished after 1200 steps`.
    pub outcome: &'a str,
    /// The recipe as it was resolved.
    pub recipe_toml: &'a str,
    /// Every step, oldest first.
    pub steps: &'a [StepRow],
    /// Every evaluation, oldest first.
    pub evals: &'a [EvalRow],
    /// The best checkpoint, where one was judged.
    pub best: Option<Best>,
    /// Every sample, oldest first.
    pub samples: &'a [SampleRow],
    /// Name of each source, and how much was read of it.
    pub sources: &'a [Named<'a>],
    /// Name and value of what it ran on.
    pub machine: &'a [Named<'a>],
    /// Name and hash of what went in: data, tokenizer, config, build.
    pub hashes: &'a [Named<'a>],
    /// What was counted over the whole run.
    pub totals: Totals,
    /// What to do with the model: purpose and command.
    pub next_commands: &'a [Named<'a>],
}

impl ReportFacts<'_> {
    /// Whether the best of the run is best in bits per byte, and not in nats a target.
    fn in_bits(&self) -> bool {
        self.evals.last().is_none_or(|row| row.eval.bits_per_byte.is_some())
    }
}

/// Counted over the whole run, over all its sessions.
#[derive(Clone, Debug, PartialEq)]
pub struct Totals {
    /// Trainable parameters, a tied one once.
    pub n_params: u64,
    /// Time spent in training, evaluation and checkpoints.
    pub seconds: f64,
    /// Largest resident memory of this session; the rows know that of the others.
    pub peak_memory_bytes: Option<u64>,
    /// Energy, where a counter could be read.
    pub energy: Energy,
}

/// The report as an HTML page.
pub fn render(facts: &ReportFacts) -> String {
    page::page(facts)
}
