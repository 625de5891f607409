//! Answers in a text.

use serde_json::Value;

use super::{Cell, cells, text};
use crate::error::DatasetError;
use crate::record::Input;
use crate::schema::{Schema, verdict};
use crate::table::{MISPLACED, Notes, Row, kind, note};

/// How far from its place an answer is looked for, in characters.
const REACH: usize = 64;

const HINT_ANSWERS: &str = "answers are `{\"text\": [..], \"answer_start\": [..]}`, or a list of \
    `{\"text\": .., \"answer_start\": ..}`; they start so many characters into the context";

/// An answer is where it says, or at the only place nearby that has its text; else it is left out,
/// and the question with it when no other is left.
pub(super) fn read(
    schema: &Schema,
    row: &Row,
    notes: &mut Notes,
) -> Result<Option<Input>, DatasetError> {
    let question = text(schema, row, "question")?;
    let context = text(schema, row, "context")?;
    let found = match cells(schema, row, "answers").next() {
        Some(cell) if !cell.value.is_null() => Some(pairs(&cell)?),
        _ => None,
    };
    let says = cells(schema, row, "is_impossible").next().and_then(|cell| verdict(cell.value));
    let is_empty = found.as_ref().is_some_and(Vec::is_empty);
    let is_impossible = says.unwrap_or(is_empty) && found.as_ref().is_none_or(Vec::is_empty);
    if says == Some(true) && !is_empty && found.is_some() {
        note(notes, "questions without an answer that have one, which is kept", &row.at);
    }
    let n_given = found.as_ref().map_or(0, Vec::len);
    let mut answers = Vec::new();
    for (answer, start) in found.into_iter().flatten() {
        match place(&context, &answer, start) {
            Some(at) => {
                if at != start {
                    note(notes, "answers that are nearby, and not where they say", &row.at);
                }
                answers.push((answer, at));
            }
            None => note(notes, "answers that are not in the context, left out", &row.at),
        }
    }
    if answers.is_empty() && n_given > 0 {
        note(notes, MISPLACED, &row.at);
        return Ok(None);
    }
    Ok(Some(Input::Span { question, context, answers, is_impossible }))
}

/// Texts and where they start.
fn pairs(cell: &Cell) -> Result<Vec<(String, usize)>, DatasetError> {
    let pair = |text: &Value, start: &Value| -> Result<(String, usize), DatasetError> {
        let text = Cell { value: text, ..*cell }.text()?;
        let number = start.as_u64().or_else(|| start.as_str()?.trim().parse().ok());
        let start = number.ok_or_else(|| {
            let problem = match start {
                Value::Null => "has an answer without `answer_start`".to_owned(),
                start => format!("has an answer whose `answer_start` {}", kind(start)),
            };
            cell.failed(problem, HINT_ANSWERS)
        })?;
        Ok((text, usize::try_from(start).unwrap_or(usize::MAX)))
    };
    match cell.value {
        Value::Array(items) => {
            items.iter().map(|item| pair(&item["text"], &item["answer_start"])).collect()
        }
        value => match (value["text"].as_array(), value["answer_start"].as_array()) {
            (Some(texts), Some(starts)) if texts.len() == starts.len() => {
                texts.iter().zip(starts).map(|(text, start)| pair(text, start)).collect()
            }
            (Some(texts), Some(starts)) => {
                let problem = format!("has {} texts and {} starts", texts.len(), starts.len());
                Err(cell.failed(problem, HINT_ANSWERS))
            }
            _ => Err(cell.failed("is no list of answers".to_owned(), HINT_ANSWERS)),
        },
    }
}

/// Where an answer is, in characters: at `start`, or at the only place within reach of it.
fn place(context: &str, answer: &str, start: usize) -> Option<usize> {
    let from = start.saturating_sub(REACH);
    let (first, _) = context.char_indices().nth(from)?;
    let places = context[first..].char_indices().zip(from..=start.saturating_add(REACH));
    let mut nearby = Vec::new();
    for ((byte, _), at) in places {
        if !answer.is_empty() && context[first + byte..].starts_with(answer) {
            if at == start {
                return Some(at);
            }
            nearby.push(at);
        }
    }
    match nearby[..] {
        [at] => Some(at),
        _ => None,
    }
}
