//! Whether one model is better than another on the same documents, or only seems to be.

use std::path::Path;

use metrics::Bootstrap;
use metrics::paired::{Discordant, bootstrap};
use serde::Serialize;

use crate::error::{EvalError, Result};
use crate::metric::{Item, Kind};
use crate::results::{Logged, Results, read_log};

/// Two values of one metric.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// In which task.
    pub task: String,
    /// Of which metric.
    pub metric: String,
    /// What was made of texts first.
    pub filter: String,
    /// Documents.
    pub n_docs: usize,
    /// The first model's, and the second's.
    pub values: [f64; 2],
    /// Where the second's less the first's lies, by resampling documents.
    pub interval: Option<[f64; 2]>,
    /// How often chance alone differs as much.
    pub p: f64,
    /// By which test.
    pub test: &'static str,
    /// Whether more is better.
    pub larger_is_better: bool,
}

/// Compares what two folders hold, task by task.
///
/// # Errors
/// Where they have other tasks, or other documents in one.
pub fn compare(folders: [&Path; 2], how: &Bootstrap) -> Result<Vec<Compared>> {
    let [first, second] = folders.map(Results::read);
    let (first, second) = (first?, second?);
    let names = |results: &Results| -> Vec<String> {
        let mut names: Vec<String> = results.tasks.iter().map(|task| task.task.clone()).collect();
        names.sort();
        names
    };
    let [a, b] = [names(&first), names(&second)];
    if a != b {
        let problem =
            format!("the folders have other tasks: `{}` and `{}`", a.join("`, `"), b.join("`, `"));
        return Err(EvalError::refused(problem, "run both models on the same tasks"));
    }
    let mut all = Vec::new();
    for task in &first.tasks {
        let [a, b] = folders.map(|dir| read_log(dir, &task.task));
        all.extend(logs(&task.task, (&a?, &b?), how)?);
    }
    Ok(all)
}

/// Compares two logs of one task.
fn logs(task: &str, (a, b): (&[Logged], &[Logged]), how: &Bootstrap) -> Result<Vec<Compared>> {
    let hint = "compare runs on the same documents: the same file, split and `--limit`";
    if a.len() != b.len() {
        let problem = format!("`{task}`: {} documents and {}", a.len(), b.len());
        return Err(EvalError::refused(problem, hint));
    }
    let differs = |(a, b): &(&Logged, &Logged)| a.doc_id != b.doc_id || a.doc_hash != b.doc_hash;
    if let Some((a, b)) = a.iter().zip(b).find(differs) {
        let problem = format!("`{task}`: other documents: {} is not {}", a.at, b.at);
        return Err(EvalError::refused(problem, hint));
    }
    let mut all = Vec::new();
    let metrics = a.first().map(|line| &line.items[..]).unwrap_or_default();
    for (at, found) in metrics.iter().enumerate() {
        let same = |other: &Logged| {
            other.items.iter().position(|o| o.metric == found.metric && o.filter == found.filter)
        };
        let (Some(kind), Some(other)) = (Kind::find(&found.metric), b.first().and_then(same))
        else {
            continue;
        };
        let items = |log: &[Logged], at: usize| -> Vec<Item> {
            log.iter().map(|line| line.items[at].item.clone()).collect()
        };
        let (a, b) = (items(a, at), items(b, other));
        let (values, p, interval, test) = one(kind, (&a, &b), how)?;
        all.push(Compared {
            task: task.to_owned(),
            metric: found.metric.clone(),
            filter: found.filter.clone(),
            n_docs: a.len(),
            values,
            interval,
            p,
            test,
            larger_is_better: kind.larger_is_better(),
        });
    }
    Ok(all)
}

type Found = ([f64; 2], f64, Option<[f64; 2]>, &'static str);

/// The exact test of `McNemar` where documents are right or wrong, else a paired bootstrap.
fn one(kind: Kind, (a, b): (&[Item], &[Item]), how: &Bootstrap) -> Result<Found> {
    let (first, second) = (kind.gathered(a)?, kind.gathered(b)?);
    let n = a.len();
    let all: Vec<usize> = (0..n).collect();
    let values = [first.value(&all)?, second.value(&all)?];
    let apart = |of: &[usize]| Ok(second.value(of)? - first.value(of)?);
    let interval = how.interval(n, apart).ok().map(|interval| [interval.low, interval.high]);
    let is_right = |items: &[Item]| -> Option<Vec<bool>> {
        let is = |item: &Item| match item {
            Item::Number(x) if *x == 0.0 || *x == 1.0 => Some(*x == 1.0),
            _ => None,
        };
        items.iter().map(is).collect()
    };
    if let (Some(first), Some(second)) = (is_right(a), is_right(b)) {
        let p = Discordant::new(&first, &second)?.mcnemar().p;
        return Ok((values, p, interval, "McNemar"));
    }
    let p = bootstrap(n, how, apart)?.p;
    Ok((values, p, interval, "paired bootstrap"))
}
