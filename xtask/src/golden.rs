//! Golden files: small models with the answers that `PyTorch` and `transformers` give.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::bench::binary;
use crate::command;
use crate::python::Python;

/// A script and the folder of fixtures it makes.
const FIXTURES: &[(&str, &str)] = &[
    ("golden/gpt2.py", "crates/models/tests/golden/gpt2-tiny"),
    ("golden/seed.py", "crates/models/tests/golden/seed-tiny"),
    ("golden/torch_files.py", "crates/checkpoint/tests/golden/torch"),
];

/// Runs that write a model directory: a name and the arguments after `pretrain`.
const WRITTEN: &[(&str, &[&str])] = &[("default", &[]), ("seed", &["recipes/seed.toml"])];

/// Makes the committed fixtures anew.
///
/// # Errors
/// When a script fails.
pub fn make() -> Result<()> {
    let python = Python::ready()?;
    for (script, folder) in FIXTURES {
        write(&python, script, &command::root().join(folder))?;
    }
    Ok(())
}

/// Makes the fixtures again elsewhere and compares; then lets the reference implementations load
/// what `lyceum pretrain` writes, and compares their outputs with those of `lyceum forward`.
///
/// # Errors
/// With what differs.
pub fn check() -> Result<()> {
    let python = Python::ready()?;
    let scratch = tempfile::tempdir()?;
    for (script, folder) in FIXTURES {
        let again = scratch.path().join(folder);
        write(&python, script, &again)?;
        let mut compare = python.command();
        compare.arg("golden/compare.py").arg(folder).arg(&again);
        command::run(&mut compare)?;
    }
    command::run(&mut command::cargo(&["build", "--release", "--package", "lyceum"]))?;
    for (name, args) in WRITTEN {
        loads(&python, &scratch.path().join(name), args)
            .with_context(|| format!("what the {name} recipe writes"))?;
    }
    Ok(())
}

fn write(python: &Python, script: &str, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    command::run(python.command().arg(script).arg(folder))
}

/// Trains two steps, then runs one batch through both implementations.
fn loads(python: &Python, run: &Path, args: &[&str]) -> Result<()> {
    let mut pretrain = binary(&["pretrain"]);
    pretrain.args(args).args(["--set", "train.steps=2", "--set", "optim.warmup_steps=0"]);
    pretrain.args(["--quiet", "--out"]).arg(run);
    command::run(&mut pretrain)?;
    let model = newest(&run.join("checkpoints"))?;
    let (inputs, outputs) = (run.join("in.safetensors"), run.join("out.safetensors"));
    let script = |step: &str| {
        let mut script = python.command();
        script.arg("golden/loads.py").arg(step).arg(&model).arg(&inputs).arg(&outputs);
        script
    };
    command::run(&mut script("inputs"))?;
    let mut forward = binary(&["forward"]);
    forward.arg(&model).arg("--inputs").arg(&inputs).arg("--outputs").arg(&outputs);
    command::run(&mut forward)?;
    command::run(&mut script("compare"))
}

/// The checkpoint of the largest step.
fn newest(folder: &Path) -> Result<PathBuf> {
    let step = |path: &PathBuf| -> Option<u64> {
        path.file_name()?.to_str()?.strip_prefix("step-")?.parse().ok()
    };
    let entries = fs::read_dir(folder)
        .with_context(|| format!("failed to read `{}`", folder.display()))?
        .collect::<std::io::Result<Vec<_>>>()?;
    let paths = entries.into_iter().map(|entry| entry.path());
    paths
        .filter(|path| step(path).is_some())
        .max_by_key(step)
        .with_context(|| format!("no checkpoint in `{}`", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_checkpoint_is_the_largest_step() {
        let dir = tempfile::tempdir().unwrap();
        assert!(newest(dir.path()).is_err());
        for name in ["step-9", "step-10", "step-x", "best"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        assert!(newest(dir.path()).unwrap().ends_with("step-10"));
    }
}
