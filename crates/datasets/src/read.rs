//! Rows to records.

mod chat;
mod choice;
mod span;
mod tag;

use std::collections::HashMap;

use serde_json::Value;

use crate::error::{DatasetError, Place, nearest, quoted};
use crate::record::{Input, Label, Record, Task};
use crate::schema::{Schema, lookup};
use crate::table::{EMPTY, Notes, Row, Table, kind, note};

pub(crate) use tag::{tag_texts, to_bio};

/// The records of a split take at most so many bytes, unless said otherwise.
pub const BYTES_MAX: u64 = 8 << 30;

/// The records of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// In the order of the rows, but for those that were left out.
    pub records: Vec<Record>,
    /// What was left out or changed, by why.
    pub notes: Notes,
}

/// A column of a row.
pub(crate) struct Cell<'a> {
    pub at: &'a Place,
    pub column: &'a str,
    pub value: &'a Value,
}

impl Schema {
    /// Reads a table, which may be another one than the schema is of, into at most `bytes_max`
    /// bytes of records (see [`BYTES_MAX`]).
    ///
    /// # Errors
    /// When a file cannot be read, a column is not there, a cell does not hold what is wanted of
    /// it, two rows have one id, some rows have a label and others not, or nothing is left.
    pub fn read(&self, table: &Table, bytes_max: u64) -> Result<Loaded, DatasetError> {
        self.check(table)?;
        let mut loaded = Loaded::default();
        let mut ids = HashMap::<String, usize>::new();
        let mut rows = table.rows();
        let (mut n_rows, mut n_bytes) = (0, 0);
        let has_ids = !self.columns.get("id").is_none_or(Vec::is_empty);
        for row in rows.by_ref() {
            let row = row?;
            let id = cells(self, &row, "id").find(|cell| !cell.value.is_null());
            let id = id.map_or_else(|| n_rows.to_string(), |cell| plain(cell.value));
            n_rows += 1;
            let Some(input) = self.input(&row, &mut loaded.notes)? else { continue };
            n_bytes += input.n_bytes();
            if n_bytes > bytes_max {
                return Err(DatasetError::TooLarge { at: row.at, bytes_max });
            }
            if input.texts().iter().all(|text| text.trim().is_empty()) {
                note(&mut loaded.notes, EMPTY, &row.at);
            }
            if has_ids && let Some(first) = ids.insert(id.clone(), loaded.records.len()) {
                let first = loaded.records[first].at.clone();
                return Err(DatasetError::Duplicate { at: row.at, id, first });
            }
            loaded.records.push(Record { id, at: row.at, input });
        }
        loaded.notes.extend(rows.notes().clone());
        if loaded.records.is_empty() {
            return Err(none_left(table.name(), n_rows, &loaded.notes));
        }
        self.check_labelled(&loaded.records)?;
        if self.task == Task::Rank {
            loaded.records = grouped(loaded.records);
        }
        Ok(loaded)
    }

    /// What a row says; `None` where it is left out, which is noted.
    fn input(&self, row: &Row, notes: &mut Notes) -> Result<Option<Input>, DatasetError> {
        Ok(Some(match self.task {
            Task::Classify | Task::Score => Input::Classify {
                text: text(self, row, "text")?,
                pair: match self.columns.get("pair") {
                    Some(names) if !names.is_empty() => Some(text(self, row, "pair")?),
                    _ => None,
                },
                label: self.label(row, notes)?,
            },
            Task::Choice => choice::read(self, row)?,
            Task::Tag => tag::read(self, row, notes)?,
            Task::Span => return span::read(self, row, notes),
            Task::Pairs => Input::Pairs {
                source: text(self, row, "source")?,
                target: text(self, row, "target")?,
            },
            Task::Chat => chat::chat(self, row)?,
            Task::Preference => chat::preference(self, row)?,
            Task::Judged => chat::judged(self, row)?,
            Task::Problem => Input::Problem {
                prompt: chat::prompt(self, row)?,
                answer: text(self, row, "answer")?,
            },
            Task::Triplet => {
                let negatives = cells(self, row, "negatives").filter(|cell| !cell.value.is_null());
                let negatives: Result<Vec<_>, _> = negatives.map(|cell| cell.texts()).collect();
                Input::Triplet {
                    anchor: text(self, row, "anchor")?,
                    positive: text(self, row, "positive")?,
                    negatives: negatives?.concat(),
                }
            }
            Task::Rank => self.rank(row)?,
        }))
    }

