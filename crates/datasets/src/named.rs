//! Sets of the field by name: what they are called, where their files are, what is measured.
//!
//! GLUE: Wang et al., arXiv:1804.07461. `SuperGLUE`: Wang et al., arXiv:1905.00537. A folder is
//! read in the official layout, or in that of Hugging Face's Parquet files.

mod list;
mod submission;
mod unfold;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::dataset::{Dataset, Split, UNLABELLED, is_test};
use crate::error::DatasetError;
use crate::read::Loaded;
use crate::record::Task;
use crate::schema::Schema;
use crate::table::{Format, Layout, Row, Table, Unfold, matching};

/// Two benchmarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Benchmark {
    /// TSV, and predictions as TSV.
    Glue,
    /// JSONL, and predictions as JSONL.
    SuperGlue,
}

/// How a prediction is written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Writes {
    /// The number of the class, or of the choice.
    Number,
    /// Its name.
    Name,
    /// A number from 0 to 5.
    Score,
    /// The text of the choice.
    Text,
    /// Numbers of the answers of questions of a paragraph.
    Nested,
}

/// A set that is known by name.
#[derive(Debug)]
pub struct Named {
    /// As in `--task`: `cola`, `boolq`. Of the two RTE that of `SuperGLUE` is `superglue_rte`.
    pub name: &'static str,
    /// Its official folder, which its file of predictions is called after.
    pub folder: &'static str,
    /// Whose it is.
    pub benchmark: Benchmark,
    /// What is learned.
    pub task: Task,
    /// Its classes, in the order of their numbers.
    pub labels: &'static [&'static str],
    /// What is measured officially: `accuracy`, `f1`, `f1_macro`, `matthews`, `pearson`,
    /// `spearman`, `exact_match`, `f1_a` (over all answers).
    pub metrics: &'static [&'static str],
    columns: Columns,
    /// Columns in Hugging Face's files, where they have other names.
    parquet: Columns,
    splits: &'static [Files],
    unfold: Option<UnfoldRow>,
    writes: Writes,
}

type UnfoldRow = fn(Row) -> Result<Vec<Row>, DatasetError>;

/// Columns by roles.
type Columns = &'static [(&'static str, &'static [&'static str])];

/// Where a split is.
#[derive(Debug)]
struct Files {
    /// Its name, and what its Parquet files begin with.
    name: &'static str,
    official: &'static str,
    /// The names of columns of a file that does not say them.
    names: Option<&'static [&'static str]>,
    /// The file of predictions, without its ending, where it is another than the folder.
    submission: &'static str,
}

impl Named {
    /// All of them.
    pub const ALL: &'static [Self] = list::ALL;

