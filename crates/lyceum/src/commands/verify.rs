//! `lyceum verify`.

use crate::cli::Verify;
use crate::environment::Env;
use crate::failure::{Exit, Failure};

/// Runs the command.
///
/// # Errors
/// Always: this build has no training.
pub fn run(_args: &Verify, _env: &Env) -> Result<Exit, Failure> {
    Err(Failure::new("`verify` is not part of this build"))
}