    fn label(&self, row: &Row, notes: &mut Notes) -> Result<Option<Label>, DatasetError> {
        let Some(cell) = cells(self, row, "label").next() else { return Ok(None) };
        if self.task == Task::Score {
            return Ok(match labels_of(&cell)? {
                Some(_) => Some(Label::Score(cell.number()?)),
                None => None,
            });
        }
        let class = class_of(&cell, cell.value, &self.labels)?;
        let is_number = |label: &String| label.parse::<f64>().is_ok();
        if class.and_then(|class| self.labels.get(class)).is_some_and(is_number)
            && !self.labels.iter().all(is_number)
        {
            note(notes, "labels that are numbers, and others that are names", &row.at);
        }
        Ok(class.map(Label::Class))
    }

    fn rank(&self, row: &Row) -> Result<Input, DatasetError> {
        let query = text(self, row, "query")?;
        let documents: Result<Vec<_>, _> =
            cells(self, row, "documents").map(|cell| cell.texts()).collect();
        let documents = documents?.concat();
        let Some(cell) = cells(self, row, "relevance").find(|cell| !cell.value.is_null()) else {
            return Ok(Input::Rank { query, documents, relevance: vec![] });
        };
        let one = std::slice::from_ref(cell.value);
        let values = cell.value.as_array().map_or(one, Vec::as_slice).iter();
        let relevance: Result<Vec<f32>, _> =
            values.map(|value| Cell { value, ..cell }.number()).collect();
        let relevance = relevance?;
        if relevance.len() != documents.len() {
            let problem =
                format!("has {}, there are {} documents", relevance.len(), documents.len());
            return Err(cell.failed(problem, "one number a document"));
        }
        if let Some(gain) = relevance.iter().find(|gain| **gain < 0.0) {
            let problem = format!("has {gain}, which is below 0");
            return Err(cell.failed(problem, "0 is a document that is no good"));
        }
        Ok(Input::Rank { query, documents, relevance })
    }

    /// A split is labelled, or it is not.
    fn check_labelled(&self, records: &[Record]) -> Result<(), DatasetError> {
        let n_lacking = records.iter().filter(|record| !record.input.is_labelled()).count();
        if n_lacking == records.len() {
            return Ok(());
        }
        let problem = || format!("is missing (in {n_lacking} of {} rows)", records.len());
        self.check_all_labelled(records, problem, "label these rows, or take them out")
    }

    /// Refuses the first record that does not say what is to be found.
    pub(crate) fn check_all_labelled(
        &self,
        records: &[Record],
        problem: impl Fn() -> String,
        hint: &str,
    ) -> Result<(), DatasetError> {
        let Some(record) = records.iter().find(|record| !record.input.is_labelled()) else {
            return Ok(());
        };
        let role = match self.task {
            Task::Span => "answers",
            Task::Rank => "relevance",
            _ => self.label_role().unwrap_or("label"),
        };
        let column = self.columns.get(role).and_then(|names| names.first());
        Err(DatasetError::Value {
            at: record.at.clone(),
            column: column.cloned().unwrap_or_else(|| role.to_owned()),
            problem: problem(),
            hint: hint.to_owned(),
        })
    }
}

impl Cell<'_> {
    pub fn failed(&self, problem: String, hint: impl Into<String>) -> DatasetError {
        let (at, column) = (self.at.clone(), self.column.to_owned());
        DatasetError::Value { at, column, problem, hint: hint.into() }
    }

    fn wanted(&self, what: &str) -> DatasetError {
        let hint = "change the row, or name another column for it";
        self.failed(format!("{}, {what} was wanted", kind(self.value)), hint)
    }

    pub fn text(&self) -> Result<String, DatasetError> {
        match self.value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(n) => Ok(n.to_string()),
            _ => Err(self.wanted("a text")),
        }
    }

    /// A list of texts, or one alone.
    pub fn texts(&self) -> Result<Vec<String>, DatasetError> {
        match self.value {
            Value::Array(items) => {
                items.iter().map(|value| Cell { value, ..*self }.text()).collect()
            }
            _ => Ok(vec![self.text()?]),
        }
    }

    fn number(&self) -> Result<f32, DatasetError> {
        let number = match self.value {
            Value::Number(n) => n.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            Value::Bool(is) => Some(f64::from(u8::from(*is))),
            _ => None,
        };
        let number = number.map(|x| x as f32).filter(|x| x.is_finite());
        number.ok_or_else(|| self.wanted("a number"))
    }
}

