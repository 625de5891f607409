//! Texts and conversations as a model that writes is shown them, and which tokens of them it
//! learns.
//!
//! ```text
//! text after text   prompt | completion, end     the completion and what ends a text is learned
//! conversation      by the model's own template  what the assistant says, with what ends its turn
//! encoder, decoder  source -> target             all of the target
//! ```
//!
//! Prompt and completion are encoded as one text, as TRL encodes them: a model is then shown the
//! tokens that it knows a text of this kind by. A token that is of both is the completion's. What
//! is too long loses its end, and is counted.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data::IGNORED;
use datasets::{Input, Message, Place, Record, Said};
use serde_json::Value;
use thiserror::Error;
use tokenize::{Chat, ChatError, ChatTemplate, TokenizeError, Tokenizer};

use crate::corruption::shifted;
use crate::example::{Example, Row};
use crate::frame::{Framed, cut};

/// The date that a template is told, so that samples are the same on any day: that which Llama 3
/// writes where it is told none.
const TODAY: Duration = Duration::from_hours(478_320);
const ASSISTANT: &str = "assistant";

/// How records become what a model that writes is shown.
#[derive(Clone, Copy)]
pub struct Dialogue<'t> {
    /// Text to tokens.
    pub tokenizer: &'t Tokenizer,
    /// How the model was shown conversations, where it was.
    pub template: Option<&'t ChatTemplate>,
    /// Tokens of a row, at most.
    pub max_len: usize,
    /// Ends a text.
    pub end: u32,
    /// What a decoder begins with, where an encoder reads what comes before.
    pub start: Option<u32>,
}

/// Tokens, and which of them a model is to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spoken {
    /// All of them.
    pub ids: Vec<u32>,
    /// Of each, whether it is learned.
    pub is_learned: Vec<bool>,
}

/// Why a record is not shown to a model.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DialogueError {
    /// The template refuses it, or fails.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// The tokenizer fails.
    #[error(transparent)]
    Tokenize(#[from] TokenizeError),
    /// Nobody says how the model is shown a conversation.
    #[error("the model has no chat template, and this is a conversation")]
    NoTemplate,
    /// An encoder reads a text, not a conversation.
    #[error("a model with an encoder is shown pairs of texts, and this is a conversation")]
    Encoder,
    /// Which of many records it is.
    #[error("{at}: {source}")]
    Record {
        /// Where it stands.
        at: Place,
        /// What is wrong with it.
        source: Box<Self>,
    },
}

impl DialogueError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        let columns = "`--task pairs` learns one text from another: say which columns they are \
                       with `data.columns.source` and `data.columns.target`";
        match self {
            Self::Chat(error) => error.hint(),
            Self::Tokenize(_) => None,
            Self::Record { source, .. } => source.hint(),
            Self::NoTemplate | Self::Encoder => Some(columns.to_owned()),
        }
    }
}

impl Spoken {
    /// What comes before the first token that is learned, and what comes from it on.
    pub fn split(&self) -> (&[u32], &[u32]) {
        let first = self.is_learned.iter().position(|&is| is).unwrap_or(self.ids.len());
        self.ids.split_at(first)
    }

    /// Leaves at most `max_len` tokens, and says how many went.
    pub fn cut(&mut self, max_len: usize) -> usize {
        let n_cut = self.ids.len().saturating_sub(max_len);
        self.ids.truncate(max_len);
        self.is_learned.truncate(max_len);
        n_cut
    }

    /// Each token asks for the next, where that is learned.
    pub fn example(mut self, sample_id: u64) -> Example {
        let asked = |(&id, &is): (&u32, &bool)| if is { id } else { IGNORED };
        let targets = self.ids.iter().zip(&self.is_learned).skip(1).map(asked).collect();
        self.ids.pop();
        Example { input: Row::plain(self.ids), targets, ..Example::of(sample_id) }
    }
}

