//! Ctrl-C and SIGTERM: the first asks to save and end, the second ends at once.

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// What a shell makes of a program that Ctrl-C ended.
const ENDED_AT_ONCE: i32 = 130;

static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Set once somebody asked the program to end; listening from the first call on.
///
/// # Errors
/// Where the system takes no handler.
pub fn flag() -> io::Result<&'static AtomicBool> {
    if let Some(stop) = STOP.get() {
        return Ok(stop);
    }
    let stop = STOP.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag unset, and sets it.
        flag::register_conditional_shutdown(signal, ENDED_AT_ONCE, Arc::clone(stop))?;
        flag::register(signal, Arc::clone(stop))?;
    }
    Ok(stop)
}
