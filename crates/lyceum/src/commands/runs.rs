//! `lyceum runs`: the runs below a directory, and some of them side by side.

mod summary;

use std::path::{Path, PathBuf};
use std::{fs, io};

use ::checkpoint::CheckpointError;
use serde_json::{Map, Value, json};
use train::report::format::{bytes, compact, duration, grouped};

pub use self::summary::RunSummary;
use super::table::{Table, or_dash};
use super::{Shown, show};
use crate::cli::{Runs, RunsCommand};
use crate::environment::Env;
use crate::failure::{Context, Exit, Failure};
use recipe::differences;
pub use recipe::is_run;

/// Where `lyceum pretrain` puts runs.
pub const DEFAULT_DIR: &str = "runs";

/// Lists runs, or compares some.
///
/// # Errors
/// Where a directory cannot be read.
pub fn run(args: &Runs, env: &Env) -> Result<Exit, Failure> {
    if let Some(RunsCommand::Compare { runs, json }) = &args.command {
        return show(*json, compare(runs)?);
    }
    let dir = args.dir.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_DIR));
    let mut runs = match &args.dir {
        None if !dir.exists() => vec![],
        _ => find(&dir)?.iter().map(|path| RunSummary::read(path)).collect::<Vec<_>>(),
    };
    runs.sort_by(|a, b| b.modified.cmp(&a.modified).then_with(|| a.name.cmp(&b.name)));
    if !args.json {
        if runs.is_empty() {
            env.say(&format!("no runs in `{}`; `lyceum pretrain` makes one", dir.display()));
            return Ok(Exit::Done);
        }
        for (run, problem) in runs.iter().filter_map(|run| Some((run, run.problem.as_ref()?))) {
            env.warn(&format!("run `{}`: {problem}", run.path.display()));
        }
    }
    show(args.json, (list(&runs), runs.iter().map(RunSummary::to_json).collect()))
}

/// The run directories in `dir`, or `dir` where it is one.
fn find(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    if is_run(dir) {
        return Ok(vec![dir.to_owned()]);
    }
    Ok(paths_in(dir)?.into_iter().filter(|path| is_run(path)).collect())
}

/// What a directory holds, sorted.
pub fn paths_in(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut paths: Vec<_> = entries.reading(dir)?.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    Ok(paths)
}

fn list(runs: &[RunSummary]) -> String {
    let head = ["run", "step", "state", "loss", "best", "tokens/s", "size", "when"];
    let mut table = Table::new(&head);
    for run in runs {
        table.row(&[
            run.name.clone(),
            run.steps_text(),
            run.state.to_owned(),
            or_dash(run.loss, |loss| format!("{loss:.4}")),
            or_dash(run.best, |best| run.best_text(&best)),
            or_dash(run.tokens_per_s, compact),
            bytes(run.bytes),
            or_dash(run.age_s(), |age| format!("{} ago", duration(age))),
        ]);
    }
    table.text()
}

/// Results side by side, and which keys of the recipes differ.
fn compare(paths: &[PathBuf]) -> Result<Shown, Failure> {
    for path in paths {
        path.metadata().reading(path)?;
        if !is_run(path) {
            return Err(CheckpointError::NotARun { path: path.clone() }.into());
        }
    }
    let runs: Vec<_> = paths.iter().map(|path| RunSummary::read(path)).collect();
    let mut table = Table::default();
    let mut row = |name: &str, value: &dyn Fn(&RunSummary) -> String| {
        let cells = [name.to_owned()].into_iter().chain(runs.iter().map(value));
        table.row(&cells.collect::<Vec<_>>());
    };
    row("run", &|run| run.name.clone());
    row("state", &|run| run.state.to_owned());
    row("step", &RunSummary::steps_text);
    row("tokens", &|run| or_dash(run.tokens, grouped));
    row("loss", &|run| or_dash(run.loss, |loss| format!("{loss:.4}")));
    row("best", &|run| {
        or_dash(run.best, |best| format!("{} at {}", run.best_text(&best), best.step))
    });
    row("tokens/s", &|run| or_dash(run.tokens_per_s, compact));
    let recipes: Vec<_> = runs.iter().map(|run| run.recipe.clone()).collect();
    let mut differing = Map::new();
    for (key, values) in differences(&recipes) {
        let values: Vec<String> =
            values.into_iter().map(|value| or_dash(value, |value| value)).collect();
        table.row(&[std::slice::from_ref(&key), &values].concat());
        differing.insert(key, values.into());
    }
    let summaries = runs.iter().map(RunSummary::to_json).collect::<Value>();
    Ok((table.text(), json!({"runs": summaries, "recipe_differences": differing})))
}
