//! The splits of a set.

use std::collections::{BTreeMap, HashSet};

use data::Places;
use twox_hash::{XxHash3_64, XxHash3_128};

use crate::error::DatasetError;
use crate::read::Loaded;
use crate::record::{Input, Label, Record, Task};
use crate::schema::{Schema, Wanted};
use crate::table::{EMPTY, MISPLACED, Notes, Table, UNEVEN};

/// What a set of records is, and its splits.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// What it is called.
    pub name: String,
    /// What is learned.
    pub task: Task,
    /// Its classes or tags, in the order of their numbers.
    pub labels: Vec<String>,
    /// What is officially measured; none where nobody says.
    pub metrics: Vec<&'static str>,
    /// What there is of `train`, `validation`, `test` and others.
    pub splits: Vec<Split>,
}

/// Some records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Split {
    /// `train`, `validation`, `test`, `validation_matched` ..
    pub name: String,
    /// In the order of the file.
    pub records: Vec<Record>,
    /// What was left out or changed, by why.
    pub notes: Notes,
}

impl Split {
    /// The share of its rows that are not what they should be, and which these are, in words: they
    /// were left out or have no text.
    pub fn spoiled(&self) -> (f64, String) {
        let noted = |why: &'static str| Some((why, self.notes.get(why)?));
        let spoiled: Vec<_> = [UNEVEN, MISPLACED, EMPTY].into_iter().filter_map(noted).collect();
        let n: u64 = spoiled.iter().map(|(_, places)| places.n).sum();
        let n_kept = self.notes.get(EMPTY).map_or(0, |places| places.n);
        let n_rows = self.records.len() as u64 + n - n_kept;
        let share = n as f64 / n_rows.max(1) as f64;
        let why = |(why, places): &(&str, &Places)| {
            format!("{} {why}, the first: {}", places.n, places.first.join("; "))
        };
        let whys = spoiled.iter().map(why).collect::<Vec<_>>().join("; ");
        (share, format!("{n} of {n_rows} rows are spoiled ({:.1} %): {whys}", 100.0 * share))
    }
}

impl Dataset {
    /// Reads tables by the name of their split, all by the schema of the first, which is given too.
    ///
    /// # Errors
    /// As [`Schema::guess`] and [`Schema::read`]; when there is no table, or one that is no test
    /// set lacks a label.
    pub fn read(
        name: &str,
        tables: &[(&str, Table)],
        wanted: &Wanted,
        bytes_max: u64,
    ) -> Result<(Self, Schema), DatasetError> {
        let Some((_, first)) = tables.first() else {
            let hint = "name a file for `train`";
            return Err(DatasetError::Empty { what: format!("`{name}`"), hint });
        };
        let schema = Schema::guess(first, wanted)?;
        let mut splits = Vec::new();
        for (split, table) in tables {
            let Loaded { records, notes } = schema.read(table, bytes_max)?;
            if !is_test(split) {
                let hint = "label its rows, or name another table";
                schema.check_all_labelled(&records, || UNLABELLED.into(), hint)?;
            }
            splits.push(Split { name: (*split).to_owned(), records, notes });
        }
        let (name, labels) = (name.to_owned(), schema.labels.clone());
        Ok((Self { name, task: schema.task, labels, metrics: vec![], splits }, schema))
    }

    /// A split by its name.
    ///
    /// # Errors
    /// When there is none of it.
    pub fn split(&self, name: &str) -> Result<&Split, DatasetError> {
        let known = || self.splits.iter().map(|split| split.name.clone()).collect();
        let found = self.splits.iter().find(|split| split.name == name);
        found.ok_or_else(|| DatasetError::Unknown {
            what: "split",
            name: name.to_owned(),
            known: known(),
        })
    }
}

/// What is wrong with a split.
pub(crate) const UNLABELLED: &str = "is missing, and only test sets have no labels";

/// Whether a split is one that predictions are made for.
pub(crate) fn is_test(split: &str) -> bool {
    split.starts_with("test")
}

/// Takes about `fraction` of the records of each class out of them, for validation or tests. Which
/// depends on `seed` and the texts alone, so a text that is there twice is on one side.
///
/// # Errors
/// When a side would be empty.
pub fn hold_out(
    records: Vec<Record>,
    fraction: f64,
    seed: u64,
) -> Result<(Vec<Record>, Vec<Record>), DatasetError> {
    let mut classes = BTreeMap::<Option<usize>, Vec<u64>>::new();
    let hash = |record: &Record| {
        XxHash3_64::oneshot_with_seed(seed, &fingerprint(&record.input).to_le_bytes())
    };
    for record in &records {
        let class = match record.input {
            Input::Classify { label: Some(Label::Class(class)), .. } => Some(class),
            _ => None,
        };
        classes.entry(class).or_default().push(hash(record));
    }
    let mut out = HashSet::new();
    for hashes in classes.values_mut() {
        hashes.sort_unstable();
        let n_out = (hashes.len() as f64 * fraction).round() as usize;
        out.extend(hashes.iter().take(n_out).copied());
    }
    let sides: (Vec<Record>, Vec<Record>) =
        records.into_iter().partition(|record| !out.contains(&hash(record)));
    if sides.0.is_empty() || sides.1.is_empty() {
        let what = format!("one side of a split by {fraction}");
        let hint = "a fraction is between 0 and 1, and each side has one record at least";
        return Err(DatasetError::Empty { what, hint });
    }
    Ok(sides)
}

/// Equal for texts that differ in case and blanks only.
pub(crate) fn fingerprint(input: &Input) -> u128 {
    let mut text = String::new();
    for part in input.texts() {
        for word in part.split_whitespace() {
            text.extend(word.chars().flat_map(char::to_lowercase));
            text.push(' ');
        }
        text.push('\n');
    }
    XxHash3_128::oneshot(text.as_bytes())
}
