//! Rows of named columns from files of any format, one after the other.
//!
//! A [`Table`] is its files and what their heads say of them; [`Table::rows`] reads them, as often
//! as it is asked. Memory holds a row, or a file of JSON that is one list.

mod conll;
mod json;
mod squad;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, vec};

use data::{Cells, Lines, ParquetRows, Places};
use serde_json::{Map, Value};

use crate::error::{DatasetError, Place, quoted};
use conll::Sentences;
use json::Items;

/// A row by the names of its columns.
pub type Fields = Map<String, Value>;

/// What is to be said of rows that were left out or changed, by why.
pub type Notes = BTreeMap<&'static str, Places>;

/// Rows that are left out.
pub(crate) const UNEVEN: &str = "rows of another length, left out";
/// The same, of [`Task::Span`](crate::Task::Span).
pub(crate) const MISPLACED: &str = "questions whose answers are not in the context, left out";
/// Rows that become records all the same.
pub(crate) const EMPTY: &str = "records without text";

/// Rows of which the columns are known before the rest is read.
const HEAD_ROWS: usize = 256;
/// More are no columns but something else that was taken for a table.
const COLUMNS_MAX: usize = 4096;

/// What a file holds. Compression is found by the first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 4180, below a row of names.
    Csv,
    /// Tabs between cells, where a quote is a character like any other, as in GLUE.
    Tsv,
    /// Tabs between cells that may be in quotes, as pandas writes them.
    QuotedTsv,
    /// One JSON object a line.
    Jsonl,
    /// A list of JSON objects, alone or as `data` of an object; objects one after the other;
    /// `SQuAD`'s articles, of which each question becomes a row.
    Json,
    /// Apache Parquet.
    Parquet,
    /// A word and its tags a line, a blank line after each sentence, `-DOCSTART-` passed over.
    Conll,
}

/// A row, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Where.
    pub at: Place,
    /// Its cells. Those of CSV and TSV are strings.
    pub fields: Fields,
}

/// How one row becomes others, or none: an official layout, a plain one.
pub(crate) type Unfold = Arc<dyn Fn(Row) -> Result<Vec<Row>, DatasetError> + Send + Sync>;

/// What the files of a named set have of their own.
#[derive(Clone, Default)]
pub(crate) struct Layout {
    /// The names of the columns, where the first row has none.
    pub names: Option<&'static [&'static str]>,
    /// Rows of another length than the first are left out and counted.
    pub skips_uneven: bool,
    pub unfold: Option<Unfold>,
}

/// Files that are read as one table.
#[derive(Clone)]
pub struct Table {
    files: Vec<(PathBuf, Format)>,
    layout: Layout,
    /// Its columns; of JSON those of the first rows, by name.
    pub columns: Vec<String>,
    /// The names of the classes of a column of numbers, where Parquet has a note of Hugging Face's
    /// `datasets` on them.
    pub class_names: BTreeMap<String, Vec<String>>,
    /// The first rows.
    pub(crate) head: Vec<Row>,
}

impl Table {
    /// Opens files, the known ones of folders, and what patterns with `*`, `?` or `[..]` stand for,
    /// and looks at the head of each.
    ///
    /// # Errors
    /// When one of `patterns` stands for nothing, or a file is not what `format`, or else its name,
    /// says.
    pub fn open<P: AsRef<str>>(
        patterns: &[P],
        format: Option<Format>,
    ) -> Result<Self, DatasetError> {
        let mut files = Vec::new();
        for pattern in patterns {
            files.extend(matching(pattern.as_ref(), format)?);
        }
        Self::with_layout(files, Layout::default())
    }

    /// Whether there is a column of that name, or one with a field of it (`column.field`).
    pub fn has(&self, name: &str) -> bool {
        self.columns.iter().any(|known| Some(known.as_str()) == name.split('.').next())
    }

    pub(crate) fn with_layout(
        files: Vec<(PathBuf, Format)>,
        layout: Layout,
    ) -> Result<Self, DatasetError> {
        let mut table = Self {
            files,
            layout,
            columns: Vec::new(),
            class_names: BTreeMap::new(),
            head: Vec::new(),
        };
        for file in &table.files {
            let mut rows = Rows::new(vec![file.clone()], table.layout.clone());
            let head: Result<Vec<Row>, _> = rows.by_ref().take(HEAD_ROWS).collect();
            let head = head?;
            let mut names = rows.reader.as_ref().map_or(vec![], Reader::columns);
            names.extend(head.iter().flat_map(|row| row.fields.keys().cloned()));
            for name in names {
                if !table.columns.contains(&name) {
                    table.columns.push(name);
                }
            }
            if let Some(Reader::Parquet(rows, _)) = &rows.reader {
                for (column, names) in rows.note("huggingface").map(class_names).unwrap_or_default()
                {
                    table.class_names.entry(column).or_insert(names);
                }
            }
            // Of many files the first are enough.
            if table.head.len() < 16 * HEAD_ROWS {
                table.head.extend(head);
            }
        }
        Ok(table)
    }

