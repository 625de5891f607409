//! What the columns of each task are called, in the sets of the field.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::record::Task;

/// What a column holds, so far as its first rows tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Text,
    /// Text that is none of a few classes.
    Written,
    List,
    /// Text, or a list of messages.
    Said,
    /// Text or a list.
    Texts,
    /// An object of lists, or a list of objects.
    Answers,
    /// A class or a number.
    Label,
    /// Yes or no, in any way to write it.
    Verdict,
    /// The same, or two other values: which of them is the good one has to be said.
    Judgement,
    /// Text or a number.
    Answer,
    Any,
}

impl Kind {
    pub fn fits(self, value: &Value) -> bool {
        match self {
            _ if value.is_null() => true,
            Self::Any => true,
            Self::Text | Self::Written => value.is_string(),
            Self::List => value.is_array(),
            Self::Said | Self::Texts => value.is_string() || value.is_array(),
            Self::Answers => match value {
                Value::Object(fields) => fields.contains_key("text"),
                Value::Array(items) => items.iter().all(Value::is_object),
                _ => false,
            },
            Self::Label => value.is_string() || value.is_number() || value.is_boolean(),
            Self::Verdict | Self::Judgement => verdict(value).is_some(),
            Self::Answer => value.is_string() || value.is_number(),
        }
    }

    /// Whether all values of a column are of it.
    pub fn fits_all(self, values: &[&Value]) -> bool {
        let values: Vec<&Value> = values.iter().copied().filter(|v| !v.is_null()).collect();
        let fit = values.iter().all(|value| self.fits(value));
        match self {
            Self::Written => fit && !are_classes(&values),
            Self::Judgement => {
                fit || (different(&values) == 2 && values.iter().all(|v| Self::Label.fits(v)))
            }
            _ => fit,
        }
    }

    /// For messages.
    pub fn wanted(self) -> &'static str {
        match self {
            Self::Text | Self::Written => "a text",
            Self::List => "a list",
            Self::Said => "a text or a list of messages",
            Self::Texts => "a text or a list of texts",
            Self::Answers => "an object of `text` and `answer_start`",
            Self::Label => "a class or a number",
            Self::Verdict | Self::Judgement => "true or false, or good or bad",
            Self::Answer => "a text or a number",
            Self::Any => "anything",
        }
    }
}

/// How many different ones there are.
fn different(values: &[&Value]) -> usize {
    values.iter().map(ToString::to_string).collect::<BTreeSet<_>>().len()
}

/// Numbers, or texts of which each is there twice or more, on average.
fn are_classes(values: &[&Value]) -> bool {
    let is_number = |v: &&Value| v.as_str().is_some_and(|text| text.trim().parse::<f64>().is_ok());
    values.iter().all(is_number) || 2 * different(values) <= values.len()
}

/// Yes or no.
pub(crate) fn verdict(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(is) => Some(*is),
        Value::Number(n) => match n.as_i64()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "good" | "chosen" | "positive" => Some(true),
            "false" | "0" | "no" | "bad" | "rejected" | "negative" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// What a column is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Role {
    pub name: &'static str,
    pub kind: Kind,
    pub is_required: bool,
    /// What it may be called, the likeliest first; with `*` at the end, columns that are numbered.
    pub names: &'static [&'static str],
}

/// A task, and columns that are enough for it.
pub(super) struct Shape {
    pub task: Task,
    pub roles: &'static [Role],
}

