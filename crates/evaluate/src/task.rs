//! A task with its data: what a model is asked about each document.
//!
//! A prompt is `description`, then examples, then the question, as `lm-evaluation-harness` puts
//! them together. Which documents are shown as examples depends on the seed and on the text of the
//! one that is asked about, not on its place or on what was asked before; it is never among them.

use std::collections::{HashMap, HashSet};

use datasets::{Place, Row};
use minijinja::Environment;
use minijinja::value::Serde;
use serde_json::{Map, Value};
use tokenize::{Chat, ChatError, ChatTemplate, Message, deep, render_bounded};
use twox_hash::XxHash3_64;

use crate::error::{EvalError, Result, nearest};
use crate::file::{OutputType, Parts, TaskFile};
use crate::rows::{mark, read};
use crate::template;

/// Choices of a question, at most.
const CHOICES_MAX: usize = 4000;
/// What the names of templates for examples begin with.
const SHOT: &str = "shot.";

/// How a task is asked.
#[derive(Clone, Copy, Default)]
pub struct Setting<'c> {
    /// Only so many documents.
    pub limit: Option<usize>,
    /// The same seed draws the same examples.
    pub seed: u64,
    /// Puts prompts into the words of a conversation.
    pub chat: Option<&'c ChatTemplate>,
}

/// One request to a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// How likely `continuation` is.
    Continuation {
        /// What comes before.
        context: String,
        /// What may follow.
        continuation: String,
    },
    /// How likely a text is.
    Whole(String),
    /// What follows.
    Generate(String),
}

/// What would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gold {
    /// Any of these choices.
    Choices(Vec<usize>),
    /// Any of these texts; one, of the text that is asked about itself.
    Texts(Vec<String>),
}

/// What is asked about a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its number in its split, from 0.
    pub doc_id: usize,
    /// Where it stands.
    pub at: Place,
    /// Its columns.
    pub doc: Map<String, Value>,
    /// What a model is asked.
    pub requests: Vec<Request>,
    /// What may be chosen.
    pub choices: Vec<String>,
    /// What is right.
    pub gold: Gold,
}

/// A task file and what it is about.
pub struct Task {
    /// The file.
    pub file: TaskFile,
    docs: Rows,
    /// Where examples are from, if it is another split.
    shots: Option<Rows>,
    /// How an example becomes text.
    shot_parts: Parts,
    env: Environment<'static>,
}

/// Rows, and their columns.
type Rows = (Vec<Row>, Vec<String>);

/// What examples are chosen from.
struct Pool<'t> {
    rows: &'t [Row],
    marks: Vec<u128>,
    /// How often each is there.
    copies: HashMap<u128, usize>,
}

/// What a part of a document comes to.
enum Part {
    Text(String),
    Number(i64),
    List(Vec<Value>),
}

impl<'t> Pool<'t> {
    fn new(rows: &'t [Row]) -> Self {
        let marks: Vec<u128> = rows.iter().map(mark).collect();
        let mut copies = HashMap::new();
        for mark in &marks {
            *copies.entry(*mark).or_default() += 1;
        }
        Self { rows, marks, copies }
    }
}

impl Task {
    /// Reads the data of a task, and makes its templates ready.
    ///
    /// # Errors
    /// Where data cannot be read, or has not what the task needs of it.
    pub fn open(file: TaskFile) -> Result<Self> {
        let docs = read(&file, &file.split)?;
        if docs.0.is_empty() {
            return Err(file.refused("dataset_path", "has no documents", "name another split"));
        }
        let shots = match &file.shots_split {
            Some(split) if *split != file.split && file.n_shots > 0 => Some(read(&file, split)?),
            _ => None,
        };
        let given = |value: &Option<Value>| value.clone().filter(|value| !value.is_null());
        let (own, other) = (&file.shot_parts, &file.parts);
        let shot_parts = Parts {
            text: given(&own.text).or_else(|| given(&other.text)),
            target: given(&own.target).or_else(|| given(&other.target)),
            choice: given(&own.choice).or_else(|| given(&other.choice)),
        };
        let mut task = Self { file, docs, shots, shot_parts, env: template::environment() };
        for (name, source) in task.sources() {
            template::add(&mut task.env, name, &source).map_err(|problem| {
                task.file.refused(key(name), &problem, "correct the template")
            })?;
            task.check_columns(name, &source)?;
        }
        Ok(task)
    }

