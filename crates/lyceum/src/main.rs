//! `lyceum`: a large model is born, schooled and put to work, from the command line.
//!
//! ```text
//! cli          every command and option, and the help that teaches them
//! recipe       everything a run is made of
//! commands     one file a command
//! ```
//!
//! Data goes to standard output, everything else to standard error. Exit codes: 0 done, 1 refused
//! input, 2 usage, 3 interrupted with a checkpoint, 101 a bug.

mod cli;
mod commands;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
// How the program speaks; here by the names that its commands know.
use terminal::{environment, failure, machine, progress, stop};

use crate::cli::Cli;
use crate::environment::Env;
use crate::failure::{Exit, Failure};

fn main() -> ExitCode {
    let ended = match Cli::try_parse() {
        Ok(cli) => run(&cli),
        Err(asked) if asked.use_stderr() => asked.exit(),
        // Printing nothing more says whether all of it could be written.
        Err(help) => help.print().map_err(Failure::from).and_then(|()| commands::print("")),
    };
    match ended {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(failure) => {
            failure.print(environment::stderr_color());
            ExitCode::from(failure.code())
        }
    }
}

/// Runs the command on the threads that compute: as one of them, for a thread outside would be put
/// to sleep and woken at every kernel.
fn run(cli: &Cli) -> Result<Exit, Failure> {
    let env = Env::new(&cli.global)?;
    environment::pool(env.n_threads)?.install(|| {
        let began = Instant::now();
        let ended = commands::run(&cli.command, &env);
        env.debug(|| format!("ended after {:.2?}", began.elapsed()));
        ended
    })
}
