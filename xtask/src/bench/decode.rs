//! A trained model at work against `transformers` and `sentence-transformers`: prompts, tokens,
//! the start of a process, sentences.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Result;

use super::engine::binary;
use super::figures::{Figure, Samples, line, number, text};
use super::rounds::{Rounds, mini_lm, sentences, smol};
use crate::python::Python;

fn figures(s: &Samples) -> Result<Vec<Figure>> {
    let embed = s.median("torch embed bf16")?.min(s.median("torch embed f32")?);
    let over_file = s.median("over file")?;
    Ok(vec![
        Figure::new("prefill of 512 tokens", s.ratio("torch prefill", "prefill")?, [1.3, 1.6], "x"),
        Figure::new("decode, of the read bandwidth", s.median("share")?, [70.0, 85.0], " %"),
        Figure::new("decode", s.ratio("torch decode", "decode")?, [2.5, 3.5], "x"),
        Figure::new("1000 sentences", embed / s.median("embed")?, [1.5, 2.0], "x"),
        Figure::new("start to first token", s.ratio("torch first", "first")?, [10.0, 20.0], "x"),
        Figure::new("load, peak MiB over the file", over_file, [60.0, 30.0], " MiB").less(),
    ])
}

/// Runs everything in turn.
///
/// # Errors
/// When a package, a program or an option is missing, or a run fails.
pub fn decode(args: &[&str]) -> Result<()> {
    let packages = &["sentence-transformers==6.2.0"];
    Rounds { name: "decode", packages, prepare: Words::new, round: Words::round, figures }.run(args)
}

/// The models and the lines.
struct Words {
    smol: PathBuf,
    mini_lm: PathBuf,
    lines: PathBuf,
}

impl Words {
    fn new(folder: &Path) -> Result<Self> {
        Ok(Self { smol: smol(folder)?, mini_lm: mini_lm()?, lines: sentences(folder)? })
    }

    fn round(&self, python: &Python, samples: &mut Samples) -> Result<()> {
        let theirs = |words: &[&str]| {
            let mut command = python.command();
            command.arg("bench/torch_decode.py").args(words);
            command
        };
        let (smol, mini_lm) = (text(&self.smol)?, text(&self.mini_lm)?);
        let peer = line(&mut theirs(&["decode", smol]))?;
        samples.add("torch prefill", number(&peer, "prefill_ms")?);
        samples.add("torch decode", number(&peer, "decode_ms")?);
        let ours = line(&mut binary(&["bench", "decode", smol, "--json", "--threads", "2"]))?;
        samples.add("prefill", number(&ours, "prefill_ms")?);
        samples.add("decode", number(&ours, "decode_ms")?);
        samples.add("read GB/s", number(&ours, "read_gb_per_s")?);
        samples.add("share", number(&ours, "share")?);
        // Every weight is read, and little else is there.
        let few = ["--prompt", "8", "--tokens", "8", "--rounds", "1", "--json", "--threads", "2"];
        let ours = line(binary(&["bench", "decode", smol]).args(few))?;
        samples.add("over file", number(&ours, "peak_mib")? - self.file_mib()?);
        samples.add("torch first", seconds(&mut theirs(&["first", smol]))?);
        let prompt = ["--prompt", "The capital of France is", "--max-tokens", "1", "--greedy"];
        samples.add("first", seconds(binary(&["generate", smol, "--threads", "2"]).args(prompt))?);
        for (dtype, name) in [("bf16", "torch embed bf16"), ("f32", "torch embed f32")] {
            let lines = text(&self.lines)?;
            let peer = line(&mut theirs(&["embed", mini_lm, lines, "--dtype", dtype]))?;
            samples.add(name, number(&peer, "seconds")?);
        }
        // The whole process: its start, the load of the model and the text of all vectors, too.
        let mut run = binary(&["run", mini_lm, "-", "--threads", "2", "--precision", "bf16"]);
        run.stdin(fs::File::open(&self.lines)?);
        samples.add("embed", seconds(&mut run)?);
        Ok(())
    }

    fn file_mib(&self) -> Result<f64> {
        let bytes = fs::metadata(self.smol.join("model.safetensors"))?.len();
        Ok(bytes as f64 / f64::from(1 << 20))
    }
}

/// How long a process takes from its start to its end.
fn seconds(command: &mut Command) -> Result<f64> {
    let began = Instant::now();
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    anyhow::ensure!(status.success(), "{command:?} failed");
    Ok(began.elapsed().as_secs_f64())
}
