//! Columns of text, and facts for people and programs.

use std::fmt::Display;
use std::path::Path;

use serde_json::{Map, Value};
use train::report::format::grouped;

/// Characters of a cell that are shown: names in files have any length.
const MAX_CELL: usize = 240;

/// Rows whose columns begin at the same place.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with this first row.
    pub fn new(head: &[&str]) -> Self {
        let mut table = Self::default();
        table.row(head);
        table
    }

    /// Adds a row.
    pub fn row<S: AsRef<str>>(&mut self, cells: &[S]) {
        self.rows.push(cells.iter().map(|cell| elided(printable(cell.as_ref(), false))).collect());
    }

    /// The text, two spaces between columns, each row a line.
    pub fn text(&self) -> String {
        let n_columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |at: usize| {
            self.rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max()
        };
        let widths: Vec<usize> = (0..n_columns).map(|at| width(at).unwrap_or(0)).collect();
        let mut text = String::new();
        for row in &self.rows {
            let padded = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
            text += padded.collect::<Vec<_>>().join("  ").trim_end();
            text.push('\n');
        }
        text
    }
}

/// Names and values, for people and for programs at once.
#[derive(Debug, Default)]
pub struct Facts {
    table: Table,
    json: Map<String, Value>,
    sections: String,
}

impl Facts {
    /// Adds a fact, which people know by another name than programs.
    #[must_use]
    pub fn named(
        mut self,
        name: &str,
        key: &str,
        value: impl Into<Value>,
        shown: impl Display,
    ) -> Self {
        self.table.row(&[name, &shown.to_string()]);
        self.json.insert(key.to_owned(), value.into());
        self
    }

    /// Adds a fact; its key is its name for people too.
    #[must_use]
    pub fn with(self, key: &str, value: impl Into<Value>, shown: impl Display) -> Self {
        self.named(key, key, value, shown)
    }

    /// Adds a text, the same for both.
    #[must_use]
    pub fn text(self, key: &str, value: impl Display) -> Self {
        let text = value.to_string();
        self.with(key, text.clone(), text)
    }

    /// Adds a count, its thousands apart for people.
    #[must_use]
    pub fn count(self, key: &str, n: u64) -> Self {
        self.with(key, n, grouped(n))
    }

    /// What may be unknown: `null`, or a dash for people.
    #[must_use]
    pub fn perhaps<T: Clone + Into<Value>>(
        self,
        key: &str,
        value: Option<T>,
        shown: impl FnOnce(T) -> String,
    ) -> Self {
        let text = or_dash(value.clone(), shown);
        self.with(key, value.map_or(Value::Null, Into::into), text)
    }

    /// Adds what something consists of: a line for each part that is there, an object below `key`.
    #[must_use]
    pub fn parts(mut self, key: &str, parts: &[(String, u64)], shown: fn(u64) -> String) -> Self {
        for (name, n) in parts.iter().filter(|(_, n)| *n > 0) {
            self.table.row(&[format!("  {name}"), shown(*n)]);
        }
        let parts: Map<_, _> = parts.iter().map(|(name, n)| (name.clone(), (*n).into())).collect();
        self.json.insert(key.to_owned(), parts.into());
        self
    }

    /// Adds what only programs are told.
    #[must_use]
    pub fn more(mut self, object: Value) -> Self {
        if let Value::Object(more) = object {
            self.json.extend(more);
        }
        self
    }

    /// Adds what has lines of its own, below all facts and an empty line.
    #[must_use]
    pub fn section(mut self, key: &str, (text, value): (String, Value)) -> Self {
        self.sections = self.sections + "\n" + &text;
        self.json.insert(key.to_owned(), value);
        self
    }

    /// Lines for people, an object for programs.
    pub fn end(self) -> (String, Value) {
        (self.table.text() + &self.sections, Value::Object(self.json))
    }
}

/// What may be unknown, for people.
pub fn or_dash<T>(value: Option<T>, shown: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), shown)
}

/// `cell` with its end left out where it is longer than any screen is wide.
fn elided(cell: String) -> String {
    match cell.char_indices().nth(MAX_CELL) {
        Some((at, _)) => format!("{}..", &cell[..at]),
        None => cell,
    }
}

/// `path` as one word of a shell.
pub fn shell_word(path: &Path) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_-./+:@%,=".contains(c);
    let text = path.to_string_lossy();
    let text = if text.starts_with('-') { format!("./{text}") } else { text.into_owned() };
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// `text` without what would steer a terminal: names in files and what models write are not ours
/// to trust. Lines and tabs stay where they may.
pub fn printable(text: &str, with_lines: bool) -> String {
    let steers = |c: char| c.is_control() && !(with_lines && (c == '\n' || c == '\t'));
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_begin_at_the_same_place() {
        let mut table = Table::new(&["name", "size"]);
        table.row(&["a\u{1b}[31m\n", "1"]);
        table.row(&["longer name", "22"]);
        let expected = "name         size\na\u{fffd}[31m\u{fffd}      1\nlonger name  22\n";
        assert_eq!(table.text(), expected);
        assert_eq!(printable("a\n\u{7}", true), "a\n\u{fffd}");
    }

    #[test]
    fn a_cell_without_end_is_cut() {
        let mut table = Table::default();
        table.row(&["\u{e4}".repeat(70_000), "1".to_owned()]);
        assert_eq!(table.text(), format!("{}..  1\n", "\u{e4}".repeat(MAX_CELL)));
    }

    #[test]
    fn a_fact_is_for_people_and_for_programs() {
        let facts = Facts::default().count("n_tokens", 1234).text("name", "x");
        let facts = facts.perhaps("end", None::<u32>, |id| id.to_string());
        let facts = facts.named("the sum", "sum", 3, 3.0);
        let parts = [("a".to_owned(), 1), ("b".to_owned(), 0)];
        let facts = facts.section("more", ("lines\n".into(), 7.into()));
        let (text, json) = facts.parts("parts", &parts, grouped).end();
        let expected = "n_tokens  1\u{a0}234\nname      x\nend       -\nthe sum   3\n";
        assert_eq!(text, format!("{expected}  a       1\n\nlines\n"));
        let expected =
            r#"{"end":null,"more":7,"n_tokens":1234,"name":"x","parts":{"a":1,"b":0},"sum":3}"#;
        assert_eq!(json.to_string(), expected);
    }
}
