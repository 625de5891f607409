//! Ctrl-C and SIGTERM: the first asks to save and end, the second ends at once; so does the first
//! where there is nothing to save yet.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

/// What a shell makes of a program that Ctrl-C ended.
const ENDED_AT_ONCE: i32 = 130;

/// Set once somebody asked the program to end; listening from the call on.
///
/// # Errors
/// Where the system takes no handler.
pub fn flag() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::<AtomicBool>::default();
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag unset, and sets it.
        flag::register_conditional_shutdown(signal, ENDED_AT_ONCE, Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// How soon a signal is followed where nothing else looks for it.
const SOON: Duration = Duration::from_millis(50);

/// Does `work`, which nothing of it would be lost by ending: once `stop` is set, `last` is done and
/// the program ends as by a second signal.
pub fn at_once_during<T>(stop: &AtomicBool, last: impl Fn() + Send, work: impl FnOnce() -> T) -> T {
    thread::scope(|scope| {
        // Dropped when `work` returns or panics.
        let (_working, ended) = mpsc::channel::<()>();
        scope.spawn(move || {
            while ended.recv_timeout(SOON) == Err(RecvTimeoutError::Timeout) {
                if stop.load(Ordering::Relaxed) {
                    last();
                    low_level::exit(ENDED_AT_ONCE);
                }
            }
        });
        work()
    })
}
