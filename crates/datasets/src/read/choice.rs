//! Several texts of which one goes on, or answers.

use serde_json::Value;

use super::{Cell, cells, plain, text};
use crate::error::{DatasetError, quoted};
use crate::record::Input;
use crate::schema::Schema;
use crate::table::Row;

pub(super) fn read(schema: &Schema, row: &Row) -> Result<Input, DatasetError> {
    let mut prompt = text(schema, row, "prompt")?;
    let context = text(schema, row, "context")?;
    if !context.is_empty() {
        prompt = format!("{context}\n\n{prompt}");
    }
    let (mut choices, mut keys) = (Vec::new(), Vec::new());
    for cell in cells(schema, row, "choices") {
        match cell.value {
            // ARC's: the texts, and what each is called.
            Value::Object(fields) => {
                let list = |key| Cell { value: fields.get(key).unwrap_or(&Value::Null), ..cell };
                choices.extend(list("text").texts()?);
                keys.extend(list("label").texts()?);
            }
            Value::Array(_) => choices.extend(cell.texts()?),
            _ => {
                choices.push(cell.text()?);
                // `option1` is called 1.
                let digits = cell.column.trim_start_matches(|c: char| !c.is_ascii_digit());
                keys.push(digits.to_owned());
            }
        }
    }
    let cell = cells(schema, row, "choices").next();
    if let Some(cell) = cell.filter(|_| choices.is_empty()) {
        return Err(cell.failed(
            "has none".to_owned(),
            "a choice is between texts: a list of them, or a column each",
        ));
    }
    let start = text(schema, row, "start")?;
    if !start.is_empty() {
        for choice in &mut choices {
            *choice = format!("{start} {choice}");
        }
    }
    let right = match cells(schema, row, "label").next() {
        Some(Cell { at, column, value: Value::Array(items) }) => items
            .iter()
            .filter_map(|value| right(&Cell { at, column, value }, &choices, &keys).transpose())
            .collect::<Result<_, _>>()?,
        Some(cell) => right(&cell, &choices, &keys)?.into_iter().collect(),
        None => vec![],
    };
    Ok(Input::Choice { prompt, choices, right })
}

/// A `label` counts from 0; an answer goes by what a choice is called, else as a letter, a number
/// from 0, or the text itself.
fn right(cell: &Cell, choices: &[String], keys: &[String]) -> Result<Option<usize>, DatasetError> {
    let answer = match cell.value {
        Value::Null => return Ok(None),
        value => plain(value),
    };
    if answer.is_empty() || answer == "-1" {
        return Ok(None);
    }
    let n = choices.len();
    let named = || keys.iter().position(|key| *key == answer);
    let number = || answer.parse::<usize>().ok().filter(|&idx| idx < n);
    let letter = || match answer.as_bytes() {
        [letter @ b'A'..=b'Z'] => Some(usize::from(letter - b'A')).filter(|&idx| idx < n),
        _ => None,
    };
    let text = || choices.iter().position(|choice| choice.trim() == answer);
    let counts = cell.column.to_lowercase().starts_with("label");
    let found = if counts { number().or_else(named) } else { named().or_else(number) };
    match found.or_else(letter).or_else(text) {
        Some(idx) => Ok(Some(idx)),
        None => Err(cell.failed(
            format!("is {}, which is none of the {n} choices", quoted(&[answer])),
            "a number from 0, a letter from A, or the text of the right one",
        )),
    }
}
