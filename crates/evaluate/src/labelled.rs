//! Labelled records for a model with a head, and what it says of them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use datasets::{BYTES_MAX, Named, Place, Record, Schema, Split, Table, Task, Wanted};
use models::{HeadKind, Model};
use rayon::prelude::*;
use serde_json::Value;
use tasks::{Asked, Example, Frame, Framed, Labelled, predict};
use tensor::{Device, Precision};
use tokenize::{TokenizeError, Tokenizer};

use crate::error::{EvalError, Result, did_you_mean};

/// The split of tables.
pub const DATA: &str = "data";

/// How a model learned: so it is judged.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    /// Which column is what, where it is there.
    pub columns: BTreeMap<String, Vec<String>>,
    /// Tokens of a text, at most; 0 is what the model reads.
    pub max_len: usize,
    /// Tokens that two windows of a context have in common.
    pub overlap: usize,
    /// What it was judged by, where that was said.
    pub metrics: Vec<String>,
}

/// What a model is judged by.
pub struct LabelledData {
    /// A set, or tables.
    pub name: String,
    /// With labels, or `test` without.
    pub splits: Vec<Split>,
    /// What is measured.
    pub metrics: Vec<String>,
    /// Which column is what, where that was guessed.
    pub schema: Option<Schema>,
    /// How it is read.
    learned: Learned,
    /// Values of a column by the place of a row.
    columns: Vec<(String, HashMap<Place, String>)>,
}

/// The data's task, by the head.
fn task_of(head: &HeadKind) -> Task {
    match head {
        HeadKind::Classes { .. } | HeadKind::Tokens | HeadKind::Vectors => Task::Classify,
        HeadKind::Score => Task::Score,
        HeadKind::Tags { .. } => Task::Tag,
        HeadKind::Spans => Task::Span,
        HeadKind::Choice => Task::Choice,
    }
}

impl LabelledData {
    /// Reads tables by the labels of the head, or the folder of a set; `slices` are columns whose
    /// values are wanted.
    ///
    /// # Errors
    /// Where there are none, or they are for something else.
    pub fn read(
        head: &HeadKind,
        set: Option<&'static Named>,
        files: &[String],
        slices: &[String],
        learned: Learned,
    ) -> Result<Self> {
        let folder = files.first().map(Path::new).filter(|path| path.is_dir());
        if let (Some(set), Some(folder)) = (set, folder) {
            if let Some(second) = files.get(1) {
                let problem = format!("`{second}` is named beside the folder of `{}`", set.name);
                return Err(EvalError::refused(problem, "a set is measured by itself"));
            }
            return Self::of_set(head, (set, folder), slices, learned);
        }
        let table = Table::open(files, None)?;
        let labels = head.labels().to_vec();
        let mut columns = learned.columns.clone();
        columns.retain(|_, names| names.iter().all(|name| table.has(name)));
        let wanted = Wanted { task: Some(task_of(head)), columns, labels };
        let schema = Schema::guess(&table, &wanted)?;
        let read = schema.read(&table, BYTES_MAX)?;
        let columns: Result<_> = slices.iter().map(|name| column(&table, name)).collect();
        let usual = tasks::usual_metrics(Asked::of(head), head.labels().len());
        let usual = set.map_or(usual, |set| set.metrics).iter().map(|&name| name.to_owned());
        let is_own = set.is_none() && !learned.metrics.is_empty();
        let (name, records, notes) = (DATA.to_owned(), read.records, read.notes);
        Ok(Self {
            name: set.map_or_else(|| files.join(" + "), |set| set.name.to_owned()),
            splits: vec![Split { name, records, notes }],
            metrics: if is_own { learned.metrics.clone() } else { usual.collect() },
            schema: Some(schema),
            learned,
            columns: columns?,
        })
    }

