//! Benchmarks: a training step against `PyTorch`, data against who else prepares it, and the
//! kernels alone.

mod data;
mod decode;
mod engine;
mod evaluate;
mod figures;
mod finetune;
mod rounds;
mod table;

use std::fmt::Write as _;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::command;
use crate::python::Python;
pub use data::data;
pub use decode::decode;
pub use engine::binary;
use engine::{ENGINES, Engine, Load};
pub use evaluate::evaluate;
pub use finetune::finetune;
use table::{Runs, Sample};

/// What `bench train` was asked for.
#[derive(Debug, PartialEq)]
struct Options {
    rounds: usize,
    sizes: Vec<String>,
    threads: usize,
    steps: Option<usize>,
}

/// Runs every engine on every size in turn, round after round, and prints ratios of medians.
///
/// # Errors
/// When an option is unknown, a program is missing or a run fails.
pub fn train(args: &[&str]) -> Result<()> {
    let options = Options::parse(args)?;
    let python = Python::ready()?;
    build()?;
    let mut runs = Runs::default();
    let mut log = String::new();
    for round in 1..=options.rounds {
        for size in &options.sizes {
            runs.add_peak(size, engine::measured_peak(options.threads)?);
            let load = Load { size, steps: options.steps_of(size), threads: options.threads };
            for engine in ENGINES {
                let line = run_one(engine, &load, &python, round)?;
                runs.add(size, engine.name, Sample::parse(&line)?);
                writeln!(log, "{line}")?;
            }
        }
    }
    println!("{}", table::render(&runs, &options.sizes));
    keep(&log)
}

/// Runs the benchmarks of the kernels.
///
/// # Errors
/// When they fail.
pub fn kernels(args: &[&str]) -> Result<()> {
    let mut words = vec!["bench", "--package", "kernels", "--"];
    words.extend(args);
    command::run(&mut command::cargo(&words))
}

fn build() -> Result<()> {
    command::run(&mut command::cargo(&["build", "--release", "--package", "lyceum"]))
}

/// One process; its line of JSON.
fn run_one(engine: &Engine, load: &Load, python: &Python, round: usize) -> Result<String> {
    let text = command::output(&mut engine.command(load, python))?;
    let line = text.lines().rfind(|line| line.starts_with('{'));
    let line = line.with_context(|| format!("`{}` printed no JSON", engine.name))?;
    let sample = Sample::parse(line)?;
    let (size, name) = (load.size, engine.name);
    eprintln!("round {round}  {size:<5} {name:<20} {:>9.1} ms a step", sample.ms);
    Ok(line.to_owned())
}

/// Writes the raw lines beside the build, for whoever wants more than the medians.
fn keep(log: &str) -> Result<()> {
    let folder = command::target_dir().join("bench");
    fs::create_dir_all(&folder)?;
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let path = folder.join(format!("train-{seconds}.jsonl"));
    fs::write(&path, log).with_context(|| format!("failed to write `{}`", path.display()))?;
    eprintln!("every run: {}", path.display());
    Ok(())
}

impl Options {
    fn parse(args: &[&str]) -> Result<Self> {
        let sizes = |list: &str| list.split(',').map(str::to_owned).collect();
        let mut options = Self { rounds: 3, sizes: sizes("S,M,BASE"), threads: 2, steps: None };
        let mut rest = args.iter();
        while let Some(&name) = rest.next() {
            if name == "--quick" {
                (options.rounds, options.sizes, options.steps) = (1, sizes("S"), Some(3));
                continue;
            }
            let value =
                rest.next().with_context(|| format!("`{name}` is unknown or lacks a value"))?;
            match name {
                "--rounds" => options.rounds = count(name, value)?,
                "--threads" => options.threads = count(name, value)?,
                "--steps" => options.steps = Some(count(name, value)?),
                "--sizes" => options.sizes = sizes(value),
                _ => bail!("no such option: `{name}`"),
            }
        }
        if let Some(size) = options.sizes.iter().find(|size| !engine::SIZES.contains(&&***size)) {
            bail!("no such size: `{size}`, the sizes are {}", engine::SIZES.join(", "));
        }
        Ok(options)
    }

    /// The largest size takes seconds a step: fewer of them say as much.
    fn steps_of(&self, size: &str) -> usize {
        self.steps.unwrap_or(if size == "BASE" { 4 } else { 8 })
    }
}

fn count(name: &str, value: &str) -> Result<usize> {
    let count = value.parse().ok().filter(|&n| n > 0);
    count.with_context(|| format!("`{name} {value}`: a count from 1 is wanted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let options = Options::parse(&["--rounds", "5", "--sizes", "S,M", "--steps", "2"]).unwrap();
        assert_eq!((options.rounds, options.threads, options.steps), (5, 2, Some(2)));
        assert_eq!(options.sizes, ["S", "M"]);
        let quick = Options::parse(&["--quick"]).unwrap();
        assert_eq!((quick.rounds, quick.sizes.len(), quick.steps_of("S")), (1, 1, 3));
        assert_eq!(Options::parse(&[]).unwrap().steps_of("BASE"), 4);
    }

    #[test]
    fn wrong_options_are_named() {
        let cases = [
            (vec!["--sizes", "XL"], "no such size: `XL`, the sizes are S, M, BASE"),
            (vec!["--rounds", "0"], "`--rounds 0`: a count from 1 is wanted"),
            (vec!["--fast"], "`--fast` is unknown or lacks a value"),
            (vec!["--fast", "1"], "no such option: `--fast`"),
        ];
        for (args, expected) in cases {
            assert_eq!(Options::parse(&args).unwrap_err().to_string(), expected);
        }
    }
}
