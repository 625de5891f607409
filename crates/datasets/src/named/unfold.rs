//! The rows of `SuperGLUE` that are not one example each, or not in plain columns. Both layouts
//! are read: the official one, and the flat one of Hugging Face.

use serde_json::{Value, json};

use crate::error::{DatasetError, Place};
use crate::read::plain;
use crate::table::{Row, kind};

const HINT: &str = "is it the official file of this set?";

/// A premise, and what was its cause or is its effect; the question is that of COPA itself.
pub(super) fn copa(row: Row) -> Result<Vec<Row>, DatasetError> {
    let get = Get { at: &row.at, value: &Value::Object(row.fields) };
    let question = match get.text("question")? {
        "cause" => "What was the CAUSE of this?",
        "effect" => "What happened as a RESULT?",
        _ => return Err(get.failed("`question` is neither `cause` nor `effect`".to_owned())),
    };
    let example = json!({
        "prompt": format!("{} {question}", get.text("premise")?),
        "choices": [get.text("choice1")?, get.text("choice2")?],
        "label": get.value["label"],
        "id": get.value["idx"],
    });
    Ok(vec![get.row(&example)])
}

/// Each answer of each question of a paragraph. Its id is `PARAGRAPH-QUESTION-ANSWER`.
pub(super) fn multirc(row: Row) -> Result<Vec<Row>, DatasetError> {
    let get = Get { at: &row.at, value: &Value::Object(row.fields) };
    let example = |get: &Get, text: &str, asked: &str, answer: &str, id: [&Value; 3]| {
        get.row(&json!({
            "text": text,
            "pair": format!("{asked} {answer}"),
            "label": get.value["label"],
            "id": id.map(plain).join("-"),
        }))
    };
    let idx = &get.value["idx"];
    if let Ok(text) = get.text("paragraph") {
        let id = [&idx["paragraph"], &idx["question"], &idx["answer"]];
        return Ok(vec![example(&get, text, get.text("question")?, get.text("answer")?, id)]);
    }
    let passage = get.inner("passage");
    let mut rows = Vec::new();
    for question in passage.list("questions")? {
        for answer in question.list("answers")? {
            let id = [idx, &question.value["idx"], &answer.value["idx"]];
            let (asked, text) = (question.text("question")?, answer.text("text")?);
            rows.push(example(&answer, passage.text("text")?, asked, text, id));
        }
    }
    Ok(rows)
}

/// Each query about a passage: which of its entities `@placeholder` is.
pub(super) fn record(row: Row) -> Result<Vec<Row>, DatasetError> {
    let get = Get { at: &row.at, value: &Value::Object(row.fields) };
    let example = |text: &str, query: &Get, entities: &[String], answers: Option<Vec<&str>>, id| {
        let right = |answers: Vec<&str>| -> Vec<usize> {
            let is_right = |(_, entity): &(usize, &String)| answers.contains(&entity.as_str());
            entities.iter().enumerate().filter(is_right).map(|(idx, _)| idx).collect()
        };
        let example = json!({
            "prompt": format!("{text}\n\n{}", query.text("query")?),
            "choices": entities,
            "label": answers.map(right),
            "id": id,
        });
        Ok::<Row, DatasetError>(query.row(&example))
    };
    if get.value["entities"].is_array() {
        let entities = get.texts("entities")?;
        let answers = get.texts("answers").unwrap_or_default();
        let answers = (!answers.is_empty()).then(|| answers.iter().map(String::as_str).collect());
        let id = plain(&get.value["idx"]["query"]);
        return Ok(vec![example(get.text("passage")?, &get, &entities, answers, id)?]);
    }
    let passage = get.inner("passage");
    let text = passage.text("text")?;
    let mut spans = Vec::new();
    for entity in passage.list("entities")? {
        spans.push((entity.number("start")?, entity.number("end")?));
    }
    spans.sort_unstable();
    let mut entities: Vec<String> = Vec::new();
    for (start, end) in spans {
        // The end is the last character itself.
        let n = (end + 1).saturating_sub(start);
        let entity: String = text.chars().skip(start).take(n).collect();
        if n == 0 || entity.chars().count() < n {
            return Err(passage.failed(format!("entity {start} to {end} is not in the text")));
        }
        if !entities.contains(&entity) {
            entities.push(entity);
        }
    }
    let mut rows = Vec::new();
    for query in get.list("qas")? {
        let answers = query.list("answers").ok();
        let texts = answers.as_ref().map(|list| list.iter().map(|a| a.text("text")).collect());
        let texts: Option<Vec<&str>> = texts.transpose()?;
        rows.push(example(text, &query, &entities, texts, plain(&query.value["idx"]))?);
    }
    Ok(rows)
}

/// Whether a pronoun, which is put between asterisks, is what the first span names.
pub(super) fn wsc(row: Row) -> Result<Vec<Row>, DatasetError> {
    let get = Get { at: &row.at, value: &Value::Object(row.fields) };
    let target = if get.value["target"].is_object() { get.inner("target") } else { get.copy() };
    let (word, n_words) = (target.number("span2_index")?, target.text("span2_text")?);
    let n_words = n_words.split_whitespace().count().max(1);
    let mut words: Vec<&str> = get.text("text")?.split_whitespace().collect();
    if words.len() < word.saturating_add(n_words) {
        return Err(get.failed(format!("word {word} is not in the text")));
    }
    let pronoun = format!("*{}*", words[word..word + n_words].join(" "));
    words.splice(word..word + n_words, [pronoun.as_str()]);
    let example = json!({
        "text": words.join(" "),
        "pair": target.text("span1_text")?,
        "label": get.value["label"],
        "id": get.value["idx"],
    });
    Ok(vec![get.row(&example)])
}

/// A part of a row, and where that is.
struct Get<'a> {
    at: &'a Place,
    value: &'a Value,
}

impl<'a> Get<'a> {
    fn copy(&self) -> Self {
        Self { ..*self }
    }

    fn inner(&self, key: &str) -> Self {
        Self { value: &self.value[key], ..*self }
    }

    fn text(&self, key: &str) -> Result<&'a str, DatasetError> {
        self.value[key].as_str().ok_or_else(|| self.lacks(key, "a text"))
    }

    fn number(&self, key: &str) -> Result<usize, DatasetError> {
        let number = self.value[key].as_u64().and_then(|n| usize::try_from(n).ok());
        number.filter(|&n| n < 1 << 32).ok_or_else(|| self.lacks(key, "a whole number"))
    }

    fn list(&self, key: &str) -> Result<Vec<Self>, DatasetError> {
        let items = self.value[key].as_array().ok_or_else(|| self.lacks(key, "a list"))?;
        Ok(items.iter().map(|value| Self { value, ..*self }).collect())
    }

    fn texts(&self, key: &str) -> Result<Vec<String>, DatasetError> {
        let texts = self.list(key)?.into_iter().map(|item| item.value.as_str().map(str::to_owned));
        texts.collect::<Option<_>>().ok_or_else(|| self.lacks(key, "a list of texts"))
    }

    fn row(&self, fields: &Value) -> Row {
        Row { at: self.at.clone(), fields: fields.as_object().cloned().unwrap_or_default() }
    }

    fn lacks(&self, key: &str, wanted: &str) -> DatasetError {
        self.failed(format!("`{key}` {}, {wanted} was wanted", kind(&self.value[key])))
    }

    fn failed(&self, problem: String) -> DatasetError {
        DatasetError::Row { at: self.at.clone(), problem, hint: HINT }
    }
}
