//! `lyceum eval`: a model measured, and what was measured looked at again.

mod heads;
mod tasks;
pub mod text;
mod tuned;

use std::path::{Path, PathBuf};

use checkpoint::{OsDisk, atomic};
use evaluate::{Compared, Leaderboard, Results, compare};
use metrics::Bootstrap;
use serde_json::json;

use super::table::Table;
use super::{print, show};
use crate::cli::{Eval, EvalCommand};
use crate::environment::Env;
use crate::failure::{Exit, Failure};

/// Does what is asked for.
///
/// # Errors
/// Where a file or the model is refused.
pub fn run(args: &Eval, env: &Env) -> Result<Exit, Failure> {
    match (&args.command, &args.model) {
        (Some(EvalCommand::Compare { first, second, seed, json }), _) => {
            let how = Bootstrap { seed: *seed, ..Bootstrap::default() };
            let compared = compare([first, second], &how)?;
            show(*json, (table(&compared), json!(compared)))
        }
        (Some(EvalCommand::Leaderboard { folders, out }), _) => board(folders, out.as_deref()),
        (None, Some(model)) if !args.data.is_empty() => {
            let learned = tuned::recipe(model, args)?;
            match learned.clone().and_then(tuned::of_no_head) {
                Some(learned) => tuned::run(model, learned, args, env),
                None => heads::run(model, learned.unwrap_or_default(), args, env),
            }
        }
        (None, Some(model)) if !args.task.is_empty() => tasks::run(model, args, env),
        (None, Some(model)) => text::run(model, args, env),
        (None, None) => unreachable!("the model is required"),
    }
}

/// Refuses to write over numbers of before.
fn refuse_existing(out: Option<&Path>, files: &[&str]) -> Result<(), Failure> {
    let mut paths = out.iter().flat_map(|out| files.iter().map(|file| out.join(file)));
    match paths.find(|path| path.exists()) {
        None => Ok(()),
        Some(path) => Err(Failure::new(format!("`{}` is there already", path.display()))
            .hint("name another directory in `--out`")),
    }
}

fn table(compared: &[Compared]) -> String {
    let head = ["task", "metric", "first", "second", "difference", "95 %", "p", "test"];
    let mut table = Table::new(&head);
    for one in compared {
        let metric = match &*one.filter {
            "none" => one.metric.clone(),
            filter => format!("{} ({filter})", one.metric),
        };
        let Some(found) = &one.found else {
            let why = one.undefined.as_deref().unwrap_or_default();
            let cells = [one.task.as_str(), &metric, "", "", "undefined", "", "", why];
            table.row(&cells);
            continue;
        };
        let [first, second] = found.values;
        let interval = found.interval.map(|[a, b]| format!("{a:+.4} .. {b:+.4}"));
        table.row(&[
            one.task.clone(),
            metric,
            format!("{first:.4}"),
            format!("{second:.4}"),
            format!("{:+.4}", second - first),
            interval.unwrap_or_default(),
            format!("{:.4}", found.p),
            found.test.to_owned(),
        ]);
    }
    table.text()
}

fn board(folders: &[PathBuf], out: Option<&Path>) -> Result<Exit, Failure> {
    let all: Vec<Results> =
        folders.iter().map(|dir| Results::read(dir)).collect::<Result<_, _>>()?;
    let board = Leaderboard::new(&all);
    let Some(path) = out else { return print(&board.markdown()) };
    let end = path.extension().and_then(|end| end.to_str());
    let text = match end {
        Some("html") => board.html(),
        Some("md") => board.markdown(),
        _ => {
            let problem = format!("`--out` is `{}`", path.display());
            return Err(Failure::new(problem).hint("name a file that ends in `.html` or `.md`"));
        }
    };
    atomic::write_file(&OsDisk, path, text.as_bytes())?;
    Ok(Exit::Done)
}
