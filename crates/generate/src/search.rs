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

/// Shows the rows of the decoder what they have not seen of their prompts, all of one length, each
/// of which then stands for `n` rows with room for `capacity` positions; the logits `[B n, V]`
/// after it.
pub(crate) fn prefill(
    decoder: &mut Decoder,
    prompts: &[&[u32]],
    n: usize,
    capacity: usize,
) -> Result<Vec<f32>, GenerateError> {
    let batch = decoder.batch();
    let seen = decoder.len();
    let unseen: Vec<u32> = prompts.iter().flat_map(|prompt| &prompt[seen..]).copied().collect();
    let logits = decoder.advance(&unseen)?;
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
    how: (&Search, &Draw),
    each: impl FnMut(usize, u32) -> ControlFlow<()>,
) -> Result<Vec<Finish>, GenerateError> {
    let prompts = vec![prompt; decoder.batch()];
    draw_each(decoder, &prompts, how, each)
}

/// [`draw`] of a prompt for each row of the decoder, all of one length.
///
/// # Errors
/// As [`draw`].
///
/// # Panics
/// As [`draw`], and when there are not as many prompts as rows, or not all are of one length.
pub fn draw_each(
    decoder: &mut Decoder,
    prompts: &[&[u32]],
    (search, how): (&Search, &Draw),
    mut each: impl FnMut(usize, u32) -> ControlFlow<()>,
) -> Result<Vec<Finish>, GenerateError> {
    let max_len = decoder.max_len();
    let n_prompt = prompts.first().map_or(0, |prompt| prompt.len());
    assert!(n_prompt > 0 && n_prompt <= max_len, "draw: {n_prompt} tokens");
    assert!(prompts.iter().all(|prompt| prompt.len() == n_prompt), "draw: unequal prompts");
    assert!(prompts.len() == decoder.batch() && how.n_samples > 0, "draw: no row");
    let n = decoder.batch() * how.n_samples;
    let room = search.room(max_len, n_prompt);
    let mut rows: Vec<Vec<u32>> = (0..n).map(|row| prompts[row / how.n_samples].to_vec()).collect();
    let mut finish: Vec<Option<Finish>> = vec![None; n];
    for made in 0..room {
        let mut logits = if made == 0 {
            prefill(decoder, prompts, how.n_samples, n_prompt + room - 1)?
        } else {
            // An ended row is fed its last token: rows of a batch do not see each other.
            let last: Vec<u32> = rows.iter().map(|row| row[row.len() - 1]).collect();
            decoder.advance(&last)?
        };
        let vocab_size = logits.len() / n;
        for (row, z) in logits.chunks_exact_mut(vocab_size).enumerate() {
            if finish[row].is_some() {
                continue;
            }
            search.restrict(z, &rows[row], n_prompt);
            let u = uniform(how.seed, how.first_row + row, rows[row].len());
            let token = how.sampling.draw(z, &rows[row], u);
            rows[row].push(token);
            if search.ends.contains(&token) {
                finish[row] = Some(Finish::End);
            } else if each(row, token).is_break() {
                finish[row] = Some(Finish::Stopped);
            }
        }
        if finish.iter().all(Option::is_some) {
            break;
        }
    }
    Ok(finish.into_iter().map(|f| f.unwrap_or_else(|| search.finish(room))).collect())
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

/// What is to be generated.
#[derive(Clone, Debug)]
pub struct Request {
    /// The tokens it goes on from; at least one.
    pub prompt: Vec<u32>,
    /// At most so many new tokens.
    pub max_tokens: usize,
    /// How each is drawn.
    pub sampling: Sampling,
    /// Equal seeds, equal text.
    pub seed: u64,
    /// Each ends a row, and is not part of it.
    pub ends: Vec<u32>,
    /// Rows that go on from the same prompt.
    pub n_samples: usize,
}

impl Request {
    /// The positions that it may take of a model that knows `max_len` of them.
    pub fn capacity(&self, max_len: usize) -> usize {
        max_len.min(self.prompt.len().saturating_add(self.max_tokens))
    }
}

/// [`draw`] of a model without an encoder.
///
/// # Errors
/// As [`draw`].
///
/// # Panics
/// As [`draw`].
pub fn generate(
    (model, device, precision): (&Model, &Device, Precision),
    request: &Request,
    each: impl FnMut(usize, u32) -> ControlFlow<()>,
) -> Result<Vec<Finish>, GenerateError> {
    let &Request { ref prompt, max_tokens, sampling, seed, ref ends, n_samples } = request;
    let capacity = request.capacity(model.stack().config().tokens().max_len);
    let room = if n_samples == 1 { capacity } else { prompt.len() };
    let mut decoder = Decoder::new(model, device, precision, [1, room]);
    let search = Search { max_tokens, ends: ends.clone(), rules: Rules::default() };
    let how = Draw { sampling, seed, n_samples, first_row: 0 };
    draw(&mut decoder, prompt, (&search, &how), each)
}
