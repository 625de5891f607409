//! The official layout of `SQuAD` 1.1 and 2.0: articles of paragraphs of questions. Rajpurkar et
//! al., arXiv:1606.05250 and arXiv:1806.03822. Each question becomes the row that Hugging Face's
//! `squad_v2` has of it.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::{Fields, Row, kind};
use crate::error::{DatasetError, Place};

const HINT_SQUAD: &str =
    "an article has `paragraphs` of a `context` and `qas`, each with `id`, `question`, `answers`";

/// The questions of an article; `n_before` counts on.
pub(super) fn questions(article: Row, n_before: &mut u64) -> Result<VecDeque<Row>, DatasetError> {
    let Row { mut at, fields } = article;
    at.unit = "question";
    let mut rows = VecDeque::new();
    for paragraph in list(fields.get("paragraphs"), "paragraphs", &at)? {
        for question in list(paragraph.get("qas"), "qas", &at)? {
            *n_before += 1;
            at.number = *n_before;
            // Where nobody says what is right, that is not known: there may be an answer.
            let answers = match question.get("answers") {
                None | Some(Value::Null) => Value::Null,
                some => {
                    let answers = list(some, "answers", &at)?;
                    let all = |key| answers.iter().map(|a| a[key].clone()).collect::<Vec<_>>();
                    json!({"text": all("text"), "answer_start": all("answer_start")})
                }
            };
            let mut row = json!({
                "title": fields.get("title"),
                "context": paragraph["context"],
                "id": question["id"],
                "question": question["question"],
                "answers": answers,
            });
            if let Some(is_impossible) = question.get("is_impossible") {
                row["is_impossible"] = is_impossible.clone();
            }
            let fields: Fields = row.as_object().cloned().unwrap_or_default();
            rows.push_back(Row { at: at.clone(), fields });
        }
    }
    Ok(rows)
}

fn list<'a>(value: Option<&'a Value>, name: &str, at: &Place) -> Result<&'a [Value], DatasetError> {
    match value {
        Some(Value::Array(items)) => Ok(items),
        other => {
            let problem =
                format!("`{name}` {}, a list was wanted", kind(other.unwrap_or(&Value::Null)));
            Err(DatasetError::Row { at: at.clone(), problem, hint: HINT_SQUAD })
        }
    }
}
