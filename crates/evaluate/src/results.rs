//! What was measured, as files: `results.json` of a folder and a log of every task beside it.
//!
//! A log has a document a line: what was asked, what came, and what each metric makes of it. So
//! numbers can be put together again, and runs compared document by document.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use metrics::{Bootstrap, MetricError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use twox_hash::XxHash3_64;

use crate::error::{EvalError, Result, undefined};
use crate::metric::{Item, Kind};
use crate::run::{Response, Scored};
use crate::task::{Gold, Request, Sample, Task};

/// The file of the numbers.
pub const RESULTS_FILE: &str = "results.json";
/// The longest line of a log, and the largest file of numbers.
const BYTES_MAX: u64 = 64 << 20;

/// All that was measured of one model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The model, as it was named.
    pub model: String,
    /// What it was computed in: `f32`, `bf16`.
    pub precision: String,
    /// Whether prompts were conversations.
    pub chat: bool,
    /// What drew examples and resamples.
    pub seed: u64,
    /// Its tasks.
    pub tasks: Vec<TaskResult>,
}

/// What was measured in one task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskResult {
    /// Its name.
    pub task: String,
    /// Which requests it makes.
    pub output_type: String,
    /// Documents.
    pub n_docs: usize,
    /// Examples before each.
    pub n_shots: usize,
    /// The numbers.
    pub metrics: Vec<MetricResult>,
}

/// A number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricResult {
    /// What it is.
    pub metric: String,
    /// What was made of texts first; `none` for nothing.
    pub filter: String,
    /// The number; none where it is not defined.
    pub value: Option<f64>,
    /// Why it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undefined: Option<String>,
    /// Its standard error.
    pub stderr: Option<f64>,
    /// Where it lies, by resampling documents.
    pub interval: Option<[f64; 2]>,
    /// Whether more is better.
    pub larger_is_better: bool,
}

/// What a metric makes of a document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoggedItem {
    /// Which metric.
    pub metric: String,
    /// What was made of the text first.
    pub filter: String,
    /// What it gives.
    pub item: Item,
}

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logged {
    /// The document's number in its split.
    pub doc_id: usize,
    /// Of its text: documents of two logs are the same where this is.
    pub doc_hash: String,
    /// Where it stands.
    pub at: String,
    /// Its columns.
    pub doc: Value,
    /// What is right: numbers of choices, or texts; of tags, where others were said.
    pub right: Value,
    /// What was asked: pairs of context and continuation, or texts; of a head, the document.
    pub requests: Value,
    /// What came of each: a log-likelihood and whether it is greedy, or a text; what a head said.
    pub responses: Value,
    /// What was compared, by the way that it was made.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub compared: BTreeMap<String, String>,
    /// What each metric makes of it.
    pub items: Vec<LoggedItem>,
}

impl Logged {
    /// A line for `sample`.
    pub fn new(sample: &Sample, responses: &[Response], scored: &Scored) -> Self {
        let request = |request: &Request| match request {
            Request::Continuation { context, continuation } => json!([context, continuation]),
            Request::Whole(text) | Request::Generate(text) => json!(text),
        };
        let doc = Value::Object(sample.doc.clone());
        let right = match &sample.gold {
            Gold::Choices(right) => json!(right),
            Gold::Texts(right) => json!(right),
        };
        let items = scored.by_pipeline.iter().flat_map(|(filter, items)| {
            items.iter().map(|(kind, item)| LoggedItem {
                metric: kind.name().to_owned(),
                filter: filter.clone(),
                item: item.clone(),
            })
        });
        let compared = scored.by_pipeline.iter().zip(&scored.compared);
        let compared =
            compared.filter_map(|((filter, _), text)| Some((filter.clone(), text.clone()?)));
        Self {
            doc_id: sample.doc_id,
            doc_hash: hash(&doc.to_string()),
            at: sample.at.to_string(),
            requests: sample.requests.iter().map(request).collect(),
            responses: responses.iter().map(Response::to_json).collect(),
            compared: compared.collect(),
            items: items.collect(),
            doc,
            right,
        }
    }
}

/// Of a document.
pub(crate) fn hash(doc: &str) -> String {
    format!("{:016x}", XxHash3_64::oneshot(doc.as_bytes()))
}

