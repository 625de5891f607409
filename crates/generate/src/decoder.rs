//! Prefill and decoding over a cache, with a memory to read or without one.

use std::sync::Arc;

use kernels::reduce::all_finite;
use models::{Model, Stack};
use nn::{Context, KvCache, Memory};
use tensor::{Device, Precision, Tape};

use crate::error::GenerateError;

/// A model at work on some rows that grow together.
pub struct Decoder<'m> {
    model: &'m Model,
    device: &'m Device,
    precision: Precision,
    cache: KvCache,
    /// What the rows read, of a model that has an encoder.
    memory: Option<Memory>,
}

impl<'m> Decoder<'m> {
    /// Room for `capacity` positions in each of `batch` rows.
    pub fn new(
        model: &'m Model,
        device: &'m Device,
        precision: Precision,
        shape: [usize; 2],
    ) -> Self {
        let cache = model.head_stack().cache(device, precision.compute, shape);
        Self { model, device, precision, cache, memory: None }
    }

    /// The same, whose rows read a row of `memory` each; its keys and values are computed once.
    #[must_use]
    pub fn reading(self, memory: Memory) -> Self {
        Self { memory: Some(memory), ..self }
    }

    /// Rows.
    pub fn batch(&self) -> usize {
        self.cache.batch()
    }

    /// Positions of a text that the model knows.
    pub fn max_len(&self) -> usize {
        self.stack().max_len()
    }

    /// Tokens seen so far.
    pub fn len(&self) -> usize {
        self.cache.len() - self.n_lead()
    }

    /// Learned tokens that the cache holds.
    fn n_lead(&self) -> usize {
        if self.cache.is_empty() { 0 } else { self.stack().n_lead(&self.model.params) }
    }

    /// Whether nothing was seen yet.
    pub fn is_empty(&self) -> bool {
        self.cache.is_empty()
    }

    /// Forgets what the rows saw behind the first `len` positions, and has room for `capacity`.
    ///
    /// # Panics
    /// When there is no room for what is left.
    pub fn rewind(&mut self, len: usize, capacity: usize) {
        self.cache.truncate(if len == 0 { 0 } else { len + self.n_lead() });
        let capacity = capacity + self.stack().n_lead(&self.model.params);
        if self.cache.capacity() < capacity {
            let rows: Vec<usize> = (0..self.batch()).collect();
            self.cache = self.cache.select(self.device, &rows, capacity);
        }
    }

    /// Goes on with rows that have seen what `rows` have, and room for `capacity` positions.
    ///
    /// # Panics
    /// When there is no room for what was seen, or no such row.
    pub fn select(&mut self, rows: &[usize], capacity: usize) {
        let capacity = capacity + self.stack().n_lead(&self.model.params);
        self.cache = self.cache.select(self.device, rows, capacity);
        self.memory = self.memory.take().map(|memory| memory.select(self.device, rows));
    }

    /// Row `i` becomes what `rows[i]` was, of rows that read the same row of the memory.
    ///
    /// # Panics
    /// When the number of rows differs.
    pub fn reorder(&mut self, rows: &[usize]) {
        self.cache.reorder(self.device, rows);
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
        ctx.call.memory.clone_from(&self.memory);
        let stack = self.model.head_stack();
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

    fn stack(&self) -> &Stack {
        self.model.head_stack()
    }
}
