//! What the columns of each task are called, in the sets of the field.

use serde_json::Value;

use crate::record::Task;

/// What a column holds, so far as its first rows tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Text,
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
    /// Text or a number.
    Answer,
    Any,
}

impl Kind {
    pub fn fits(self, value: &Value) -> bool {
        match self {
            _ if value.is_null() => true,
            Self::Any => true,
            Self::Text => value.is_string(),
            Self::List => value.is_array(),
            Self::Said | Self::Texts => value.is_string() || value.is_array(),
            Self::Answers => match value {
                Value::Object(fields) => fields.contains_key("text"),
                Value::Array(items) => items.iter().all(Value::is_object),
                _ => false,
            },
            Self::Label => value.is_string() || value.is_number() || value.is_boolean(),
            Self::Verdict => verdict(value).is_some(),
            Self::Answer => value.is_string() || value.is_number(),
        }
    }
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
            "true" | "1" | "yes" => Some(true),
            "false" | "0" | "no" => Some(false),
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
const PAIR: &[Role] = &[
    role("text", Kind::Text, &["sentence1", "premise", "question1", "text1", "text_a", "s1"]),
    role("pair", Kind::Text, &["sentence2", "hypothesis", "question2", "text2", "text_b", "s2"]),
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
    maybe("pair", Kind::Text, &["pair"]),
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
            role("label", Kind::Verdict, &["label", "desirable", "kto_tag"]),
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
                    "context",
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
    Shape { task: Task::Classify, roles: PAIR },
    Shape { task: Task::Classify, roles: ASKED },
    Shape { task: Task::Classify, roles: SINGLE },
    Shape {
        task: Task::Pairs,
        roles: &[
            role(
                "source",
                Kind::Text,
                &["source", "src", "document", "article", "dialogue", "input", "inputs", "text"],
            ),
            role(
                "target",
                Kind::Text,
                &["target", "tgt", "trg", "summary", "highlights", "output", "outputs"],
            ),
            ID,
        ],
    },
    Shape { task: Task::Score, roles: PAIR },
    Shape { task: Task::Score, roles: ASKED },
    Shape { task: Task::Score, roles: SINGLE },
];
