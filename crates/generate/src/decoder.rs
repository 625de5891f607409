//! Prefill and decoding over a cache.

use std::ops::ControlFlow;
use std::sync::Arc;

use kernels::philox::{philox4x32, unit_f32};
use models::Model;
use nn::{Context, KvCache};
use tensor::{Device, Precision, Tape};

use crate::sampling::Sampling;

/// A model at work on some rows that grow together.
pub struct Decoder<'m> {
    model: &'m Model,
    device: &'m Device,
    precision: Precision,
    cache: KvCache,
}

impl<'m> Decoder<'m> {
    /// Room for `capacity` positions in each of `batch` rows.
    pub fn new(
        model: &'m Model,
        device: &'m Device,
        precision: Precision,
        shape: [usize; 2],
    ) -> Self {
        let cache = model.stack().cache(device, precision.compute, shape);
        Self { model, device, precision, cache }
    }

    /// Positions seen so far.
    pub fn len(&self) -> usize {
        self.cache.len()
    }

    /// Whether nothing was seen yet.
    pub fn is_empty(&self) -> bool {
        self.cache.is_empty()
    }

    /// Shows every row its next tokens `[B, T]`; the logits `[B, V]` after the last of them.
    ///
    /// # Panics
    /// When `tokens` is no multiple of the rows, or there is no room.
    pub fn advance(&mut self, tokens: &[u32]) -> Vec<f32> {
        let batch = self.cache.batch();
        let len = tokens.len() / batch;
        assert_eq!(tokens.len(), batch * len, "advance: {} tokens, {batch} rows", tokens.len());
        let tape = Tape::new(self.device, &self.model.params, self.precision);
        let mut ctx = Context::at(batch, self.cache.len(), len);
        ctx.cache = Some(&mut self.cache);
        let stack = self.model.stack();
        let hidden = stack.forward(&tape, &tokens.into(), [batch, len], &mut ctx);
        let last: Arc<[u32]> = (1..=batch).map(|b| (b * len - 1) as u32).collect();
        stack
            .token_head()
            .expect("a head over the vocabulary")
            .logits(&tape, &tape.select_rows(&hidden, &last))
            .value()
            .to_vec()
    }
}

/// The draw of one position of one row: keyed, so that rows and restarts do not move it.
fn uniform(seed: u64, row: usize, at: usize) -> f32 {
    let counter = [at as u32, row as u32, 0, 0];
    unit_f32(philox4x32(counter, [seed as u32, (seed >> 32) as u32])[0])
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
    /// Ends a row, and is not part of it.
    pub end: Option<u32>,
    /// Rows that go on from the same prompt.
    pub n_samples: usize,
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

/// Draws tokens until every row has ended; `each` sees row and token, and may stop a row.
///
/// Returns why each row ended.
///
/// # Panics
/// When the prompt is empty or longer than the model's context, or no row is asked for.
pub fn generate(
    (model, device, precision): (&Model, &Device, Precision),
    request: &Request,
    mut each: impl FnMut(usize, u32) -> ControlFlow<()>,
) -> Vec<Finish> {
    let max_len = model.stack().config().tokens().max_len;
    let (n, prompt) = (request.n_samples, &request.prompt);
    assert!(!prompt.is_empty() && prompt.len() <= max_len, "generate: {} tokens", prompt.len());
    assert!(n > 0, "generate: no row");
    let capacity = max_len.min(prompt.len() + request.max_tokens);
    let mut decoder = Decoder::new(model, device, precision, [n, capacity]);
    let mut rows: Vec<Vec<u32>> = vec![prompt.clone(); n];
    let mut finish: Vec<Option<Finish>> = vec![None; n];
    let mut fed: Vec<u32> = rows.concat();
    for made in 0..request.max_tokens {
        let mut logits = decoder.advance(&fed);
        let vocab_size = logits.len() / n;
        for (row, z) in logits.chunks_exact_mut(vocab_size).enumerate() {
            if finish[row].is_some() {
                continue;
            }
            let u = uniform(request.seed, row, made);
            let token = request.sampling.draw(z, &rows[row], u);
            rows[row].push(token);
            if Some(token) == request.end {
                finish[row] = Some(Finish::End);
            } else if each(row, token).is_break() {
                finish[row] = Some(Finish::Stopped);
            }
        }
        if finish.iter().all(Option::is_some) {
            break;
        }
        if made + 1 < request.max_tokens && decoder.len() == max_len {
            return finish.into_iter().map(|f| f.unwrap_or(Finish::ContextFull)).collect();
        }
        // An ended row is fed its last token: rows of a batch do not see each other.
        fed = rows.iter().map(|row| row[row.len() - 1]).collect();
    }
    finish.into_iter().map(|f| f.unwrap_or(Finish::Length)).collect()
}
