//! Whether one model is better than another on the same documents, or only seems to be.

use std::path::Path;

use metrics::paired::{Discordant, bootstrap};
use metrics::{Bootstrap, MetricError};
use serde::Serialize;

use crate::error::{EvalError, Result, undefined};
use crate::metric::{Item, Kind};
use crate::results::{Logged, Results, log_path, read_log};

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
    /// Whether more is better.
    pub larger_is_better: bool,
    /// What was found; none where there is nothing to compare.
    #[serde(flatten)]
    pub found: Option<Difference>,
    /// Why there is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undefined: Option<String>,
}

/// How far two models are apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The first model's, and the second's.
    pub values: [f64; 2],
    /// Where the second's less the first's lies, by resampling documents.
    pub interval: Option<[f64; 2]>,
    /// How often chance alone differs as much.
    pub p: f64,
    /// By which test.
    pub test: &'static str,
}

/// Compares what two folders hold, task by task. A metric that only one has, or that is not defined
/// of one, is among what comes, with the reason.
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
        if folders.iter().any(|dir| !log_path(dir, &task.task).exists()) {
            let problem = format!("`{}` has no log of documents", task.task);
            let hint = "what is judged without a head has none: `lyceum eval leaderboard` puts \
                        it side by side";
            return Err(EvalError::refused(problem, hint));
        }
        let [a, b] = folders.map(|dir| read_log(dir, &task.task));
        all.extend(logs(&task.task, (&a?, &b?), how)?);
    }
    Ok(all)
}

/// Compares two logs of one task.
fn logs(task: &str, (a, b): (&[Logged], &[Logged]), how: &Bootstrap) -> Result<Vec<Compared>> {
    let hint =
        "compare runs on the same documents: the same file, split, `--limit`, order of classes";
    if a.len() != b.len() {
        let problem = format!("`{task}`: {} documents and {}", a.len(), b.len());
        return Err(EvalError::refused(problem, hint));
    }
    let differs = |(a, b): &(&Logged, &Logged)| a.doc_id != b.doc_id || a.doc_hash != b.doc_hash;
    if let Some((a, b)) = a.iter().zip(b).find(differs) {
        let problem = format!("`{task}`: other documents: {} is not {}", a.at, b.at);
        return Err(EvalError::refused(problem, hint));
    }
    let metrics = |log: &[Logged]| -> Vec<(String, String)> {
        let items = log.first().map(|line| &line.items[..]).unwrap_or_default();
        items.iter().map(|item| (item.metric.clone(), item.filter.clone())).collect()
    };
    let [of_a, of_b] = [metrics(a), metrics(b)];
    let others = of_b.iter().filter(|name| !of_a.contains(name));
    let compared = |(metric, filter): &(String, String)| {
        let items = |log: &[Logged], of: &[(String, String)]| -> Option<Vec<Item>> {
            let at = of.iter().position(|(m, f)| (m, f) == (metric, filter))?;
            Some(log.iter().map(|line| line.items[at].item.clone()).collect())
        };
        let kind = Kind::find(metric);
        let found = match (kind, items(a, &of_a), items(b, &of_b)) {
            (None, ..) => Err("no metric is called so".to_owned()),
            (_, _, None) => Err("the second has it not".to_owned()),
            (_, None, _) => Err("the first has it not".to_owned()),
            (Some(kind), Some(a), Some(b)) => {
                one(kind, (&a, &b), how).map_err(|error| undefined(&error))
            }
        };
        let (found, undefined) = match found {
            Ok(found) => (Some(found), None),
            Err(why) => (None, Some(why)),
        };
        Compared {
            task: task.to_owned(),
            metric: metric.clone(),
            filter: filter.clone(),
            n_docs: a.len(),
            larger_is_better: kind.is_some_and(Kind::larger_is_better),
            found,
            undefined,
        }
    };
    Ok(of_a.iter().chain(others).map(compared).collect())
}

/// The exact test of `McNemar` where documents are right or wrong, else a paired bootstrap.
fn one(kind: Kind, (a, b): (&[Item], &[Item]), how: &Bootstrap) -> Result<Difference, MetricError> {
    let (first, second) = (kind.gathered(a)?, kind.gathered(b)?);
    let n = a.len();
    let all: Vec<usize> = (0..n).collect();
    let values = [first.value(&all)?, second.value(&all)?];
    let apart = |of: &[usize]| Ok(second.value(of)? - first.value(of)?);
    let interval = how.interval(n, apart).ok().map(|interval| [interval.low, interval.high]);
    let is_right = |items: &[Item]| -> Option<Vec<bool>> {
        let is = |item: &Item| match item {
            // Of answers in a context, per cent.
            Item::Number(x) if [0.0, 1.0, 100.0].contains(x) => Some(*x > 0.0),
            Item::Classes(right, said) if kind.name() == "accuracy" => Some(right == said),
            _ => None,
        };
        items.iter().map(is).collect()
    };
    if let (Some(first), Some(second)) = (is_right(a), is_right(b)) {
        let p = Discordant::new(&first, &second)?.mcnemar().p;
        return Ok(Difference { values, interval, p, test: "McNemar" });
    }
    let p = bootstrap(n, how, apart)?.p;
    Ok(Difference { values, interval, p, test: "paired bootstrap" })
}
