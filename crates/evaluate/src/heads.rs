//! Models with a head of their own for a task, measured on labelled records.
//!
//! Beside metrics: how often one class is taken for another, whether confidences are true, where
//! errors are (by what a column says, and by length), and the worst of them.

use std::collections::BTreeMap;

use datasets::{Input, Label as Truth, Record};
use metrics::calibration::{Bin, Binning, bins, ece, mce, temperature};
use metrics::classes::confusion;
use metrics::probabilities::{brier, log_loss};
use metrics::reading::{Answered, squad2};
use metrics::{Bootstrap, Counts, MetricError};
use models::HeadKind;
use serde::Serialize;
use serde_json::json;
use tasks::{
    Asked, Framed, Label, answers, are_entities, entities, is_of_answers, largest, probabilities,
    right, tagged,
};

use crate::error::{Result, undefined};
use crate::metric::{Item, Kind};
use crate::results::{Logged, LoggedItem, MetricResult, TaskResult, hash};

/// Bars of a reliability diagram.
const BINS: usize = 10;
/// Values of a column that are shown one by one.
const VALUES_MAX: usize = 20;
/// Errors that are shown.
const WORST: usize = 20;
/// Characters of a text that are shown.
const SHOWN_CHARS: usize = 300;

/// What a model says of records.
pub struct Judged<'a> {
    /// What it is asked.
    pub head: &'a HeadKind,
    /// What it was shown.
    pub framed: &'a [Framed],
    /// Of these.
    pub records: &'a [Record],
    /// The scores of each.
    pub scores: &'a [Vec<f32>],
}

/// Whether confidences are true.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// Expected calibration error, from 0 to 1.
    pub ece: f64,
    /// Maximum calibration error.
    pub mce: f64,
    /// Brier's score.
    pub brier: f64,
    /// Nats a record.
    pub log_loss: f64,
    /// What scores are to be divided by, where there is such a number.
    pub temperature: Option<f64>,
    /// The diagram: where a bin begins and ends, records, mean confidence, share that is right.
    pub bins: Vec<[f64; 5]>,
}

/// Records that have something in common.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Slice {
    /// A column, or `tokens`.
    pub column: String,
    /// What is in it.
    pub value: String,
    /// Records.
    pub n: usize,
    /// Their mean error: the share that is wrong, or how far from right.
    pub error: f64,
}

/// A record that was judged wrongly.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Worst {
    /// Where it stands.
    pub at: String,
    /// The beginning of its text.
    pub text: String,
    /// What is right.
    pub right: String,
    /// What was said.
    pub said: String,
    /// How wrong: the confidence in it, or how far from right.
    pub error: f64,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeadReport {
    /// Of what: `validation`, or `data` where there are no splits.
    pub split: String,
    /// Records with a label.
    pub n: usize,
    /// Its metrics, with intervals by resampling records; none of the answers of `MultiRC`.
    pub metrics: Vec<MetricResult>,
    /// Names of classes, where there are some.
    pub labels: Vec<String>,
    /// How often class or tag `i` was taken for `j`; rows are the truth.
    pub confusion: Option<Vec<Vec<u64>>>,
    /// Of classes and choices.
    pub calibration: Option<Calibration>,
    /// By columns, and by length.
    pub slices: Vec<Slice>,
    /// The most confident or the largest errors.
    pub worst: Vec<Worst>,
}

/// One record: how wrong, and what was said.
struct Outcome {
    record: usize,
    /// Its example, or the first of them.
    at: usize,
    n_tokens: usize,
    /// 0 or 1, or how far from right.
    error: f64,
    /// What errors are ordered by.
    weight: f64,
    right: String,
    said: String,
}

