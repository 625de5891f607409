//! What one call needs beyond the weights.

use std::sync::Arc;

use tensor::{Balance, Device, Pattern, Rng, Var};

use crate::cache::{KvCache, select_rows};
use crate::lead::Led;

/// Who sees whom, beside the trunk's own pattern: one segment id a key, 0 for padding, else one id
/// a document, so that left and right padding, holes and packing are one mechanism.
#[derive(Clone, Debug, Default)]
pub struct Mask {
    /// `[B, S]`; none is one document a row and no padding.
    pub segments: Option<Arc<[u32]>>,
    /// So many positions at the start every query sees, in a layer that looks back alone and is not
    /// windowed (prefix LM).
    pub prefix: usize,
    /// Segments hide padded keys alone: what is computed at padded queries is what other
    /// implementations compute there too.
    pub keys_only: bool,
}

impl Mask {
    /// What a layer's queries see in this call.
    pub(crate) fn over(&self, pattern: Pattern) -> Pattern {
        match pattern {
            Pattern::Causal if self.prefix > 0 => Pattern::Prefix { len: self.prefix },
            pattern => pattern,
        }
    }
}

/// The position of what has none: padding that positions do not count. A learned table reads the
/// row before that of position 0.
pub const NO_POSITION: u32 = u32::MAX;

/// What cross-attention reads: an encoder's last hidden state.
#[derive(Clone)]
pub struct Memory {
    /// `[B, S, D]`.
    pub hidden: Var,
    /// `[B, S]`: 0 for padding, else which text; none is no padding. A query of a segment reads
    /// that of the same number, unless segments hide padded keys alone.
    pub segments: Option<Arc<[u32]>>,
    /// Tokens of the whole batch that come before the first.
    pub first_token: u64,
}

impl Memory {
    /// That of some rows, in this order.
    ///
    /// # Panics
    /// When there is no such row.
    #[must_use]
    pub fn select(&self, device: &Device, rows: &[usize]) -> Self {
        let len = self.hidden.value().shape()[1];
        let of_row = |segments: &Arc<[u32]>| -> Arc<[u32]> {
            rows.iter().flat_map(|row| &segments[row * len..(row + 1) * len]).copied().collect()
        };
        Self {
            hidden: Var::constant(select_rows(device, self.hidden.value(), rows)),
            segments: self.segments.as_ref().map(of_row),
            first_token: self.first_token,
        }
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "Memory {:?}", self.hidden.value().shape())
    }
}

/// The part of a [`Context`] that a recomputed block needs again.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who sees whom.
    pub mask: Mask,
    /// `[B * T]`.
    pub positions: Arc<[u32]>,
    /// `[B * T]` each: which row of the embedding's further tables a token adds, where it has such
    /// tables; the first where nothing is said.
    pub types: Vec<Option<Arc<[u32]>>>,
    /// What cross-attention reads, where the trunk has such.
    pub memory: Option<Memory>,
    /// Present in training: dropout is keyed by it. None drops nothing.
    pub rng: Option<Rng>,
    /// Keep only each block's input and run the block again in backward.
    pub recompute: bool,
    /// Gathers how evenly tokens are spread over experts, and sends back the gradient of that.
    pub balance: Option<Balance>,
    /// How many texts of the step's batch come before these, where `rng` counts its tokens.
    pub n_texts_before: u64,
    /// Where learned tokens are, once they are there.
    pub led: Option<Led>,
}

impl Call {
    /// The same, whose memory is `hidden`.
    pub(crate) fn reading(&self, hidden: Option<&Var>) -> Self {
        let hidden = hidden.cloned();
        let memory = self.memory.clone().zip(hidden);
        let memory = memory.map(|(memory, hidden)| Memory { hidden, ..memory });
        Self { memory, ..self.clone() }
    }
}

/// What one call needs. Borrowed, and gone when the call returns.
pub struct Context<'c> {
    /// Mask, positions, randomness.
    pub call: Call,
    /// Present when decoding step by step.
    pub cache: Option<&'c mut KvCache>,
}

impl Context<'_> {
    /// Positions `0..T` in each of `batch` rows, no padding, no dropout, no cache.
    pub fn plain(batch: usize, len: usize) -> Self {
        Self::at(batch, 0, len)
    }

    /// Positions `start..start + len` in each of `batch` rows.
    pub fn at(batch: usize, start: usize, len: usize) -> Self {
        Self::behind(&vec![start; batch], len)
    }

    /// `len` positions behind those that each row holds.
    pub fn behind(held: &[usize], len: usize) -> Self {
        let row = |&start: &usize| start as u32..(start + len) as u32;
        let positions = held.iter().flat_map(row).collect();
        let (mask, types) = (Mask::default(), Vec::new());
        let (memory, rng, recompute, balance) = (None, None, false, None);
        let (n_texts_before, led) = (0, None);
        let call =
            Call { mask, positions, types, memory, rng, recompute, balance, n_texts_before, led };
        Self { call, cache: None }
    }
}
