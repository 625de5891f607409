//! Which column is what: guessed, shown, and refused where it does not hold.

mod refusal;
mod shapes;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use crate::error::{DatasetError, quoted};
use crate::read::{cells, labels_of, no_class, tag_texts, to_bio};
use crate::record::Task;
use crate::table::{Notes, Row, Table};
use refusal::{check_column, check_verdicts, no_classes, refusal};
use shapes::{Kind, LANGUAGES, Role, SHAPES, Shape};

pub(crate) use shapes::verdict;

/// More are no classes but something else that was taken for them.
const LABELS_MAX: usize = 10_000;
/// Where most of so many rows have a class of their own, these are something else.
const OWN_ROWS: u64 = 20;
/// Classes and tags that are believed of any number of rows, where somebody says that they are.
const OWN_LABELS: usize = 100;

/// What is said of a table instead of guessed.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// What is to be learned.
    pub task: Option<Task>,
    /// Columns by what they are for. Several are one text, joined by blanks, or `choices` and
    /// `negatives` together; none stands for a column that is not to be used. `a.b` is what is
    /// under `b` in the objects of `a`.
    pub columns: BTreeMap<String, Vec<String>>,
    /// The classes or tags, in the order of their numbers; else those of the table, as
    /// `transformers` orders them: numbers by size, names by their characters.
    pub labels: Vec<String>,
}

/// Which columns of a table are what.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// What is to be learned.
    pub task: Task,
    /// Columns by what they are for.
    pub columns: BTreeMap<&'static str, Vec<String>>,
    /// The classes of [`Task::Classify`] and the tags of [`Task::Tag`], in the order of their
    /// numbers.
    pub labels: Vec<String>,
    /// Columns that are not read.
    pub unread: Vec<String>,
    /// Rows of the table it was made of.
    pub n_rows: u64,
}

impl Schema {
    /// Finds the task and its columns: by their names and the first rows, the labels by all rows.
    ///
    /// # Errors
    /// When a file cannot be read, a column that was named is not there, or nothing fits.
    pub fn guess(table: &Table, wanted: &Wanted) -> Result<Self, DatasetError> {
        let mut wanted = wanted.clone();
        // As models are asked by `lyceum run`, and by `transformers`.
        if let Some(columns) = wanted.columns.remove("text_pair") {
            wanted.columns.entry("pair".to_owned()).or_insert(columns);
        }
        let wanted = &wanted;
        for column in wanted.columns.values().flatten() {
            check_column(table, column)?;
        }
        let shapes = || {
            let is_of_labels = |task| task != Task::Pairs || wanted.labels.is_empty();
            let is_wanted = move |shape: &&Shape| match wanted.task {
                Some(task) => shape.task == task,
                None => is_of_labels(shape.task),
            };
            SHAPES.iter().filter(is_wanted)
        };
        for role in wanted.columns.keys() {
            let known: BTreeSet<&str> = shapes().flat_map(|s| s.roles).map(|r| r.name).collect();
            if !known.contains(role.as_str()) {
                let known = known.into_iter().map(str::to_owned).collect();
                return Err(DatasetError::Unknown { what: "role", name: role.clone(), known });
            }
        }
        let has_all = |shape: &&Shape| {
            wanted.columns.keys().all(|name| shape.roles.iter().any(|role| role.name == name))
        };
        let filled = shapes().filter(has_all).map(|shape| (shape, fill(shape, table, wanted)));
        let mut filled: Vec<_> = filled.collect();
        if let Some(at) = filled.iter().position(|(_, filled)| filled.missing.is_empty()) {
            let (shape, Filled { columns, .. }) = filled.swap_remove(at);
            let unread = unread(table, &columns);
            let schema = Self { task: shape.task, columns, labels: vec![], unread, n_rows: 0 };
            check_verdicts(&schema, table)?;
            return schema.with_labels(table, wanted);
        }
        // The one that lacks least.
        filled.sort_by_key(|(_, filled)| (filled.missing.len(), usize::MAX - filled.columns.len()));
        let near =
            filled.first().filter(|(_, filled)| filled.columns.len() >= filled.missing.len());
        Err(refusal(table, near.map(|(shape, filled)| (*shape, filled)), wanted))
    }