    /// Documents that are asked about.
    pub fn n_docs(&self) -> usize {
        self.docs.0.len()
    }

    /// The columns that a template may name.
    fn columns(&self, name: &str) -> &[String] {
        match &self.shots {
            Some((_, columns)) if name.starts_with(SHOT) => columns,
            _ => &self.docs.1,
        }
    }

    /// Every template there is: its name, its text.
    fn sources(&self) -> Vec<(&'static str, String)> {
        let (parts, shot_parts) = (&self.file.parts, &self.shot_parts);
        let description = Some(Value::from(self.file.description.clone()));
        let prefix = self.file.gen_prefix.clone().map(Value::from);
        let all = [
            ("doc_to_text", &parts.text),
            ("doc_to_target", &parts.target),
            ("doc_to_choice", &parts.choice),
            ("description", &description),
            ("gen_prefix", &prefix),
            ("shot.doc_to_text", &shot_parts.text),
            ("shot.doc_to_target", &shot_parts.target),
            ("shot.doc_to_choice", &shot_parts.choice),
            ("shot.gen_prefix", &prefix),
        ];
        let source = |(name, value): (&'static str, &Option<Value>)| match value {
            Some(Value::String(text)) if !self.columns(name).contains(text) => {
                Some((name, text.clone()))
            }
            _ => None,
        };
        let is_used = |(name, _): &(&str, _)| self.file.n_shots > 0 || !name.starts_with(SHOT);
        all.into_iter().filter(is_used).filter_map(source).collect()
    }

    /// Refuses a name that is no column, before anything is rendered.
    fn check_columns(&self, name: &'static str, source: &str) -> Result<()> {
        let columns = self.columns(name);
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let is_name = name != "description" && !source.is_empty() && source.chars().all(is_word);
        let mut unknown: Vec<String> = if is_name && !source.starts_with(char::is_numeric) {
            vec![source.to_owned()]
        } else {
            let template = self.env.get_template(name);
            let known: HashSet<&str> = self.env.globals().map(|(name, _)| name).collect();
            let names = template.map(|t| t.undeclared_variables(false)).unwrap_or_default();
            let is_unknown =
                |name: &String| !known.contains(name.as_str()) && !columns.contains(name);
            names.into_iter().filter(is_unknown).collect()
        };
        unknown.sort();
        let Some(first) = unknown.first() else { return Ok(()) };
        let hint = match nearest(first, columns.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are `{}`", columns.join("`, `")),
        };
        let lacks = if name.starts_with(SHOT) { "the examples have" } else { "the data has" };
        let problem = format!("names `{first}`, and {lacks} no such column");
        Err(self.file.refused(key(name), &problem, &hint))
    }

    /// What is asked about each document.
    ///
    /// # Errors
    /// Where a template fails, or a document has not what the task says.
    pub fn samples(&self, setting: &Setting) -> Result<Vec<Sample>> {
        let n = setting.limit.unwrap_or(usize::MAX).min(self.n_docs());
        let n_shots = self.file.n_shots;
        let pool = match &self.shots {
            Some((rows, _)) if n_shots > 0 => Pool::new(rows),
            None if n_shots > 0 => Pool::new(&self.docs.0),
            _ => Pool::new(&[]),
        };
        let samples = deep(|| -> Result<Vec<Sample>> {
            let of = |(doc_id, row): (usize, &Row)| {
                let shots = self.choose_shots(&pool, row, setting.seed).ok_or_else(|| {
                    let problem = format!("asks for {n_shots} examples of {}", pool.rows.len());
                    let hint = "the one that is asked about is none of them";
                    self.file.refused("num_fewshot", &problem, hint)
                })?;
                self.sample(doc_id, row, &shots, setting.chat)
            };
            self.docs.0[..n].iter().enumerate().map(of).collect()
        });
        samples.map_err(ChatError::thread)?
    }

