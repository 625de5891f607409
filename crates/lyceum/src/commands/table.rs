//! Columns of text.

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
        self.rows.push(cells.iter().map(|cell| printable(cell.as_ref(), false)).collect());
    }

    /// Adds a name and its value.
    pub fn fact(&mut self, name: &str, value: impl ToString) {
        self.row(&[name, &value.to_string()]);
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
        table.fact("longer name", 22);
        let expected = "name         size\na\u{fffd}[31m\u{fffd}      1\nlonger name  22\n";
        assert_eq!(table.text(), expected);
        assert_eq!(printable("a\n\u{7}", true), "a\n\u{fffd}");
    }
}
