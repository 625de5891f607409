//! Models side by side, in Markdown or as a page.

use std::fmt::Write;

use train::report::format::escape;
use train::report::{document, section};

use crate::results::{MetricResult, Results, TaskResult};

/// A column: a task as it was asked, and a number of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Column {
    task: String,
    metric: String,
    filter: String,
    larger_is_better: bool,
    n_docs: usize,
    n_shots: usize,
    chat: bool,
}

/// Models by rows, the best in the first column first.
pub struct Leaderboard<'r> {
    columns: Vec<Column>,
    rows: Vec<&'r Results>,
}

impl Column {
    fn of<'r>(&self, results: &'r Results) -> Option<&'r MetricResult> {
        let is_asked = |task: &&TaskResult| {
            (&task.task, task.n_docs, task.n_shots) == (&self.task, self.n_docs, self.n_shots)
                && results.chat == self.chat
        };
        let task = results.tasks.iter().find(is_asked)?;
        let is_own = |m: &&MetricResult| m.metric == self.metric && m.filter == self.filter;
        task.metrics.iter().find(is_own)
    }

    /// A value such that more is better.
    fn goodness(&self, results: &Results) -> f64 {
        match self.of(results).and_then(|metric| metric.value) {
            Some(value) if self.larger_is_better => value,
            Some(value) => -value,
            None => f64::NEG_INFINITY,
        }
    }

    /// With how it was asked, where others of `all` were asked the same otherwise.
    fn title(&self, all: &[Self]) -> String {
        let mut title = format!("{} {}", self.task, self.metric);
        if self.filter != "none" {
            let _ = write!(title, " ({})", self.filter);
        }
        let is_same = |other: &&Self| {
            (&other.task, &other.metric, &other.filter) == (&self.task, &self.metric, &self.filter)
        };
        if all.iter().filter(is_same).count() > 1 {
            let chat = if self.chat { ", chat" } else { "" };
            let _ = write!(title, ", {} documents, {} examples{chat}", self.n_docs, self.n_shots);
        }
        title + if self.larger_is_better { " \u{2191}" } else { " \u{2193}" }
    }
}

impl<'r> Leaderboard<'r> {
    /// Of all models, tasks and numbers; what was asked otherwise has columns of its own.
    pub fn new(all: &'r [Results]) -> Self {
        let mut columns: Vec<Column> = Vec::new();
        let tasks =
            |results: &'r Results| results.tasks.iter().map(move |task| (task, results.chat));
        for (task, chat) in all.iter().flat_map(tasks) {
            for MetricResult { metric, filter, larger_is_better, .. } in &task.metrics {
                let column = Column {
                    task: task.task.clone(),
                    metric: metric.clone(),
                    filter: filter.clone(),
                    larger_is_better: *larger_is_better,
                    n_docs: task.n_docs,
                    n_shots: task.n_shots,
                    chat,
                };
                if !columns.contains(&column) {
                    columns.push(column);
                }
            }
        }
        let mut rows: Vec<&Results> = all.iter().collect();
        if let Some(first) = columns.first() {
            rows.sort_by(|a, b| first.goodness(b).total_cmp(&first.goodness(a)));
        }
        Self { columns, rows }
    }

    /// The cells of a row: texts, and whether each is the best of its column.
    fn cells(&self, results: &Results) -> Vec<(String, bool)> {
        let cell = |column: &Column| {
            let Some(MetricResult { value, stderr, .. }) = column.of(results) else {
                return (String::new(), false);
            };
            let Some(value) = value else { return ("undefined".to_owned(), false) };
            let best = self.rows.iter().map(|row| column.goodness(row));
            let best = best.fold(f64::NEG_INFINITY, f64::max);
            let text = match stderr {
                Some(stderr) => format!("{value:.4} \u{b1} {stderr:.4}"),
                None => format!("{value:.4}"),
            };
            (text, column.goodness(results) == best)
        };
        self.columns.iter().map(cell).collect()
    }