impl Dialogue<'_> {
    /// The example of record number `record`: of a pair or a conversation. Nothing may be left in
    /// it to be learned, where the record has nothing or it was cut off.
    ///
    /// # Errors
    /// Where the template or the tokenizer refuses it, or the model is not shown such.
    ///
    /// # Panics
    /// When the record is of a task whose examples are not made here.
    pub fn example(&self, record: usize, of: &Record) -> Result<Framed, DialogueError> {
        let at = |source| DialogueError::Record { at: of.at.clone(), source: Box::new(source) };
        self.framed(record, &of.input).map_err(at)
    }

    fn framed(&self, record: usize, of: &Input) -> Result<Framed, DialogueError> {
        let mut spoken = match (of, self.start) {
            (Input::Pairs { source, target }, Some(start)) => {
                return self.pair(record, [source, target], start);
            }
            (Input::Pairs { source, target }, None) => self.text(source, target)?,
            (Input::Chat { messages, tools }, None) => self.chat(messages, tools.as_ref())?,
            (Input::Chat { .. }, Some(_)) => return Err(DialogueError::Encoder),
            (other, _) => panic!("dialogue: {other:?}"),
        };
        let is_open = self.is_open(&spoken);
        // The last is asked for alone.
        let n_cut = spoken.cut(self.max_len.saturating_add(1));
        Ok(Framed { is_open, ..Framed::whole(record, spoken.example(record as u64), n_cut) })
    }

    /// Whether nothing ends what is learned last.
    pub(crate) fn is_open(&self, spoken: &Spoken) -> bool {
        let last = spoken.ids.iter().zip(&spoken.is_learned).rfind(|(_, is_learned)| **is_learned);
        last.is_some_and(|(id, _)| *id != self.end && !self.tokenizer.is_special(*id))
    }

    /// What a model is shown of a prompt and one answer to it, and of that what it is to say. A
    /// text in a conversation is the user's, or the assistant's.
    ///
    /// # Errors
    /// As [`Dialogue::example`].
    pub fn answer(&self, prompt: &Said, completion: &Said) -> Result<Spoken, DialogueError> {
        if let (Said::Text(prompt), Said::Text(completion)) = (prompt, completion) {
            return self.text(prompt, completion);
        }
        let mut messages = prompt.turns("user");
        let n_before = messages.len();
        messages.extend(completion.turns(ASSISTANT));
        self.spoken(&messages, None, n_before)
    }

    /// What a model is shown that is to answer.
    ///
    /// # Errors
    /// As [`Dialogue::example`].
    pub fn prompt(&self, prompt: &Said) -> Result<Vec<u32>, DialogueError> {
        let messages = match prompt {
            Said::Text(text) => {
                let begin = self.tokenizer.beginning();
                return Ok(begin.into_iter().chain(self.tokenizer.encode(text)?).collect());
            }
            Said::Messages(messages) => of_template(messages),
        };
        let chat = Chat { add_generation_prompt: true, ..chat(&messages, None) };
        let text = self.template.ok_or(DialogueError::NoTemplate)?.render(&chat)?;
        Ok(self.tokenizer.encode_with_specials(&text)?)
    }

    /// A conversation, of which the assistant's turns are learned.
    ///
    /// # Errors
    /// As [`Dialogue::example`].
    pub fn chat(
        &self,
        messages: &[Message],
        tools: Option<&Value>,
    ) -> Result<Spoken, DialogueError> {
        self.spoken(messages, tools, 0)
    }

    /// The same, of which only turns from number `from` on are learned.
    fn spoken(
        &self,
        messages: &[Message],
        tools: Option<&Value>,
        from: usize,
    ) -> Result<Spoken, DialogueError> {
        let messages = of_template(messages);
        let template = self.template.ok_or(DialogueError::NoTemplate)?;
        let transcript = template.transcript(&chat(&messages, tools))?;
        let (ids, offsets) = self.tokenizer.encode_written(&transcript.text)?;
        let mut is_learned = vec![false; ids.len()];
        for (_, said) in transcript.said.iter().filter(|(turn, _)| *turn >= from) {
            // A token is of the turn in which it ends.
            let first = offsets.partition_point(|&(_, end)| end <= said.start);
            let mut last = offsets.partition_point(|&(_, end)| end <= said.end);
            // What follows the token that ends the turn is the template's, not the model's.
            let ends = |id: &u32| self.tokenizer.is_special(*id);
            if let Some(end) = ids[first..last].iter().rposition(ends) {
                last = first + end + 1;
            }
            is_learned[first..last].fill(true);
        }
        Ok(Spoken { ids, is_learned })
    }

    /// A text and what goes on with it. Special tokens written in it are text like any other.
    fn text(&self, prompt: &str, completion: &str) -> Result<Spoken, DialogueError> {
        let both = format!("{prompt}{completion}");
        let (text, offsets) = self.tokenizer.encode_with_offsets(&both)?;
        let n_before = offsets.partition_point(|&(_, end)| end <= prompt.len());
        let mut ids: Vec<u32> = self.tokenizer.beginning().into_iter().collect();
        let n_before = n_before + ids.len();
        ids.extend(text);
        ids.push(self.end);
        let is_learned = (0..ids.len()).map(|at| at >= n_before).collect();
        Ok(Spoken { ids, is_learned })
    }

    /// A text that an encoder reads, and one that a decoder writes of it.
    fn pair(&self, record: usize, texts: [&str; 2], start: u32) -> Result<Framed, DialogueError> {
        let mut n_cut = 0;
        let mut row = |text| -> Result<Vec<u32>, DialogueError> {
            let mut encoded = self.tokenizer.encode_for_model(text, None)?;
            let has_end = encoded.ids.last() == Some(&self.end);
            n_cut += cut(&mut encoded, self.max_len - usize::from(!has_end));
            encoded.ids.extend((!has_end).then_some(self.end));
            Ok(encoded.ids)
        };
        let (input, targets) = (Row::plain(row(texts[0])?), row(texts[1])?);
        let output = Some(Row::plain(shifted(start, &targets)));
        let example = Example { input, output, targets, ..Example::of(record as u64) };
        Ok(Framed::whole(record, example, n_cut))
    }
}

/// A conversation for a template, on a day that is always the same.
fn chat<'m>(messages: &'m [tokenize::Message], tools: Option<&Value>) -> Chat<'m> {
    let variables = tools.map(|tools| ("tools".to_owned(), tools.clone()));
    let now: Option<SystemTime> = Some(UNIX_EPOCH + TODAY);
    Chat { messages, add_generation_prompt: false, now, variables: variables.into_iter().collect() }
}

fn of_template(messages: &[Message]) -> Vec<tokenize::Message> {
    let of = |Message { role, content, more }: &Message| {
        let (role, content) = ((*role).to_owned(), content.clone());
        tokenize::Message { role, content, more: more.clone() }
    };
    messages.iter().map(of).collect()
}

#[cfg(test)]
mod tests;
