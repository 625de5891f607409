//! The texts that go through a model, some at a time.

use std::io::{self, BufRead};

use serde::Serialize;
use serde_json::Value;

use crate::cli::Run;
use crate::failure::Failure;

/// What is given for standard input.
pub const STDIN: &str = "-";

/// A text, or two.
pub struct Input {
    pub text: String,
    /// What the text is held against.
    pub pair: Option<String>,
}

impl Input {
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

    /// An object with `text` and perhaps `text_pair`, as `transformers`' pipelines take them.
    fn parse(line: &str, number: u64) -> Result<Self, Failure> {
        let refuse = |why: &str| {
            let hint = "a line is an object, such as {\"text\": \"..\", \"text_pair\": \"..\"}; \
                 leave out `--jsonl` for lines of plain text";
            Failure::new(format!("line {number} of standard input {why}")).hint(hint)
        };
        let object: Value = serde_json::from_str(line).map_err(|_| refuse("is no JSON"))?;
        let text = object["text"].as_str().ok_or_else(|| refuse("has no text `text`"))?;
        let pair = match &object["text_pair"] {
            Value::Null => None,
            Value::String(pair) => Some(pair.clone()),
            _ => return Err(refuse("has a `text_pair` that is no text")),
        };
        Ok(Self { text: text.to_owned(), pair })
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
            take(Some(Input { text: given.clone(), pair: None }))?;
            continue;
        }
        for (line, number) in io::stdin().lock().lines().zip(1..) {
            let line = line.map_err(|error| {
                let problem = format!("line {number} of standard input cannot be read: {error}");
                Failure::new(problem).hint("it has to be UTF-8 text, a text a line")
            });
            let input = line.and_then(|line| {
                if args.jsonl {
                    Input::parse(&line, number)
                } else {
                    Ok(Input { text: line, pair: None })
                }
            });
            if input.is_err() {
                take(None)?; // What came before it is told.
            }
            take(Some(input?))?;
        }
    }
    take(None)
}
