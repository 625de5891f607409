//! `lyceum runs compare`: results side by side, and which keys of the recipes differ.

use std::collections::BTreeSet;
use std::path::PathBuf;

use ::checkpoint::CheckpointError;
use serde_json::{Value, json};
use train::report::format::{compact, grouped};

use super::{RunSummary, is_run, unknown};
use crate::commands::table::Table;
use crate::commands::{print, print_json};
use crate::failure::{Exit, Failure};

/// Compares the runs.
///
/// # Errors
/// Where one of them is no run.
pub fn run(paths: &[PathBuf], json: bool) -> Result<Exit, Failure> {
    for path in paths {
        path.metadata().map_err(|error| Failure::read(path, &error))?;
        if !is_run(path) {
            return Err(CheckpointError::NotARun { path: path.clone() }.into());
        }
    }
    let runs: Vec<_> = paths.iter().map(|path| RunSummary::read(path)).collect();
    let differences = differences(&runs);
    if json {
        let differences = differences.into_iter().map(|(key, values)| (key, json!(values)));
        return print_json(&json!({
            "runs": runs.iter().map(RunSummary::to_json).collect::<Value>(),
            "recipe_differences": differences.collect::<serde_json::Map<_, _>>(),
        }));
    }
    print(&side_by_side(&runs, &differences))
}

fn side_by_side(runs: &[RunSummary], differences: &[(String, Vec<String>)]) -> String {
    let mut table = Table::default();
    let mut row = |name: &str, value: &dyn Fn(&RunSummary) -> String| {
        let values = runs.iter().map(value);
        table.row(&[name.to_owned()].into_iter().chain(values).collect::<Vec<_>>());
    };
    let best = |run: &RunSummary| {
        run.best.map_or_else(unknown, |best| format!("{:.4} at {}", best.metric, best.step))
    };
    row("run", &|run| run.name.clone());
    row("state", &|run| run.state.name().to_owned());
    row("step", &RunSummary::steps_text);
    row("tokens", &|run| run.tokens.map_or_else(unknown, grouped));
    row("loss", &|run| run.loss.map_or_else(unknown, |loss| format!("{loss:.4}")));
    row("best bits/byte", &best);
    row("tokens/s", &|run| run.tokens_per_s.map_or_else(unknown, compact));
    for (key, values) in differences {
        table.row(&[std::slice::from_ref(key), values].concat());
    }
    table.text()
}

/// Every key that the recipes do not agree on, with its value in each.
fn differences(runs: &[RunSummary]) -> Vec<(String, Vec<String>)> {
    let flat: Vec<Vec<(String, String)>> = runs
        .iter()
        .map(|run| {
            let mut keys = vec![];
            flatten("", &toml::Value::Table(run.recipe.clone()), &mut keys);
            keys
        })
        .collect();
    let keys: BTreeSet<&String> = flat.iter().flatten().map(|(key, _)| key).collect();
    let values = |key: &String| {
        let value = |keys: &Vec<(String, String)>| {
            keys.iter().find(|(k, _)| k == key).map_or_else(unknown, |(_, value)| value.clone())
        };
        (key.clone(), flat.iter().map(value).collect::<Vec<_>>())
    };
    let differ = |(_, values): &(String, Vec<String>)| values.iter().any(|v| *v != values[0]);
    keys.into_iter().map(values).filter(differ).collect()
}

fn flatten(prefix: &str, value: &toml::Value, into: &mut Vec<(String, String)>) {
    let toml::Value::Table(table) = value else {
        return into.push((prefix.to_owned(), value.to_string()));
    };
    for (key, value) in table {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        flatten(&path, value, into);
    }
}