    /// Goes through all rows for the labels there are, and for whether they are classes.
    fn with_labels(mut self, table: &Table, wanted: &Wanted) -> Result<Self, DatasetError> {
        let role = self.label_role();
        let column = role.and_then(|role| self.columns.get(role)).and_then(|names| names.first());
        let named = column.and_then(|column| table.class_names.get(column));
        let is_named = !wanted.labels.is_empty() || named.is_some();
        let (mut found, mut is_all_numbers, mut has_fractions) = (BTreeSet::new(), true, false);
        let (mut notes, mut fraction) = (Notes::new(), None);
        for row in table.rows() {
            let row = row?;
            self.n_rows += 1;
            let Some(role) = role.filter(|_| !is_named) else { continue };
            let Some(cell) = cells(&self, &row, role).next() else { continue };
            let values = match self.task {
                Task::Tag => to_bio(tag_texts(&cell, None)?, None, &row.at, &mut notes),
                _ => labels_of(&cell)?.into_iter().collect(),
            };
            for value in values {
                let number = value.parse::<f64>().ok().filter(|x| x.is_finite());
                is_all_numbers &= number.is_some();
                has_fractions |= value.parse::<i64>().is_err();
                if number.is_some_and(|x| x.fract() != 0.0) {
                    fraction.get_or_insert_with(|| no_class(&cell, &value));
                }
                if found.len() <= LABELS_MAX {
                    found.insert(value);
                }
            }
        }
        self.labels = match (wanted.labels.is_empty(), named) {
            (false, _) => wanted.labels.clone(),
            (true, Some(names)) => names.clone(),
            (true, None) => ordered(found),
        };
        let is_score = is_all_numbers && has_fractions && !is_named && !self.labels.is_empty();
        if self.task == Task::Classify && is_score {
            match (wanted.task, fraction) {
                (None, _) => self.task = Task::Score,
                (Some(_), Some(error)) => return Err(error),
                // Somebody says that 0.0 and 1.0 are classes.
                (Some(_), None) => {}
            }
        }
        if self.task == Task::Score {
            self.labels.clear();
        }
        let column = column.cloned();
        let is_guessed = wanted.task.is_none();
        self.check_labels(table, column.as_deref().unwrap_or("label"), (is_named, is_guessed))?;
        Ok(self)
    }

    /// Refuses what is no set of classes, unless they are named.
    fn check_labels(
        &self,
        table: &Table,
        column: &str,
        (is_named, is_guessed): (bool, bool),
    ) -> Result<(), DatasetError> {
        let (n, n_rows) = (self.labels.len(), self.n_rows);
        if n_rows == 0 {
            let hint = "a table has rows below the names of its columns";
            return Err(DatasetError::Empty { what: format!("`{}`", table.name()), hint });
        }
        if !matches!(self.task, Task::Classify | Task::Tag) {
            return Ok(());
        }
        if n == 0 {
            let problem = format!("no row has a `{column}`");
            let hint = "name the task, and the column of each of its roles".to_owned();
            let (file, columns) = (table.name(), table.columns.clone());
            return Err(DatasetError::Columns { file, problem, columns, hint });
        }
        let (are_most, is_classify) = (n as u64 * 2 > n_rows, self.task == Task::Classify);
        let few = if is_guessed && is_classify { n_rows < OWN_ROWS } else { n <= OWN_LABELS };
        if is_named || (n <= LABELS_MAX && (few || !are_most)) {
            return Ok(());
        }
        Err(no_classes(table, column, (n, n_rows)))
    }

    /// The role that has the labels.
    pub(crate) fn label_role(&self) -> Option<&'static str> {
        match self.task {
            Task::Classify | Task::Score | Task::Choice => Some("label"),
            Task::Tag => Some("tags"),
            _ => None,
        }
    }

    /// Refuses a table that lacks a column. Test sets have no labels.
    pub(crate) fn check(&self, table: &Table) -> Result<(), DatasetError> {
        for (role, columns) in &self.columns {
            let may_lack = ["label", "tags", "answers", "relevance", "id", "is_impossible"];
            for column in columns.iter().filter(|_| !may_lack.contains(role)) {
                check_column(table, column)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: reads ", self.task)?;
        let mut roles: Vec<_> =
            self.columns.iter().filter(|(_, names)| !names.is_empty()).collect();
        roles.sort_by_key(|(role, _)| Some(**role) == self.label_role());
        for (i, (role, names)) in roles.into_iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(f, "{comma}{} as ", quoted(names))?;
            let n = self.labels.len();
            match (self.task, *role) {
                (Task::Classify, "label") => write!(f, "class of {n}: {}", some(&self.labels))?,
                (Task::Score, "label") => write!(f, "number")?,
                (Task::Tag, "tags") => write!(f, "tags of {n}: {}", some(&self.labels))?,
                (_, role) => write!(f, "{role}")?,
            }
        }
        write!(f, "; {} rows", grouped(self.n_rows))?;
        match &self.unread[..] {
            [] => Ok(()),
            some => write!(f, "; leaves out {}", quoted(some)),
        }
    }
}

/// The first of them.
fn some(labels: &[String]) -> String {
    let shown: Vec<&str> = labels.iter().take(9).map(String::as_str).collect();
    format!("{}{}", shown.join(", "), if labels.len() > 9 { " .." } else { "" })
}

/// "10 605".
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let first = digits.len() % 3;
    let mut groups: Vec<&str> = vec![&digits[..first]];
    groups.extend((first..digits.len()).step_by(3).map(|at| &digits[at..at + 3]));
    groups.join(" ").trim_start().to_owned()
}

