//! Files of predictions, as the benchmarks take them.

use std::io::Write;

use serde_json::{Value, json};

use super::{Benchmark, Named, Writes};
use crate::error::DatasetError;
use crate::record::{Input, Label, Record, Task};

impl Named {
    /// The official name of the file of predictions of a split.
    ///
    /// # Errors
    /// When it has no such split.
    pub fn submission_name(&self, split: &str) -> Result<String, DatasetError> {
        let files = self.splits.iter().find(|files| files.name == split).ok_or_else(|| {
            let known = self.splits.iter().map(|files| files.name.to_owned()).collect();
            DatasetError::Unknown { what: "split", name: split.to_owned(), known }
        })?;
        let stem = if files.submission.is_empty() { self.folder } else { files.submission };
        Ok(match self.benchmark {
            Benchmark::Glue => format!("{stem}.tsv"),
            Benchmark::SuperGlue => format!("{stem}.jsonl"),
        })
    }

    /// Writes predictions, one a record of a split and in its order; of choices the number of one.
    ///
    /// # Errors
    /// When there are not as many, one is of another kind or no class, or writing fails.
    pub fn write_submission(
        &self,
        records: &[Record],
        predictions: &[Label],
        mut out: impl Write,
    ) -> Result<(), DatasetError> {
        let refused = |problem| DatasetError::Predictions { set: self.name, problem };
        if records.len() != predictions.len() {
            let (n, n_given) = (records.len(), predictions.len());
            return Err(refused(format!("{n_given} predictions of {n} records")));
        }
        let values = records.iter().zip(predictions).map(|(record, &label)| {
            let none = || refused(format!("{label:?} is no prediction of {}", record.at));
            self.value(record, label).ok_or_else(none)
        });
        let values: Vec<Value> = values.collect::<Result<_, _>>()?;
        if self.writes == Writes::Nested {
            for paragraph in nested(records, values) {
                writeln!(out, "{paragraph}")?;
            }
            return Ok(out.flush()?);
        }
        if self.benchmark == Benchmark::Glue {
            writeln!(out, "index\tprediction")?;
        }
        for (index, (record, value)) in records.iter().zip(values).enumerate() {
            match (self.benchmark, &value) {
                (Benchmark::Glue, Value::String(text)) => writeln!(out, "{index}\t{text}")?,
                (Benchmark::Glue, other) => writeln!(out, "{index}\t{other}")?,
                (Benchmark::SuperGlue, value) => {
                    writeln!(out, "{}", json!({"idx": number(&record.id), "label": value}))?;
                }
            }
        }
        Ok(out.flush()?)
    }

    fn value(&self, record: &Record, label: Label) -> Option<Value> {
        match (self.writes, label) {
            (Writes::Score, Label::Score(x)) if x.is_finite() => {
                Some(format!("{:.3}", x.clamp(0.0, 5.0)).into())
            }
            (Writes::Name, Label::Class(class)) => {
                let name = *self.labels.get(class)?;
                // The two sets of words write them as in Python, or not.
                let is_lower = matches!(self.name, "boolq" | "wic");
                Some(if is_lower { name.to_lowercase().into() } else { name.into() })
            }
            (Writes::Text, Label::Class(choice)) => match &record.input {
                Input::Choice { choices, .. } => Some(choices.get(choice)?.as_str().into()),
                _ => None,
            },
            (Writes::Number | Writes::Nested, Label::Class(class)) => {
                let n = match &record.input {
                    Input::Choice { choices, .. } if self.task == Task::Choice => choices.len(),
                    _ => self.labels.len(),
                };
                (class < n).then(|| class.into())
            }
            _ => None,
        }
    }
}

/// Numbers as numbers.
fn number(id: &str) -> Value {
    id.parse::<u64>().map_or_else(|_| id.into(), Value::from)
}

/// The answers of `MultiRC`, whose ids are `PARAGRAPH-QUESTION-ANSWER`, by paragraphs.
fn nested(records: &[Record], values: Vec<Value>) -> Vec<Value> {
    let mut paragraphs: Vec<Value> = Vec::new();
    for (record, label) in records.iter().zip(values) {
        let mut ids = record.id.splitn(3, '-').map(number);
        let [p, q, a] = [ids.next(), ids.next(), ids.next()].map(Option::unwrap_or_default);
        if paragraphs.last().is_none_or(|last| last["idx"] != p) {
            paragraphs.push(json!({"idx": p, "passage": {"questions": []}}));
        }
        let last = paragraphs.last_mut().map(|last| &mut last["passage"]["questions"]);
        let Some(Value::Array(questions)) = last else { continue };
        if questions.last().is_none_or(|last| last["idx"] != q) {
            questions.push(json!({"idx": q, "answers": []}));
        }
        if let Some(Value::Array(answers)) = questions.last_mut().map(|last| &mut last["answers"]) {
            answers.push(json!({"idx": a, "label": label}));
        }
    }
    paragraphs
}
