//! How far files have come.

use std::time::Instant;

use indicatif::ProgressDrawTarget;
use train::report::format::{bytes, duration};

use super::{View, bar};
use crate::environment::Env;

/// What a bar counts.
const BYTES: &str = "{bytes}/{total_bytes}";

/// The progress of a download, over all its files.
pub struct Download {
    view: View,
    total_bytes: u64,
    started: Instant,
    /// What came since.
    n_bytes: u64,
}

impl Download {
    /// Starts the clock. The usual choice of a view, as [`super::Progress::new`] makes it.
    pub fn new(env: &Env, on_terminal: bool, total_bytes: u64) -> Self {
        let new_bar = || bar(ProgressDrawTarget::stderr(), env.color, BYTES, total_bytes);
        let view = View::new(env, on_terminal, new_bar);
        Self { view, total_bytes, started: Instant::now(), n_bytes: 0 }
    }

    /// Shows that so many bytes are there, of which `n_new` just came.
    pub fn update(&mut self, file: &str, n_there: u64, n_new: u64) {
        self.update_at(file, (n_there, n_new), Instant::now());
    }

    fn update_at(&mut self, file: &str, (n_there, n_new): (u64, u64), now: Instant) {
        self.n_bytes += n_new;
        let total = self.total_bytes;
        let per_s = self.n_bytes as f64 / now.duration_since(self.started).as_secs_f64();
        self.view.show((n_there, total), now, || {
            let mut parts = vec![];
            if per_s.is_normal() {
                let left = total.saturating_sub(n_there) as f64 / per_s;
                parts.extend((left > 0.0).then(|| duration(left.ceil()) + " left"));
                parts.push(bytes(per_s as u64) + "/s");
            }
            parts.push(file.to_owned());
            (format!("{} of {}", bytes(n_there), bytes(total)), parts.join("  "))
        });
    }

    /// Writes a message of its own: above the bar, or as a line.
    pub fn say(&mut self, message: &str) {
        self.view.say(message);
    }

    /// Takes the bar away; what was said stays.
    pub fn finish(&self) {
        if let View::Bar(bar) = &self.view {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::Written;
    use super::*;

    #[test]
    fn a_line_says_how_much_how_fast_and_how_long() {
        let written = Written::default();
        let to = Box::new(written.clone());
        let view = View::Lines { to, every: Duration::ZERO, last: None };
        let mut download =
            Download { view, total_bytes: 10 << 20, started: Instant::now(), n_bytes: 0 };
        let at = |s| download.started + Duration::from_secs(s);
        let times = [at(0), at(2), at(4)];
        // A part was there already: it tells nothing of the speed.
        download.update_at("a", (2 << 20, 0), times[0]);
        download.update_at("a", (6 << 20, 4 << 20), times[1]);
        download.update_at("b", (10 << 20, 4 << 20), times[2]);
        let expected = "2.00 MiB of 10.0 MiB  a\n\
                        6.00 MiB of 10.0 MiB  2s left  2.00 MiB/s  a\n\
                        10.0 MiB of 10.0 MiB  2.00 MiB/s  b\n";
        assert_eq!(written.text(), expected);
    }
}