/// Numbers by size, names by their characters. -1 alone says that there are no labels.
fn ordered(found: BTreeSet<String>) -> Vec<String> {
    let mut labels: Vec<String> = found.into_iter().collect();
    if labels.iter().all(|label| label.parse::<i64>().is_ok()) {
        labels.sort_by_key(|label| label.parse::<i64>().unwrap_or_default());
    }
    if labels == ["-1"] { vec![] } else { labels }
}

/// The columns of a shape, and the roles that have none.
struct Filled {
    columns: BTreeMap<&'static str, Vec<String>>,
    missing: Vec<&'static Role>,
}

fn fill(shape: &'static Shape, table: &Table, wanted: &Wanted) -> Filled {
    let mut filled = Filled { columns: BTreeMap::new(), missing: Vec::new() };
    for role in shape.roles {
        let named = wanted.columns.get(role.name);
        let taken: Vec<&String> =
            filled.columns.values().flatten().chain(wanted.columns.values().flatten()).collect();
        let found = named.cloned().or_else(|| find(role, table, &taken));
        match found.filter(|columns| !columns.is_empty() || named.is_some()) {
            Some(columns) => drop(filled.columns.insert(role.name, columns)),
            None if role.is_required => filled.missing.push(role),
            None => {}
        }
    }
    let lacks = |role: &str| filled.missing.len() == 1 && filled.missing[0].name == role;
    if lacks("text") && shape.task <= Task::Score {
        // The only text beside the label.
        let taken: Vec<&String> = filled.columns.values().flatten().collect();
        let is_free = |column: &&String| !taken.contains(column) && fits(table, column, Kind::Text);
        let free: Vec<&String> = table.columns.iter().filter(is_free).collect();
        if let ([column], true) = (&free[..], !filled.columns.contains_key("pair")) {
            filled.columns.insert("text", vec![(*column).clone()]);
            filled.missing.clear();
        }
    }
    if shape.task == Task::Pairs
        && filled.missing.len() == 2
        && let Some(names) = translation(table)
    {
        let roles = ["source", "target"].into_iter();
        filled.columns.extend(roles.zip(names.map(|name| vec![name])));
        filled.missing.clear();
    }
    filled
}

/// Two languages: in an object of both, or two columns.
fn translation(table: &Table) -> Option<[String; 2]> {
    let values = table.head.iter().filter_map(|row| row.fields.get("translation")?.as_object());
    let inner: BTreeSet<&String> = values.flat_map(|object| object.keys()).collect();
    if let [source, target] = inner.into_iter().collect::<Vec<_>>()[..] {
        return Some([source, target].map(|name| format!("translation.{name}")));
    }
    let is_language = |column: &&String| {
        LANGUAGES.contains(&column.to_lowercase().as_str()) && fits(table, column, Kind::Text)
    };
    match table.columns.iter().filter(is_language).collect::<Vec<_>>()[..] {
        [source, target] => Some([source.clone(), target.clone()]),
        _ => None,
    }
}

/// The columns that are called as a role is, and hold what it should.
fn find(role: &Role, table: &Table, taken: &[&String]) -> Option<Vec<String>> {
    let is_free = |column: &&String| !taken.contains(column) && fits(table, column, role.kind);
    role.names.iter().find_map(|name| {
        let Some(prefix) = name.strip_suffix('*') else {
            let mut columns = table.columns.iter().filter(is_free);
            return columns
                .find(|column| is_called(column, name))
                .map(|column| vec![column.clone()]);
        };
        let number = |column: &String| {
            let column = column.to_lowercase();
            column.strip_prefix(prefix)?.trim_start_matches('_').parse::<u32>().ok()
        };
        let mut found: Vec<(u32, String)> = table
            .columns
            .iter()
            .filter(is_free)
            .filter_map(|column| Some((number(column)?, column.clone())))
            .collect();
        found.sort();
        (!found.is_empty()).then(|| found.into_iter().map(|(_, column)| column).collect())
    })
}

/// Whether a column has a name, however that is written.
fn is_called(column: &str, name: &str) -> bool {
    column.to_lowercase().replace(['-', ' '], "_") == name
}

fn fits(table: &Table, column: &str, kind: Kind) -> bool {
    let values = table.head.iter().filter_map(|row| row.fields.get(column));
    kind.fits_all(&values.collect::<Vec<_>>())
}

/// What nothing is read from.
fn unread(table: &Table, columns: &BTreeMap<&str, Vec<String>>) -> Vec<String> {
    let is_part = |used: &str, column: &str| {
        used == column || used.strip_prefix(column).is_some_and(|inner| inner.starts_with('.'))
    };
    let is_read = |column: &String| columns.values().flatten().any(|used| is_part(used, column));
    table.columns.iter().filter(|column| !is_read(column)).cloned().collect()
}

/// What is under a column's name, or under `a.b` in an object.
pub(crate) fn lookup<'a>(row: &'a Row, column: &str) -> &'a Value {
    let inner = || column.split_once('.').and_then(|(a, b)| row.fields.get(a)?.get(b));
    row.fields.get(column).or_else(inner).unwrap_or(&Value::Null)
}

#[cfg(test)]
mod tests;