    /// The first file, for messages.
    pub fn name(&self) -> String {
        self.files.first().map_or(String::new(), |(path, _)| path.to_string_lossy().into_owned())
    }

    /// All rows, in order. After an error there are none.
    pub fn rows(&self) -> Rows {
        Rows::new(self.files.clone(), self.layout.clone())
    }
}

/// The rows of a [`Table`].
pub struct Rows {
    files: vec::IntoIter<(PathBuf, Format)>,
    layout: Layout,
    reader: Option<Reader>,
    /// What a row was unfolded to.
    unfolded: VecDeque<Row>,
    notes: Notes,
    has_failed: bool,
}

impl Rows {
    fn new(files: Vec<(PathBuf, Format)>, layout: Layout) -> Self {
        Self {
            files: files.into_iter(),
            layout,
            reader: None,
            unfolded: VecDeque::new(),
            notes: Notes::new(),
            has_failed: false,
        }
    }

    /// What was left out so far.
    pub fn notes(&self) -> &Notes {
        &self.notes
    }

    fn next_row(&mut self) -> Result<Option<Row>, DatasetError> {
        loop {
            if let Some(row) = self.unfolded.pop_front() {
                return Ok(Some(row));
            }
            let Some(reader) = &mut self.reader else {
                let Some((path, format)) = self.files.next() else { return Ok(None) };
                self.reader = Some(Reader::open(&path, format, &self.layout)?);
                continue;
            };
            let Some(row) = reader.next_row(&self.layout, &mut self.notes)? else {
                // The last one stays, for what it says of its columns.
                if self.files.len() == 0 {
                    return Ok(None);
                }
                self.reader = None;
                continue;
            };
            match &self.layout.unfold {
                Some(unfold) => self.unfolded.extend(unfold(row)?),
                None => return Ok(Some(row)),
            }
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Row, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        let row = self.next_row().transpose();
        self.has_failed = matches!(row, Some(Err(_)));
        row
    }
}

/// Reads one file.
enum Reader {
    Cells { cells: Cells, names: Vec<String>, file: Arc<str> },
    Lines(Lines, Arc<str>),
    Parquet(ParquetRows, Arc<str>),
    Items(Items),
    Sentences(Sentences),
}

impl Reader {
    fn open(path: &Path, format: Format, layout: &Layout) -> Result<Self, DatasetError> {
        let file: Arc<str> = path.to_string_lossy().into();
        Ok(match format {
            Format::Csv => Self::cells(Cells::open(path, b',', true)?, file, layout)?,
            Format::Tsv => Self::cells(Cells::open(path, b'\t', false)?, file, layout)?,
            Format::QuotedTsv => Self::cells(Cells::open(path, b'\t', true)?, file, layout)?,
            Format::Jsonl => Self::Lines(Lines::open(path)?, file),
            Format::Json => Self::Items(Items::open(path)?),
            Format::Parquet => Self::Parquet(ParquetRows::open(path)?, file),
            Format::Conll => Self::Sentences(Sentences::new(Lines::open(path)?, file)),
        })
    }

    fn cells(mut cells: Cells, file: Arc<str>, layout: &Layout) -> Result<Self, DatasetError> {
        let names: Vec<String> = if let Some(names) = layout.names {
            names.iter().map(|&name| name.to_owned()).collect()
        } else {
            let n = cells.next_row()?.unwrap_or(0);
            let names: Result<_, _> =
                (0..n).map(|idx| cells.cell(idx).map(str::to_owned)).collect();
            names?
        };
        let twice = names.iter().enumerate().find(|(idx, name)| names[..*idx].contains(name));
        let problem = match twice {
            Some((_, name)) => format!("two columns are named `{name}`"),
            None if names.len() > COLUMNS_MAX => format!("more than {COLUMNS_MAX} columns"),
            None => return Ok(Self::Cells { cells, names, file }),
        };
        let hint = "the first row names the columns".to_owned();
        Err(DatasetError::Columns { file: file.to_string(), problem, columns: names, hint })
    }

    /// What is known before the first row.
    fn columns(&self) -> Vec<String> {
        match self {
            Self::Cells { names, .. } => names.clone(),
            Self::Parquet(rows, _) => rows.columns().to_vec(),
            _ => Vec::new(),
        }
    }

