//! Batches side by side: threads that each run their own come together nowhere, and keep what they
//! work on in their own caches.

use std::iter;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rayon::ThreadPool;

use crate::environment::{Env, pool};
use crate::failure::Failure;
use crate::machine;

/// Of the memory that is left, this part may go to batches beside the first.
const SHARE: u64 = 4;

/// Groups of threads, and how many batches they run.
pub struct Workers {
    /// None where the threads that are there work on one batch after the other.
    pools: Vec<ThreadPool>,
    n_batches: usize,
}

impl Workers {
    /// As many as there are threads and batches, where one of `needed` bytes leaves room for that;
    /// each has as many threads as the others.
    ///
    /// # Errors
    /// Where threads cannot be started.
    pub fn new(env: &Env, n_batches: usize, needed: u64) -> Result<Self, Failure> {
        let room = machine::memory().map_or(1, |memory| memory.available_bytes / SHARE);
        let fit = usize::try_from(room / needed.max(1)).unwrap_or(usize::MAX);
        let n = fit.min(n_batches).clamp(1, env.n_threads);
        let n_threads = env.n_threads / n;
        let pools = (0..if n > 1 { n } else { 0 }).map(|_| pool(n_threads));
        Ok(Self { pools: pools.collect::<Result<_, _>>()?, n_batches })
    }

    /// Calls `work` with the number of every batch; what it returned, in their order.
    ///
    /// # Errors
    /// With the first error there is, by number.
    pub fn run<T: Send>(
        &self,
        work: impl Fn(usize) -> Result<T, Failure> + Sync,
    ) -> Result<Vec<T>, Failure> {
        if self.pools.is_empty() {
            return (0..self.n_batches).map(work).collect();
        }
        let next = AtomicUsize::new(0);
        let done = Mutex::new((0..self.n_batches).map(|_| None).collect::<Vec<_>>());
        let all = || {
            let take = || next.fetch_add(1, Ordering::Relaxed);
            for i in iter::repeat_with(take).take_while(|i| *i < self.n_batches) {
                let result = work(i);
                if result.is_err() {
                    next.store(self.n_batches, Ordering::Relaxed);
                }
                done.lock().expect("no panic while it is held")[i] = Some(result);
            }
        };
        thread::scope(|scope| {
            self.pools.iter().for_each(|pool| drop(scope.spawn(|| pool.install(all))));
        });
        // What is missing comes after an error.
        done.into_inner().expect("no panic while it was held").into_iter().flatten().collect()
    }
}
