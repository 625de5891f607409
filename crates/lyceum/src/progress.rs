//! How a training run stands, on standard error: a bar on a terminal, plain lines otherwise.
//!
//! What is written never stops a run: a closed standard error is ignored.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use train::report::format::{bytes, compact, duration};

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Display {
    /// A bar that is redrawn in place.
    Bar {
        /// Whether it may be coloured.
        color: bool,
    },
    /// A line now and then.
    Lines {
        /// The least time between two lines.
        every: Duration,
    },
    /// Nothing.
    Quiet,
}

impl Display {
    /// The usual choice: nothing when asked to be quiet, a bar on a terminal, else a line every
    /// ten seconds.
    pub fn choose(quiet: bool, on_terminal: bool, color: bool) -> Self {
        match (quiet, on_terminal) {
            (true, _) => Self::Quiet,
            (false, true) => Self::Bar { color },
            (false, false) => Self::Lines { every: Duration::from_secs(10) },
        }
    }
}

/// What is known after a step.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Steps done, since step 0 of the run.
    pub step: u64,
    /// Training loss in nats.
    pub loss: f64,
    /// Validation loss of the newest evaluation.
    pub bits_per_byte: Option<f64>,
    /// Tokens a second.
    pub tokens_per_s: f64,
    /// Share of the machine's measured peak, 0 to 1.
    pub share_of_peak: Option<f64>,
    /// Largest resident memory.
    pub memory_bytes: Option<u64>,
}

/// The progress of one session of a run.
pub struct Progress {
    view: View,
    first_step: u64,
    total_steps: u64,
    started: Instant,
}

enum View {
    Bar(ProgressBar),
    Lines { to: Box<dyn Write + Send>, every: Duration, last: Option<Instant> },
    Quiet,
}

impl Progress {
    /// Starts the clock of a session that goes on after `first_step` (0 for a new run).
    pub fn new(display: Display, first_step: u64, total_steps: u64) -> Self {
        let view = match display {
            Display::Bar { color } => {
                View::Bar(bar(ProgressDrawTarget::stderr(), color, first_step, total_steps))
            }
            Display::Lines { every } => {
                View::Lines { to: Box::new(io::stderr()), every, last: None }
            }
            Display::Quiet => View::Quiet,
        };
        Self { view, first_step, total_steps, started: Instant::now() }
    }

    /// Shows a step. Of plain lines, the first and the last step always get one.
    pub fn update(&mut self, reading: &Reading) {
        self.update_at(reading, Instant::now());
    }

    fn update_at(&mut self, reading: &Reading, now: Instant) {
        let elapsed = now.duration_since(self.started);
        let text = self.text(reading, elapsed);
        let total_steps = self.total_steps;
        match &mut self.view {
            View::Bar(bar) => {
                bar.set_position(reading.step);
                bar.set_message(text);
            }
            View::Lines { to, every, last } => {
                let due = last.is_none_or(|last| now.duration_since(last) >= *every);
                if due || reading.step == total_steps {
                    *last = Some(now);
                    let _ = writeln!(to, "step {}/{total_steps}  {text}", reading.step);
                }
            }
            View::Quiet => {}
        }
    }

    /// Writes a message of its own (a sample, a checkpoint): above the bar, or as lines.
    pub fn say(&mut self, message: &str) {
        let message = printable(message);
        match &mut self.view {
            View::Bar(bar) => bar.println(message),
            View::Lines { to, .. } => drop(writeln!(to, "{message}")),
            View::Quiet => {}
        }
    }

    /// Takes the bar away; what was said stays.
    pub fn finish(self) {
        if let View::Bar(bar) = self.view {
            bar.finish_and_clear();
        }
    }

    /// The most wanted first: a narrow terminal cuts the end off.
    fn text(&self, reading: &Reading, elapsed: Duration) -> String {
        let mut parts = vec![format!("loss {:.3}", reading.loss)];
        parts.extend(reading.bits_per_byte.map(|bits| format!("val {bits:.3} bits/byte")));
        parts.extend(self.seconds_left(reading.step, elapsed).map(|s| duration(s) + " left"));
        parts.push(format!("{} tokens/s", compact(reading.tokens_per_s)));
        parts.extend(reading.share_of_peak.map(|share| format!("{:.0}% of peak", share * 100.0)));
        parts.extend(reading.memory_bytes.map(bytes));
        parts.join("  ")
    }

    /// At the mean speed of this session, evaluations and checkpoints included.
    fn seconds_left(&self, step: u64, elapsed: Duration) -> Option<f64> {
        let n_done = step.checked_sub(self.first_step).filter(|n| *n > 0)?;
        let n_left = self.total_steps.checked_sub(step).filter(|n| *n > 0)?;
        Some((elapsed.as_secs_f64() / n_done as f64 * n_left as f64).ceil())
    }
}

/// `text` without what would steer a terminal: samples are not ours to trust.
fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

fn bar(target: ProgressDrawTarget, color: bool, first_step: u64, total_steps: u64) -> ProgressBar {
    let bar = if color { "{bar:16.cyan}" } else { "{bar:16}" };
    let style = ProgressStyle::with_template(&format!("{bar} {{pos}}/{{len}}  {{wide_msg}}"))
        .expect("the template is well formed")
        // Eighths of a block, full to empty.
        .progress_chars("\u{2588}\u{2589}\u{258a}\u{258b}\u{258c}\u{258d}\u{258e}\u{258f} ");
    ProgressBar::with_draw_target(Some(total_steps), target)
        .with_style(style)
        .with_position(first_step)
}

#[cfg(test)]
mod tests;
