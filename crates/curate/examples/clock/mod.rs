//! What the examples measure with.

use std::io;

use rustix::time::{ClockId, clock_gettime};

/// The seconds that this thread has run so far: on a machine with others at work, the clock on the
/// wall says less.
pub fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The median of so many passes, and what the last one gave.
pub fn passes<T>(n: usize, mut pass: impl FnMut() -> io::Result<T>) -> io::Result<(f64, T)> {
    let mut seconds = Vec::new();
    let mut once = || {
        let begun = cpu_seconds();
        let given = pass()?;
        seconds.push(cpu_seconds() - begun);
        Ok::<T, io::Error>(given)
    };
    let mut last = once()?;
    for _ in 1..n {
        last = once()?;
    }
    seconds.sort_by(f64::total_cmp);
    Ok((seconds[seconds.len() / 2], last))
}
