//! Task files: what is asked of a model, in the words of `lm-evaluation-harness`.
//!
//! YAML and TOML have the same keys. What needs Python (`!function`, `process_docs`) is refused,
//! with its line; what changes no result (`tag`, `metadata`) is passed over and noted. `include`
//! names a file whose keys are taken where this one has none.
//!
//! Gao et al., "A framework for few-shot language model evaluation", version 0.4.

mod raw;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde_json::{Map, Value};

use crate::error::{EvalError, Result};
use crate::metric::Kind;
use raw::Raw;

/// Which requests a task makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputType {
    /// The likeliest of several continuations.
    MultipleChoice,
    /// How likely one continuation is.
    Loglikelihood,
    /// How likely a whole text is.
    LoglikelihoodRolling,
    /// What the model writes.
    GenerateUntil,
}

impl OutputType {
    const ALL: [(Self, &'static str); 4] = [
        (Self::MultipleChoice, "multiple_choice"),
        (Self::Loglikelihood, "loglikelihood"),
        (Self::LoglikelihoodRolling, "loglikelihood_rolling"),
        (Self::GenerateUntil, "generate_until"),
    ];

    /// As it is called in files.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }
}

impl fmt::Display for OutputType {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a text ends, and is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// Each ends the text, and is not part of it; none is empty.
    pub until: Vec<String>,
    /// New tokens, at most.
    pub max_tokens: usize,
    /// 0 takes the most likely token, always.
    pub temperature: f32,
}

/// A way from what a model wrote to what is compared.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// What it is called.
    pub name: String,
    /// In this order.
    pub steps: Vec<Step>,
}

/// A step of a [`Pipeline`].
#[derive(Clone, Debug)]
pub enum Step {
    /// The first of what was written, which is all there is.
    TakeFirst,
    /// What a pattern finds.
    Find {
        /// Where it has groups, they are what is found.
        pattern: Regex,
        /// Which of the places: from 0, or from the end below.
        select: i64,
        /// Where there is none.
        fallback: String,
    },
    /// Without blanks at both ends.
    Trim,
    /// In small letters.
    Lower,
    /// In capitals.
    Upper,
}

/// A metric, and how exactly it looks.
#[derive(Clone, Debug)]
pub struct MetricSpec {
    /// Which.
    pub kind: Kind,
    /// Patterns that are taken out of both texts first.
    pub ignored: Vec<Regex>,
    /// Small and capital letters are the same.
    pub ignore_case: bool,
    /// ASCII punctuation is taken out.
    pub ignore_punctuation: bool,
    /// ASCII digits are taken out.
    pub ignore_numbers: bool,
}

/// What is made of a document: a column, a template, or what is given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parts {
    /// The question.
    pub text: Option<Value>,
    /// The answer.
    pub target: Option<Value>,
    /// What may be chosen.
    pub choice: Option<Value>,
}

/// A task file that was read: checked by itself, not yet against its data.
#[derive(Clone, Debug)]
pub struct TaskFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it is called.
    pub name: String,
    /// `json`, `csv` or `parquet`, or a file.
    pub dataset_path: String,
    /// Files by splits, or of any split under the empty name.
    pub data_files: Vec<(String, Vec<String>)>,
    /// What is asked about.
    pub split: String,
    /// Where examples are from.
    pub shots_split: Option<String>,
    /// How a document becomes text.
    pub parts: Parts,
    /// The same of examples, where they are shown otherwise.
    pub shot_parts: Parts,
    /// Comes first.
    pub description: String,
    /// Between question and answer.
    pub target_delimiter: String,
    /// Behind an example.
    pub shot_delimiter: String,
    /// Examples.
    pub n_shots: usize,
    /// Whether the first documents are the examples, rather than some that are drawn.
    pub first_shots: bool,
    /// What the answer begins with.
    pub gen_prefix: Option<String>,
    /// Which requests.
    pub output: OutputType,
    /// For [`OutputType::GenerateUntil`].
    pub generation: Generation,
    /// What is measured.
    pub metrics: Vec<MetricSpec>,
    /// What is made of texts first.
    pub pipelines: Vec<Pipeline>,
    /// Keys that were passed over.
    pub passed_over: Vec<String>,
    lines: HashMap<String, usize>,
}

impl MetricSpec {
    /// Whether there is anything that it does not look at.
    fn ignores(&self) -> bool {
        let flags = [self.ignore_case, self.ignore_punctuation, self.ignore_numbers];
        !self.ignored.is_empty() || flags.contains(&true)
    }
}

impl TaskFile {
    /// Reads a file, by its name `.toml`, else YAML.
    ///
    /// # Errors
    /// Where it cannot be read, or followed.
    pub fn read(path: &Path) -> Result<Self> {
        let raw = Raw::open(path, 0)?;
        Self::of(&raw)
    }

