//! Options of tuning a model.

use std::path::PathBuf;

use clap::Args;

use super::Until;

/// Of `finetune`.
pub const EXAMPLES: &str = "\
Examples:
  lyceum finetune --model minilm/ --data reviews.csv
  lyceum finetune --model minilm/ --data train.jsonl --validation dev.jsonl --task classify
  lyceum finetune recipe.toml --out runs/mine --set train.batch_size=16
  lyceum finetune --model minilm/ --data reviews.csv --set method.kind=prefix
  lyceum finetune --out runs/mine --resume
  lyceum finetune --keys > mine.toml

`method.kind` is full, head, lora, prompt, prefix or adapter: what learns, beside what stays.
Which column is what is guessed and shown; `--set 'data.columns.text=[\"review\"]'` says it.
Plain texts of preference, judged and problem get no chat template, lists of messages do.";

/// Options of `finetune`.
#[derive(Args, Debug)]
pub struct Finetune {
    /// A recipe, a TOML file; the options below come on top
    #[arg(value_name = "RECIPE")]
    pub recipe: Option<String>,
    /// The model to begin with: a directory, or a run (`model.from`)
    #[arg(long, value_name = "DIR")]
    pub model: Option<String>,
    /// A table of samples to learn from; may be repeated (`data.train`)
    #[arg(long, value_name = "FILE")]
    pub data: Vec<String>,
    /// A table to judge by; without, a share of the samples is kept for it (`data.validation`)
    #[arg(long, value_name = "FILE")]
    pub validation: Vec<String>,
    /// What is learned: classify, score, choice, tag, span, pairs, chat, triplet, rank, preference,
    /// judged, problem (`task.kind`); guessed without
    #[arg(long, value_name = "KIND")]
    pub task: Option<String>,
    /// Set a key of the recipe, such as `optim.peak_lr=2e-5`; may be repeated, the last counts
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// The run's directory (default: a new one below `runs/`)
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on from the newest valid checkpoint of `--out`
    #[arg(long, requires = "out")]
    pub resume: bool,
    /// Print every key of a recipe with its default and what it does, and end
    #[arg(long)]
    pub keys: bool,
    /// Judge, save and end after this step, or this share of all: 200, 25%
    #[arg(long, value_name = "STEP")]
    pub until: Option<Until>,
}

impl Finetune {
    /// What the options set of a recipe.
    pub fn sets(&self) -> Vec<String> {
        let text = |text: &String| toml::Value::String(text.clone()).to_string();
        let list =
            |all: &[String]| format!("[{}]", all.iter().map(text).collect::<Vec<_>>().join(","));
        let mut sets = Vec::new();
        sets.extend(self.model.iter().map(|dir| format!("model.from={}", text(dir))));
        sets.extend(self.task.iter().map(|kind| format!("task.kind={}", text(kind))));
        for (key, files) in [("data.train", &self.data), ("data.validation", &self.validation)] {
            if !files.is_empty() {
                sets.push(format!("{key}={}", list(files)));
            }
        }
        sets.extend(self.set.iter().cloned());
        sets
    }
}
