//! Conversations, and what is said of their ends.

use serde_json::Value;

use super::{Cell, cells, text};
use crate::error::{DatasetError, short};
use crate::record::{Input, Message, Said};
use crate::schema::{Schema, verdict};
use crate::table::{Fields, Row, kind};

/// What roles are called, `ShareGPT`'s among them, and what they are.
const ROLES: [(&str, &str); 13] = [
    ("system", "system"),
    ("developer", "developer"),
    ("user", "user"),
    ("human", "user"),
    ("assistant", "assistant"),
    ("gpt", "assistant"),
    ("chatgpt", "assistant"),
    ("bing", "assistant"),
    ("bard", "assistant"),
    ("model", "assistant"),
    ("tool", "tool"),
    ("function", "tool"),
    ("observation", "tool"),
];

const ASSISTANT: &str = "assistant";

const HINT_MESSAGES: &str = "messages are `[{\"role\": \"user\", \"content\": \"..\"}, ..]`, or \
    ShareGPT's `[{\"from\": \"human\", \"value\": \"..\"}, ..]`";
const HINT_TURNS: &str = "after what the system says, user and assistant take turns, and the \
    assistant is last: mend the row, or take it out";

pub(super) fn chat(schema: &Schema, row: &Row) -> Result<Input, DatasetError> {
    let mut messages = Vec::new();
    let system = text(schema, row, "system")?;
    if !system.is_empty() {
        messages.push(message("system", system));
    }
    let cell = if let Some(cell) = cells(schema, row, "messages").next() {
        messages.extend(of_list(&cell)?);
        cell
    } else if schema.columns.contains_key("instruction") {
        let (mut user, input) = (text(schema, row, "instruction")?, text(schema, row, "input")?);
        if !input.trim().is_empty() {
            user = format!("{user}\n\n{input}");
        }
        messages.push(message("user", user));
        messages.push(message("assistant", text(schema, row, "output")?));
        first(schema, row, "output")
    } else {
        for (role, said) in [("user", "prompt"), ("assistant", "completion")] {
            match said_in(&first(schema, row, said))? {
                Said::Text(text) => messages.push(message(role, text)),
                Said::Messages(more) => messages.extend(more),
            }
        }
        first(schema, row, "completion")
    };
    check_turns(&messages, &cell)?;
    let tools = cells(schema, row, "tools").map(|cell| cell.value.clone());
    Ok(Input::Chat { messages, tools: tools.into_iter().find(|tools| !tools.is_null()) })
}

/// Both sides begin with the prompt, or have it in common: what they share, as TRL's
/// `extract_prompt` finds it. A prompt that is text beside conversations that hold it themselves
/// is not told twice.
pub(super) fn preference(schema: &Schema, row: &Row) -> Result<Input, DatasetError> {
    let cell = first(schema, row, "chosen");
    let (chosen, rejected) = (said_in(&cell)?, said_in(&first(schema, row, "rejected"))?);
    if chosen == rejected {
        let hint = "there is nothing to learn from two equal answers: take the row out";
        return Err(cell.failed("is the same as the rejected one".to_owned(), hint));
    }
    let (prompt, chosen, rejected) = match (chosen, rejected) {
        (chosen, rejected) if is_prompt_apart(schema, row, &chosen) => {
            (prompt(schema, row)?, chosen, rejected)
        }
        (Said::Text(mut chosen), Said::Text(mut rejected)) => {
            let same = chosen.chars().zip(rejected.chars()).take_while(|(a, b)| a == b);
            let mut n_bytes: usize = same.map(|(a, _)| a.len_utf8()).sum();
            if chosen[..n_bytes].ends_with(' ') {
                n_bytes -= 1;
            }
            let answers = (chosen.split_off(n_bytes), rejected.split_off(n_bytes));
            (Said::Text(chosen), Said::Text(answers.0), Said::Text(answers.1))
        }
        (Said::Messages(mut chosen), Said::Messages(mut rejected)) => {
            let n = chosen.iter().zip(&rejected).take_while(|(a, b)| a == b).count();
            let answers = (chosen.split_off(n), rejected.split_off(n));
            let asks = |answer: &[Message]| answer.first().is_some_and(|m| m.role != "assistant");
            if asks(&answers.0) || asks(&answers.1) {
                let problem = "is not asked what the rejected one is";
                let hint = "both answer one prompt: they differ from a turn of the assistant on";
                return Err(cell.failed(problem.to_owned(), hint));
            }
            (Said::Messages(chosen), Said::Messages(answers.0), Said::Messages(answers.1))
        }
        _ => {
            let hint = "both are text, or both are messages";
            return Err(cell.failed("is not of the kind of the rejected one".to_owned(), hint));
        }
    };
    check_answer(&prompt, &chosen, &cell)?;
    check_answer(&prompt, &rejected, &first(schema, row, "rejected"))?;
    Ok(Input::Preference { prompt, chosen, rejected })
}

/// Whether there is a prompt that answers do not begin with.
fn is_prompt_apart(schema: &Schema, row: &Row, chosen: &Said) -> bool {
    let Some(prompt) = cells(schema, row, "prompt").next() else { return false };
    match chosen {
        Said::Messages(messages) if !prompt.value.is_array() => {
            messages.first().is_none_or(|message| message.role == ASSISTANT)
        }
        _ => true,
    }
}

