//! Results must not depend on the number of threads.

use std::fmt::Debug;

/// Runs `f` in pools of 1, 2 and 5 threads and asserts equal results; returns one.
///
/// Compare bits, not numbers, where NaN or the sign of zero may occur.
///
/// # Panics
/// When the results differ, or no pool can be made.
#[track_caller]
pub fn same_for_any_threads<R>(f: impl Fn() -> R + Sync) -> R
where
    R: PartialEq + Debug + Send,
{
    let run = |n_threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build();
        pool.expect("a thread pool").install(&f)
    };
    let single = run(1);
    for n_threads in [2, 5] {
        assert!(run(n_threads) == single, "1 and {n_threads} threads give other results");
    }
    single
}

#[cfg(test)]
mod tests {
    use super::same_for_any_threads;

    #[test]
    #[should_panic(expected = "1 and 2 threads")]
    fn notices_the_pool() {
        same_for_any_threads(rayon::current_num_threads);
    }
}