/// Why no record is left of so many rows.
fn none_left(file: String, n_rows: u64, notes: &Notes) -> DatasetError {
    if n_rows == 0 {
        let hint = "it has no rows";
        return DatasetError::Empty { what: format!("`{file}`"), hint };
    }
    let why = notes.iter().filter(|(what, _)| what.ends_with("left out"));
    let why =
        why.map(|(what, places)| format!("{} {what}, the first {}", places.n, places.first[0]));
    DatasetError::AllLeftOut { file, n_rows, why: why.collect() }
}

/// The cells of a role.
pub(crate) fn cells<'a>(
    schema: &'a Schema,
    row: &'a Row,
    role: &str,
) -> impl Iterator<Item = Cell<'a>> {
    let names = schema.columns.get(role).into_iter().flatten();
    names.map(|column| Cell { at: &row.at, column, value: lookup(row, column) })
}

/// The texts of a role, joined by blanks.
pub(crate) fn text(schema: &Schema, row: &Row, role: &str) -> Result<String, DatasetError> {
    let texts: Result<Vec<_>, _> = cells(schema, row, role).map(|cell| cell.text()).collect();
    Ok(texts?.join(" "))
}

/// A value as a name or a key.
pub(crate) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| text.trim().to_owned())
}

/// A label as text; `None` where there is none.
pub(crate) fn labels_of(cell: &Cell) -> Result<Option<String>, DatasetError> {
    match cell.value {
        Value::Null => Ok(None),
        Value::Array(_) | Value::Object(_) => Err(cell.wanted("a class or a number")),
        value => Ok(Some(plain(value)).filter(|text| !text.is_empty())),
    }
}

/// A number that is no class.
pub(crate) fn no_class(cell: &Cell, text: &str) -> DatasetError {
    let hint = "write classes as whole numbers or names, or name them in `data.labels`; numbers \
        are learned by `--task score`";
    cell.failed(format!("is {text}, a class was wanted"), hint)
}

/// The number of a class: by its name, or as a number from 0. -1 stands for none, as in the test
/// sets of Hugging Face.
pub(crate) fn class_of(
    cell: &Cell,
    value: &Value,
    labels: &[String],
) -> Result<Option<usize>, DatasetError> {
    let cell = Cell { value, ..*cell };
    let Some(text) = labels_of(&cell)? else { return Ok(None) };
    if let Some(class) = labels.iter().position(|label| *label == text) {
        return Ok(Some(class));
    }
    if let Value::Bool(is) = value
        && let [_, _] = labels
    {
        let named = labels.iter().position(|label| label.eq_ignore_ascii_case(&text));
        return Ok(Some(named.unwrap_or(usize::from(*is))));
    }
    if text == "-1" {
        return Ok(None);
    }
    let number = text.parse::<usize>().ok().filter(|&class| class < labels.len());
    // Where classes are numbers themselves, another number is no class.
    if let Some(class) = number.filter(|_| labels.iter().any(|l| l.parse::<i64>().is_err())) {
        return Ok(Some(class));
    }
    let is_float = text.parse::<i64>().is_err() && text.parse::<f64>().is_ok();
    if is_float {
        return Err(no_class(&cell, &text));
    }
    let hint = match nearest(&text, labels) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "name all classes in `data.labels`, or mend the row".to_owned(),
    };
    let problem = format!("is {}, which is none of {}", quoted(&[text]), quoted(labels));
    Err(cell.failed(problem, hint))
}

/// Rows of one query, one document each, as one record.
fn grouped(records: Vec<Record>) -> Vec<Record> {
    let mut first = HashMap::<String, usize>::new();
    let mut groups: Vec<Record> = Vec::new();
    for mut record in records {
        if let Input::Rank { query, documents, relevance } = &mut record.input {
            let known = first.get(query).and_then(|&idx| groups.get_mut(idx));
            if let Some(Record { input: Input::Rank { documents: d, relevance: r, .. }, .. }) =
                known
                && d.len() == r.len()
                && documents.len() == relevance.len()
            {
                d.append(documents);
                r.append(relevance);
                continue;
            }
            first.insert(query.clone(), groups.len());
        }
        groups.push(record);
    }
    groups
}

#[cfg(test)]
mod tests;
