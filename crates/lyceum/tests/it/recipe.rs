//! A tiny recipe on a tiny text, and runs of it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use crate::fixture::{Ran, arg, run};

/// Steps of the tiny recipe.
pub const STEPS: u64 = 24;

/// A text, a recipe that reads it, and room for runs.
pub struct Lab {
    dir: TempDir,
}

impl Lab {
    /// Writes text and recipe.
    pub fn new() -> Self {
        let dir = TempDir::new().expect("a directory");
        let lab = Self { dir };
        fs::write(lab.path("text.txt"), text(600)).expect("written");
        fs::write(lab.path("recipe.toml"), lab.recipe()).expect("written");
        lab
    }

    /// Two layers, f32, a constant learning rate, so that a run can be extended.
    fn recipe(&self) -> String {
        format!(
            "[model]\nn_layers = 2\nd_model = 32\nn_heads = 2\ndropout = 0.1\n\n\
             [tokenizer]\nvocab_size = 290\n\n\
             [data]\npaths = ['{}']\nseq_len = 16\nvalidation_fraction = 0.1\n\n\
             [optim]\nschedule = \"constant\"\n\n\
             [train]\nsteps = {STEPS}\nbatch_size = 4\nmicro_batch = 2\nprecision = \"f32\"\n\
             checkpoint_every = 3\neval_every = 6\nsample_every = 0\n",
            self.path("text.txt").display()
        )
    }

    /// A path below the room.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Arguments that run the recipe in `out`, with more after them.
    pub fn args(&self, out: &str, more: &[&str]) -> Vec<String> {
        let (recipe, out) = (arg(self.path("recipe.toml")), arg(self.path(out)));
        let own = ["pretrain".to_owned(), recipe, "--out".to_owned(), out];
        own.into_iter().chain(more.iter().map(|&s| s.to_owned())).collect()
    }

    /// Runs the recipe in `out`.
    pub fn pretrain(&self, out: &str, more: &[&str]) -> Ran {
        run(&self.args(out, more))
    }

    /// What the run in `out` logged, apart from speed and memory.
    pub fn metrics(&self, out: &str) -> Vec<Value> {
        metrics(&self.path(out))
    }

    /// Names of the checkpoints of `out`, sorted.
    pub fn checkpoints(&self, out: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(out).join("checkpoints")).expect("a run").flatten();
        let mut names: Vec<String> =
            entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort_by_key(|name| name.split_once('-').and_then(|(_, n)| n.parse::<u64>().ok()));
        names
    }
}

/// Standard error of a run that was refused, on which progress may have come first.
#[track_caller]
pub fn refusal(ran: Ran) -> String {
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{}", ran.stderr);
    assert!(ran.stderr.lines().any(|line| line.starts_with("error: ")), "{}", ran.stderr);
    ran.stderr
}

/// The rows of a run, without what differs from time to time.
pub fn metrics(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).expect("metrics");
    let row = |line: &str| -> Value {
        let mut row: Value = serde_json::from_str(line).expect("a row");
        for volatile in ["tokens_per_s", "share_of_peak", "memory_bytes"] {
            row.as_object_mut().expect("an object").remove(volatile);
        }
        row
    };
    text.lines().map(row).collect()
}

/// The rows of the tiny recipe, run without interruption.
pub fn expected() -> &'static [Value] {
    static EXPECTED: OnceLock<Vec<Value>> = OnceLock::new();
    EXPECTED.get_or_init(|| {
        let lab = Lab::new();
        lab.pretrain("whole", &[]).done();
        let rows = lab.metrics("whole");
        assert_eq!(rows.len() as u64, STEPS + STEPS / 6);
        rows
    })
}

/// Sentences of a small language: `n` of them, always the same.
pub fn text(n: usize) -> String {
    let words = ["the", "old", "sea", "was", "calm", "and", "a", "ship", "came", "home", "slowly"];
    let (mut state, mut text) = (7_u32, String::new());
    for _ in 0..n {
        for _ in 0..7 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let _ = write!(text, "{} ", words[(state >> 16) as usize % words.len()]);
        }
        text.push_str("again.\n");
    }
    text
}