    /// Which documents of the pool are examples for `row`; none where there are not so many.
    fn choose_shots<'t>(&self, pool: &Pool<'t>, row: &Row, seed: u64) -> Option<Vec<&'t Row>> {
        let n = self.file.n_shots;
        if n == 0 {
            return Some(Vec::new());
        }
        let (own, n_rows) = (mark(row), pool.rows.len());
        if n_rows - pool.copies.get(&own).copied().unwrap_or(0) < n {
            return None;
        }
        let is_other = |idx: &usize| pool.marks[*idx] != own;
        let rows = |all: &mut dyn Iterator<Item = usize>| {
            Some(all.filter(is_other).take(n).map(|idx| &pool.rows[idx]).collect())
        };
        if self.file.first_shots {
            return rows(&mut (0..n_rows));
        }
        // One draw after the other, until there are enough.
        let drawn = |k: u128| {
            let key = [own, k].map(u128::to_le_bytes).concat();
            (XxHash3_64::oneshot_with_seed(seed, &key) % n_rows as u64) as usize
        };
        let mut seen = HashSet::new();
        rows(&mut (0..).map(drawn).filter(|idx| seen.insert(*idx)))
    }

    fn sample(
        &self,
        doc_id: usize,
        row: &Row,
        shots: &[&Row],
        chat: Option<&ChatTemplate>,
    ) -> Result<Sample> {
        let mut turns = Vec::new();
        let description = &self.file.description;
        if !description.is_empty() {
            let description = self.text("description", &description.clone().into(), row)?;
            if !description.is_empty() {
                turns.push(Turn::new("system", description, ""));
            }
        }
        for shot in shots {
            self.shot(shot, &mut turns)?;
        }
        let parts = &self.file.parts;
        let choices = match &parts.choice {
            Some(choice) => self.choices("doc_to_choice", choice, row)?,
            None => Vec::new(),
        };
        let prefix = match &self.file.gen_prefix {
            Some(prefix) => Some(self.text("gen_prefix", &prefix.clone().into(), row)?),
            None => None,
        };
        let prefix = prefix.filter(|prefix| !prefix.is_empty());
        let question = match &parts.text {
            Some(text) => self.part("doc_to_text", text, row, !choices.is_empty())?,
            None => Part::Text(String::new()),
        };
        let target = parts.target.clone().unwrap_or_default();
        let target = self.part("doc_to_target", &target, row, !choices.is_empty())?;
        let context = |question: String| {
            let mut turns = turns.clone();
            let is_apart = prefix.as_ref().is_some_and(|prefix| is_apart(&question, prefix));
            let between = if is_apart { &*self.file.target_delimiter } else { "" };
            turns.push(Turn::new("user", question, between));
            turns.extend(prefix.clone().map(|prefix| Turn::new("assistant", prefix, "")));
            written(&turns, chat)
        };
        let about = About { row, choices: &choices, target, chat: chat.is_some(), prefix: &prefix };
        let (requests, gold) = self.requests(about, question, context)?;
        let (at, doc) = (row.at.clone(), row.fields.clone());
        Ok(Sample { doc_id, at, doc, requests, choices, gold })
    }

    /// What a model is asked, and what is right.
    fn requests(
        &self,
        about: About,
        question: Part,
        context: impl Fn(String) -> Result<String>,
    ) -> Result<(Vec<Request>, Gold)> {
        let About { row, choices, target, .. } = about;
        Ok(match self.file.output {
            OutputType::MultipleChoice => {
                let is_open = |prefix: &String| !prefix.ends_with(char::is_whitespace);
                let is_apart = !about.chat || about.prefix.as_ref().is_some_and(is_open);
                let between = if is_apart { &*self.file.target_delimiter } else { "" };
                let pair = |context: String, text: &str| {
                    let continuation = format!("{between}{text}");
                    Request::Continuation { context, continuation }
                };
                match question {
                    // The choices are questions of one answer.
                    Part::Number(right) => {
                        let text = self.said(target, row)?;
                        let each = choices.iter().map(|c| Ok(pair(context(c.clone())?, &text)));
                        let right = self.class(&Part::Number(right), choices, row)?;
                        (each.collect::<Result<_>>()?, Gold::Choices(right))
                    }
                    question => {
                        let context = context(self.said(question, row)?)?;
                        let each = choices.iter().map(|choice| pair(context.clone(), choice));
                        let right = self.class(&target, choices, row)?;
                        (each.collect(), Gold::Choices(right))
                    }
                }
            }
            OutputType::Loglikelihood => {
                let continuation = self.said(target, row)?;
                let context = context(self.said(question, row)?)?;
                let gold = Gold::Texts(vec![continuation.clone()]);
                (vec![Request::Continuation { context, continuation }], gold)
            }
            OutputType::LoglikelihoodRolling => {
                let text = self.said(target, row)?;
                (vec![Request::Whole(text.clone())], Gold::Texts(vec![text]))
            }
            OutputType::GenerateUntil => {
                let right = match target {
                    Part::Number(n) if !choices.is_empty() => {
                        let right = self.class(&Part::Number(n), choices, row)?;
                        right.into_iter().map(|at| choices[at].clone()).collect()
                    }
                    Part::List(items) => items.iter().map(shown).collect(),
                    target => vec![self.said(target, row)?],
                };
                (vec![Request::Generate(context(self.said(question, row)?)?)], Gold::Texts(right))
            }
        })
    }

    /// An example: its question and its answer.
    fn shot(&self, row: &Row, turns: &mut Vec<Turn>) -> Result<()> {
        let Parts { text, target, choice } = &self.shot_parts;
        let choices = match choice {
            Some(value) => self.choices("shot.doc_to_choice", value, row)?,
            None => Vec::new(),
        };
        let part = |name: &'static str, value: &Option<Value>| {
            self.part(name, value.as_ref().unwrap_or(&Value::Null), row, !choices.is_empty())
        };
        let chosen = |part: Part| match part {
            Part::Number(n) if !choices.is_empty() => {
                let right = self.class(&Part::Number(n), &choices, row)?;
                Ok(choices[right[0]].clone())
            }
            Part::List(items) => match items.first() {
                Some(first) => Ok(shown(first)),
                None => Err(self.wrong(row, "doc_to_target", "is an empty list")),
            },
            part => self.said(part, row),
        };
        let question = chosen(part("shot.doc_to_text", text)?)?;
        let mut answer = chosen(part("shot.doc_to_target", target)?)?;
        let prefix = match &self.file.gen_prefix {
            Some(prefix) => self.text("shot.gen_prefix", &prefix.clone().into(), row)?,
            None => String::new(),
        };
        let is_apart = prefix.is_empty() || is_apart(&question, &prefix);
        let between = if is_apart { &*self.file.target_delimiter } else { "" };
        turns.push(Turn::new("user", question, if answer.is_empty() { "" } else { between }));
        if !answer.is_empty() {
            if !prefix.is_empty() {
                let blank = if is_apart_at(&prefix, &answer) { " " } else { "" };
                answer = format!("{prefix}{blank}{answer}");
            }
            turns.push(Turn::new("assistant", answer, &self.file.shot_delimiter));
        }
        Ok(())
    }

    /// What is chosen from.
    fn choices(&self, name: &'static str, value: &Value, row: &Row) -> Result<Vec<String>> {
        let items = match value {
            Value::Array(items) => items.clone(),
            value => match self.resolved(name, value, row)? {
                Value::Array(items) => items,
                Value::String(text) => match template::literal(&text)? {
                    Some(Value::Array(items)) => items,
                    _ => return Err(self.wrong(row, name, "is no list of choices")),
                },
                _ => return Err(self.wrong(row, name, "is no list of choices")),
            },
        };
        if items.is_empty() || items.len() > CHOICES_MAX {
            let problem = format!("is a list of {} choices", items.len());
            return Err(self.wrong(row, name, &problem));
        }
        let choices: Vec<String> = items.iter().map(shown).collect();
        match choices.iter().position(String::is_empty) {
            Some(at) => Err(self.wrong(row, name, &format!("has choice {at}, which is empty"))),
            None => Ok(choices),
        }
    }

    /// The numbers of what is right among the choices.
    fn class(&self, target: &Part, choices: &[String], row: &Row) -> Result<Vec<usize>> {
        let number = |n: i64| usize::try_from(n).ok().filter(|n| *n < choices.len());
        let one = |value: &Value| match value {
            Value::String(text) => choices.iter().position(|choice| choice == text),
            value => value.as_i64().and_then(number),
        };
        let found: Option<Vec<usize>> = match target {
            Part::Number(n) => number(*n).map(|n| vec![n]),
            Part::Text(text) => choices.iter().position(|choice| choice == text).map(|n| vec![n]),
            Part::List(items) => items.iter().map(one).collect(),
        };
        found.filter(|right| !right.is_empty()).ok_or_else(|| {
            let problem = format!("is none of the {} choices", choices.len());
            self.wrong(row, "doc_to_target", &problem)
        })
    }

    /// A column, a template, or what is given.
    fn part(
        &self,
        name: &'static str,
        value: &Value,
        row: &Row,
        has_choices: bool,
    ) -> Result<Part> {
        let is_column = value.as_str().is_some_and(|name| row.fields.contains_key(name));
        Ok(match self.resolved(name, value, row)? {
            Value::Bool(is) if has_choices => Part::Number(is.into()),
            Value::Number(n) if n.is_i64() => Part::Number(n.as_i64().unwrap_or_default()),
            Value::Array(items) => Part::List(items),
            Value::String(text) if is_column => Part::Text(text),
            Value::String(text) => {
                let is_digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                let is_list = name.ends_with("doc_to_target")
                    && text.starts_with('[')
                    && text.ends_with(']')
                    && text.len() > 1;
                let list = if is_list { template::literal(&text)? } else { None };
                match (list, text.parse()) {
                    (Some(Value::Array(items)), _) => Part::List(items),
                    (_, Ok(n)) if has_choices && is_digits => Part::Number(n),
                    _ => Part::Text(text),
                }
            }
            Value::Null => return Err(self.wrong(row, name, "is missing")),
            value => Part::Text(shown(&value)),
        })
    }

    /// A part that has to be a text.
    fn said(&self, part: Part, row: &Row) -> Result<String> {
        match part {
            Part::Text(text) => Ok(text),
            Part::Number(n) => Ok(n.to_string()),
            Part::List(_) => Err(self.wrong(row, "doc_to_target", "is a list, and not a text")),
        }
    }

    fn text(&self, name: &'static str, value: &Value, row: &Row) -> Result<String> {
        let part = self.part(name, value, row, false)?;
        self.said(part, row)
    }

    fn resolved(&self, name: &'static str, value: &Value, row: &Row) -> Result<Value> {
        match value {
            Value::String(column) if row.fields.contains_key(column) => {
                Ok(row.fields[column].clone())
            }
            Value::String(_) => self.render(name, row).map(Value::from),
            value => Ok(value.clone()),
        }
    }

    fn render(&self, name: &'static str, row: &Row) -> Result<String> {
        let doc = minijinja::Value::from(Serde(&row.fields));
        let rendered = self.env.get_template(name).and_then(|found| render_bounded(&found, doc));
        rendered.map_err(|error| {
            self.wrong(row, name, &format!("cannot be made: {}", template::said(&error)))
        })
    }

    fn wrong(&self, row: &Row, name: &str, problem: &str) -> EvalError {
        let path = self.file.path.display();
        EvalError::Document {
            at: row.at.clone(),
            problem: format!("`{}` of `{path}` {problem}", key(name)),
            hint: "correct the document, or what the task makes of it".to_owned(),
        }
    }
}

