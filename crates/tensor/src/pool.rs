//! A caching allocator: a freed buffer is kept and handed out again, so that the steady state of a
//! training loop asks the operating system for nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytemuck::{Pod, Zeroable};

/// One cache line: the unit of allocation, so that every buffer is aligned for vector loads.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub(crate) struct Line([u8; 64]);

/// Bytes of a [`Line`].
pub(crate) const LINE: usize = 64;

/// What a pool has handed out and kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Bytes in live buffers.
    pub live_bytes: usize,
    /// Bytes kept for reuse.
    pub cached_bytes: usize,
    /// The most that `live_bytes` has been.
    pub peak_live_bytes: usize,
}

#[derive(Default)]
struct State {
    free: BTreeMap<usize, Vec<Vec<Line>>>,
    stats: PoolStats,
}

impl State {
    /// Frees the largest of what is kept while there is more than a quarter above the most that
    /// was ever needed at once: where shapes do not repeat, nothing that is kept would fit.
    fn shrink(&mut self) {
        let most = self.stats.peak_live_bytes + self.stats.peak_live_bytes / 4;
        while self.stats.live_bytes + self.stats.cached_bytes > most {
            let Some(mut largest) = self.free.last_entry() else { return };
            let freed = largest.get_mut().pop().map_or(0, |buffer| buffer.len() * LINE);
            if largest.get().is_empty() {
                largest.remove();
            }
            self.stats.cached_bytes -= freed;
        }
    }
}

/// A shared cache of buffers. Clones share it.
#[derive(Clone, Default)]
pub struct Pool {
    state: Arc<Mutex<State>>,
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing can be half-done in there: a panic elsewhere leaves the lists usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A buffer of at least `bytes` bytes. Its content is unspecified but initialised.
    pub(crate) fn take(&self, bytes: usize) -> Vec<Line> {
        let n = bytes.div_ceil(LINE).max(1);
        let mut state = self.lock();
        // At most a quarter is wasted: shapes repeat from step to step, so most requests fit
        // exactly.
        let found = state.free.range(n..=n + n / 4).next().map(|(&size, _)| size);
        let reused = found.and_then(|size| {
            let list = state.free.get_mut(&size)?;
            let buffer = list.pop();
            if list.is_empty() {
                state.free.remove(&size);
            }
            buffer
        });
        let size = reused.as_ref().map_or(n, Vec::len) * LINE;
        if reused.is_some() {
            state.stats.cached_bytes -= size;
        }
        state.stats.live_bytes += size;
        state.stats.peak_live_bytes = state.stats.peak_live_bytes.max(state.stats.live_bytes);
        if reused.is_none() {
            state.shrink();
        }
        drop(state);
        reused.unwrap_or_else(|| bytemuck::allocation::zeroed_vec(n))
    }

    /// Takes a buffer back.
    pub(crate) fn give(&self, buffer: Vec<Line>) {
        let mut state = self.lock();
        state.stats.live_bytes -= buffer.len() * LINE;
        state.stats.cached_bytes += buffer.len() * LINE;
        state.free.entry(buffer.len()).or_default().push(buffer);
    }

    /// What is live and what is cached.
    pub fn stats(&self) -> PoolStats {
        self.lock().stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_reused() {
        let pool = Pool::default();
        let first = pool.take(1000);
        let at = first.as_ptr();
        pool.give(first);
        let second = pool.take(900);
        assert_eq!(second.as_ptr(), at);
        assert_eq!(pool.stats().cached_bytes, 0);
    }

    #[test]
    fn what_is_kept_is_bounded_where_no_shape_repeats() {
        let pool = Pool::default();
        for i in 0..200 {
            let bytes = 1000 + 997 * i % 100_000;
            let [first, second] = [bytes, bytes / 2].map(|bytes| pool.take(bytes));
            pool.give(first);
            pool.give(second);
            let stats = pool.stats();
            let all = stats.live_bytes + stats.cached_bytes;
            assert!(all <= 5 * stats.peak_live_bytes / 4, "{stats:?}");
        }
    }

    #[test]
    fn a_small_request_does_not_take_a_large_buffer() {
        let pool = Pool::default();
        let large = pool.take(1 << 20);
        pool.give(large);
        assert_eq!(pool.take(64).len(), 1);
        assert_eq!(pool.stats().cached_bytes, 1 << 20);
    }
}
