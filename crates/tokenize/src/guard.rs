//! The edge to the `tokenizers` crate: its errors and its panics become ours.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::TokenizeError;

/// Runs `f`; an error or a panic inside is the reason in `Err`.
///
/// The crate indexes with what a tokenizer file says. The files are checked first
/// (`precheck`), and this holds for what the check does not know.
pub(crate) fn guarded<T>(f: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(format!("the tokenizer panicked: {}", text.unwrap_or("no message")))
        }
    }
}

/// [`guarded`], of what was tried.
pub(crate) fn attempt<T>(
    action: &'static str,
    f: impl FnOnce() -> tokenizers::Result<T>,
) -> Result<T, TokenizeError> {
    guarded(f).map_err(|reason| TokenizeError::Failed { action, reason })
}
