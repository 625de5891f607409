//! The documents of a task: rows of its files.

use std::path::Path;

use datasets::{Format, Row, Table};
use serde_json::Value;
use twox_hash::XxHash3_128;

use crate::error::{Result, nearest};
use crate::file::TaskFile;

/// Documents of a task, at most: they are held in memory.
const DOCS_MAX: usize = 2_000_000;

/// The same for rows with the same columns.
pub(crate) fn mark(row: &Row) -> u128 {
    XxHash3_128::oneshot(Value::Object(row.fields.clone()).to_string().as_bytes())
}

/// The rows of a split, and their columns.
///
/// # Errors
/// Where there are none, or they cannot be read.
pub(crate) fn read(file: &TaskFile, split: &str) -> Result<(Vec<Row>, Vec<String>)> {
    let of_split = file.data_files.iter().find(|(name, _)| name == split);
    let (names, format) = match (&*file.dataset_path, of_split) {
        ("json" | "csv" | "parquet", Some((_, names))) => (names.clone(), &*file.dataset_path),
        ("json" | "csv" | "parquet", None) => {
            let known: Vec<&str> = file.data_files.iter().map(|(name, _)| &**name).collect();
            let problem = format!("has no files of the split `{split}`");
            let hint = match nearest(split, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => {
                    "such as `dataset_kwargs: {data_files: {test: questions.jsonl}}`".to_owned()
                }
                None => format!("there are `{}`", known.join("`, `")),
            };
            return Err(file.refused("dataset_kwargs", &problem, &hint));
        }
        (path, _) if Path::new(path).extension().is_some() => (vec![path.to_owned()], ""),
        (path, _) => {
            let problem = format!("is `{path}`, a set on a hub");
            let hint = "fetch its files, and name them: `dataset_path: json` with \
                `dataset_kwargs: {data_files: {test: FILE}}`, or `dataset_path: FILE`";
            return Err(file.refused("dataset_path", &problem, hint));
        }
    };
    // Beside the task, else from where the program was called.
    let beside = |name: &String| {
        let path = file.path.with_file_name(name);
        let is_there = path.exists() || name.contains(['*', '?', '[']);
        if is_there { path.to_string_lossy().into_owned() } else { name.clone() }
    };
    let names: Vec<String> = names.iter().map(beside).collect();
    let known = [(".json", Format::Json), (".csv", Format::Csv), (".parquet", Format::Parquet)];
    let has_end = names.iter().any(|name| Path::new(name).extension().is_some());
    let format = known.iter().find(|(end, _)| !has_end && end[1..] == *format).map(|row| row.1);
    let table = Table::open(&names, format)?;
    let mut rows = Vec::new();
    for row in table.rows() {
        rows.push(row?);
        if rows.len() > DOCS_MAX {
            let problem = format!("has more than {DOCS_MAX} documents");
            return Err(file.refused("dataset_path", &problem, "name a part of them"));
        }
    }
    let is_csv = |name: &String| [".csv", ".tsv"].iter().any(|end| name.contains(end));
    if names.iter().any(is_csv) {
        table.columns.iter().for_each(|column| to_numbers(&mut rows, column));
    }
    for row in &mut rows {
        for column in &table.columns {
            row.fields.entry(column).or_insert(Value::Null);
        }
    }
    Ok((rows, table.columns.clone()))
}

/// A column of CSV whose cells are all numbers holds numbers, as in pandas.
fn to_numbers(rows: &mut [Row], column: &str) {
    let cell = |row: &Row| row.fields.get(column).and_then(Value::as_str).map(str::to_owned);
    let cells: Vec<String> = rows.iter().filter_map(cell).collect();
    let all = |is: fn(&str) -> bool| !cells.is_empty() && cells.iter().all(|cell| is(cell));
    let is_whole = all(|cell| cell.parse::<i64>().is_ok());
    if !is_whole && !all(|cell| cell.parse::<f64>().is_ok_and(f64::is_finite)) {
        return;
    }
    for row in rows {
        let Some(Value::String(cell)) = row.fields.get(column) else { continue };
        let value = match (is_whole, cell.parse::<i64>(), cell.parse::<f64>()) {
            (true, Ok(n), _) => Value::from(n),
            (_, _, Ok(x)) => Value::from(x),
            _ => continue,
        };
        row.fields.insert(column.to_owned(), value);
    }
}
