//! What a model writes behind a prompt, up to where a task says that a text ends.

use std::ops::ControlFlow;

use generate::{Decoder, Draw, Sampling, Search, draw};
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
    /// What follows `prompt`, without what ends it. Each text is written by itself and drawn by
    /// numbers of its prompt's own, so that it is the same whatever is beside it.
    ///
    /// # Errors
    /// Where the model's scores are not finite, or its tokens are no text.
    ///
    /// # Panics
    /// When the prompt is empty, or there is no room behind it.
    pub fn write(&self, prompt: &[u32], how: &Generation) -> Result<String> {
        let (model, device, precision) = self.model;
        let mut ends = self.ends.to_vec();
        // Special tokens are no text: they are looked for among the tokens.
        let special = |stop: &String| self.tokenizer.id(stop);
        let special = how.until.iter().filter_map(special);
        ends.extend(special.filter(|id| self.tokenizer.is_special(*id)));
        let search = Search { max_tokens: how.max_tokens, ends, ..Search::default() };
        let temperature = how.temperature;
        let sampling = if temperature == 0.0 {
            Sampling::GREEDY
        } else {
            Sampling { temperature, ..Sampling::default() }
        };
        let ids: Vec<u8> = prompt.iter().flat_map(|id| id.to_le_bytes()).collect();
        let seed = self.seed ^ XxHash3_64::oneshot(&ids);
        let draws = Draw { sampling, seed, n_samples: 1, first_row: 0 };
        let room = prompt.len() + how.max_tokens;
        let mut decoder = Decoder::new(model, device, precision, [1, room]);
        let (mut tokens, mut failed) = (Vec::new(), None);
        draw(&mut decoder, prompt, (&search, &draws), |_, token| {
            tokens.push(token);
            match self.tokenizer.decode(&tokens) {
                Ok(text) if how.until.iter().any(|stop| text.contains(stop)) => {
                    ControlFlow::Break(())
                }
                Ok(_) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        let mut text = self.tokenizer.decode(&tokens)?;
        for stop in &how.until {
            text.truncate(text.find(stop).unwrap_or(text.len()));
        }
        Ok(text)
    }
}
