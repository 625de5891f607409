use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use indicatif::TermLike;

use super::*;
use crate::environment::Global;

/// What was written, readable while a `Progress` writes on.
#[derive(Clone, Default, Debug)]
pub(super) struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A terminal 120 columns wide that ignores the cursor and keeps what is written.
impl TermLike for Written {
    fn width(&self) -> u16 {
        120
    }
    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn write_line(&self, line: &str) -> io::Result<()> {
        writeln!(self.clone(), "{line}")
    }
    fn write_str(&self, text: &str) -> io::Result<()> {
        write!(self.clone(), "{text}")
    }
    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

fn row(step: u64) -> StepRow {
    StepRow {
        step,
        loss: 3.214_15,
        accuracy: 0.25,
        targets: 64,
        grad_norm: 1.0,
        lr: 1e-3,
        tokens: step * 64,
        tokens_per_s: 45_231.0,
        share_of_peak: None,
        memory_bytes: None,
        told: BTreeMap::new(),
    }
}

fn lines(written: &Written, first_step: u64, total_steps: u64) -> Progress {
    let every = Duration::from_secs(10);
    let view = View::Lines { to: Box::new(written.clone()), every, last: None };
    Progress { view, first_step, total_steps, started: Instant::now(), judged: None }
}

#[test]
fn lines_come_first_then_every_so_often_then_last() {
    let written = Written::default();
    let mut progress = lines(&written, 100, 150);
    let started = progress.started;
    for step in 101..=150 {
        progress.update_at(&row(step), started + Duration::from_secs(step - 100));
    }
    progress.finish();
    let text = written.text();
    let steps: Vec<&str> = text.lines().map(|line| line.split("  ").next().unwrap()).collect();
    let expected = ["101", "111", "121", "131", "141", "150"].map(|s| format!("step {s}/150"));
    assert_eq!(steps, expected);
    assert!(text.starts_with("step 101/150  loss 3.214  49s left  45.2k tokens/s\n"), "{text}");
    assert!(text.ends_with("step 150/150  loss 3.214  45.2k tokens/s\n"), "{text}");
}

#[test]
fn a_line_says_all_that_is_known() {
    let written = Written::default();
    let mut progress = lines(&written, 0, 1200);
    let (loss, bits_per_byte) = (2.5, Some(1.712));
    let (accuracy, targets, parts) = (0.25, 64, BTreeMap::new());
    progress.judged(&Scores {
        loss,
        bits_per_byte,
        accuracy,
        targets,
        sources: parts.clone(),
        metrics: vec![],
        is_better_small: false,
        parts,
    });
    let known = StepRow { share_of_peak: Some(0.814), memory_bytes: Some(612 << 20), ..row(400) };
    progress.update_at(&known, progress.started + Duration::from_secs(50));
    assert_eq!(
        written.text(),
        "step 400/1200  loss 3.214  val 1.712 bits/byte  1m 40s left  45.2k tokens/s  \
         81% of peak  612 MiB\n"
    );
}

#[test]
fn a_run_past_its_end_or_at_its_start_has_no_time_left() {
    let progress = lines(&Written::default(), 10, 20);
    for step in [0, 10, 20, 21] {
        assert_eq!(progress.seconds_left(step, Duration::from_secs(1)), None, "{step}");
    }
}

#[test]
fn what_is_said_cannot_steer_the_terminal() {
    let written = Written::default();
    let mut progress = lines(&written, 0, 1);
    progress.say("It was\n\u{1b}]0;title\u{7}\r\u{9b}2J a truth");
    assert_eq!(written.text(), "It was\n\u{fffd}]0;title\u{fffd}\u{fffd}\u{fffd}2J a truth\n");
}

#[test]
fn the_bar_shows_step_and_reading_and_colour_only_when_asked() {
    let written = Written::default();
    let target = ProgressDrawTarget::term_like(Box::new(written.clone()));
    let view = View::Bar(bar(target, false, STEPS, 4));
    let mut progress = Progress { view, ..lines(&written, 0, 4) };
    progress.update(&row(2));
    progress.say("a sample");
    let text = written.text();
    progress.finish();
    let half = "\u{2588}".repeat(8);
    assert!(text.contains(&half) && text.contains("  2/4  loss 3.214  1s left"), "{text}");
    assert!(text.contains("a sample") && !text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn quiet_is_chosen_over_a_terminal() {
    let view = |quiet: bool, on_terminal: bool| {
        let global = Global { quiet, threads: None };
        Progress::new(&Env::new(&global).unwrap(), on_terminal, 0, 1).view
    };
    for (quiet, on_terminal, expected) in [(true, true, Duration::MAX), (false, false, EVERY)] {
        let found = view(quiet, on_terminal);
        assert!(matches!(found, View::Lines { every, .. } if every == expected));
    }
    assert!(matches!(view(false, true), View::Bar(_)));
}
