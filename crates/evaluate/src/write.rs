//! What a model writes behind prompts, up to where a task says that a text ends.

use std::ops::ControlFlow;

use generate::{Event, ROWS_AT_ONCE, Request, Sampling, generate_all};
use models::Model;
use tensor::{Device, Precision};
use tokenize::Tokenizer;
use twox_hash::XxHash3_64;

use crate::error::Result;
use crate::file::Generation;

/// How texts are written.
#[derive(Clone, Copy)]
pub struct Writer<'m> {
    /// What writes.
    pub model: (&'m Model, &'m Device, Precision),
    /// Its tokens as text.
    pub tokenizer: &'m Tokenizer,
    /// Tokens that end a text.
    pub ends: &'m [u32],
    /// The same seed draws the same texts.
    pub seed: u64,
}

impl Writer<'_> {
    /// What follows each of `prompts`, without what ends it; `each` is told how many have ended. A
    /// text is drawn by numbers of its prompt's own, and is the same whatever is beside it.
    ///
    /// # Errors
    /// Where the model's scores are not finite, or its tokens are no text.
    ///
    /// # Panics
    /// When a prompt is empty, or there is no room behind it.
    pub fn write(
        &self,
        prompts: &[Vec<u32>],
        how: &Generation,
        mut each: impl FnMut(usize),
    ) -> Result<Vec<String>> {
        let mut ends = self.ends.to_vec();
        // Special tokens are no text: they are looked for among the tokens.
        let special = |stop: &String| self.tokenizer.id(stop);
        let special = how.until.iter().filter_map(special);
        ends.extend(special.filter(|id| self.tokenizer.is_special(*id)));
        let sampling = match how.temperature {
            0.0 => Sampling::GREEDY,
            temperature => Sampling { temperature, ..Sampling::default() },
        };
        let request = |prompt: &Vec<u32>| {
            let ids: Vec<u8> = prompt.iter().flat_map(|id| id.to_le_bytes()).collect();
            Request {
                prompt: prompt.clone(),
                max_tokens: how.max_tokens,
                sampling,
                seed: self.seed ^ XxHash3_64::oneshot(&ids),
                ends: ends.clone(),
                n_samples: 1,
            }
        };
        let requests: Vec<Request> = prompts.iter().map(request).collect();
        let (mut tokens, mut failed) = (vec![Vec::new(); prompts.len()], None);
        let is_stop = |text: &str| how.until.iter().any(|stop| text.contains(stop));
        generate_all(self.model, &requests, ROWS_AT_ONCE, |[i, _], event| {
            let Event::Token(token) = event else {
                each(1);
                return ControlFlow::Continue(());
            };
            tokens[i].push(token);
            match self.tokenizer.decode(&tokens[i]) {
                Ok(text) if !is_stop(&text) && failed.is_none() => ControlFlow::Continue(()),
                Ok(_) => ControlFlow::Break(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        let text = |tokens: &Vec<u32>| -> Result<String> {
            let mut text = self.tokenizer.decode(tokens)?;
            for stop in &how.until {
                text.truncate(text.find(stop).unwrap_or(text.len()));
            }
            Ok(text)
        };
        tokens.iter().map(text).collect()
    }
}
