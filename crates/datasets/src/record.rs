//! What a task learns from, as plain values.

use std::fmt;

use serde_json::Value;

use crate::error::{DatasetError, Place};
use crate::table::Fields;

/// What is to be learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    /// Which class a text, or a pair of them, is of.
    Classify,
    /// A number for a text or a pair of them: regression, similarity.
    Score,
    /// Which of several texts goes on, or answers.
    Choice,
    /// A tag a word.
    Tag,
    /// Where in a text the answer is.
    Span,
    /// A text from another one: translation, summaries.
    Pairs,
    /// What the assistant says.
    Chat,
    /// Texts that are near to each other, and others that are not.
    Triplet,
    /// The order of documents for a query.
    Rank,
    /// Which of two answers is better.
    Preference,
    /// Whether an answer is good.
    Judged,
    /// A question whose answer can be checked.
    Problem,
}

impl Task {
    /// All of them, with their names.
    pub const ALL: [(Self, &'static str); 12] = [
        (Self::Classify, "classify"),
        (Self::Score, "score"),
        (Self::Choice, "choice"),
        (Self::Tag, "tag"),
        (Self::Span, "span"),
        (Self::Pairs, "pairs"),
        (Self::Chat, "chat"),
        (Self::Triplet, "triplet"),
        (Self::Rank, "rank"),
        (Self::Preference, "preference"),
        (Self::Judged, "judged"),
        (Self::Problem, "problem"),
    ];

    /// The task of a name.
    ///
    /// # Errors
    /// When there is none of it.
    pub fn named(name: &str) -> Result<Self, DatasetError> {
        let found = Self::ALL.iter().find(|(_, known)| *known == name);
        found.map(|(task, _)| *task).ok_or_else(|| DatasetError::Unknown {
            what: "task",
            name: name.to_owned(),
            known: Self::ALL.iter().map(|(_, name)| (*name).to_owned()).collect(),
        })
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let name = Self::ALL.iter().find(|(task, _)| task == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

/// An example: what its task needs, and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its own among the records of a split; its number from 0 where the file has none.
    pub id: String,
    /// Where it stands.
    pub at: Place,
    /// What is in it.
    pub input: Input,
}

/// What is known of a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Label {
    /// The number of a class, from 0.
    Class(usize),
    /// A number.
    Score(f32),
}

/// What is in a record, by its task.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// [`Task::Classify`] and [`Task::Score`]. Without a label in test sets.
    Classify {
        /// The text, or the first of two.
        text: String,
        /// The second.
        pair: Option<String>,
        /// What it is.
        label: Option<Label>,
    },
    /// [`Task::Choice`].
    Choice {
        /// What comes before.
        prompt: String,
        /// What may follow.
        choices: Vec<String>,
        /// The right ones, from 0: one; several in `ReCoRD`; none in test sets.
        right: Vec<usize>,
    },
    /// [`Task::Tag`].
    Tag {
        /// The words of a sentence.
        words: Vec<String>,
        /// A tag each, from 0; none in test sets.
        tags: Vec<usize>,
    },
    /// [`Task::Span`].
    Span {
        /// What is asked.
        question: String,
        /// Where the answer is.
        context: String,
        /// Right answers, and where each begins, in characters.
        answers: Vec<(String, usize)>,
        /// There is no answer, and that is known.
        is_impossible: bool,
    },
    /// [`Task::Pairs`].
    Pairs {
        /// What is there.
        source: String,
        /// What it becomes.
        target: String,
    },
    /// [`Task::Chat`]; the last message is the assistant's.
    Chat {
        /// What was said, in order.
        messages: Vec<Message>,
        /// The tools that may be called, for the template.
        tools: Option<Value>,
    },
    /// [`Task::Triplet`].
    Triplet {
        /// A text.
        anchor: String,
        /// One that is near to it.
        positive: String,
        /// Some that are not, or none: then those of other records.
        negatives: Vec<String>,
    },
    /// [`Task::Rank`].
    Rank {
        /// What is looked for.
        query: String,
        /// What was found.
        documents: Vec<String>,
        /// How good each is; none in test sets.
        relevance: Vec<f32>,
    },
    /// [`Task::Preference`]; the prompt is what both sides begin with.
    Preference {
        /// What is answered.
        prompt: Said,
        /// The better answer.
        chosen: Said,
        /// The worse one.
        rejected: Said,
    },
    /// [`Task::Judged`]. Ethayarajh et al., "KTO", arXiv:2402.01306.
    Judged {
        /// What is answered.
        prompt: Said,
        /// The answer.
        completion: Said,
        /// Whether it is a good one.
        is_good: bool,
    },
    /// [`Task::Problem`].
    Problem {
        /// What is asked.
        prompt: Said,
        /// The right answer.
        answer: String,
    },
}

/// Text as it is, or messages for a chat template.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// Text.
    Text(String),
    /// Messages, in order.
    Messages(Vec<Message>),
}

