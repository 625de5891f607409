//! `lyceum runs`: the runs below a directory, and some of them side by side.

mod compare;
mod summary;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use train::report::format::{bytes, compact, duration};

pub use self::summary::{RunSummary, State};
use super::table::Table;
use super::{print, print_json};
use crate::cli::{Runs, RunsCommand};
use crate::environment::Env;
use crate::failure::{Exit, Failure};

/// Where `lyceum pretrain` puts runs.
pub const DEFAULT_DIR: &str = "runs";

/// Lists runs, or compares some.
///
/// # Errors
/// Where a directory cannot be read.
pub fn run(args: &Runs, env: &Env) -> Result<Exit, Failure> {
    if let Some(RunsCommand::Compare { runs, json }) = &args.command {
        return compare::run(runs, *json);
    }
    let dir = args.dir.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_DIR));
    let mut runs = match &args.dir {
        None if !dir.exists() => vec![],
        _ => find(&dir)?.iter().map(|path| RunSummary::read(path)).collect::<Vec<_>>(),
    };
    runs.sort_by(|a, b| b.modified.cmp(&a.modified).then_with(|| a.name.cmp(&b.name)));
    if args.json {
        return print_json(&runs.iter().map(RunSummary::to_json).collect::<Value>());
    }
    if runs.is_empty() {
        env.say(&format!("no runs in `{}`; `lyceum pretrain` makes one", dir.display()));
        return Ok(Exit::Done);
    }
    for run in &runs {
        if let State::Damaged(problem) = &run.state {
            env.warn(&format!("run `{}`: {problem}", run.path.display()));
        }
    }
    print(&list(&runs))
}

/// The run directories in `dir`, or `dir` where it is one.
fn find(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    if is_run(dir) {
        return Ok(vec![dir.to_owned()]);
    }
    let failed = |error| Failure::read(dir, &error);
    let mut found = vec![];
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if is_run(&path) {
            found.push(path);
        }
    }
    Ok(found)
}

/// Whether a directory is that of a run.
pub fn is_run(path: &Path) -> bool {
    path.join("checkpoints").is_dir()
}

fn list(runs: &[RunSummary]) -> String {
    let head = ["run", "step", "state", "loss", "best bits/byte", "tokens/s", "size", "when"];
    let mut table = Table::new(&head);
    for run in runs {
        table.row(&[
            run.name.clone(),
            run.steps_text(),
            run.state.name().to_owned(),
            run.loss.map_or_else(unknown, |loss| format!("{loss:.4}")),
            run.best.map_or_else(unknown, |best| format!("{:.4}", best.metric)),
            run.tokens_per_s.map_or_else(unknown, compact),
            bytes(run.bytes),
            run.age_s().map_or_else(unknown, |age| format!("{} ago", duration(age))),
        ]);
    }
    table.text()
}

fn unknown() -> String {
    "-".to_owned()
}