const fn role(name: &'static str, kind: Kind, names: &'static [&'static str]) -> Role {
    Role { name, kind, is_required: true, names }
}

const fn maybe(name: &'static str, kind: Kind, names: &'static [&'static str]) -> Role {
    Role { name, kind, is_required: false, names }
}

const ID: Role = maybe("id", Kind::Any, &["id", "guid", "uid", "example_id"]);
const LABEL: Role = role(
    "label",
    Kind::Label,
    &[
        "label",
        "labels",
        "class",
        "category",
        "sentiment",
        "target",
        "score",
        "similarity_score",
        "similarity",
        "gold_label",
        "is_duplicate",
        "stars",
        "rating",
        "intent",
        "emotion",
        "polarity",
        "spam",
        "quality",
        "y",
    ],
);
/// The second of two texts.
const SECOND: &[&str] = &[
    "sentence2",
    "hypothesis",
    "question2",
    "text2",
    "text_2",
    "text_b",
    "s2",
    "text_pair",
    "pair",
    "sentence_2",
    "sentence_b",
];
const PAIR: &[Role] = &[
    role(
        "text",
        Kind::Text,
        &[
            "sentence1",
            "premise",
            "question1",
            "text1",
            "text_1",
            "text_a",
            "s1",
            "sentence_1",
            "sentence_a",
        ],
    ),
    role("pair", Kind::Text, SECOND),
    LABEL,
    ID,
];
const ASKED: &[Role] = &[
    role("text", Kind::Text, &["question", "query"]),
    role("pair", Kind::Text, &["sentence", "passage", "context", "document"]),
    LABEL,
    ID,
];
const SINGLE: &[Role] = &[
    role(
        "text",
        Kind::Text,
        &[
            "text",
            "sentence",
            "review",
            "content",
            "comment",
            "tweet",
            "message",
            "body",
            "mail",
            "document",
            "query",
            "question",
            "utterance",
            "sms",
            "title",
            "review_body",
        ],
    ),
    maybe("pair", Kind::Text, SECOND),
    LABEL,
    ID,
];

/// The first that fits is guessed, so what asks for more columns comes first.
pub(super) const SHAPES: &[Shape] = &[
    Shape {
        task: Task::Span,
        roles: &[
            role("question", Kind::Text, &["question"]),
            role("context", Kind::Text, &["context", "passage"]),
            role("answers", Kind::Answers, &["answers", "answer"]),
            maybe("is_impossible", Kind::Verdict, &["is_impossible"]),
            ID,
        ],
    },
    Shape {
        task: Task::Preference,
        roles: &[
            role("chosen", Kind::Said, &["chosen", "preferred"]),
            role("rejected", Kind::Said, &["rejected", "dispreferred"]),
            maybe("prompt", Kind::Said, &["prompt", "question", "instruction"]),
            ID,
        ],
    },
    Shape {
        task: Task::Judged,
        roles: &[
            role("prompt", Kind::Said, &["prompt"]),
            role("completion", Kind::Said, &["completion", "response"]),
            role("label", Kind::Judgement, &["label", "desirable", "kto_tag"]),
            ID,
        ],
    },
    Shape {
        task: Task::Chat,
        roles: &[
            role(
                "messages",
                Kind::List,
                &["messages", "conversations", "conversation", "dialogue", "dialog", "turns"],
            ),
            maybe("system", Kind::Text, &["system"]),
            maybe("tools", Kind::Any, &["tools"]),
            ID,
        ],
    },
    Shape {
        task: Task::Chat,
        roles: &[
            role("instruction", Kind::Text, &["instruction"]),
            role("output", Kind::Text, &["output", "response"]),
            maybe("input", Kind::Text, &["input", "context"]),
            maybe("system", Kind::Text, &["system"]),
            ID,
        ],
    },
    Shape {
        task: Task::Chat,
        roles: &[
            role("prompt", Kind::Said, &["prompt"]),
            role("completion", Kind::Said, &["completion", "response"]),
            maybe("system", Kind::Text, &["system"]),
            ID,
        ],
    },
    Shape {
        task: Task::Tag,
        roles: &[
            role("words", Kind::List, &["tokens", "words"]),
            role("tags", Kind::List, &["ner_tags", "tags", "labels", "ner", "pos_tags"]),
            ID,
        ],
    },
    Shape {
        task: Task::Triplet,
        roles: &[
            role("anchor", Kind::Text, &["anchor", "query", "sentence", "question"]),
            role("positive", Kind::Text, &["positive", "pos", "entailment"]),
            maybe("negatives", Kind::Texts, &["negatives", "negative", "neg", "negative*"]),
            ID,
        ],
    },
    Shape {
        task: Task::Rank,
        roles: &[
            role("query", Kind::Text, &["query"]),
            role(
                "documents",
                Kind::Texts,
                &["documents", "passages", "docs", "candidates", "document", "passage", "doc"],
            ),
            role(
                "relevance",
                Kind::Any,
                &["relevance", "relevances", "labels", "scores", "label", "score"],
            ),
            ID,
        ],
    },
    Shape {
        task: Task::Choice,
        roles: &[
            role(
                "prompt",
                Kind::Text,
                &[
                    "prompt", "question", "ctx", "premise", "goal", "sentence", "sent1", "stem",
                    "context", "text",
                ],
            ),
            role(
                "choices",
                Kind::Any,
                &["choices", "options", "endings", "choice*", "ending*", "option*", "sol*"],
            ),
            maybe("start", Kind::Text, &["sent2"]),
            maybe("context", Kind::Text, &["article", "passage"]),
            role("label", Kind::Label, &["label", "answer", "answerkey", "gold", "correct"]),
            ID,
        ],
    },
    Shape {
        task: Task::Problem,
        roles: &[
            role("prompt", Kind::Said, &["problem", "question", "prompt"]),
            role("answer", Kind::Answer, &["answer", "solution", "ground_truth", "final_answer"]),
            ID,
        ],
    },
    // Before classes: `target` is a name of those, too.
    Shape {
        task: Task::Pairs,
        roles: &[
            role("source", Kind::Written, &["source", "src", "input", "inputs"]),
            role("target", Kind::Written, &["target", "tgt", "trg", "targets"]),
            ID,
        ],
    },
    Shape { task: Task::Classify, roles: PAIR },
    Shape { task: Task::Classify, roles: ASKED },
    Shape { task: Task::Classify, roles: SINGLE },
    Shape {
        task: Task::Pairs,
        roles: &[
            role(
                "source",
                Kind::Text,
                &["document", "article", "dialogue", "source", "src", "input", "inputs", "text"],
            ),
            role(
                "target",
                Kind::Text,
                &["summary", "highlights", "target", "tgt", "trg", "targets", "output", "outputs"],
            ),
            ID,
        ],
    },
    Shape { task: Task::Score, roles: PAIR },
    Shape { task: Task::Score, roles: ASKED },
    Shape { task: Task::Score, roles: SINGLE },
];

/// What columns are called that hold one text in several languages.
pub(super) const LANGUAGES: [&str; 24] = [
    "ar", "cs", "da", "de", "el", "en", "es", "fi", "fr", "he", "hi", "hu", "it", "ja", "ko", "nl",
    "pl", "pt", "ro", "ru", "sv", "tr", "uk", "zh",
];
