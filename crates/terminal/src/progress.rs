//! How a training run or a download stands, on standard error: a bar on a terminal, plain lines
//! otherwise.
//!
//! What is written never stops a run: a closed standard error is ignored.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use train::metrics::{Scores, StepRow};
use train::report::format::{bytes, compact, duration};

use crate::environment::Env;
use crate::table::printable;

mod download;

pub use self::download::Download;

/// The least time between two plain lines.
const EVERY: Duration = Duration::from_secs(10);

/// What of all that objectives tell is shown with every step.
const TOLD: [&str; 2] = ["margin", "reward"];

/// The progress of one session of a run.
pub struct Progress {
    view: View,
    first_step: u64,
    total_steps: u64,
    started: Instant,
    judged: Option<String>,
}

enum View {
    Bar(ProgressBar),
    /// Nothing at all where it goes to a sink.
    Lines {
        to: Box<dyn Write + Send>,
        every: Duration,
        last: Option<Instant>,
    },
}

impl Progress {
    /// Starts the clock of a session that goes on after `first_step` (0 for a new run). The usual
    /// choice: nothing when asked to be quiet, a bar on a terminal, else a line now and then.
    pub fn new(env: &Env, on_terminal: bool, first_step: u64, total_steps: u64) -> Self {
        let new_bar = || {
            let target = ProgressDrawTarget::stderr();
            bar(target, env.color, STEPS, total_steps).with_position(first_step)
        };
        let view = View::new(env, on_terminal, new_bar);
        Self { view, first_step, total_steps, started: Instant::now(), judged: None }
    }

    /// The newest evaluation; shown from the next step on.
    pub fn judged(&mut self, scores: &Scores) {
        self.judged = Some(match (scores.metrics.first(), scores.bits_per_byte) {
            (Some((name, Some(value))), _) => format!("val {name} {value:.4}"),
            (_, Some(bits)) => format!("val {bits:.3} bits/byte"),
            (_, None) => format!("val loss {:.3}", scores.loss),
        });
    }

    /// Shows a step. Of plain lines, the first and the last step always get one.
    pub fn update(&mut self, row: &StepRow) {
        self.update_at(row, Instant::now());
    }

    fn update_at(&mut self, row: &StepRow, now: Instant) {
        let text = self.text(row, now.duration_since(self.started));
        self.reached_at((row.step, "step"), text, now);
    }

    /// Shows that so many of the units are done.
    pub fn reached(&mut self, n: u64, unit: &str) {
        self.reached_at((n, unit), String::new(), Instant::now());
    }

    /// Shows that so many pieces of work are done, what came of them, and how long the rest takes.
    pub fn piece(&mut self, n: u64, unit: &str, came: &str) {
        let now = Instant::now();
        let left = self.seconds_left(n, now.duration_since(self.started));
        let left = left.map(|seconds| duration(seconds) + " left  ").unwrap_or_default();
        self.reached_at((n, unit), left + came, now);
    }

    fn reached_at(&mut self, (n, unit): (u64, &str), text: String, now: Instant) {
        let total = self.total_steps;
        self.view.show((n, total), now, || (format!("{unit} {n}/{total}"), text));
    }

    /// Writes a message of its own (a sample, a checkpoint): above the bar, or as lines.
    pub fn say(&mut self, message: &str) {
        self.view.say(message);
    }

    /// The bar, where there is one: what another thread says goes above it.
    pub fn bar(&self) -> Option<ProgressBar> {
        let View::Bar(bar) = &self.view else { return None };
        Some(bar.clone())
    }

    /// Takes the bar away; what was said stays.
    pub fn finish(&self) {
        if let View::Bar(bar) = &self.view {
            bar.finish_and_clear();
        }
    }

    /// The most wanted first: a narrow terminal cuts the end off.
    fn text(&self, row: &StepRow, elapsed: Duration) -> String {
        let mut parts = vec![format!("loss {:.3}", row.loss)];
        let told = row.told.iter().filter(|(name, _)| TOLD.contains(&name.as_str()));
        parts.extend(told.map(|(name, value)| format!("{name} {value:.3}")));
        parts.extend(self.judged.clone());
        parts.extend(self.seconds_left(row.step, elapsed).map(|s| duration(s) + " left"));
        parts.push(format!("{} tokens/s", compact(row.tokens_per_s)));
        parts.extend(row.share_of_peak.map(|share| format!("{:.0}% of peak", share * 100.0)));
        parts.extend(row.memory_bytes.map(bytes));
        parts.join("  ")
    }

    /// At the mean speed of this session, evaluations and checkpoints included.
    fn seconds_left(&self, step: u64, elapsed: Duration) -> Option<f64> {
        let n_done = step.checked_sub(self.first_step).filter(|n| *n > 0)?;
        let n_left = self.total_steps.checked_sub(step).filter(|n| *n > 0)?;
        Some((elapsed.as_secs_f64() / n_done as f64 * n_left as f64).ceil())
    }
}

impl View {
    fn new(env: &Env, on_terminal: bool, bar: impl FnOnce() -> ProgressBar) -> Self {
        let lines = |to, every| Self::Lines { to, every, last: None };
        match (env.is_quiet(), on_terminal) {
            (true, _) => lines(Box::new(io::sink()), Duration::MAX),
            (false, true) => Self::Bar(bar()),
            (false, false) => lines(Box::new(io::stderr()), EVERY),
        }
    }

    /// Shows where things stand, in words of which a bar leaves out the first.
    fn show(
        &mut self,
        (position, end): (u64, u64),
        now: Instant,
        words: impl FnOnce() -> (String, String),
    ) {
        match self {
            Self::Bar(bar) => {
                bar.set_position(position);
                bar.set_message(words().1);
            }
            Self::Lines { to, every, last } => {
                let due = last.is_none_or(|last| now.duration_since(last) >= *every);
                if due || position == end {
                    *last = Some(now);
                    let (head, text) = words();
                    let line = format!("{head}  {text}");
                    let _ = writeln!(to, "{}", line.trim_end());
                }
            }
        }
    }

    fn say(&mut self, message: &str) {
        let message = printable(message, true);
        match self {
            Self::Bar(bar) => bar.println(message),
            Self::Lines { to, .. } => drop(writeln!(to, "{message}")),
        }
    }
}

/// What a bar counts.
const STEPS: &str = "{pos}/{len}";

fn bar(target: ProgressDrawTarget, color: bool, count: &str, total: u64) -> ProgressBar {
    let bar = if color { "{bar:16.cyan}" } else { "{bar:16}" };
    let style = ProgressStyle::with_template(&format!("{bar} {count}  {{wide_msg}}"))
        .expect("the template is well formed")
        // Eighths of a block, full to empty.
        .progress_chars("\u{2588}\u{2589}\u{258a}\u{258b}\u{258c}\u{258d}\u{258e}\u{258f} ");
    ProgressBar::with_draw_target(Some(total), target).with_style(style)
}

#[cfg(test)]
mod tests;
