//! A tiny model, a run, and the binary.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use checkpoint::weights::{self, save_file};
use checkpoint::{Entry, Origin, OsDisk, RunDir, Values};
use models::{Gpt2Config, Model, ModelConfig};
use tempfile::TempDir;
use tokenize::Tokenizer;

/// What the tiny vocabulary was made of.
pub const TEXT: &str = "It was a bright day in April, and the clocks were striking. It was cold.";

/// How the binary ended.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn new(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }

    /// Standard output of a command that was done.
    #[track_caller]
    pub fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.stdout
    }

    /// Standard error of a command that refused its input and wrote no data.
    #[track_caller]
    pub fn refused(self) -> String {
        assert_eq!(self.code, Some(1), "{}{}", self.stdout, self.stderr);
        assert_eq!(self.stdout, "");
        assert!(self.stderr.starts_with("error: "), "{}", self.stderr);
        self.stderr
    }

    /// Standard output of a command that was done, as JSON.
    #[track_caller]
    pub fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.done()).expect("JSON")
    }
}

/// The binary, with no variable that it reads.
pub fn lyceum<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lyceum"));
    for name in ["DEVICE", "ISA", "THREADS", "LOG", "CACHE"] {
        command.env_remove(format!("LYCEUM_{name}"));
    }
    command.env_remove("NO_COLOR");
    command.args(args).stdin(Stdio::null());
    command
}

pub fn run<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Ran {
    Ran::new(lyceum(args).output().expect("runs"))
}

pub fn run_with_stdin<S: AsRef<std::ffi::OsStr>>(args: &[S], stdin: &[u8]) -> Ran {
    let mut command = lyceum(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("runs");
    // One that refuses early closes its end.
    let _ = child.stdin.take().expect("piped").write_all(stdin);
    Ran::new(child.wait_with_output().expect("ends"))
}

/// The directory of a tiny GPT-2 with its tokenizer; made once, not to be changed.
pub fn model() -> &'static Path {
    static MODEL: OnceLock<TempDir> = OnceLock::new();
    MODEL
        .get_or_init(|| {
            let dir = TempDir::new().expect("a directory");
            write_model(dir.path());
            dir
        })
        .path()
}

/// A copy of [`model`] that may be changed.
pub fn model_copy() -> TempDir {
    let dir = TempDir::new().expect("a directory");
    for entry in fs::read_dir(model()).expect("there").flatten() {
        fs::copy(entry.path(), dir.path().join(entry.file_name())).expect("copied");
    }
    dir
}

fn write_model(dir: &Path) {
    let tokenizer = Tokenizer::train(std::iter::repeat_n(TEXT.to_owned(), 8), 290).expect("trains");
    for (name, bytes) in tokenizer.files().expect("as JSON") {
        fs::write(dir.join(name), bytes).expect("written");
    }
    write_tiny(dir, tokenizer.vocab_size(), 32);
}

/// Config and weights of a tiny GPT-2.
pub fn write_tiny(dir: &Path, vocab_size: usize, max_len: usize) {
    let model = tiny(vocab_size, max_len);
    fs::write(dir.join("config.json"), model.config_json()).expect("written");
    save_file(&OsDisk, &dir.join(weights::FILE_NAME), &model.entries()).expect("saved");
}

fn tiny(vocab_size: usize, max_len: usize) -> Model {
    let config = Gpt2Config {
        vocab_size,
        max_len,
        d_model: 24,
        n_layers: 2,
        n_heads: 3,
        initializer_range: 0.3,
        ..Gpt2Config::fresh()
    };
    Model::new(ModelConfig::Gpt2(config), 5).expect("builds")
}

/// A run of 4 steps in `dir`, with checkpoints at 2 and 4, the first of them the best; at 3 it was
/// better, and was not saved.
pub fn write_run(dir: &Path, peak_lr: f64) {
    let run = RunDir::create(dir).expect("made");
    let recipe = format!("[optim]\npeak_lr = {peak_lr}\n\n[train]\nsteps = 4\n");
    run.write_file("recipe.toml", recipe.as_bytes()).expect("written");
    let step = |step: u64| {
        let loss = 5.0 - step as f64 / 4.0;
        let (tokens, speed) = (step * 64, 1000 + step);
        format!(
            "{{\"step\":{step},\"loss\":{loss},\"grad_norm\":1.0,\"lr\":0.001,\
             \"tokens\":{tokens},\"tokens_per_s\":{speed}}}\n"
        )
    };
    let eval = |step: u64, bits: f64| {
        format!("{{\"step\":{step},\"eval\":{{\"loss\":3.0,\"bits_per_byte\":{bits}}}}}\n")
    };
    let metrics =
        [step(1), step(2), eval(2, 2.5), step(3), eval(3, 2.25), step(4), eval(4, 2.75)].concat();
    run.write_file("metrics.jsonl", metrics.as_bytes()).expect("written");
    for at in [2, 4] {
        let mut staged = run.stage(at).expect("begun");
        for entry in fs::read_dir(model()).expect("there").flatten() {
            let name = entry.file_name().into_string().expect("text");
            staged.write(&name, &fs::read(entry.path()).expect("read")).expect("written");
        }
        let origin = Origin { build: "lyceum 0.0.0".into(), isa: "portable".into() };
        staged.commit(origin).expect("committed");
    }
    run.record_best(checkpoint::Best { step: 2, metric: 2.5 }).expect("noted");
}

/// A golden checkpoint of the crate `models`.
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/golden").join(name)
}

/// A safetensors file of integers.
pub fn write_ids(path: &Path, tensors: &[(&str, &[usize], &[i64])]) {
    let entries: Vec<Entry> = tensors
        .iter()
        .map(|(name, shape, values)| Entry::new(*name, shape, Values::I64(values)))
        .collect();
    save_file(&OsDisk, path, &entries).expect("saved");
}

/// `path` as an argument.
pub fn arg(path: impl AsRef<Path>) -> String {
    path.as_ref().to_str().expect("text").to_owned()
}
