//! A run in a few figures, read from its files alone: it may be going on.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use ::checkpoint::{Best, RunDir};
use serde_json::Value;
use toml::Table;
use train::metrics::{self, METRICS_FILE, MetricsRow, Scores};
use train::report::format::{bytes, compact, grouped};
use train::report::median;

use crate::commands::table::Facts;

/// Newest steps whose speed counts.
const RECENT_STEPS: usize = 100;

/// A run in a few figures.
#[derive(Clone, Debug)]
pub struct RunSummary {
    /// Its directory.
    pub path: PathBuf,
    /// The directory's own name.
    pub name: String,
    /// How it stands: `running` where a process holds its lock, `finished` after as many steps as
    /// its recipe says, else `stopped`; `damaged` where metrics or recipe cannot be read.
    pub state: &'static str,
    /// Why they cannot be read.
    pub problem: Option<String>,
    /// Steps done.
    pub step: u64,
    /// Steps asked for.
    pub total_steps: Option<u64>,
    /// Tokens seen.
    pub tokens: Option<u64>,
    /// Training loss of the newest step, in nats.
    pub loss: Option<f64>,
    /// The best checkpoint.
    pub best: Option<Best>,
    /// How the newest evaluation went.
    pub eval: Option<Scores>,
    /// Median of the newest steps.
    pub tokens_per_s: Option<f64>,
    /// All its files.
    pub bytes: u64,
    /// When its metrics were last written.
    pub modified: Option<SystemTime>,
    /// Its recipe.
    pub recipe: Table,
}

impl RunSummary {
    /// Reads what there is; what cannot be read makes it damaged.
    pub fn read(path: &Path) -> Self {
        let metrics_path = path.join(METRICS_FILE);
        let mut problem = None;
        let (mut rows, mut recipe) = (vec![], Table::new());
        if metrics_path.exists() {
            match metrics::read::<MetricsRow>(&metrics_path) {
                Ok(found) => rows = found,
                Err(error) => problem = Some(error.to_string()),
            }
        }
        match read_recipe(path) {
            Ok(found) => recipe = found,
            Err(error) => _ = problem.get_or_insert(error),
        }
        let best = RunDir::open(path).and_then(|run| run.best()).unwrap_or_else(|error| {
            problem.get_or_insert(error.to_string());
            None
        });
        let (steps, evals) = metrics::split(rows);
        let total_steps = recipe.get("train").and_then(|train| train.get("steps")?.as_integer());
        let total_steps = total_steps.and_then(|steps| u64::try_from(steps).ok());
        let step = steps.last().map_or(0, |row| row.step);
        let modified = fs::metadata(&metrics_path).or_else(|_| fs::metadata(path));
        Self {
            path: path.to_owned(),
            name: name(path),
            state: match &problem {
                Some(_) => "damaged",
                None if is_locked(path) => "running",
                None if total_steps.is_some_and(|total| step >= total) => "finished",
                None => "stopped",
            },
            problem,
            step,
            total_steps,
            tokens: steps.last().map(|row| row.tokens),
            loss: steps.last().map(|row| row.loss),
            best,
            eval: evals.into_iter().next_back().map(|row| row.eval),
            tokens_per_s: median(steps.iter().rev().take(RECENT_STEPS).map(|row| row.tokens_per_s)),
            bytes: size(path),
            modified: modified.and_then(|metadata| metadata.modified()).ok(),
            recipe,
        }
    }

    /// `300` or `300/1000`.
    pub fn steps_text(&self) -> String {
        self.total_steps.map_or_else(|| self.step.to_string(), |n| format!("{}/{n}", self.step))
    }

    /// `1.2345 bits/byte`, `nats`, or a metric of the task.
    pub fn best_text(&self, best: &Best) -> String {
        let (name, value) = self.best_of(best.metric);
        format!("{value:.4} {name}")
    }

    fn best_of(&self, noted: f64) -> (&str, f64) {
        self.eval.as_ref().map_or(("bits/byte", noted), |eval| eval.best_of(noted))
    }

    /// Seconds since its metrics were written.
    pub fn age_s(&self) -> Option<f64> {
        Some(self.modified?.elapsed().unwrap_or_default().as_secs_f64())
    }

    /// All of it but the recipe, for people and for programs.
    pub fn facts(&self) -> Facts {
        let since = self.modified.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let decimals = |x: f64| format!("{x:.4}");
        Facts::default()
            .text("name", &self.name)
            .text("path", self.path.display())
            .text("state", self.state)
            .perhaps("problem", self.problem.clone(), |problem| problem)
            .count("step", self.step)
            .perhaps("total_steps", self.total_steps, grouped)
            .perhaps("tokens", self.tokens, grouped)
            .perhaps("loss", self.loss, decimals)
            .perhaps(
                &match self.best_of(0.0).0 {
                    "bits/byte" => "best_bits_per_byte".to_owned(),
                    "nats" => "best_loss".to_owned(),
                    metric => format!("best_{metric}"),
                },
                self.best.map(|best| self.best_of(best.metric).1),
                decimals,
            )
            .perhaps("best_step", self.best.map(|best| best.step), grouped)
            .perhaps("tokens_per_s", self.tokens_per_s, compact)
            .with("bytes", self.bytes, bytes(self.bytes))
            .perhaps("modified_unix_s", since.map(|since| since.as_secs()), |s| s.to_string())
    }

    /// [`Self::facts`] for programs.
    pub fn to_json(&self) -> Value {
        self.facts().end().1
    }
}

fn name(path: &Path) -> String {
    let absolute = path.canonicalize();
    let path = absolute.as_deref().unwrap_or(path);
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn read_recipe(path: &Path) -> Result<Table, String> {
    let path = path.join(recipe::FILE_NAME);
    if !path.exists() {
        return Ok(Table::new());
    }
    let text = fs::read_to_string(&path).map_err(|error| error.to_string());
    text.and_then(|text| text.parse::<Table>().map_err(|error| error.message().to_owned()))
        .map_err(|error| format!("`{}` cannot be read: {error}", path.display()))
}

/// Whether a process holds the run's lock. A shared try disturbs nobody for longer than itself.
fn is_locked(path: &Path) -> bool {
    let lock = File::open(path.join(".lock")).map(|file| file.try_lock_shared());
    matches!(lock, Ok(Err(TryLockError::WouldBlock)))
}

/// Bytes of all files below; links are not followed.
fn size(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    let of_entry = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(of_entry).sum()
}