impl Judged<'_> {
    /// All that is known of `split`, and a log of it; `columns` are values of each record by the
    /// name of a column.
    ///
    /// # Errors
    /// Where there is no record with a label.
    pub fn report(
        &self,
        (split, metrics): (&str, &[String]),
        columns: &[(String, Vec<String>)],
        how: &Bootstrap,
    ) -> Result<(HeadReport, Vec<Logged>)> {
        let outcomes = self.outcomes();
        if outcomes.is_empty() {
            return Err(MetricError::Empty { what: "records with a label" }.into());
        }
        let mut log: Vec<Logged> = outcomes.iter().map(|outcome| self.logged(outcome)).collect();
        let mut measured = Vec::new();
        for name in metrics {
            let (metric, items) = self.metric(name, &outcomes, how);
            for (line, item) in log.iter_mut().zip(items) {
                let (metric, filter) = (metric.metric.clone(), metric.filter.clone());
                line.items.push(LoggedItem { metric, filter, item });
            }
            measured.push(metric);
        }
        let mut slices = lengths(&outcomes);
        for (name, values) in columns {
            slices.extend(by_value(name, |outcome| values[outcome.record].clone(), &outcomes));
        }
        let report = HeadReport {
            split: split.to_owned(),
            n: outcomes.len(),
            metrics: measured,
            labels: self.head.labels().to_vec(),
            confusion: self.confusion(&outcomes)?,
            calibration: self.calibration()?,
            slices,
            worst: self.worst(outcomes),
        };
        Ok((report, log))
    }

    /// Of classes and of tags.
    fn confusion(&self, outcomes: &[Outcome]) -> Result<Option<Vec<Vec<u64>>>> {
        let n_classes = self.head.labels().len();
        if n_classes == 0 {
            return Ok(None);
        }
        let pairs = outcomes.iter().flat_map(|of| match self.item("accuracy", of) {
            Some(Item::Classes(right, said)) => vec![[right, said]],
            Some(Item::Words(pairs)) => pairs,
            _ => Vec::new(),
        });
        let (truth, said): (Vec<usize>, Vec<usize>) = pairs.map(|[a, b]| (a, b)).unzip();
        let matrix = confusion(&truth, &said, n_classes)?;
        Ok(Some(matrix.chunks(n_classes).map(<[u64]>::to_vec).collect()))
    }

    /// A line of the log, before anything is measured.
    fn logged(&self, outcome: &Outcome) -> Logged {
        let record = &self.records[outcome.record];
        Logged {
            doc_id: outcome.record,
            // With the number of its class: where classes have another order, it is another.
            doc_hash: hash(&format!("{:?}", record.input)),
            at: record.at.to_string(),
            doc: json!({"id": record.id, "texts": record.input.texts()}),
            right: json!([outcome.right]),
            requests: json!([]),
            responses: json!([outcome.said]),
            compared: BTreeMap::new(),
            items: Vec::new(),
        }
    }

    /// A metric, and what each record gives it; nothing where a record is no sample by itself.
    fn metric(&self, name: &str, of: &[Outcome], how: &Bootstrap) -> (MetricResult, Vec<Item>) {
        let parts = (self.framed, self.records, self.head.labels());
        let value = tasks::metric(name, Asked::of(self.head), parts, self.scores);
        let items: Option<Vec<Item>> = of.iter().map(|of| self.item(name, of)).collect();
        let items = items.filter(|_| value.is_ok()).unwrap_or_default();
        let kind = Kind::find(name);
        let measured = kind.and_then(|kind| kind.gathered(&items).ok()?.measure(how).ok());
        let (value, undefined) = match value {
            Ok(value) => (Some(value), None),
            Err(error) => (None, Some(undefined(&error))),
        };
        let result = MetricResult {
            metric: name.to_owned(),
            filter: "none".to_owned(),
            value,
            undefined,
            stderr: measured.and_then(|measured| measured.stderr),
            interval: measured.and_then(|measured| measured.interval),
            larger_is_better: kind.is_none_or(Kind::larger_is_better),
        };
        (result, items)
    }

    /// What a record gives a metric; nothing of one of the answers to a question of `MultiRC`.
    fn item(&self, name: &str, outcome: &Outcome) -> Option<Item> {
        let (asked, labels, at) = (Asked::of(self.head), self.head.labels(), outcome.at);
        let (framed, scores) = (&self.framed[at], &self.scores[at]);
        Some(match (framed.example.label, &self.records[framed.record].input) {
            (Label::Class(_), _) if is_of_answers(name, asked) => {
                let one = (&self.framed[at..=at], self.records, labels);
                let value = tasks::metric(name, asked, one, &self.scores[at..=at]).ok();
                Item::Number(value.filter(|_| asked == Asked::Choice)?)
            }
            (Label::Class(_), _) => {
                Item::Classes(right(framed, self.records, scores)?, largest(scores))
            }
            (Label::Value(value), _) => Item::Values(f64::from(value), f64::from(scores[0])),
            (_, Input::Span { answers, .. }) => {
                let answers = answers.iter().map(|(text, _)| &**text).collect();
                let said = Answered { answers, prediction: &outcome.said, no_answer: 0.0 };
                let found = squad2(&[said], 1.0).ok()?.all;
                Item::Number(if name == "f1" { found.f1 } else { found.exact })
            }
            _ => {
                let (truth, said) = tagged(framed, self.records, labels, scores)?;
                if name == "accuracy" || !are_entities(labels) {
                    let pairs = truth.into_iter().zip(said);
                    return Some(Item::Words(pairs.map(|(right, said)| [right, said]).collect()));
                }
                let mut sum = Counts::default();
                entities(labels, &[truth], &[said]).ok()?.0.into_values().for_each(|n| sum += n);
                Item::Found([sum.hits, sum.predicted, sum.actual])
            }
        })
    }

    fn calibration(&self) -> Result<Option<Calibration>> {
        // Which example has which class, or which right choice.
        let of = |at: usize| {
            let scores = &self.scores[at];
            Some((scores, right(&self.framed[at], self.records, scores)?))
        };
        let pairs: Vec<_> = (0..self.framed.len()).filter_map(of).collect();
        if pairs.is_empty() {
            return Ok(None);
        }
        // Choices may be fewer in one record than in another.
        let n = pairs.iter().map(|(scores, _)| scores.len()).max().unwrap_or(0);
        let (mut all, mut logits, mut truth) = (Vec::new(), Vec::new(), Vec::new());
        let (mut confidence, mut correct) = (Vec::new(), Vec::new());
        for (scores, class) in pairs {
            let p = probabilities(scores, scores.len());
            let best = largest(scores);
            confidence.push(f64::from(p[best]).clamp(0.0, 1.0));
            correct.push(best == class);
            truth.push(class);
            let missing = n - scores.len();
            all.extend(p.iter().map(|p| f64::from(*p).clamp(0.0, 1.0)));
            all.extend(std::iter::repeat_n(0.0, missing));
            logits.extend(scores.iter().map(|z| f64::from(*z)));
            logits.extend(std::iter::repeat_n(f64::from(f32::MIN), missing));
        }
        let found: Vec<Bin> = bins(&confidence, &correct, Binning::Width(BINS))?;
        let bar = |b: &Bin| [b.low, b.high, b.n as f64, b.confidence, b.accuracy];
        Ok(Some(Calibration {
            ece: ece(&found),
            mce: mce(&found),
            brier: brier(&truth, &all, n)?,
            log_loss: log_loss(&truth, &all, n)?,
            temperature: temperature(&truth, &logits, n).ok(),
            bins: found.iter().map(bar).collect(),
        }))
    }

    /// What became of each record that has a label.
    fn outcomes(&self) -> Vec<Outcome> {
        let name = |class: usize| {
            self.head.labels().get(class).cloned().unwrap_or_else(|| format!("choice {class}"))
        };
        let spans = match self.head {
            HeadKind::Spans => answers(self.framed, self.records, self.scores),
            _ => Vec::new(),
        };
        let mut seen = None;
        let mut outcomes = Vec::new();
        for (at, (framed, scores)) in self.framed.iter().zip(self.scores).enumerate() {
            // Of the windows of a context the first stands for all.
            if seen.replace(framed.record) == Some(framed.record) {
                continue;
            }
            let (error, weight, right, said) = match framed.example.label {
                Label::Class(first) => {
                    let best = largest(scores);
                    let class = right(framed, self.records, scores).unwrap_or(first as usize);
                    let p = f64::from(probabilities(scores, scores.len())[best]);
                    let error = f64::from(u8::from(best != class));
                    (error, error * p, name(class), name(best))
                }
                Label::Value(value) => {
                    let far = (f64::from(value) - f64::from(scores[0])).abs();
                    (far, far, format!("{value:.3}"), format!("{:.3}", scores[0]))
                }
                _ => match self.other(framed, scores, &spans) {
                    Some((error, right, said)) => (error, error, right, said),
                    None => continue,
                },
            };
            let (record, n_tokens) = (framed.record, framed.example.input.ids.len());
            outcomes.push(Outcome { record, at, n_tokens, error, weight, right, said });
        }
        outcomes
    }

    /// Tags: the share of words that are wrong. Spans: how far an answer is from the nearest.
    fn other(
        &self,
        framed: &Framed,
        scores: &[f32],
        spans: &[String],
    ) -> Option<(f64, String, String)> {
        match &self.records[framed.record].input {
            Input::Tag { words, .. } => {
                let labels = self.head.labels();
                let (truth, said) = tagged(framed, self.records, labels, scores)?;
                let wrong: Vec<usize> =
                    (0..words.len()).filter(|&word| truth[word] != said[word]).collect();
                let shown = |of: &[usize]| {
                    let one = |&word: &usize| format!("{}/{}", words[word], labels[of[word]]);
                    wrong.iter().map(one).collect::<Vec<_>>().join(" ")
                };
                let error = wrong.len() as f64 / words.len() as f64;
                Some((error, shown(&truth), shown(&said)))
            }
            input @ Input::Span { answers, .. } if input.is_labelled() => {
                let said = &spans[framed.record];
                let best = answers.iter().map(|(text, _)| metrics::reading::f1(said, text));
                let none = f64::from(u8::from(answers.is_empty() && said.is_empty()));
                let right: Vec<&str> = answers.iter().map(|(text, _)| &**text).collect();
                Some((1.0 - best.fold(none, f64::max), right.join(" | "), said.clone()))
            }
            _ => None,
        }
    }

    fn worst(&self, mut outcomes: Vec<Outcome>) -> Vec<Worst> {
        outcomes.retain(|outcome| outcome.error > 0.0);
        outcomes.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        outcomes.truncate(WORST);
        let shown = |outcome: Outcome| {
            let record = &self.records[outcome.record];
            let text = match &record.input {
                Input::Tag { words, .. } => words.join(" "),
                Input::Classify { text, pair: Some(pair), .. } => format!("{text} | {pair}"),
                Input::Classify { text, .. } => text.clone(),
                Input::Choice { prompt, choices, .. } => {
                    format!("{prompt} | {}", choices.join(" | "))
                }
                Input::Span { question, .. } => question.clone(),
                other => format!("{other:?}"),
            };
            Worst {
                at: record.at.to_string(),
                text: text.chars().take(SHOWN_CHARS).collect(),
                right: outcome.right,
                said: outcome.said,
                error: outcome.weight,
            }
        };
        outcomes.into_iter().map(shown).collect()
    }

    /// What a benchmark is told of each record: a class, a choice or a number.
    pub fn predictions(&self) -> Vec<Truth> {
        let of = |scores: &Vec<f32>| match self.head {
            HeadKind::Score => Truth::Score(scores[0]),
            _ => Truth::Class(largest(scores)),
        };
        self.scores.iter().map(of).collect()
    }
}

