//! The keys of a task file, and what each may be.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde_json::{Map, Value};

use super::{Generation, MetricSpec, OutputType, Pipeline, Step};
use crate::error::{EvalError, Result, did_you_mean};
use crate::metric::Kind;
use crate::yaml;

/// The longest task files have some hundred lines.
const BYTES_MAX: u64 = 1 << 20;
/// Files that include each other.
const INCLUDES_MAX: usize = 8;

/// What changes no result.
const PASSED_OVER: &[&str] = &[
    "tag",
    "group",
    "task_alias",
    "group_alias",
    "metadata",
    "should_decontaminate",
    "doc_to_decontamination_query",
    "unsafe_code",
];
/// What only Python does, or is not done here.
const REFUSED: &[&str] = &[
    "process_docs",
    "process_results",
    "use_prompt",
    "doc_to_image",
    "doc_to_audio",
    "custom_dataset",
    "class",
];
const KNOWN: &[&str] = &[
    "task",
    "dataset_path",
    "dataset_name",
    "dataset_kwargs",
    "training_split",
    "validation_split",
    "test_split",
    "fewshot_split",
    "fewshot_config",
    "doc_to_text",
    "doc_to_target",
    "doc_to_choice",
    "description",
    "target_delimiter",
    "fewshot_delimiter",
    "num_fewshot",
    "output_type",
    "generation_kwargs",
    "metric_list",
    "filter_list",
    "gen_prefix",
    "repeats",
];

/// The keys of a file, and where they stand.
pub(super) struct Raw {
    pub path: PathBuf,
    pub map: Map<String, Value>,
    pub lines: HashMap<String, usize>,
}

/// What an entry of `metric_list` may say, beside its name.
const OF_METRIC: [&str; 6] = [
    "ignore_case",
    "ignore_punctuation",
    "ignore_numbers",
    "regexes_to_ignore",
    "aggregation",
    "higher_is_better",
];