/// What one side of a conversation says.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// `system`, `developer`, `user`, `assistant` or `tool`.
    pub role: &'static str,
    /// The text; of a list of parts those that are text.
    pub content: String,
    /// What else there is, for the template: `tool_calls`, `name` ..
    pub more: Fields,
}

impl Input {
    /// What is there before the answer is known, for lengths and to find the same twice.
    pub fn texts(&self) -> Vec<&str> {
        let mut texts: Vec<&str> = Vec::new();
        match self {
            Self::Classify { text, pair, .. } => {
                texts.push(text);
                texts.extend(pair.as_deref());
            }
            Self::Choice { prompt, choices, .. } => {
                texts.push(prompt);
                texts.extend(choices.iter().map(String::as_str));
            }
            Self::Tag { words, .. } => texts.extend(words.iter().map(String::as_str)),
            Self::Span { question, context, .. } => texts.extend([&**question, context]),
            Self::Pairs { source, .. } => texts.push(source),
            Self::Chat { messages, .. } => texts.extend(messages.iter().map(|m| &*m.content)),
            Self::Triplet { anchor, positive, .. } => texts.extend([&**anchor, positive]),
            Self::Rank { query, documents, .. } => {
                texts.push(query);
                texts.extend(documents.iter().map(String::as_str));
            }
            Self::Preference { prompt, chosen, .. } => {
                texts.extend(prompt.texts());
                texts.extend(chosen.texts());
            }
            Self::Judged { prompt, completion, .. } => {
                texts.extend(prompt.texts());
                texts.extend(completion.texts());
            }
            Self::Problem { prompt, .. } => texts.extend(prompt.texts()),
        }
        texts
    }

    /// Whether it says what is to be found; of test sets that may be nobody's to know.
    pub fn is_labelled(&self) -> bool {
        match self {
            Self::Classify { label, .. } => label.is_some(),
            Self::Choice { right, .. } => !right.is_empty(),
            Self::Tag { tags, words } => !tags.is_empty() || words.is_empty(),
            Self::Span { answers, is_impossible, .. } => !answers.is_empty() || *is_impossible,
            Self::Rank { relevance, documents, .. } => {
                !relevance.is_empty() || documents.is_empty()
            }
            _ => true,
        }
    }

    /// Bytes of memory, about.
    pub(crate) fn n_bytes(&self) -> u64 {
        let texts = self.texts();
        let n_texts: usize = texts.iter().map(|text| text.len() + 48).sum();
        let n_more = match self {
            Self::Pairs { target: more, .. } | Self::Problem { answer: more, .. } => more.len(),
            Self::Preference { rejected, .. } => rejected.texts().iter().map(|t| t.len()).sum(),
            Self::Triplet { negatives, .. } => negatives.iter().map(|t| t.len() + 24).sum(),
            _ => 0,
        };
        (n_texts + n_more + size_of::<Record>()) as u64
    }
}

impl Said {
    /// The text of it, message by message.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Self::Text(text) => vec![text],
            Self::Messages(messages) => messages.iter().map(|m| &*m.content).collect(),
        }
    }

    /// It as messages: a text is what `role` says.
    pub fn turns(&self, role: &'static str) -> Vec<Message> {
        match self {
            Self::Messages(messages) => messages.clone(),
            Self::Text(text) => {
                vec![Message { role, content: text.clone(), more: Fields::new() }]
            }
        }
    }
}
