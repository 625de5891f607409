//! The commands, one file each, and what several of them need.

pub mod bench;
mod completions;
mod doctor;
mod eval;
mod forward;
mod generate;
mod inspect;
mod load;
pub mod plan;
pub mod pretrain;
mod runs;
mod table;
pub mod verify;

use std::io::{self, Write};

use serde_json::Value;

use crate::cli::{BenchCommand, Command};
use crate::environment::Env;
use crate::failure::{Exit, Failure};

/// Runs a command.
///
/// # Errors
/// Where the command refuses its input, or the world refuses.
pub fn run(command: &Command, env: &Env) -> Result<Exit, Failure> {
    match command {
        Command::Pretrain(args) => pretrain::run(args, env),
        Command::Generate(args) => generate::run(args, env),
        Command::Eval(args) => eval::run(args, env),
        Command::Forward(args) => forward::run(args, env),
        Command::Inspect(args) => inspect::run(args),
        Command::Runs(args) => runs::run(args, env),
        Command::Plan(args) => plan::run(args, env),
        Command::Verify(args) => verify::run(args, env),
        Command::Doctor(args) => doctor::run(args, env),
        Command::Bench(args) => match &args.command {
            BenchCommand::Train(args) => bench::train(args, env),
        },
        Command::Completions(args) => completions::run(args),
        Command::Man => completions::man(),
    }
}

/// One line of JSON on standard output.
fn print_json(value: &Value) -> Result<Exit, Failure> {
    writeln!(io::stdout().lock(), "{value}")?;
    Ok(Exit::Done)
}

/// Text on standard output.
fn print(text: &str) -> Result<Exit, Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(Exit::Done)
}
