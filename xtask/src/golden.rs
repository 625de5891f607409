//! Golden files: small models with the answers that `PyTorch` and `transformers` give.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::bench::binary;
use crate::command;
use crate::python::Python;

/// Where fixtures lie.
const FOLDERS: &[&str] = &[
    "crates/models/tests/golden",
    "crates/checkpoint/tests/golden/torch",
    "crates/data/tests/golden/mel",
];

/// A script, which of the folders, and the part of it that it fills, in this order.
const FIXTURES: &[(&str, usize, &str)] = &[
    ("golden/gpt2.py", 0, "gpt2-tiny"),
    ("golden/seed.py", 0, "seed-tiny"),
    ("golden/families.py", 0, "."),
    // After the models that it runs.
    ("golden/generation.py", 0, "."),
    ("golden/torch_files.py", 1, "."),
    ("golden/mel.py", 2, "."),
];

/// Runs that write a model directory: a name and the arguments after `pretrain`.
const WRITTEN: &[(&str, &[&str])] = &[("default", &[]), ("seed", &["recipes/seed.toml"])];

/// Makes the committed fixtures anew.
///
/// # Errors
/// When a script fails.
pub fn make() -> Result<()> {
    write(&Python::ready()?, &command::root())
}

/// Makes the fixtures again elsewhere and compares; then lets the reference implementations load
/// what `lyceum pretrain` writes, and compares their outputs with those of `lyceum forward`.
///
/// # Errors
/// With what differs.
pub fn check() -> Result<()> {
    let python = Python::ready()?;
    let scratch = tempfile::tempdir()?;
    let again = scratch.path().join("again");
    write(&python, &again)?;
    for folder in FOLDERS {
        let made = again.join(folder);
        command::run(python.command().arg("golden/compare.py").arg(folder).arg(made))?;
    }
    command::run(&mut command::cargo(&["build", "--release", "--package", "lyceum"]))?;
    for (name, args) in WRITTEN {
        loads(&python, &scratch.path().join(name), args)
            .with_context(|| format!("what the {name} recipe writes"))?;
    }
    Ok(())
}

/// Lets every script fill its part below `root`.
fn write(python: &Python, root: &Path) -> Result<()> {
    for (script, folder, part) in FIXTURES {
        let part = root.join(FOLDERS[*folder]).join(part);
        fs::create_dir_all(&part)?;
        command::run(python.command().arg(script).arg(part))?;
    }
    Ok(())
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
