//! The commands, one file each, and what several of them need.

mod bench;
mod chat;
mod completions;
mod convert;
mod data;
mod doctor;
mod eval;
mod finetune;
mod forward;
mod generate;
mod inspect;
pub mod load;
pub mod plan;
pub mod pretrain;
mod pull;
mod run;
mod runs;
mod search;
pub mod verify;

use std::io::{self, Write};
use terminal::table;

use serde_json::Value;

use crate::cli::Command;
use crate::environment::Env;
use crate::failure::{Exit, Failure};

/// Runs a command.
///
/// # Errors
/// Where the command refuses its input, or the world refuses.
pub fn run(command: &Command, env: &Env) -> Result<Exit, Failure> {
    match command {
        Command::Pretrain(args) => pretrain::run(args, env),
        Command::Finetune(args) if args.keys => print(recipe::FINETUNE_KEYS),
        Command::Finetune(args) => finetune::run(args, env),
        Command::Search(args) => search::run(args, env),
        Command::Generate(args) => generate::run(args, env),
        Command::Chat(args) => chat::run(args, env),
        Command::Run(args) => run::run(args, env),
        Command::Convert(args) => convert::run(args, env),
        Command::Pull(args) => pull::run(args, env),
        Command::Eval(args) => eval::run(args, env),
        Command::Forward(args) => forward::run(args, env),
        Command::Inspect(args) => show(args.json, inspect::inspect(&args.path)?),
        Command::Data(command) => data::run(command, env),
        Command::Runs(args) => runs::run(args, env),
        Command::Plan(args) => show(args.json, plan::plan(&args.recipe, env)?),
        Command::Verify(args) => verify::run(args, env),
        Command::Doctor { json } => show(*json, doctor::look(env)),
        Command::Bench(what) => bench::run(what, env),
        Command::Completions { shell } => completions::run(*shell),
        Command::Man => completions::man(),
    }
}

/// What there is to say, for people and for programs.
type Shown = (String, Value);

/// Prints what was asked for of the two.
fn show(json: bool, (text, value): Shown) -> Result<Exit, Failure> {
    print(&if json { format!("{value}\n") } else { text })
}

/// Text on standard output.
///
/// # Errors
/// Where it cannot be written.
pub fn print(text: &str) -> Result<Exit, Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(Exit::Done)
}
