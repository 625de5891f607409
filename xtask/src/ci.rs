//! Every check that a change must pass, quick ones first.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{command, tidy};

/// A name and what it runs.
type Step = (&'static str, fn() -> Result<()>);

const CHECKS: &[Step] =
    &[("fmt", fmt), ("tidy", tidy_step), ("deny", deny), ("clippy", clippy), ("doc", doc)];

/// Runs the checks, and the tests unless told not to; stops at the first that fails.
///
/// # Errors
/// The first failure.
pub fn run(with_tests: bool) -> Result<()> {
    let mut steps = CHECKS.to_vec();
    if with_tests {
        steps.push(("test", test));
    }
    let mut done = Vec::new();
    for (idx, (name, step)) in steps.iter().enumerate() {
        eprintln!("\n== {name} ({} of {})", idx + 1, steps.len());
        let start = Instant::now();
        let result = step();
        let seconds = start.elapsed().as_secs_f64();
        eprintln!("== {name}: {} in {seconds:.1} s", verdict(&result));
        done.push((*name, seconds));
        if let Err(error) = result {
            summary(&done, Some(name));
            bail!("{name} failed: {error:#}");
        }
    }
    summary(&done, None);
    Ok(())
}

fn verdict(result: &Result<()>) -> &'static str {
    if result.is_ok() { "ok" } else { "FAILED" }
}

/// One line a step, the failed one marked.
fn summary(done: &[(&str, f64)], failed: Option<&str>) {
    println!("\nci summary");
    for (name, seconds) in done {
        let state = if failed == Some(*name) { "FAILED" } else { "ok" };
        println!("  {name:<8}{state:<8}{seconds:>8.1} s");
    }
    let total: f64 = done.iter().map(|(_, seconds)| seconds).sum();
    let state = failed.map_or("all checks passed".to_owned(), |name| format!("stopped at {name}"));
    println!("  {state}, {total:.1} s");
}

fn fmt() -> Result<()> {
    command::run(&mut command::cargo(&["fmt", "--all", "--check"]))
}

fn tidy_step() -> Result<()> {
    tidy::run()
}

fn clippy() -> Result<()> {
    let args = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    command::run(&mut command::cargo(&args))
}

fn doc() -> Result<()> {
    let args = ["doc", "--workspace", "--no-deps", "--document-private-items"];
    command::run(command::cargo(&args).env("RUSTDOCFLAGS", "-D warnings"))
}

fn deny() -> Result<()> {
    let installed = Command::new("cargo").args(["deny", "--version"]).output();
    if !installed.context("failed to start `cargo`")?.status.success() {
        bail!("`cargo deny` is not installed\n\nhint: `.ci/run` installs the pinned version");
    }
    command::run(&mut command::cargo(&["deny", "check", "bans", "licenses", "sources"]))
}

fn test() -> Result<()> {
    command::run(command::cargo(&["test", "--workspace"]).env("SLOW", "1"))
}
