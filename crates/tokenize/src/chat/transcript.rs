//! Which part of a conversation's text the assistant says.

use std::ops::Range;

use super::{Chat, ChatError, ChatTemplate, deep};

const ASSISTANT: &str = "assistant";

/// A conversation as text, and who says what of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transcript {
    /// What the template writes.
    pub text: String,
    /// Of each turn of the assistant its number, and the bytes of the text that are to be said
    /// there: from where a model begins to write to where the next turn, or the text, does.
    pub said: Vec<(usize, Range<usize>)>,
}

impl ChatTemplate {
    /// The text of a whole conversation, and what of it the assistant says.
    ///
    /// A turn is what a template writes more of the conversation with it than of that before it,
    /// with the beginning of an answer. Nothing is known of how the template marks turns.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`]; where what it writes of a part of the conversation is not the
    /// beginning of what it writes of all of it.
    pub fn transcript(&self, chat: &Chat) -> Result<Transcript, ChatError> {
        deep(|| -> Result<Transcript, ChatError> {
            let first = |n: usize, add_generation_prompt| {
                let messages = &chat.messages[..n];
                self.bounded(&Chat { messages, add_generation_prompt, ..chat.clone() })
            };
            let n = chat.messages.len();
            let text = first(n, false)?;
            let mut said = Vec::new();
            let is_said = |(_, turn): &(usize, &super::Message)| turn.role == ASSISTANT;
            for (i, _) in chat.messages.iter().enumerate().filter(is_said) {
                let before = first(i, true)?;
                let with = if i + 1 == n { text.clone() } else { first(i + 1, false)? };
                if !(with.starts_with(&before) && text.starts_with(&with)) {
                    return Err(ChatError::NotPrefix { turn: i + 1, n });
                }
                said.push((i, before.len()..with.len()));
            }
            Ok(Transcript { text, said })
        })
        .map_err(ChatError::thread)?
    }
}