/// What is known of a document when its requests are made.
struct About<'a> {
    row: &'a Row,
    choices: &'a [String],
    target: Part,
    /// Whether prompts are conversations.
    chat: bool,
    prefix: &'a Option<String>,
}

/// The key of a template.
fn key(name: &str) -> &str {
    name.strip_prefix(SHOT).unwrap_or(name)
}

/// A value as a text, strings without quotes, truth values as Python spells them.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(is) => (if *is { "True" } else { "False" }).to_owned(),
        value => value.to_string(),
    }
}

/// Whether a delimiter belongs between two texts.
fn is_apart(before: &str, after: &str) -> bool {
    !before.is_empty() && is_apart_at(before, after)
}

fn is_apart_at(before: &str, after: &str) -> bool {
    !(before.ends_with(char::is_whitespace) || after.starts_with(char::is_whitespace))
}

/// A part of a prompt, and what comes behind it where there is no conversation.
#[derive(Clone)]
struct Turn {
    role: &'static str,
    text: String,
    delimiter: String,
}

impl Turn {
    fn new(role: &'static str, text: String, delimiter: &str) -> Self {
        Self { role, text, delimiter: delimiter.to_owned() }
    }
}

/// The prompt.
fn written(turns: &[Turn], chat: Option<&ChatTemplate>) -> Result<String> {
    let Some(chat) = chat else {
        return Ok(turns.iter().flat_map(|turn| [&*turn.text, &*turn.delimiter]).collect());
    };
    let (turns, begun) = match turns.split_last() {
        Some((last, before)) if last.role == "assistant" => (before, &*last.text),
        _ => (turns, ""),
    };
    let messages: Vec<Message> =
        turns.iter().map(|turn| Message::new(turn.role, &turn.text)).collect();
    let chat =
        chat.render(&Chat { messages: &messages, add_generation_prompt: true, ..Chat::default() })?;
    Ok(chat + begun)
}