impl HeadReport {
    /// Its numbers as those of a task.
    pub fn result(&self, task: String) -> TaskResult {
        let (output_type, metrics) = ("labels".to_owned(), self.metrics.clone());
        TaskResult { task, output_type, n_docs: self.n, n_shots: 0, metrics }
    }
}

/// By tokens, in powers of two.
fn lengths(outcomes: &[Outcome]) -> Vec<Slice> {
    let bucket = |outcome: &Outcome| {
        let high = outcome.n_tokens.max(8).next_power_of_two();
        format!("{:>5} .. {high}", if high == 8 { 0 } else { high / 2 + 1 })
    };
    let mut slices = by_value("tokens", bucket, outcomes);
    slices.sort_by(|a, b| a.value.cmp(&b.value));
    for slice in &mut slices {
        slice.value = slice.value.trim_start().to_owned();
    }
    slices
}

/// By the values of a column, the most frequent first; rare ones together.
fn by_value(column: &str, of: impl Fn(&Outcome) -> String, outcomes: &[Outcome]) -> Vec<Slice> {
    let mut found: BTreeMap<String, (usize, f64)> = BTreeMap::new();
    for outcome in outcomes {
        let (n, sum) = found.entry(of(outcome)).or_default();
        (*n, *sum) = (*n + 1, *sum + outcome.error);
    }
    let mut found: Vec<(String, (usize, f64))> = found.into_iter().collect();
    found.sort_by_key(|(_, (n, _))| std::cmp::Reverse(*n));
    let rest = found.split_off(found.len().min(VALUES_MAX));
    if !rest.is_empty() {
        let both = |(n, sum): (usize, f64), of: &(String, (usize, f64))| (n + of.1.0, sum + of.1.1);
        found.push((format!("{} others", rest.len()), rest.iter().fold((0, 0.0), both)));
    }
    let slice = |(value, (n, sum)): (String, (usize, f64))| {
        let (column, error) = (column.to_owned(), sum / n as f64);
        Slice { column, value, n, error }
    };
    found.into_iter().map(slice).collect()
}

#[cfg(test)]
mod tests;