    fn next_row(
        &mut self,
        layout: &Layout,
        notes: &mut Notes,
    ) -> Result<Option<Row>, DatasetError> {
        match self {
            Self::Cells { cells, names, file } => {
                while let Some(n) = cells.next_row()? {
                    let at = place(file, "line", cells.line());
                    if n != names.len() {
                        if layout.skips_uneven {
                            note(notes, UNEVEN, &at);
                            continue;
                        }
                        return Err(cells.uneven(names.len()).into());
                    }
                    let cell = |(idx, name): (usize, &String)| {
                        Ok((name.clone(), Value::String(cells.cell(idx)?.to_owned())))
                    };
                    let fields: Result<Fields, DatasetError> =
                        names.iter().enumerate().map(cell).collect();
                    return Ok(Some(Row { at, fields: fields? }));
                }
                Ok(None)
            }
            Self::Lines(lines, file) => loop {
                let Some(line) = lines.next_line()? else { return Ok(None) };
                if line.trim().is_empty() {
                    continue;
                }
                let fields = serde_json::from_str::<Value>(line);
                let at = place(file, "line", lines.number());
                return json::object(fields, at).map(Some);
            },
            Self::Parquet(rows, file) => {
                let Some(fields) = rows.next_row()? else { return Ok(None) };
                Ok(Some(Row { at: place(file, "row", rows.number()), fields }))
            }
            Self::Items(items) => items.next_row(),
            Self::Sentences(sentences) => sentences.next_row(),
        }
    }
}

pub(crate) fn note(notes: &mut Notes, what: &'static str, at: &Place) {
    notes.entry(what).or_default().add(1, || at.to_string());
}

fn place(file: &Arc<str>, unit: &'static str, number: u64) -> Place {
    Place { file: Arc::clone(file), unit, number }
}

/// The files that a name or a pattern stands for, in the order of their names.
pub(crate) fn matching(
    pattern: &str,
    format: Option<Format>,
) -> Result<Vec<(PathBuf, Format)>, DatasetError> {
    let refused = |problem: String| DatasetError::Files { pattern: pattern.to_owned(), problem };
    let path = Path::new(pattern);
    let mut paths: Vec<PathBuf> = if path.is_dir() {
        let entries = fs::read_dir(path).map_err(|error| refused(error.to_string()))?;
        let paths = entries.map(|entry| entry.map(|entry| entry.path()));
        let paths: Result<Vec<_>, _> = paths.collect();
        let is_read = |path: &PathBuf| path.is_file() && format_of(path).is_some();
        paths.map_err(|error| refused(error.to_string()))?.into_iter().filter(is_read).collect()
    } else if path.exists() {
        let known = format.or_else(|| format_of(path));
        let known = known.ok_or_else(|| refused("is of no format that is known".to_owned()))?;
        return Ok(vec![(path.to_owned(), known)]);
    } else {
        let paths =
            glob::glob(pattern).map_err(|error| refused(format!("is no pattern: {error}")))?;
        paths.filter_map(Result::ok).filter(|path| path.is_file()).collect()
    };
    paths.sort();
    let known = |path: PathBuf| Some((path.clone(), format.or_else(|| format_of(&path))?));
    let files: Vec<_> = paths.into_iter().filter_map(known).collect();
    if files.is_empty() {
        return Err(refused("stands for no file that can be read".to_owned()));
    }
    Ok(files)
}

/// By the name, `.gz`, `.zst` and `.bz2` taken off.
fn format_of(path: &Path) -> Option<Format> {
    let name = path.file_name()?.to_str()?.to_lowercase();
    let packed = [".gz", ".zst", ".bz2"].iter().find_map(|end| name.strip_suffix(end));
    Some(match packed.unwrap_or(&name).rsplit_once('.')?.1 {
        "csv" => Format::Csv,
        "tsv" => Format::Tsv,
        "jsonl" | "ndjson" => Format::Jsonl,
        "json" => Format::Json,
        "parquet" => Format::Parquet,
        "txt" | "conll" | "iob" | "iob2" | "bio" | "train" | "testa" | "testb" => Format::Conll,
        _ => return None,
    })
}

/// The names of classes in the note that Hugging Face's `datasets` leaves in Parquet: of a column,
/// or of the items of its lists.
fn class_names(note: &str) -> Vec<(String, Vec<String>)> {
    let note: Value = serde_json::from_str(note).unwrap_or_default();
    let features = note["info"]["features"].as_object().cloned().unwrap_or_default();
    let names = |feature: &Value| {
        let items = [feature, &feature["feature"], &feature[0]];
        let names = items.into_iter().find_map(|item| item["names"].as_array())?;
        names.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
    };
    features.iter().filter_map(|(name, feature)| Some((name.clone(), names(feature)?))).collect()
}

/// What is wrong with a value that should be something else.
pub(crate) fn kind(value: &Value) -> String {
    match value {
        Value::Null => "is missing".to_owned(),
        Value::Bool(is) => format!("is {is}"),
        Value::Number(n) => format!("is {n}"),
        Value::String(text) if text.is_empty() => "is empty".to_owned(),
        Value::String(text) => format!("is {}", quoted(&[text])),
        Value::Array(items) => format!("is a list of {}", items.len()),
        Value::Object(_) => "is an object".to_owned(),
    }
}

#[cfg(test)]
mod tests;
