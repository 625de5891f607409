//! `lyceum plan`.

use crate::cli::Plan;
use crate::environment::Env;
use crate::failure::{Exit, Failure};

/// Runs the command.
///
/// # Errors
/// Always: this build has no training.
pub fn run(_args: &Plan, _env: &Env) -> Result<Exit, Failure> {
    Err(Failure::new("`plan` is not part of this build"))
}
