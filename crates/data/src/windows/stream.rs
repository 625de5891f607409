//! Contiguous windows of the token stream.

use super::Batch;
use crate::{DataError, Store};

/// Window `i` predicts tokens `base + i * T` to `base + (i + 1) * T`, each from those before it.
#[derive(Debug)]
pub(super) struct Stream {
    /// The first token that is predicted: 0 where an end-of-text id can stand before it.
    base: u64,
    seq_len: usize,
    pub n_windows: u64,
}

impl Stream {
    /// Full windows alone; what is left at the end is left out, for training.
    pub fn whole(store: &Store, seq_len: usize) -> Result<Self, DataError> {
        let base = u64::from(store.end_of_text().is_none());
        let n_windows = (store.n_tokens() - base) / seq_len as u64;
        if n_windows == 0 {
            let (n_tokens, needed) = (store.n_tokens(), base + seq_len as u64);
            return Err(DataError::TooFewTokens { n_tokens, seq_len, needed });
        }
        Ok(Self { base, seq_len, n_windows })
    }

    /// Every token; the last window may be short.
    pub fn padded(store: &Store, seq_len: usize) -> Self {
        let base = u64::from(store.end_of_text().is_none());
        let n_windows = (store.n_tokens() - base).div_ceil(seq_len as u64);
        Self { base, seq_len, n_windows }
    }

    /// Appends window `i`, without its padding.
    pub fn append(&self, store: &Store, i: u64, batch: &mut Batch) -> Result<(), DataError> {
        let first = self.base + i * self.seq_len as u64;
        let len = (store.n_tokens() - first).min(self.seq_len as u64) as usize;
        batch.extend(store, first, len, first > 0)
    }
}
