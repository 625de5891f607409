//! From a prompt to what follows it: the part that drawing and beams share, and drawing.

use std::ops::ControlFlow;

use kernels::philox::{philox4x32, unit_f32};
use models::Model;
use nn::Memory;
use tensor::{Device, Precision};

use crate::beam::{Beams, Found, beam};
use crate::decoder::Decoder;
use crate::error::GenerateError;
use crate::rules::{Place, Rules};
use crate::sampling::Sampling;

/// How far a search goes, and what it keeps to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Search {
    /// At most so many new tokens.
    pub max_tokens: usize,
    /// Each ends a row, and is not part of it.
    pub ends: Vec<u32>,
    /// What may come.
    pub rules: Rules,
}

impl Search {
    /// New tokens that the model has positions for, behind so many of the prompt: the last is never
    /// shown to it.
    pub(crate) fn room(&self, max_len: usize, n_prompt: usize) -> usize {
        self.max_tokens.min((max_len + 1).saturating_sub(n_prompt))
    }

    /// Takes from `scores` what may not follow `seen`.
    pub(crate) fn restrict(&self, scores: &mut [f32], seen: &[u32], n_prompt: usize) {
        let is_last = seen.len() - n_prompt + 1 == self.max_tokens;
        self.rules.apply(scores, Place { seen, n_prompt, ends: &self.ends, is_last });
    }

    /// Why a row of so many new tokens ended that the model did not end.
    pub(crate) fn finish(&self, n_new: usize) -> Finish {
        if n_new >= self.max_tokens { Finish::Length } else { Finish::ContextFull }
    }
}

/// Why a row ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model said so.
    End,
    /// The caller did.
    Stopped,
    /// As many tokens as were asked for.
    Length,
    /// The model knows no further positions.
    ContextFull,
}

/// How tokens are drawn.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    /// From what, and how boldly.
    pub sampling: Sampling,
    /// Equal seeds, equal text.
    pub seed: u64,
    /// Rows that go on from each row of the decoder.
    pub n_samples: usize,
    /// The number of the first row: a row's tokens depend on its number, not on those beside it.
    pub first_row: usize,
}

/// What the token at one position of one row is drawn with: keyed by these, so that neither other
/// rows nor a restart from a part of the text move it.
fn uniform(seed: u64, row: usize, position: usize) -> f32 {
    let counter = [position as u32, row as u32, 0, 0];
    unit_f32(philox4x32(counter, [seed as u32, (seed >> 32) as u32])[0])
}

/// Shows the rows of the decoder what they have not seen of `prompt`, each of which then stands for
/// `n` rows with room for `capacity` positions; the logits `[B n, V]` after it.
pub(crate) fn prefill(
    decoder: &mut Decoder,
    prompt: &[u32],
    n: usize,
    capacity: usize,
) -> Result<Vec<f32>, GenerateError> {
    let batch = decoder.batch();
    let logits = decoder.advance(&prompt[decoder.len()..].repeat(batch))?;
    if n == 1 {
        return Ok(logits);
    }
    // Every one of the n begins with the same prompt: it is read once.
    let rows: Vec<usize> = (0..batch * n).map(|row| row / n).collect();
    decoder.select(&rows, capacity);
    let vocab_size = logits.len() / batch;
    let row = |row: &usize| &logits[row * vocab_size..][..vocab_size];
    Ok(rows.iter().flat_map(row).copied().collect())
}

/// A row that is written.
pub(crate) struct Row<'s> {
    search: &'s Search,
    draw: &'s Draw,
    /// What its numbers are drawn by.
    number: usize,
    seen: Vec<u32>,
    n_prompt: usize,
}

impl<'s> Row<'s> {
    pub fn new(prompt: &[u32], number: usize, (search, draw): (&'s Search, &'s Draw)) -> Self {
        Self { search, draw, number, seen: prompt.to_vec(), n_prompt: prompt.len() }
    }

    /// The last token.
    pub fn last(&self) -> u32 {
        self.seen[self.seen.len() - 1]
    }

    /// Why it ends before it was shown a token, of a model that knows `max_len` positions.
    pub fn full(&self, max_len: usize) -> Option<Finish> {
        let (made, room) =
            (self.seen.len() - self.n_prompt, self.search.room(max_len, self.n_prompt));
        (made >= room).then(|| self.search.finish(room))
    }

    /// What follows, from `logits`.
    pub fn token(&self, logits: &mut [f32]) -> u32 {
        self.search.restrict(logits, &self.seen, self.n_prompt);
        let u = uniform(self.draw.seed, self.number, self.seen.len());
        self.draw.sampling.draw(logits, &self.seen, u)
    }