    /// As Markdown; the best of a column is bold.
    pub fn markdown(&self) -> String {
        // A name of a file may hold anything.
        let plain = |text: &str| {
            let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            text.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;")
        };
        let mut text = "| model | precision |".to_owned();
        for column in &self.columns {
            let _ = write!(text, " {} |", plain(&column.title(&self.columns)));
        }
        let _ = writeln!(text, "\n|---|---|{}", "---:|".repeat(self.columns.len()));
        for row in &self.rows {
            let _ = write!(text, "| {} | {} |", plain(&row.model), plain(&row.precision));
            for (cell, is_best) in self.cells(row) {
                let cell = if is_best { format!("**{cell}**") } else { cell };
                let _ = write!(text, " {cell} |");
            }
            text.push('\n');
        }
        text
    }

    /// As a page by itself, for light and dark.
    pub fn html(&self) -> String {
        let mut table = "<table>\n<tr><th>model</th><th>precision</th>".to_owned();
        for column in &self.columns {
            let _ = write!(table, "<th>{}</th>", escape(&column.title(&self.columns)));
        }
        table += "</tr>\n";
        for row in &self.rows {
            let (model, precision) = (escape(&row.model), escape(&row.precision));
            let _ = write!(table, "<tr><td>{model}</td><td>{precision}</td>");
            for (cell, is_best) in self.cells(row) {
                let cell = escape(&cell);
                let cell = if is_best { format!("<strong>{cell}</strong>") } else { cell };
                let _ = write!(table, "<td>{cell}</td>");
            }
            table += "</tr>\n";
        }
        table += "</table>\n";
        let mut tasks = String::new();
        let mut seen = Vec::new();
        for task in self.rows.iter().flat_map(|row| &row.tasks) {
            let asked = (&task.task, task.n_docs, task.n_shots);
            if !seen.contains(&asked) {
                seen.push(asked);
                let (name, kind) = (escape(&task.task), escape(&task.output_type));
                let _ = writeln!(
                    tasks,
                    "<p>{name}: {kind}, {} documents, {} examples before each</p>",
                    task.n_docs, task.n_shots
                );
            }
        }
        let lead = "Values with their standard errors; the best of a column is bold.";
        document("Leaderboard", lead, &(section("Models", &table) + &section("Tasks", &tasks)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(model: &str, acc: f64, perplexity: Option<f64>) -> Results {
        let metric = |metric: &str, value, larger_is_better| MetricResult {
            metric: metric.into(),
            filter: "none".into(),
            value,
            stderr: Some(0.01),
            larger_is_better,
            ..MetricResult::default()
        };
        let task = TaskResult {
            task: "quiz".into(),
            metrics: vec![metric("acc", Some(acc), true), metric("ppl", perplexity, false)],
            ..TaskResult::default()
        };
        Results { model: model.into(), tasks: vec![task], ..Results::default() }
    }

    #[test]
    fn the_best_comes_first_and_names_do_no_harm() {
        let all = [results("a|<b>", 0.5, Some(3.0)), results("c", 0.75, Some(4.0))];
        let board = Leaderboard::new(&all);
        let lines: Vec<String> = board.markdown().lines().map(str::to_owned).collect();
        assert_eq!(lines[2], "| c |  | **0.7500 \u{b1} 0.0100** | 4.0000 \u{b1} 0.0100 |");
        assert!(lines[3].starts_with("| a\\|&lt;b> |  | 0.5000"), "{}", lines[3]);
        assert!(lines[3].contains("**3.0000"));
        let page = board.html();
        assert!(page.contains("a|&lt;b&gt;") && !page.contains("<script"));
        assert!(Leaderboard::new(&[]).markdown().starts_with("| model"));
    }

    #[test]
    fn what_was_asked_otherwise_is_not_ranked_together() {
        let mut all = [results("a", 0.5, None), results("b", 0.75, Some(4.0))];
        all[1].tasks[0].n_shots = 5;
        let text = Leaderboard::new(&all).markdown();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains("quiz acc, 0 documents, 5 examples \u{2191}"), "{text}");
        assert!(lines[0].contains("quiz acc, 0 documents, 0 examples \u{2191}"), "{text}");
        // Each is the best where it is alone; a number that is not defined is none.
        assert_eq!(lines[2], "| a |  | **0.5000 \u{b1} 0.0100** | undefined |  |  |");
        all[1].tasks[0].n_shots = 0;
        all[1].chat = true;
        assert!(Leaderboard::new(&all).markdown().contains("0 examples, chat"));
    }
}