impl TaskResult {
    /// Puts together what a log has.
    pub fn new(task: &Task, log: &[Logged], how: &Bootstrap) -> Self {
        let measure = |found: &LoggedItem, at: usize| {
            let kind = Kind::find(&found.metric);
            let items: Vec<Item> = log.iter().map(|line| line.items[at].item.clone()).collect();
            let measured = match kind {
                Some(kind) => kind.gathered(&items).and_then(|all| all.measure(how)),
                None => Err(MetricError::Empty { what: "known metric" }),
            };
            let (measured, undefined) = match measured {
                Ok(m) if !m.value.is_finite() => (None, Some(format!("it is {}", m.value))),
                Ok(m) => (Some(m), None),
                Err(error) => (None, Some(undefined(&error))),
            };
            MetricResult {
                metric: found.metric.clone(),
                filter: found.filter.clone(),
                value: measured.map(|m| m.value),
                undefined,
                stderr: measured.and_then(|m| m.stderr),
                interval: measured.and_then(|m| m.interval),
                larger_is_better: kind.is_some_and(Kind::larger_is_better),
            }
        };
        let items = log.first().map(|line| &line.items[..]).unwrap_or_default();
        Self {
            task: task.file.name.clone(),
            output_type: task.file.output.name().to_owned(),
            n_docs: log.len(),
            n_shots: task.file.n_shots,
            metrics: items.iter().enumerate().map(|(at, item)| measure(item, at)).collect(),
        }
    }
}

impl Results {
    /// Those of a folder.
    ///
    /// # Errors
    /// Where there are none.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(RESULTS_FILE);
        let wrong = |line, problem: String| EvalError::Log { path: path.clone(), line, problem };
        let bytes = mapped::read_small(&path, BYTES_MAX).map_err(|e| wrong(None, e.to_string()))?;
        serde_json::from_slice(&bytes).map_err(|e| wrong(Some(e.line()), e.to_string()))
    }

    /// As it is written.
    ///
    /// # Panics
    /// Never: there is nothing in it that is no JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain values") + "\n"
    }
}

/// The file of a task's log in a folder; a name may be only so long, and ends differ.
pub fn log_path(dir: &Path, task: &str) -> PathBuf {
    let plain = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name = task.chars().skip(task.chars().count().saturating_sub(60)).map(plain);
    dir.join(format!("samples_{}.jsonl", name.collect::<String>()))
}

/// The text of a log.
///
/// # Panics
/// Never: there is nothing in it that is no JSON.
pub fn log_text(log: &[Logged]) -> String {
    let line = |line: &Logged| serde_json::to_string(line).expect("plain values") + "\n";
    log.iter().map(line).collect()
}

/// Reads a task's log.
///
/// # Errors
/// Where it is not there, or not what is written here.
pub fn read_log(dir: &Path, task: &str) -> Result<Vec<Logged>> {
    let path = log_path(dir, task);
    let read = |source| EvalError::Read { path: path.clone(), source };
    let mut file = BufReader::new(File::open(&path).map_err(read)?);
    if fs::metadata(&path).map_err(read)?.len() == 0 {
        let problem = "it is empty".to_owned();
        return Err(EvalError::Log { path: path.clone(), line: None, problem });
    }
    let mut log: Vec<Logged> = Vec::new();
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        if file.by_ref().take(BYTES_MAX + 1).read_until(b'\n', &mut bytes).map_err(read)? == 0 {
            return Ok(log);
        }
        let line = Some(log.len() + 1);
        let wrong = |problem: String| EvalError::Log { path: path.clone(), line, problem };
        if bytes.len() as u64 > BYTES_MAX {
            return Err(wrong(format!("it is longer than {BYTES_MAX} bytes")));
        }
        let line: Logged = serde_json::from_slice(&bytes).map_err(|e| wrong(e.to_string()))?;
        let same =
            |a: &LoggedItem, b: &LoggedItem| (&a.metric, &a.filter) == (&b.metric, &b.filter);
        if let Some(first) = log.first() {
            let is_like = first.items.len() == line.items.len()
                && first.items.iter().zip(&line.items).all(|(a, b)| same(a, b));
            if !is_like {
                return Err(wrong("it has other metrics than the first line".to_owned()));
            }
        }
        log.push(line);
    }
}