impl Raw {
    /// Reads a file and what it includes, whose keys count less.
    pub fn open(path: &Path, depth: usize) -> Result<Self> {
        let read = |source| EvalError::Read { path: path.to_owned(), source };
        let bytes = mapped::read_small(path, BYTES_MAX).map_err(read)?;
        let text = String::from_utf8(bytes).map_err(|_| EvalError::Task {
            path: path.to_owned(),
            line: None,
            problem: "it is not UTF-8".into(),
            hint: "a task is a text in YAML or TOML".into(),
        })?;
        let mut raw = Self::parse(path, &text)?;
        if let Some(include) = raw.map.remove("include") {
            let Value::String(name) = &include else {
                return Err(raw.refused("include", "is no name of a file", ""));
            };
            if depth == INCLUDES_MAX {
                return Err(raw.refused("include", "goes round in a circle", ""));
            }
            let base = Self::open(&path.with_file_name(name), depth + 1)?;
            for (key, value) in base.map {
                raw.map.entry(key).or_insert(value);
            }
        }
        Ok(raw)
    }

    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let wrong = |line, problem| EvalError::Task {
            path: path.to_owned(),
            line,
            problem,
            hint: "a task is YAML as of lm-evaluation-harness, without Python, or TOML".into(),
        };
        if path.extension().is_some_and(|end| end == "toml") {
            let map: Map<String, Value> = toml::from_str(text).map_err(|error| {
                let before = error.span().map(|span| &text[..span.start.min(text.len())]);
                let line = before.map(|text| text.matches('\n').count() + 1);
                wrong(line, error.message().to_owned())
            })?;
            let key = |(at, line): (usize, &str)| {
                let key = line.trim_start_matches('[').split(['=', ']']).next()?;
                Some((key.trim().to_owned(), at + 1))
            };
            let lines = text.lines().enumerate().filter_map(key).collect();
            return Ok(Self { path: path.to_owned(), map, lines });
        }
        let document = yaml::read(text).map_err(|error| wrong(Some(error.line), error.problem))?;
        Ok(Self { path: path.to_owned(), map: document.map, lines: document.lines })
    }

    pub fn refused(&self, key: &str, problem: &str, hint: &str) -> EvalError {
        EvalError::Task {
            path: self.path.clone(),
            line: self.lines.get(key).copied(),
            problem: format!("`{key}` {problem}"),
            hint: hint.to_owned(),
        }
    }

    pub fn check_keys(&self, passed_over: &mut Vec<String>) -> Result<()> {
        if let Some(Value::Array(_)) = self.map.get("task") {
            let hint = "name each of its tasks with `--task`";
            return Err(self.refused("task", "is a list: this is a group of tasks", hint));
        }
        for key in self.map.keys() {
            if self.map[key].is_null() {
                continue;
            }
            if PASSED_OVER.contains(&key.as_str()) {
                passed_over.push(key.clone());
            } else if REFUSED.contains(&key.as_str()) {
                let hint = "write what it would give into the data, or as a template";
                return Err(self.refused(key, "needs what is not done here", hint));
            } else if !KNOWN.contains(&key.as_str()) {
                let hint = did_you_mean(key, KNOWN.iter().copied());
                return Err(self.refused(key, "is no key of a task", &hint));
            }
        }
        Ok(())
    }

    pub fn known_in(&self, section: &str, key: &str, known: &[&str]) -> Result<()> {
        if known.contains(&key) {
            return Ok(());
        }
        let hint = did_you_mean(key, known.iter().copied());
        Err(self.refused(section, &format!("has a key that is not known: `{key}`"), &hint))
    }

    pub fn text(&self, key: &str) -> Result<Option<String>> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(self.refused(key, "is no text", "put it in quotes")),
        }
    }

    pub fn count(&self, key: &str, otherwise: usize) -> Result<usize> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(otherwise),
            Some(value) => match value.as_u64().and_then(|n| usize::try_from(n).ok()) {
                Some(n) => Ok(n),
                None => Err(self.refused(key, "is no whole number from 0", "")),
            },
        }
    }

    pub fn section(&self, key: &str) -> Result<Map<String, Value>> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(Map::new()),
            Some(Value::Object(map)) => Ok(map.clone()),
            Some(_) => Err(self.refused(key, "is no mapping of keys", "")),
        }
    }

    fn list(&self, key: &str) -> Result<Option<Vec<Map<String, Value>>>> {
        let wrong = || self.refused(key, "is no list of mappings", "");
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(items)) => {
                let maps = items.iter().map(|item| item.as_object().cloned().ok_or_else(wrong));
                maps.collect::<Result<_>>().map(Some)
            }
            Some(_) => Err(wrong()),
        }
    }

    pub fn output(&self) -> Result<OutputType> {
        let name = self.text("output_type")?;
        let name = name.as_deref().unwrap_or("generate_until");
        let found = OutputType::ALL.iter().find(|(_, known)| *known == name);
        found.map(|(kind, _)| *kind).ok_or_else(|| {
            let hint = did_you_mean(name, OutputType::ALL.iter().map(|(_, name)| *name));
            self.refused("output_type", &format!("is `{name}`"), &hint)
        })
    }

    pub fn is_first_n(&self, shots: &Map<String, Value>) -> Result<bool> {
        match shots.get("sampler").map_or(Some("default"), Value::as_str) {
            Some("default") => Ok(false),
            Some("first_n") => Ok(true),
            _ => {
                let hint = "there are `default` and `first_n`";
                Err(self.refused("fewshot_config", "has a sampler that is not known", hint))
            }
        }
    }

    /// File names, by split where they are.
    pub fn data_files(&self, value: &Value) -> Result<Vec<(String, Vec<String>)>> {
        let wrong = || {
            let hint = "such as `data_files: {test: questions.jsonl}`";
            self.refused("dataset_kwargs", "has `data_files` that are no names of files", hint)
        };
        let names = |value: &Value| match value {
            Value::String(name) => Ok(vec![name.clone()]),
            Value::Array(items) => {
                let name = |item: &Value| item.as_str().map(str::to_owned).ok_or_else(wrong);
                items.iter().map(name).collect()
            }
            _ => Err(wrong()),
        };
        match value {
            Value::Object(map) => {
                map.iter().map(|(split, value)| Ok((split.clone(), names(value)?))).collect()
            }
            // As `datasets` has it: what is of no split is of `train`.
            value => Ok(vec![("train".to_owned(), names(value)?)]),
        }
    }

    pub fn generation(&self, shot_delimiter: &str) -> Result<Generation> {
        let key = "generation_kwargs";
        let map = self.section(key)?;
        let known = ["until", "max_gen_toks", "max_new_tokens", "max_tokens", "do_sample"];
        for key_of in map.keys() {
            let known = [&known[..], &["temperature"]].concat();
            self.known_in(key, key_of, &known)?;
        }
        let until = match map.get("until") {
            None | Some(Value::Null) => vec![shot_delimiter.to_owned()],
            Some(Value::String(text)) => vec![text.clone()],
            Some(Value::Array(items)) => {
                let text = |item: &Value| item.as_str().map(str::to_owned);
                let texts: Option<Vec<String>> = items.iter().map(text).collect();
                texts.ok_or_else(|| self.refused(key, "has an `until` that is no text", ""))?
            }
            Some(_) => return Err(self.refused(key, "has an `until` that is no text", "")),
        };
        if until.iter().any(String::is_empty) {
            let hint = "a text would end before it begins: leave it out, or name what ends it";
            return Err(self.refused(key, "has an empty text in `until`", hint));
        }
        let most = ["max_gen_toks", "max_new_tokens", "max_tokens"];
        let most = most.iter().find_map(|name| map.get(*name));
        let max_tokens = match most.map(Value::as_u64) {
            None => 256,
            Some(Some(n)) if (1..=1 << 20).contains(&n) => n as usize,
            Some(_) => {
                return Err(self.refused(key, "has a `max_gen_toks` that is no whole number", ""));
            }
        };
        let number = |name: &str| match map.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_f64().or(value.as_str().and_then(|t| t.parse().ok())) {
                Some(x) if (0.0..1e6).contains(&x) => Ok(Some(x as f32)),
                _ => Err(self.refused(key, &format!("has a `{name}` that is no number"), "")),
            },
        };
        let temperature = number("temperature")?.unwrap_or(0.0);
        let temperature = match map.get("do_sample") {
            Some(Value::Bool(false)) => 0.0,
            Some(Value::Bool(true)) if temperature == 0.0 => 1.0,
            None | Some(Value::Null | Value::Bool(true)) => temperature,
            Some(_) => {
                let hint = "write `true` or `false` without quotes";
                let problem = "has a `do_sample` that is neither true nor false";
                return Err(self.refused(key, problem, hint));
            }
        };
        Ok(Generation { until, max_tokens, temperature })
    }

    pub fn metrics(&self, output: OutputType) -> Result<Vec<MetricSpec>> {
        let key = "metric_list";
        let plain = |kind: Kind| MetricSpec {
            kind,
            ignored: Vec::new(),
            ignore_case: false,
            ignore_punctuation: false,
            ignore_numbers: false,
        };
        let Some(list) = self.list(key)? else {
            return Ok(Kind::usual(output).iter().map(|kind| plain(*kind)).collect());
        };
        let mut specs: Vec<MetricSpec> = Vec::new();
        for map in &list {
            let Some(name) = map.get("metric").and_then(Value::as_str) else {
                return Err(self.refused(key, "has an entry without a `metric`", ""));
            };
            let kind = Kind::named(name, output).map_err(|hint| {
                let problem = format!("has `{name}`, which is not measured of a {output}");
                self.refused(key, &problem, &hint)
            })?;
            let mut spec = plain(kind);
            for (key_of, value) in map {
                let flag = || {
                    let problem = format!("has `{key_of}` that is neither true nor false");
                    value.as_bool().ok_or_else(|| self.refused(key, &problem, ""))
                };
                match key_of.as_str() {
                    "metric" | "higher_is_better" => {}
                    "ignore_case" => spec.ignore_case = flag()?,
                    "ignore_punctuation" => spec.ignore_punctuation = flag()?,
                    "ignore_numbers" => spec.ignore_numbers = flag()?,
                    "regexes_to_ignore" => spec.ignored = self.patterns(key, value)?,
                    "aggregation" if value.as_str() == Some(kind.aggregation()) => {}
                    "aggregation" => {
                        let hint = format!("`{name}` is put together as `{}`", kind.aggregation());
                        let problem = format!("puts `{name}` together as {value}");
                        return Err(self.refused(key, &problem, &hint));
                    }
                    _ => self.known_in(key, key_of, &OF_METRIC)?,
                }
            }
            let compares = kind == Kind::ExactMatch && output == OutputType::GenerateUntil;
            if spec.ignores() && !compares {
                let problem = format!("has `{name}` that is to ignore parts of texts");
                let hint = "`exact_match` of what is written can";
                return Err(self.refused(key, &problem, hint));
            }
            if !specs.iter().any(|known| known.kind == kind) {
                specs.push(spec);
            }
        }
        if specs.is_empty() { Err(self.refused(key, "is empty", "")) } else { Ok(specs) }
    }

    fn patterns(&self, key: &str, value: &Value) -> Result<Vec<Regex>> {
        match value {
            Value::Null => Ok(Vec::new()),
            Value::Array(all) => all.iter().map(|pattern| self.pattern(key, pattern)).collect(),
            _ => {
                let problem = "has `regexes_to_ignore` that are no list";
                Err(self.refused(key, problem, "such as `[\",\"]`"))
            }
        }
    }

    fn pattern(&self, key: &str, value: &Value) -> Result<Regex> {
        let Some(text) = value.as_str() else {
            return Err(self.refused(key, "has a pattern that is no text", ""));
        };
        Regex::new(text).map_err(|error| {
            let problem = format!("has a pattern that is none: {}", last_line(&error.to_string()));
            let hint = "patterns look neither ahead nor back, and refer to no group";
            self.refused(key, &problem, hint)
        })
    }

    pub fn pipelines(&self) -> Result<Vec<Pipeline>> {
        let key = "filter_list";
        let plain = || Pipeline { name: "none".to_owned(), steps: vec![Step::TakeFirst] };
        let Some(list) = self.list(key)? else { return Ok(vec![plain()]) };
        let mut pipelines = Vec::new();
        for map in &list {
            for key_of in map.keys() {
                self.known_in(key, key_of, &["name", "filter"])?;
            }
            let name = map.get("name").and_then(Value::as_str);
            let (Some(name), Some(steps)) = (name, map.get("filter").and_then(Value::as_array))
            else {
                let hint = "each has a `name` and, in `filter`, its functions";
                return Err(self.refused(key, "has an entry that is none", hint));
            };
            let steps: Result<Vec<Step>> = steps.iter().map(|step| self.step(step)).collect();
            pipelines.push(Pipeline { name: name.to_owned(), steps: steps? });
        }
        Ok(if pipelines.is_empty() { vec![plain()] } else { pipelines })
    }

    fn step(&self, step: &Value) -> Result<Step> {
        let key = "filter_list";
        let name = step["function"].as_str().unwrap_or_default();
        let known: &[&str] = match name {
            "regex" => &["function", "regex_pattern", "group_select", "fallback"],
            "take_first" | "remove_whitespace" | "lowercase" | "uppercase" => &["function"],
            _ => {
                let known = ["take_first", "regex", "remove_whitespace", "lowercase", "uppercase"];
                let hint = did_you_mean(name, known);
                return Err(self.refused(key, &format!("has the function `{name}`"), &hint));
            }
        };
        for key_of in step.as_object().into_iter().flat_map(Map::keys) {
            self.known_in(key, key_of, known)?;
        }
        let wrong = |key_of: &str, what: &str| {
            self.refused(key, &format!("has a `{key_of}` that is no {what}"), "")
        };
        Ok(match name {
            "take_first" => Step::TakeFirst,
            "remove_whitespace" => Step::Trim,
            "lowercase" => Step::Lower,
            "uppercase" => Step::Upper,
            _ => {
                let select = match &step["group_select"] {
                    Value::Null => 0,
                    n => n.as_i64().ok_or_else(|| wrong("group_select", "whole number"))?,
                };
                let fallback = match &step["fallback"] {
                    Value::Null => "[invalid]",
                    text => text.as_str().ok_or_else(|| wrong("fallback", "text"))?,
                };
                let pattern = match step.get("regex_pattern") {
                    None => r"#### (\-?[0-9\.\,]+)".into(),
                    Some(Value::String(text)) => ending_as_python(text).into(),
                    Some(other) => other.clone(),
                };
                let (pattern, fallback) = (self.pattern(key, &pattern)?, fallback.to_owned());
                Step::Find { pattern, select, fallback }
            }
        })
    }
}

/// A `$` at the end of a pattern stands before a last newline, too, in Python; here it would not.
fn ending_as_python(pattern: &str) -> Cow<'_, str> {
    let Some(before) = pattern.strip_suffix('$') else { return pattern.into() };
    let n_escapes = before.len() - before.trim_end_matches('\\').len();
    let has_m = |flags: &str| flags.chars().take_while(char::is_ascii_lowercase).any(|c| c == 'm');
    let is_multi_line = pattern.split("(?").skip(1).any(has_m);
    if !n_escapes.is_multiple_of(2) || is_multi_line {
        return pattern.into();
    }
    format!("{before}\\n?\\z").into()
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or_default().trim_start_matches("error: ")
}