    fn of_set(
        head: &HeadKind,
        (set, folder): (&'static Named, &Path),
        slices: &[String],
        learned: Learned,
    ) -> Result<Self> {
        let (task, data) = (task_of(head), set.load(folder, BYTES_MAX)?);
        if data.task != task || data.labels != head.labels() {
            let labels = |labels: &[String]| format!("`{}`", labels.join("`, `"));
            let (own, theirs) = (labels(head.labels()), labels(&data.labels));
            let problem = format!(
                "the model is for `{task}` of {own}, `{}` is `{}` of {theirs}",
                set.name, data.task
            );
            return Err(EvalError::refused(problem, "tune a model for this set"));
        }
        if let Some(column) = slices.first() {
            let problem = format!("`--slice {column}` is of a table, not of a named set");
            return Err(EvalError::refused(problem, "name the set's file in `--data` alone"));
        }
        let metrics = data.metrics.iter().map(|&name| name.to_owned()).collect();
        let (name, splits, columns) = (set.name.to_owned(), data.splits, Vec::new());
        Ok(Self { name, splits, metrics, schema: None, learned, columns })
    }

    /// What a split is called among tasks.
    pub fn task(&self, split: &str) -> String {
        if split == DATA { self.name.clone() } else { format!("{} {split}", self.name) }
    }

    /// Tokens of a text that the model is shown, at most.
    ///
    /// # Panics
    /// When the model is no stack that reads tokens.
    pub fn max_len(&self, model: &Model) -> usize {
        let most = model.stack().max_len();
        if self.learned.max_len == 0 { most } else { most.min(self.learned.max_len) }
    }

    /// What the model says of a split, about `batch_tokens` tokens at once.
    ///
    /// # Errors
    /// Where there are no records, a text cannot be encoded, or scores are not finite.
    ///
    /// # Panics
    /// When the model is no stack that reads tokens, or has another head.
    pub fn judge(
        &self,
        (model, device, precision): (&Model, &Device, Precision),
        tokenizer: &Tokenizer,
        (head, split): (&HeadKind, &Split),
        batch_tokens: usize,
    ) -> Result<Scores> {
        if split.records.is_empty() {
            let problem = format!("`{}` has no records", split.name);
            return Err(EvalError::refused(problem, "name another file"));
        }
        let has_types = !model.stack().config().tokens().types.is_empty();
        let (max_len, overlap) = (self.max_len(model), self.learned.overlap);
        let frame = Frame { tokenizer, max_len, overlap, has_types };
        let records = split.records.par_iter().enumerate();
        let made: Result<Vec<Vec<Framed>>, TokenizeError> =
            records.map(|(i, record)| frame.examples(i, record)).collect();
        let framed: Vec<Framed> = made?.into_iter().flatten().collect();
        let examples: Vec<Example> = framed.iter().map(|framed| framed.example.clone()).collect();
        let objective = Labelled::new(Asked::of(head));
        let (_, scores) = predict((model, device, precision), &objective, &examples, batch_tokens);
        if let Some(at) = scores.iter().position(|scores| !scores.iter().all(|z| z.is_finite())) {
            let at = split.records[framed[at].record].at.clone();
            return Err(EvalError::NotFinite { at });
        }
        Ok((framed, scores))
    }

    /// What each column says of each record.
    pub fn values(&self, records: &[Record]) -> Vec<(String, Vec<String>)> {
        let of = |(name, values): &(String, HashMap<Place, String>)| {
            let value = |record: &Record| values.get(&record.at).cloned().unwrap_or_default();
            (name.clone(), records.iter().map(value).collect())
        };
        self.columns.iter().map(of).collect()
    }
}

/// The values of a column.
fn column(table: &Table, name: &str) -> Result<(String, HashMap<Place, String>)> {
    let columns = || table.columns.iter().map(String::as_str);
    if !columns().any(|column| column == name) {
        let hint = did_you_mean(name, columns().collect::<Vec<_>>());
        return Err(EvalError::refused(format!("the data has no column `{name}`"), hint));
    }
    let mut values = HashMap::new();
    for row in table.rows() {
        let row = row?;
        let value = match row.fields.get(name) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        };
        values.insert(row.at, value);
    }
    Ok((name.to_owned(), values))
}

/// What a model was shown of a split, and its scores of each.
pub type Scores = (Vec<Framed>, Vec<Vec<f32>>);
