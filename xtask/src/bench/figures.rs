//! What was measured, by name, and figures made of it beside what is wanted of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::table::{median, verdict};
use crate::command;

/// A figure, and what is wanted of it.
pub struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    must: f64,
    /// The same as `must` where no more is wanted.
    aim: f64,
    /// Whether less is better.
    less: bool,
}

impl Figure {
    /// One of which more is better.
    pub fn new(name: &str, value: f64, [must, aim]: [f64; 2], unit: &'static str) -> Self {
        Self { name: name.to_owned(), value, unit, must, aim, less: false }
    }

    /// Of this one, less is better.
    pub fn less(self) -> Self {
        Self { less: true, ..self }
    }

    fn row(&self) -> String {
        let Self { name, value, unit, must, aim, less } = self;
        let better = |bound: &f64| if *less { value <= bound } else { value >= bound };
        let verdict = verdict(better(must), better(aim));
        let value = digits(*value);
        format!("| {name} | {value}{unit} | {must}{unit} | {aim}{unit} | {verdict} |")
    }
}

/// Everything measured, by name.
#[derive(Default)]
pub struct Samples(BTreeMap<String, Vec<f64>>);

impl Samples {
    /// Takes a value in, and says so.
    pub fn add(&mut self, name: &str, value: f64) {
        eprintln!("  {name:<40} {value:>12.3}");
        self.0.entry(name.to_owned()).or_default().push(value);
    }

    /// The median of what has this name.
    ///
    /// # Errors
    /// When nothing has.
    pub fn median(&self, name: &str) -> Result<f64> {
        let values = self.0.get(name).cloned().unwrap_or_default();
        median(values).with_context(|| format!("`{name}` was not measured"))
    }

    /// One median over another.
    ///
    /// # Errors
    /// When either was not measured.
    pub fn ratio(&self, over: &str, under: &str) -> Result<f64> {
        Ok(self.median(over)? / self.median(under)?)
    }
}

/// The tables, as they go into `EXPERIMENTS.md`.
pub fn render(figures: &[Figure], samples: &Samples) -> String {
    let mut text = "| figure | value | must | aim | |\n|---|---|---|---|---|\n".to_owned();
    let out = &mut text;
    for figure in figures {
        writeln!(out, "{}", figure.row()).expect("a string takes all");
    }
    writeln!(out, "\n| measured, median | |\n|---|---|").expect("a string takes all");
    for (name, values) in &samples.0 {
        let median = median(values.clone()).unwrap_or(f64::NAN);
        writeln!(out, "| {name} | {} |", digits(median)).expect("a string takes all");
    }
    text
}

/// Enough of a number to see it.
fn digits(value: f64) -> String {
    let n = match value.abs() {
        x if x < 0.1 => 5,
        x if x < 1.0 => 3,
        x if x < 100.0 => 2,
        _ => 1,
    };
    format!("{value:.n$}")
}

/// A path as an argument.
///
/// # Errors
/// When it is not UTF-8.
pub fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path is not UTF-8")
}

/// A number of a line of JSON, at a path of keys as `/a/b`.
pub fn number(value: &Value, key: &str) -> Result<f64> {
    let found = if key.starts_with('/') { value.pointer(key) } else { value.get(key) };
    found.and_then(Value::as_f64).with_context(|| format!("no `{key}` in {value}"))
}

/// The lines of JSON that a process prints.
pub fn lines(command: &mut Command) -> Result<Vec<Value>> {
    let text = command::output(command)?;
    let lines = text.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// The last of them.
pub fn line(command: &mut Command) -> Result<Value> {
    lines(command)?.pop().context("no JSON was printed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_judged() {
        let mut samples = Samples::default();
        for value in [3.0, 1.0, 2.0] {
            samples.add("a", value);
        }
        let figures = [
            Figure::new("more", samples.median("a").unwrap(), [1.0, 2.5], "x"),
            Figure::new("less", 1.5, [1.0, 0.5], " %").less(),
            Figure::new("best", 0.25, [1.0, 0.5], " MiB").less(),
        ];
        let text = render(&figures, &samples);
        let rows = [
            "| more | 2.00x | 1x | 2.5x | reached |",
            "| less | 1.50 % | 1 % | 0.5 % | MISSED |",
            "| best | 0.250 MiB | 1 MiB | 0.5 MiB | aim reached |",
            "| a | 2.00 |",
        ];
        for row in rows {
            assert!(text.contains(row), "{row}\nis not in\n{text}");
        }
        let error = samples.ratio("a", "b").unwrap_err().to_string();
        assert_eq!(error, "`b` was not measured");
    }

    #[test]
    fn numbers_are_found_or_named() {
        let value = serde_json::json!({"a": {"b": 2}, "c": 3.5});
        assert!(number(&value, "/a/b").unwrap() == 2.0 && number(&value, "c").unwrap() == 3.5);
        let error = number(&value, "/a/c").unwrap_err().to_string();
        assert!(error.starts_with("no `/a/c` in {"), "{error}");
    }
}