    /// Takes a token, and says why the row ends where it does; `each` sees the token.
    pub fn take(
        &mut self,
        token: u32,
        max_len: usize,
        each: impl FnOnce(u32) -> ControlFlow<()>,
    ) -> Option<Finish> {
        self.seen.push(token);
        if self.search.ends.contains(&token) {
            return Some(Finish::End);
        }
        if each(token).is_break() { Some(Finish::Stopped) } else { self.full(max_len) }
    }
}

#[track_caller]
pub(crate) fn check(prompt: &[u32], max_len: usize) {
    assert!(!prompt.is_empty() && prompt.len() <= max_len, "draw: {} tokens", prompt.len());
}

/// Draws tokens behind `prompt` until every row has ended; `each` sees row and token, and may stop
/// a row. The decoder may have seen a beginning of the prompt, and has room for all of it; where it
/// goes on with a sample a row, for the rest, too.
///
/// Returns why each row ended, those of one row of the decoder side by side.
///
/// # Errors
/// When the model's scores are not finite; what `each` has seen stays.
///
/// # Panics
/// When the prompt is empty, seen as a whole, longer than the model's context or has a token that
/// the model does not know, or no row is asked for.
pub fn draw(
    decoder: &mut Decoder,
    prompt: &[u32],
    (search, how): (&Search, &Draw),
    mut each: impl FnMut(usize, u32) -> ControlFlow<()>,
) -> Result<Vec<Finish>, GenerateError> {
    let (max_len, n_prompt) = (decoder.max_len(), prompt.len());
    check(prompt, max_len);
    let n = decoder.batch() * how.n_samples;
    assert!(n > 0, "draw: no row");
    let row = |row: usize| Row::new(prompt, how.first_row + row, (search, how));
    let mut rows: Vec<Row> = (0..n).map(row).collect();
    let mut finish: Vec<Option<Finish>> = rows.iter().map(|row| row.full(max_len)).collect();
    let mut is_read = false;
    while finish.iter().any(Option::is_none) {
        let mut logits = if is_read {
            // An ended row is fed its last token: rows of a batch do not see each other.
            let last: Vec<u32> = rows.iter().map(Row::last).collect();
            decoder.advance(&last)?
        } else {
            is_read = true;
            let room = search.room(max_len, n_prompt);
            prefill(decoder, prompt, how.n_samples, n_prompt + room - 1)?
        };
        let vocab_size = logits.len() / n;
        for (at, z) in logits.chunks_exact_mut(vocab_size).enumerate() {
            if finish[at].is_none() {
                let token = rows[at].token(z);
                finish[at] = rows[at].take(token, max_len, |token| each(at, token));
            }
        }
    }
    Ok(finish.into_iter().flatten().collect())
}

/// How the next token is chosen.
#[derive(Clone, Copy, Debug)]
pub enum Choice {
    /// By chance, or greedily.
    Draw(Draw),
    /// By what keeping the best few beginnings finds.
    Beams(Beams),
}

/// What follows `prompt` for every row of `memory`; for one row, where the model reads none.
///
/// # Errors
/// When the model's scores are not finite.
///
/// # Panics
/// As [`draw`] and [`beam()`].
pub fn find(
    (model, device, precision): (&Model, &Device, Precision),
    memory: Option<Memory>,
    prompt: &[u32],
    (search, choice): (&Search, &Choice),
) -> Result<Vec<Found>, GenerateError> {
    let batch = memory.as_ref().map_or(1, |memory| memory.hidden.value().shape()[0]);
    let n = match choice {
        Choice::Draw(how) => how.n_samples,
        Choice::Beams(beams) => beams.n,
    };
    let max_len = model.head_stack().config().tokens().max_len;
    let room = if n == 1 { search.room(max_len, prompt.len()).saturating_sub(1) } else { 0 };
    let mut decoder = Decoder::new(model, device, precision, [batch, prompt.len() + room]);
    if let Some(memory) = memory {
        decoder = decoder.reading(memory);
    }
    let how = match choice {
        Choice::Beams(beams) => return beam(decoder, prompt, (search, beams)),
        Choice::Draw(how) => how,
    };
    let mut rows = vec![vec![]; batch * n];
    let finish = draw(&mut decoder, prompt, (search, how), |row, token| {
        rows[row].push(token);
        ControlFlow::Continue(())
    })?;
    let found = |(tokens, finish)| Found { tokens, finish, score: None };
    Ok(rows.into_iter().zip(finish).map(found).collect())
}
