//! Words and their tags.

use serde_json::Value;

use super::{Cell, cells, class_of, labels_of};
use crate::error::{DatasetError, Place};
use crate::record::Input;
use crate::schema::Schema;
use crate::table::{Notes, Row, note};

pub(super) fn read(schema: &Schema, row: &Row, notes: &mut Notes) -> Result<Input, DatasetError> {
    let words: Result<Vec<_>, _> = cells(schema, row, "words").map(|cell| cell.texts()).collect();
    let words = words?.concat();
    let Some(cell) = cells(schema, row, "tags").next().filter(|cell| !cell.value.is_null()) else {
        return Ok(Input::Tag { words, tags: vec![] });
    };
    let labels = Some(&schema.labels[..]);
    let texts = to_bio(tag_texts(&cell, labels)?, labels, &row.at, notes);
    if texts.len() != words.len() {
        let problem = format!("has {} tags, there are {} words", texts.len(), words.len());
        return Err(cell.failed(problem, "one tag a word"));
    }
    let mut tags = Vec::with_capacity(words.len());
    for text in texts {
        let value = Value::String(text);
        let Some(tag) = class_of(&cell, &value, &schema.labels)? else {
            return Err(cell.failed("has a word without a tag".to_owned(), "one tag a word"));
        };
        tags.push(tag);
    }
    Ok(Input::Tag { words, tags })
}

/// The tags of a sentence by their names; numbers are those of `labels`.
pub(crate) fn tag_texts(
    cell: &Cell,
    labels: Option<&[String]>,
) -> Result<Vec<String>, DatasetError> {
    let Value::Array(items) = cell.value else {
        return match cell.value {
            Value::Null => Ok(vec![]),
            _ => Err(cell.failed(
                "is no list, one tag a word was wanted".to_owned(),
                "words and tags are lists of one length: JSONL, Parquet or CoNLL's columns",
            )),
        };
    };
    let name = |value: &Value| -> Result<String, DatasetError> {
        let cell = Cell { value, ..*cell };
        let number = value.as_u64().and_then(|n| labels?.get(usize::try_from(n).ok()?));
        if let Some(label) = number {
            return Ok(label.clone());
        }
        let lacking = || cell.failed("has a word without a tag".to_owned(), "one tag a word");
        labels_of(&cell)?.ok_or_else(lacking)
    };
    items.iter().map(name).collect()
}

/// IOB1, where an entity begins with `I-` unless it follows one of its kind, as BIO, where it
/// begins with `B-`; of BIO it mends the same. Other ways of tagging stay as they are, and so does
/// what begins as none of the `labels` does that are given.
pub(crate) fn to_bio(
    mut tags: Vec<String>,
    labels: Option<&[String]>,
    at: &Place,
    notes: &mut Notes,
) -> Vec<String> {
    let is_other = |tag: &String| ["E-", "S-", "L-", "U-"].iter().any(|p| tag.starts_with(p));
    if tags.iter().any(is_other) {
        return tags;
    }
    let mut entity = String::new();
    for tag in &mut tags {
        let (head, rest) = tag.split_at_checked(2).unwrap_or(("", ""));
        let next = if matches!(head, "B-" | "I-") { rest.to_owned() } else { String::new() };
        let begun = format!("B-{next}");
        let is_label = labels.is_none_or(|labels| labels.contains(&begun));
        if head == "I-" && next != entity && is_label {
            *tag = begun;
            note(notes, "entities that begin with `I-`, read as `B-`", at);
        }
        entity = next;
    }
    tags
}
