//! Prefill and decoding over a cache.

use std::ops::ControlFlow;
use std::sync::Arc;

use kernels::philox::{philox4x32, unit_f32};
use kernels::reduce::all_finite;
use models::Model;
use nn::{Context, KvCache};
use tensor::{Device, Precision, Tape};

use crate::error::GenerateError;
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

    /// Goes on with `batch` rows that have all seen what the first one has, and room for `capacity`
    /// positions.
    ///
    /// # Panics
    /// When there is no room for what was seen.
    #[must_use]
    pub fn repeat(self, shape: [usize; 2]) -> Self {
        let cache = self.cache.repeat(self.device, shape);
        Self { cache, ..self }
    }

    /// Shows every row its next tokens `[B, T]`; the logits `[B, V]` after the last of them.
    ///
    /// # Errors
    /// When they are not finite.
    ///
    /// # Panics
    /// When `tokens` are none or no multiple of the rows, there is no room, or one is not below V.
    pub fn advance(&mut self, tokens: &[u32]) -> Result<Vec<f32>, GenerateError> {
        let batch = self.cache.batch();
        let len = tokens.len() / batch;
        assert_eq!(tokens.len(), batch * len, "advance: {} tokens, {batch} rows", tokens.len());
        let tape = Tape::new(self.device, &self.model.params, self.precision);
        let mut ctx = Context::at(batch, self.cache.len(), len);
        ctx.cache = Some(&mut self.cache);
        let stack = self.model.stack();
        let hidden = stack.forward(&tape, &tokens.into(), [batch, len], &mut ctx);
        let last: Arc<[u32]> = (1..=batch).map(|b| (b * len - 1) as u32).collect();
        let head = stack.token_head().expect("a head over the vocabulary");
        let logits = head.logits(&tape, &tape.select_rows(&hidden, &last)).value().to_vec();
        if all_finite(self.device.isa, &logits) {
            Ok(logits)
        } else {
            Err(GenerateError::NotFinite { position: self.cache.len() - 1 })
        }
    }
}

/// What the token at one position of one row is drawn with: keyed by these, so that neither other
/// rows nor a restart from a part of the text move it.
fn uniform(seed: u64, row: usize, position: usize) -> f32 {
    let counter = [position as u32, row as u32, 0, 0];
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

impl Request {
    /// The positions that it may take of a model that knows `max_len` of them.
    pub fn capacity(&self, max_len: usize) -> usize {
        max_len.min(self.prompt.len().saturating_add(self.max_tokens))
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

/// Draws tokens until every row has ended; `each` sees row and token, and may stop a row.
///
/// Returns why each row ended.
///
/// # Errors
/// When the model's scores are not finite; what `each` has seen stays.
///
/// # Panics
/// When the prompt is empty, longer than the model's context or has a token that the model does not
/// know, or no row is asked for.
pub fn generate(
    (model, device, precision): (&Model, &Device, Precision),
    request: &Request,
    mut each: impl FnMut(usize, u32) -> ControlFlow<()>,
) -> Result<Vec<Finish>, GenerateError> {
    let max_len = model.stack().config().tokens().max_len;
    let (n, prompt) = (request.n_samples, &request.prompt);
    assert!(!prompt.is_empty() && prompt.len() <= max_len, "generate: {} tokens", prompt.len());
    assert!(n > 0, "generate: no row");
    let capacity = request.capacity(max_len);
    let room = if n == 1 { capacity } else { prompt.len() };
    let mut decoder = Decoder::new(model, device, precision, [1, room]);
    let mut rows: Vec<Vec<u32>> = vec![prompt.clone(); n];
    let mut finish: Vec<Option<Finish>> = vec![None; n];
    let mut fed = prompt.clone();
    for made in 0..request.max_tokens {
        let mut logits = decoder.advance(&fed)?;
        if made == 0 && n > 1 {
            // Every row begins with the same prompt: it is read once.
            logits = logits.repeat(n);
            decoder = decoder.repeat([n, capacity]);
        }
        let vocab_size = logits.len() / n;
        for (row, z) in logits.chunks_exact_mut(vocab_size).enumerate() {
            if finish[row].is_some() {
                continue;
            }
            let u = uniform(request.seed, row, rows[row].len());
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
            return Ok(finish.into_iter().map(|f| f.unwrap_or(Finish::ContextFull)).collect());
        }
        // An ended row is fed its last token: rows of a batch do not see each other.
        fed = rows.iter().map(|row| row[row.len() - 1]).collect();
    }
    Ok(finish.into_iter().map(|f| f.unwrap_or(Finish::Length)).collect())
}