    /// Reads a text as if it were that of a file; it includes no other.
    ///
    /// # Errors
    /// Where it cannot be followed.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let raw = Raw::parse(path, text)?;
        if raw.map.contains_key("include") {
            return Err(raw.refused("include", "includes a file", "give it a file of its own"));
        }
        Self::of(&raw)
    }

    /// A refusal of a key.
    pub(crate) fn refused(&self, key: &str, problem: &str, hint: &str) -> EvalError {
        EvalError::Task {
            path: self.path.clone(),
            line: self.lines.get(key).copied(),
            problem: format!("`{key}` {problem}"),
            hint: hint.to_owned(),
        }
    }

    fn of(raw: &Raw) -> Result<Self> {
        let mut passed_over = Vec::new();
        let (mut files, mut others) = (Vec::new(), Vec::new());
        raw.check_keys(&mut passed_over)?;
        let output = raw.output()?;
        let shots = raw.section("fewshot_config")?;
        for key in shots.keys() {
            let known = &["sampler", "split", "doc_to_text", "doc_to_target", "doc_to_choice"];
            raw.known_in("fewshot_config", key, known)?;
        }
        for (key, value) in &raw.section("dataset_kwargs")? {
            match key.as_str() {
                "data_files" => files = raw.data_files(value)?,
                "trust_remote_code" => passed_over.push("dataset_kwargs.trust_remote_code".into()),
                _ => others.push(key.clone()),
            }
        }
        if let Some(other) = others.first() {
            raw.known_in("dataset_kwargs", other, &["data_files"])?;
        }
        let text = |key: &str| raw.text(key);
        let splits = ["test_split", "validation_split", "training_split"];
        let [test, validation, training] = splits.map(text);
        let (test, validation, training) = (test?, validation?, training?);
        let Some(split) = test.clone().or(validation.clone()) else {
            let hint = "say in `test_split` which split is asked about";
            return Err(raw.refused("test_split", "is missing", hint));
        };
        let given = |map: &Map<String, Value>, key: &str| map.get(key).cloned();
        let parts = |map: &Map<String, Value>| Parts {
            text: given(map, "doc_to_text"),
            target: given(map, "doc_to_target"),
            choice: given(map, "doc_to_choice"),
        };
        let shots_split = match shots.get("split").or(raw.map.get("fewshot_split")) {
            Some(Value::String(split)) => Some(split.clone()),
            Some(Value::Null) | None => training.or(validation).or(test),
            Some(_) => return Err(raw.refused("fewshot_split", "is no text", "")),
        };
        let shot_delimiter = text("fewshot_delimiter")?.unwrap_or_else(|| "\n\n".to_owned());
        let dataset_path = text("dataset_path")?.unwrap_or_default();
        let task = Self {
            name: text("task")?.unwrap_or_else(|| stem(&raw.path)),
            data_files: files,
            split,
            shots_split,
            parts: parts(&raw.map),
            shot_parts: parts(&shots),
            description: text("description")?.unwrap_or_default(),
            target_delimiter: text("target_delimiter")?.unwrap_or_else(|| " ".to_owned()),
            n_shots: raw.count("num_fewshot", 0)?,
            first_shots: raw.is_first_n(&shots)?,
            gen_prefix: text("gen_prefix")?,
            output,
            generation: raw.generation(&shot_delimiter)?,
            metrics: raw.metrics(output)?,
            pipelines: raw.pipelines()?,
            passed_over,
            shot_delimiter,
            dataset_path,
            path: raw.path.clone(),
            lines: raw.lines.clone(),
        };
        task.check(raw)?;
        Ok(task)
    }

    /// What can be known to be missing before there is data.
    fn check(&self, raw: &Raw) -> Result<()> {
        if raw.text("dataset_name")?.is_some() {
            let hint = "name a file of that set: `dataset_path: json` with `dataset_kwargs: \
                {data_files: {test: FILE}}`";
            return Err(self.refused("dataset_name", "is a part of a set on a hub", hint));
        }
        if raw.count("repeats", 1)? != 1 {
            return Err(self.refused("repeats", "is not 1", "a text is written once"));
        }
        let lacks = |key: &str| Err(self.refused(key, "is missing", "see the help for a task"));
        if self.output != OutputType::LoglikelihoodRolling && self.parts.text.is_none() {
            return lacks("doc_to_text");
        }
        if self.parts.target.is_none() {
            return lacks("doc_to_target");
        }
        if self.output == OutputType::MultipleChoice && self.parts.choice.is_none() {
            return lacks("doc_to_choice");
        }
        if matches!(self.parts.choice, Some(Value::Object(_))) {
            return Err(self.refused(
                "doc_to_choice",
                "is a mapping",
                "write its values as a list",
            ));
        }
        for (key, parts) in [("doc_to_choice", &self.parts), ("fewshot_config", &self.shot_parts)] {
            let items = parts.choice.as_ref().and_then(Value::as_array);
            if items.is_some_and(|items| items.iter().any(Value::is_boolean)) {
                let hint = "put `yes` and `no` in quotes: bare, they are truth values in YAML";
                return Err(self.refused(key, "has a choice that is true or false", hint));
            }
        }
        if self.dataset_path.is_empty() {
            return lacks("dataset_path");
        }
        Ok(())
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