pub(super) fn judged(schema: &Schema, row: &Row) -> Result<Input, DatasetError> {
    let label = first(schema, row, "label");
    let is_good = verdict(label.value).ok_or_else(|| {
        let problem = format!("{}, true or false was wanted", kind(label.value));
        label.failed(problem, "1 and 0, yes and no, good and bad do as well")
    })?;
    let cell = first(schema, row, "completion");
    let (prompt, completion) = (prompt(schema, row)?, said_in(&cell)?);
    check_answer(&prompt, &completion, &cell)?;
    Ok(Input::Judged { prompt, completion, is_good })
}

pub(super) fn prompt(schema: &Schema, row: &Row) -> Result<Said, DatasetError> {
    said_in(&first(schema, row, "prompt"))
}

/// The cell of a role that has one.
fn first<'a>(schema: &'a Schema, row: &'a Row, role: &'a str) -> Cell<'a> {
    let none = Cell { at: &row.at, column: role, value: &Value::Null };
    cells(schema, row, role).next().unwrap_or(none)
}

fn said_in(cell: &Cell) -> Result<Said, DatasetError> {
    Ok(match cell.value {
        Value::Array(_) => Said::Messages(of_list(cell)?),
        _ => Said::Text(cell.text()?),
    })
}

fn message(role: &'static str, content: String) -> Message {
    Message { role, content, more: Fields::new() }
}

fn of_list(cell: &Cell) -> Result<Vec<Message>, DatasetError> {
    let Value::Array(items) = cell.value else {
        let problem = format!("{}, a list of messages was wanted", kind(cell.value));
        return Err(cell.failed(problem, HINT_MESSAGES));
    };
    items.iter().enumerate().map(|(idx, item)| of_object(cell, idx, item)).collect()
}

fn of_object(cell: &Cell, idx: usize, item: &Value) -> Result<Message, DatasetError> {
    let failed = |problem: &str| {
        cell.failed(format!("has a message {problem}, number {}", idx + 1), HINT_MESSAGES)
    };
    let mut more = item.as_object().cloned().ok_or_else(|| failed("that is no object"))?;
    let name = more.remove("role").or_else(|| more.remove("from"));
    let name = name.as_ref().and_then(Value::as_str).ok_or_else(|| failed("without `role`"))?;
    let known = ROLES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    let unknown = || failed(&format!("of `{}`, which is no role", short(name)));
    let (_, role) = known.ok_or_else(unknown)?;
    more.retain(|_, value| !value.is_null());
    let content = match more.remove("content").or_else(|| more.remove("value")) {
        Some(Value::String(content)) => content,
        Some(Value::Array(parts)) => {
            let texts: Option<Vec<&str>> = parts.iter().map(|part| part["text"].as_str()).collect();
            texts.ok_or_else(|| failed("with a part that is no text"))?.concat()
        }
        // What calls a tool may say nothing beside.
        None if more.contains_key("tool_calls") => String::new(),
        _ => return Err(failed("without `content`")),
    };
    Ok(Message { role, content, more })
}

/// An answer says something, and it is the assistant's turn.
fn check_answer(prompt: &Said, answer: &Said, cell: &Cell) -> Result<(), DatasetError> {
    let calls = |messages: &[Message]| messages.iter().any(|m| m.more.contains_key("tool_calls"));
    let has_call = matches!(answer, Said::Messages(messages) if calls(messages));
    if !has_call && answer.texts().iter().all(|text| text.trim().is_empty()) {
        let hint = "an answer that says nothing beyond its prompt is none: take the row out";
        return Err(cell.failed("has no answer".to_owned(), hint));
    }
    match (prompt, answer) {
        (Said::Text(_), Said::Text(_)) => Ok(()),
        _ => check_turns(&[prompt.turns("user"), answer.turns(ASSISTANT)].concat(), cell),
    }
}

fn check_turns(messages: &[Message], cell: &Cell) -> Result<(), DatasetError> {
    let is_system = |message: &&Message| matches!(message.role, "system" | "developer");
    let n_before = messages.iter().take_while(is_system).count();
    let turns = messages.iter().enumerate().skip(n_before);
    for ((idx, a), (_, b)) in turns.clone().zip(turns.clone().skip(1)) {
        if a.role == b.role && a.role != "tool" {
            let problem =
                format!("has two turns of the {}, numbers {} and {}", a.role, idx + 1, idx + 2);
            return Err(cell.failed(problem, HINT_TURNS));
        }
    }
    if let Some((idx, late)) = turns.clone().find(|(_, message)| is_system(message)) {
        let problem = format!("has what the {} says after others, number {}", late.role, idx + 1);
        return Err(cell.failed(problem, HINT_TURNS));
    }
    match messages.last() {
        Some(message) if message.role == ASSISTANT => Ok(()),
        Some(message) => {
            let problem = format!("ends with the {}, not with the assistant", message.role);
            Err(cell.failed(problem, HINT_TURNS))
        }
        None => Err(cell.failed("has no messages".to_owned(), HINT_TURNS)),
    }
}
