//! Prefill and decoding over a cache, with a memory to read or without one.

use std::sync::Arc;

use kernels::reduce::all_finite;
use models::{Model, Stack};
use nn::{Context, KvCache, Memory};
use tensor::{Device, Precision, Tape};

use crate::error::GenerateError;

/// A model at work on some rows, each as long as it is.
pub struct Decoder<'m> {
    model: &'m Model,
    device: &'m Device,
    precision: Precision,
    cache: KvCache,
    /// What the rows read, of a model that has an encoder.
    memory: Option<Memory>,
    /// Rows that products sum as those of, at least.
    rows_min: usize,
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
        Self { model, device, precision, cache, memory: None, rows_min: 0 }
    }

    /// The same without rows; there is room for as many.
    #[must_use]
    pub fn without_rows(mut self) -> Self {
        self.cache.clear();
        self
    }

    /// The same, whose products sum as those of so many rows at least.
    #[must_use]
    pub fn among(self, rows: usize) -> Self {
        Self { rows_min: rows, ..self }
    }

    /// Rows more, each of which has seen one of `prompts`; the logits `[B, V]` after them.
    ///
    /// # Errors
    /// As [`Decoder::advance`].
    ///
    /// # Panics
    /// As [`Decoder::advance`], and when there is no room for the rows.
    pub fn begin(&mut self, prompts: &[&[u32]]) -> Result<Vec<f32>, GenerateError> {
        let len = prompts.iter().map(|prompt| prompt.len()).max().unwrap_or(0);
        // What stands behind a prompt is seen by nothing before it, and forgotten.
        let mut tokens = vec![0; prompts.len() * len];
        for (row, prompt) in tokens.chunks_exact_mut(len).zip(prompts) {
            row[..prompt.len()].copy_from_slice(prompt);
        }
        self.cache.begin(prompts.len());
        let logits = self.show(&tokens, |row| prompts[row].len() - 1);
        let forgotten = |prompt: &&[u32]| if logits.is_ok() { len - prompt.len() } else { 0 };
        self.cache.join(&prompts.iter().map(forgotten).collect::<Vec<_>>());
        logits
    }

    /// A row more, which has seen what `row` has.
    ///
    /// # Panics
    /// When there is no such row, or no room for another.
    pub fn repeat(&mut self, row: usize) {
        self.cache.repeat(row);
    }

    /// A row goes, and the last takes its number.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn swap_remove(&mut self, row: usize) {
        self.cache.swap_remove(row);
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

    /// Tokens that the longest row has seen so far.
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
        let len = tokens.len() / self.cache.batch();
        self.show(tokens, |_| len - 1)
    }

    /// Shows every row in work its next tokens; the logits after number `last` of each row's.
    fn show(
        &mut self,
        tokens: &[u32],
        last: impl Fn(usize) -> usize,
    ) -> Result<Vec<f32>, GenerateError> {
        let batch = self.cache.batch();
        let len = tokens.len() / batch;
        assert_eq!(tokens.len(), batch * len, "advance: {} tokens, {batch} rows", tokens.len());
        let tape = Tape::new(self.device, &self.model.params, self.precision);
        let tape = tape.among(self.rows_min);
        let mut ctx = Context::behind(self.cache.held(), len);
        ctx.cache = Some(&mut self.cache);
        ctx.call.memory.clone_from(&self.memory);
        let stack = self.model.head_stack();
        let hidden = stack.forward(&tape, &tokens.into(), [batch, len], &mut ctx);
        let last: Arc<[u32]> = (0..batch).map(|b| (b * len + last(b)) as u32).collect();
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
