//! Options of measuring a model.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{AdapterArgs, at_least_one};
use crate::commands::load::PrecisionArg;

/// Of `eval`.
pub const EXAMPLES: &str = "\
Examples:
  lyceum eval runs/NAME book.txt
  lyceum eval gpt2/ a.txt b.jsonl.gz --json
  cat book.txt | lyceum eval runs/NAME -
  lyceum eval gpt2/ --task quiz.yaml --out evals/gpt2
  lyceum eval smollm/ --task quiz.yaml --task sums.yaml --num-fewshot 5 --apply-chat-template
  lyceum eval runs/cola --data dev.tsv --slice source --out evals/cola
  lyceum eval runs/cola --data glue/ --task cola --submission out/
  lyceum eval compare evals/gpt2 evals/smollm
  lyceum eval leaderboard evals/gpt2 evals/smollm --out board.html

A task file says where its documents are and what becomes of them:
  task: quiz
  dataset_path: json
  dataset_kwargs: {data_files: {test: quiz.jsonl}}
  test_split: test
  output_type: multiple_choice    (or loglikelihood, loglikelihood_rolling, generate_until)
  doc_to_text: \"Q: {{question}}\\nA:\"
  doc_to_choice: choices
  doc_to_target: answer
  metric_list: [{metric: acc}, {metric: acc_norm}]
TOML files have the same keys. What calls for Python is refused.

Of a text, windows of the model's context slide over each document; every token is predicted once,
from at least context minus stride tokens where there are so many.";

/// Options of `eval`. What another than the wanted way of measuring needs conflicts with it by
/// name: what is required, and conflicts with what is there, would be passed over.
#[derive(Args, Debug)]
pub struct Eval {
    /// A model directory, or a run
    #[arg(required = true)]
    pub model: Option<PathBuf>,
    /// Text, JSONL or Parquet, compressed or not; a folder of such; `-` for standard input
    #[arg(required_unless_present_any = ["task", "data"], conflicts_with_all = ["task", "data"])]
    pub files: Vec<PathBuf>,
    /// Adapters beside it.
    #[command(flatten)]
    pub adapters: AdapterArgs,
    /// A task file, YAML or TOML; may be repeated. With `--data`, a set of GLUE
    #[arg(long, value_name = "FILE")]
    pub task: Vec<String>,
    /// A table that a tuned model is judged by, as where it was tuned; with a head, the folder of a
    /// set, too; may be repeated
    #[arg(long, value_name = "FILE")]
    pub data: Vec<String>,
    /// Where numbers go, and the log of every document of tasks and heads
    #[arg(long, value_name = "DIR", conflicts_with = "files")]
    pub out: Option<PathBuf>,
    /// Examples before each document, instead of what the task says
    #[arg(long, value_name = "N", requires = "task", conflicts_with_all = ["data", "files"])]
    pub num_fewshot: Option<usize>,
    /// Only the first documents of each task
    #[arg(
        long,
        value_name = "N",
        value_parser = at_least_one,
        requires = "task",
        conflicts_with_all = ["data", "files"]
    )]
    pub limit: Option<usize>,
    /// Put prompts into the words of the model's chat template
    #[arg(long, requires = "task", conflicts_with_all = ["data", "files"])]
    pub apply_chat_template: bool,
    /// Equal seeds draw equal examples, texts and intervals
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "files")]
    pub seed: u64,
    /// Tokens that are shown to the model at once, about; results do not depend on it
    #[arg(
        long,
        value_name = "N",
        default_value_t = 4096,
        value_parser = at_least_one,
        conflicts_with = "files"
    )]
    pub batch_tokens: usize,
    /// Of heads: errors by the values of this column; may be repeated
    #[arg(long, value_name = "COLUMN", requires = "data", conflicts_with = "files")]
    pub slice: Vec<String>,
    /// Write the benchmark's files of predictions there
    #[arg(long, value_name = "DIR", requires_all = ["data", "task"], conflicts_with = "files")]
    pub submission: Option<PathBuf>,
    /// Tokens from one window of a text to the next (default: half the context)
    #[arg(
        long,
        value_name = "N",
        value_parser = at_least_one,
        requires = "files",
        conflicts_with_all = ["data", "task"]
    )]
    pub stride: Option<usize>,
    /// The precision to compute in
    #[arg(long, value_enum, default_value_t)]
    pub precision: PrecisionArg,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// What else can be done with what was measured.
    #[command(subcommand)]
    pub command: Option<EvalCommand>,
}

/// What else can be done with what was measured.
#[derive(Debug, Subcommand)]
pub enum EvalCommand {
    /// Hold two models against each other, document by document
    Compare {
        /// What `--out` of the first was
        first: PathBuf,
        /// What `--out` of the second was
        second: PathBuf,
        /// Equal seeds draw equal resamples
        #[arg(long, value_name = "N", default_value_t = 0)]
        seed: u64,
        /// One JSON array
        #[arg(long)]
        json: bool,
    },
    /// Put models side by side
    Leaderboard {
        /// What `--out` of each was
        #[arg(required = true)]
        folders: Vec<PathBuf>,
        /// A file that ends in `.html` or `.md`; without, Markdown is printed
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}
