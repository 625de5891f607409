//! How work is cut for threads, and the scratch that partial sums need.
//!
//! Cuts depend on sizes alone, so a result has the same bits for any number of threads.

use std::cell::Cell;

/// Elements of one piece of element-wise work: some microseconds, and a small part of an L2 cache.
pub(crate) const PIECE: usize = 1 << 14;

/// Rows of `d` elements that make up a piece.
pub(crate) fn rows_per_piece(d: usize) -> usize {
    (PIECE / d.max(1)).max(1)
}

/// Rows in each of the partial sums of a reduction over rows: at least 16, and more when there
/// are many, so that adding the partial sums up stays small beside making them.
pub(crate) fn rows_per_partial(n_rows: usize) -> usize {
    const PARTIALS_MAX: usize = 64;
    n_rows.div_ceil(PARTIALS_MAX).next_multiple_of(16).max(16)
}

/// Calls `f` with `len` numbers of any value, in memory that the thread keeps.
pub(crate) fn with_scratch<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    thread_local! {
        static SCRATCH: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    }
    // Taken, not borrowed: while this thread waits in `f` it may run another piece of work that
    // wants scratch, which then gets some of its own.
    let mut scratch = SCRATCH.take();
    if scratch.len() < len {
        scratch.resize(len, 0.0);
    }
    let result = f(&mut scratch[..len]);
    let other = SCRATCH.take();
    SCRATCH.set(if other.len() > scratch.len() { other } else { scratch });
    result
}

/// Calls `f` with `len` zeros, in memory that the thread keeps.
pub(crate) fn with_zeros<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    with_scratch(len, |scratch| {
        scratch.fill(0.0);
        f(scratch)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_scratch_is_separate_and_zero() {
        for _ in 0..2 {
            let sum = with_zeros(8, |outer| {
                outer.fill(1.0);
                with_zeros(16, |inner| {
                    inner.fill(2.0);
                    inner.iter().sum::<f32>() + outer.iter().sum::<f32>()
                })
            });
            assert_eq!(sum, 40.0);
        }
    }

    #[test]
    fn pieces_cover_any_width() {
        assert_eq!(
            [rows_per_piece(0), rows_per_piece(512), rows_per_piece(1 << 20)],
            [PIECE, 32, 1]
        );
        assert_eq!([0, 1, 2048].map(rows_per_partial), [16, 16, 32]);
    }
}
