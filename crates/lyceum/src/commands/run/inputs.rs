//! The texts that go through a model, some at a time.

use std::io::{self, BufRead};

use serde::Serialize;
use serde_json::Value;

use crate::cli::Run;
use crate::failure::Failure;

/// What is given for standard input.
pub const STDIN: &str = "-";

/// A text, or two, or one with some to choose from.
#[derive(Clone)]
pub struct Input {
    pub text: String,
    /// What the text is held against.
    pub pair: Option<String>,
    /// What may go with the text.
    pub choices: Vec<String>,
}

impl Input {
    /// The text alone.
    fn plain(text: String) -> Self {
        Self { text, pair: None, choices: Vec::new() }
    }

    /// The text held against another.
    pub fn with_pair(&self, pair: &str) -> Self {
        Self { pair: Some(pair.to_owned()), ..Self::plain(self.text.clone()) }
    }

    /// How the text begins, to name it by.
    pub fn start(&self) -> String {
        self.text.chars().take(40).collect()
    }

    /// A line: an object with the text, its pair if it has one, and something more. Numbers have
    /// the digits of their own type.
    pub fn line(&self, name: &str, more: &impl Serialize) -> String {
        let more = serde_json::to_string(more).expect("what is JSON");
        let text = |text: &str| Value::from(text).to_string();
        let pair = self.pair.as_deref().map(|pair| format!(",\"text_pair\":{}", text(pair)));
        let (name, pair) = (text(name), pair.unwrap_or_default());
        format!("{{\"text\":{}{pair},{name}:{more}}}\n", text(&self.text))
    }

    /// An object with `text` and perhaps `text_pair`, as `transformers`' pipelines take them, or
    /// `choices`; a question and its context have names of their own, too.
    fn parse(line: &str, number: u64) -> Result<Self, Failure> {
        let refuse = |why: &str| {
            let hint = "a line is an object, such as {\"text\": \"..\", \"text_pair\": \"..\"}; \
                 leave out `--jsonl` for lines of plain text";
            Failure::new(format!("line {number} of standard input {why}")).hint(hint)
        };
        let object: Value = serde_json::from_str(line).map_err(|_| refuse("is no JSON"))?;
        let either = |key: &str, other: &str| {
            let said = object.get(key).or_else(|| object.get(other));
            said.cloned().unwrap_or_default()
        };
        let Value::String(text) = either("text", "question") else {
            return Err(refuse("has no text `text`"));
        };
        let pair = match either("text_pair", "context") {
            Value::Null => None,
            Value::String(pair) => Some(pair),
            _ => return Err(refuse("has a `text_pair` that is no text")),
        };
        let choices = match &object["choices"] {
            Value::Null => Some(Vec::new()),
            choices => choices.as_array().and_then(|all| {
                all.iter().map(|choice| choice.as_str().map(str::to_owned)).collect()
            }),
        };
        let choices = choices.ok_or_else(|| refuse("has `choices` that are no list of texts"))?;
        Ok(Self { text, pair, choices })
    }
}

/// Hands the inputs to `each`, at most `n` at a time, with the number of the first.
///
/// # Errors
/// Where a line is refused, or `each` fails.
pub fn in_batches(
    args: &Run,
    n: usize,
    mut each: impl FnMut(usize, &[Input]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut batch = Vec::new();
    let mut n_done = 0;
    let mut take = |input: Option<Input>| {
        let is_end = input.is_none();
        batch.extend(input);
        if batch.len() == n || (is_end && !batch.is_empty()) {
            each(n_done, &batch)?;
            n_done += batch.len();
            batch.clear();
        }
        Ok::<(), Failure>(())
    };
    for given in &args.inputs {
        if given != STDIN {
            take(Some(Input::plain(given.clone())))?;
            continue;
        }
        for (line, number) in io::stdin().lock().lines().zip(1..) {
            let line = line.map_err(|error| {
                let problem = format!("line {number} of standard input cannot be read: {error}");
                Failure::new(problem).hint("it has to be UTF-8 text, a text a line")
            });
            let input = line.and_then(|line| {
                if args.jsonl { Input::parse(&line, number) } else { Ok(Input::plain(line)) }
            });
            if input.is_err() {
                take(None)?; // What came before it is told.
            }
            take(Some(input?))?;
        }
    }
    take(None)
}
