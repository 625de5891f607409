//! Ctrl-C, SIGTERM and SIGHUP: the first asks to save and end, the second ends at once; so does the
//! first where there is nothing to save yet.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level;

/// What a shell makes of a program that Ctrl-C ended.
const ENDED_AT_ONCE: i32 = 130;

/// A signal this soon after the first is the same one: `timeout` and others send it to the process
/// and to its group.
const ECHO: Duration = Duration::from_millis(100);

/// Set once somebody asked the program to end; listening from the call on. At the second time
/// `last` is done, and the program ends.
///
/// # Errors
/// Where the system takes no handler.
pub fn flag(last: impl Fn() + Send + 'static) -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::<AtomicBool>::default();
    let set = Arc::clone(&stop);
    // Under `nohup` the terminal's end is nobody's wish.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let hang_up = (!ignores(&status, SIGHUP)).then_some(SIGHUP);
    let mut signals = Signals::new([SIGINT, SIGTERM].into_iter().chain(hang_up))?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        let mut first = None;
        for _ in signals.forever() {
            let since = first.get_or_insert_with(Instant::now).elapsed();
            if set.swap(true, Ordering::Relaxed) && since > ECHO {
                last();
                low_level::exit(ENDED_AT_ONCE);
            }
        }
    })?;
    Ok(stop)
}

/// Whether a process of this `/proc/PID/status` was started with `signal` ignored.
fn ignores(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// How soon a signal is followed where nothing else looks for it.
const SOON: Duration = Duration::from_millis(50);

/// Does `work`; meanwhile, once `stop` is set, `then` is done, once.
pub fn during<T>(stop: &AtomicBool, then: impl FnOnce() + Send, work: impl FnOnce() -> T) -> T {
    thread::scope(|scope| {
        // Dropped when `work` returns or panics.
        let (_working, ended) = mpsc::channel::<()>();
        scope.spawn(move || {
            while ended.recv_timeout(SOON) == Err(RecvTimeoutError::Timeout) {
                if stop.load(Ordering::Relaxed) {
                    return then();
                }
            }
        });
        work()
    })
}

/// Does `work`, which nothing of it would be lost by ending: once `stop` is set, `last` is done and
/// the program ends as by a second signal.
pub fn at_once_during<T>(stop: &AtomicBool, last: impl Fn() + Send, work: impl FnOnce() -> T) -> T {
    let end = move || {
        last();
        low_level::exit(ENDED_AT_ONCE);
    };
    during(stop, end, work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_a_bit_of_the_mask() {
        let status = "Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\tffff\n";
        assert!(ignores(status, SIGHUP) && ignores(status, 13));
        assert!(!ignores(status, SIGINT) && !ignores("", SIGHUP));
    }
}
