//! Steps of tuning against `transformers` and `peft`.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::engine::binary;
use super::figures::{Figure, Samples, line, number, text};
use super::rounds::{Rounds, mini_lm, sentences, smol};
use crate::golden::PEFT;
use crate::python::Python;

/// What is measured: what it is called, and the arguments that both programs take.
const FIXED: (&str, &[&str]) = ("32 x 128", &["--batch", "32", "--seq", "128"]);
const UNEQUAL: (&str, &[&str]) = ("unequal", &["--batch", "32", "--seq", "128"]);
const LORA: (&str, &[&str]) = ("LoRA", &["--lora", "16", "--batch", "4", "--seq", "512"]);

fn figures(s: &Samples) -> Result<Vec<Figure>> {
    let faster = |what: &str| -> Result<f64> {
        let [eager, compiled] =
            ["bf16", "compile-bf16"].map(|mode| s.median(&format!("torch {mode} {what}, ms")));
        Ok(eager?.min(compiled?) / s.median(&format!("{what}, ms"))?)
    };
    let [eager, compiled] =
        ["bf16", "compile-bf16"].map(|mode| s.median(&format!("torch {mode} LoRA, MiB")));
    let memory = s.median("LoRA, MiB")? / eager?.min(compiled?);
    Ok(vec![
        Figure::new("MiniLM, all of it, 32 x 128", faster("32 x 128")?, [1.3, 1.6], "x"),
        Figure::new("the same, unequal lengths", faster("unequal")?, [2.0, 3.0], "x"),
        Figure::new("SmolLM2, LoRA, 4 x 512", faster("LoRA")?, [1.3, 1.8], "x"),
        Figure::new("its peak memory", memory, [0.6, 0.4], "x").less(),
    ])
}

/// Runs everything in turn.
///
/// # Errors
/// When a package, a program or an option is missing, or a run fails.
pub fn finetune(args: &[&str]) -> Result<()> {
    Rounds { name: "finetune", packages: PEFT, prepare, round, figures }.run(args)
}

/// The models, and lines of unequal lengths.
struct Words {
    mini_lm: PathBuf,
    smol: PathBuf,
    lines: PathBuf,
}

fn prepare(folder: &Path) -> Result<Words> {
    Ok(Words { mini_lm: mini_lm()?, smol: smol(folder)?, lines: sentences(folder)? })
}

fn round(words: &Words, python: &Python, samples: &mut Samples) -> Result<()> {
    let Words { mini_lm, smol, lines } = words;
    for ((name, words), model, texts) in
        [(FIXED, mini_lm, None), (UNEQUAL, mini_lm, Some(lines)), (LORA, smol, None)]
    {
        measure((name, words, model, texts), python, samples)?;
    }
    Ok(())
}

fn measure(
    (name, words, model, texts): (&str, &[&str], &PathBuf, Option<&PathBuf>),
    python: &Python,
    samples: &mut Samples,
) -> Result<()> {
    let mut args = vec![text(model)?];
    args.extend(words);
    if let Some(texts) = texts {
        args.extend(["--texts", text(texts)?]);
    }
    let mut keep = |who: &str, found: &serde_json::Value| -> Result<()> {
        // Unequal steps differ: their mean is what an epoch takes.
        let ms = number(found, if texts.is_some() { "ms_mean" } else { "ms_median" })?;
        samples.add(&format!("{who}{name}, ms"), ms);
        samples.add(&format!("{who}{name}, MiB"), number(found, "peak_mib")?);
        Ok(())
    };
    // Every batch of another length is compiled anew at first: it is given the steps for it.
    let steps = if texts.is_some() { "30" } else { "8" };
    for mode in ["bf16", "compile-bf16"] {
        let mut peer = python.command();
        peer.arg("bench/torch_finetune.py").args(&args).args(["--mode", mode, "--steps", steps]);
        keep(&format!("torch {mode} "), &line(&mut peer)?)?;
    }
    let mut ours = binary(&["bench", "finetune"]);
    ours.args(&args).args(["--steps", steps, "--threads", "2", "--json"]);
    keep("", &line(&mut ours)?)
}