    /// The set of a name, in any case.
    ///
    /// # Errors
    /// When there is none of it.
    pub fn find(name: &str) -> Result<&'static Self, DatasetError> {
        let same = |set: &&Self| set.name == name.to_lowercase().replace('-', "");
        Self::ALL.iter().find(same).ok_or_else(|| DatasetError::Unknown {
            what: "set",
            name: name.to_owned(),
            known: Self::ALL.iter().map(|set| set.name.to_owned()).collect(),
        })
    }

    /// The largest number that it gives two texts, of a set of numbers.
    pub fn largest_score(&self) -> Option<f32> {
        (self.writes == Writes::Score).then_some(5.0)
    }

    /// Reads what splits there are in `dir`, or in its folder there.
    ///
    /// # Errors
    /// When there are none, or a file is not as it officially is; see [`Schema::read`].
    pub fn load(&self, dir: &Path, bytes_max: u64) -> Result<Dataset, DatasetError> {
        let mut splits = Vec::new();
        for files in self.splits {
            let Some((table, columns)) = self.table(dir, files)? else { continue };
            let schema = self.schema(columns);
            let Loaded { records, notes } = schema.read(&table, bytes_max)?;
            if !is_test(files.name) {
                let hint = "is it the official file of this split?";
                schema.check_all_labelled(&records, || UNLABELLED.into(), hint)?;
            }
            splits.push(Split { name: files.name.to_owned(), records, notes });
        }
        if splits.is_empty() {
            let first = &self.splits[0];
            let names = [first.official.to_owned(), format!("{}-*.parquet", first.name)];
            let (dir, split) = (dir.to_owned(), first.name);
            return Err(DatasetError::NoSplit { dir, set: self.name, split, names: names.into() });
        }
        let Schema { task, labels, .. } = self.schema(self.columns);
        let (name, metrics) = (self.name.to_owned(), self.metrics.to_vec());
        Ok(Dataset { name, task, labels, metrics, splits })
    }

    fn schema(&self, columns: Columns) -> Schema {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let columns = columns.iter().map(|(role, names)| (*role, owned(names))).collect();
        Schema { task: self.task, columns, labels: owned(self.labels), unread: vec![], n_rows: 0 }
    }

    /// The table of a split, if it is there, and how its columns are called.
    fn table(&self, dir: &Path, files: &Files) -> Result<Option<(Table, Columns)>, DatasetError> {
        let format = match self.benchmark {
            Benchmark::Glue => Format::Tsv,
            Benchmark::SuperGlue => Format::Jsonl,
        };
        let unfold: Option<Unfold> = self.unfold.map(|unfold| Arc::new(unfold) as Unfold);
        // A test set keeps its rows: predictions are told by their numbers.
        let layout = Layout { names: files.names, skips_uneven: !is_test(files.name), unfold };
        let inner = [self.folder, self.name, &self.folder.to_lowercase()].map(|n| dir.join(n));
        let folders = [&[dir.to_owned()], &inner[..]].concat();
        for folder in &folders {
            let path = folder.join(files.official);
            if path.is_file() {
                let table = Table::with_layout(vec![(path, format)], layout)?;
                return Ok(Some((table, self.columns)));
            }
            if self.name == "mrpc"
                && let Some(found) = msr(folder, files, &layout)?
            {
                let table = Table::with_layout(vec![(found.0, format)], found.1)?;
                return Ok(Some((table, self.columns)));
            }
        }
        for folder in folders.iter().flat_map(|folder| [folder.clone(), folder.join("data")]) {
            let folder = glob::Pattern::escape(&folder.to_string_lossy());
            let pattern = format!("{folder}/{}-[0-9]*.parquet", files.name);
            if let Ok(found) = matching(&pattern, Some(Format::Parquet)) {
                let table = Table::with_layout(found, Layout { names: None, ..layout })?;
                return Ok(Some((table, self.parquet)));
            }
        }
        Ok(None)
    }
}

/// The files in which Microsoft gives MRPC, of which GLUE's `dev_ids.tsv` says what is for
/// validation.
fn msr(
    folder: &Path,
    files: &Files,
    layout: &Layout,
) -> Result<Option<(PathBuf, Layout)>, DatasetError> {
    let name = if files.name == "test" { "test" } else { "train" };
    let (path, ids) =
        (folder.join(format!("msr_paraphrase_{name}.txt")), folder.join("dev_ids.tsv"));
    if !path.is_file() || (files.name == "validation" && !ids.is_file()) {
        return Ok(None);
    }
    let mut layout = layout.clone();
    if name == "train" && ids.is_file() {
        let text = fs::read_to_string(&ids).map_err(|error| DatasetError::Files {
            pattern: ids.to_string_lossy().into_owned(),
            problem: format!("cannot be read: {error}"),
        })?;
        let pairs = text.lines().filter_map(|line| line.trim().split_once('\t'));
        let pairs: Vec<(String, String)> =
            pairs.map(|(a, b)| (a.trim().to_owned(), b.trim().to_owned())).collect();
        let pairs: HashSet<_> = pairs.into_iter().collect();
        let is_for_validation = files.name == "validation";
        layout.unfold = Some(Arc::new(move |row: Row| {
            let id = |name: &str| row.fields[name].as_str().unwrap_or_default().to_owned();
            let is_in = pairs.contains(&(id("#1 ID"), id("#2 ID")));
            Ok(if is_in == is_for_validation { vec![row] } else { vec![] })
        }));
    }
    Ok(Some((path, layout)))
}

#[cfg(test)]
mod tests;
