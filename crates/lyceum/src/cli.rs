//! Every command and option, and the help that teaches them.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand};

use crate::commands::load::PrecisionArg;
pub use crate::environment::Global;

mod data;
mod eval;
mod finetune;
mod foreign;
mod search;

pub use self::data::{
    Crawl, Data, Diff, InspectData, ReadArgs, Sample, ShardArgs, Stats, Tokenize,
};
pub use self::eval::{Eval, EvalCommand};
pub use self::finetune::Finetune;
pub use self::foreign::{
    AdapterArgs, Chat, Convert, DtypeArg, Format, Pooling, Pull, Run, SearchArgs,
};
pub use self::search::{Search, Until};

const EXAMPLES: &str = "\
Examples:
  lyceum pretrain                            train a small GPT on the text in the binary
  lyceum generate runs/NAME --prompt \"It was\"  let it write
  lyceum pull HuggingFaceTB/SmolLM2-135M     fetch a model that others trained
  lyceum doctor                              what this machine can do

Exit codes: 0 done, 1 refused input, 2 usage, 3 interrupted with a checkpoint, 101 a bug,
130 interrupted.
Variables: LYCEUM_DEVICE (cpu), LYCEUM_ISA, LYCEUM_THREADS, LYCEUM_LOG (warn, info, debug),
LYCEUM_CACHE, NO_COLOR; for `pull` HF_TOKEN, HF_ENDPOINT, HF_HOME, HTTPS_PROXY, SSL_CERT_FILE.";

/// Pretrain a Transformer on the CPU, and put it to work
#[derive(Debug, Parser)]
#[command(version, after_long_help = EXAMPLES, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a model on text, from nothing or from another's weights
    #[command(after_long_help = PRETRAIN_EXAMPLES)]
    Pretrain(Pretrain),
    /// Tune a model for a task: classify, score, choose, tag, answer
    #[command(after_long_help = finetune::EXAMPLES)]
    Finetune(Finetune),
    /// Try settings of a recipe, and say which are best: grid, random, successive halving
    #[command(after_long_help = search::EXAMPLES)]
    Search(Search),
    /// Continue a text
    #[command(after_long_help = GENERATE_EXAMPLES)]
    Generate(Generate),
    /// Talk with a model, in the words of its own template
    #[command(after_long_help = foreign::CHAT_EXAMPLES)]
    Chat(Chat),
    /// Do what a model does: embed, fill in `[MASK]`, classify, translate, summarize, transcribe
    #[command(after_long_help = foreign::RUN_EXAMPLES)]
    Run(Run),
    /// Fetch a model from the Hugging Face hub into a folder
    #[command(after_long_help = foreign::PULL_EXAMPLES)]
    Pull(Pull),
    /// Write a model in another format or type
    #[command(after_long_help = foreign::CONVERT_EXAMPLES)]
    Convert(Convert),
    /// Measure a model: on tasks, on labelled data, or how well it predicts a text
    #[command(
        after_long_help = eval::EXAMPLES,
        args_conflicts_with_subcommands = true,
        subcommand_negates_reqs = true
    )]
    Eval(Eval),
    /// Run one forward pass: tensors in, tensors out
    #[command(after_long_help = FORWARD_EXAMPLES)]
    Forward(Forward),
    /// Show what is in a model, run, safetensors file, token store or tokenizer
    #[command(after_long_help = INSPECT_EXAMPLES)]
    Inspect(Inspect),
    /// From web archives to documents, from text to tokens: counts, samples, differences
    #[command(subcommand, after_long_help = data::DATA_EXAMPLES)]
    Data(Data),
    /// List runs, newest first, or compare some
    #[command(after_long_help = RUNS_EXAMPLES, args_conflicts_with_subcommands = true)]
    Runs(Runs),
    /// Say what a recipe will take: parameters, FLOPs, memory, time
    #[command(after_long_help = PLAN_EXAMPLES)]
    Plan(About),
    /// Prove on your own recipe that resume, accumulation and threads change nothing
    #[command(after_long_help = VERIFY_EXAMPLES)]
    Verify(About),
    /// Look at this machine: processor, memory, measured peaks, and what is wrong
    #[command(after_long_help = DOCTOR_EXAMPLES)]
    Doctor {
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Measure the speed of a training step, or of a model at work
    #[command(subcommand, after_long_help = BENCH_EXAMPLES)]
    Bench(Bench),
    /// Print the completions of a shell
    #[command(after_long_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

const PRETRAIN_EXAMPLES: &str = "\
Examples:
  lyceum pretrain
  lyceum pretrain recipe.toml --out runs/mine --set train.steps=2000 --set model.depth=8
  lyceum pretrain --out runs/mine --resume";

/// A recipe, and what is changed in it.
#[derive(Args, Debug)]
pub struct RecipeArgs {
    /// The recipe: a TOML file, or one in the binary: `austen` (the default), `tang`, `seed`,
    /// `bert`, `ernie`, `electra`, `t5`, `gpt-crawl`
    #[arg(value_name = "RECIPE")]
    pub name: Option<String>,
    /// Set a key of the recipe, such as `train.steps=100`; may be repeated, the last counts
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Options of `pretrain`.
#[derive(Args, Debug)]
pub struct Pretrain {
    /// What is trained.
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// The run's directory (default: a new one below `runs/`)
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on from the newest valid checkpoint of `--out`
    #[arg(long, requires = "out")]
    pub resume: bool,
    /// Judge, save and end after this step, or this share of all: 200, 25%
    #[arg(long, value_name = "STEP")]
    pub until: Option<Until>,
}

const GENERATE_EXAMPLES: &str = "\
Examples:
  lyceum generate runs/NAME --prompt \"It was\"
  lyceum generate gpt2/ --prompt-file chapter.txt --temperature 0.7 --top-p 0.95 --stop \"\\n\\n\"
  echo -n \"Once\" | lyceum generate runs/NAME --prompt-file - --samples 4 --seed 7 --json
  lyceum generate gpt2/ --prompt \"It was\" --beams 4 --max-tokens 40";

/// Options of `generate`.
#[derive(Args, Debug)]
pub struct Generate {
    /// A model directory, or a run (its best checkpoint, else the newest)
    pub model: PathBuf,
    /// Adapters beside it.
    #[command(flatten)]
    pub adapters: AdapterArgs,
    /// The text to continue; without one, the model begins
    #[arg(long, short, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// Read the prompt from a file, `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "prompt")]
    pub prompt_file: Option<PathBuf>,
    /// At most so many new tokens
    #[arg(long, short = 'n', value_name = "N", default_value_t = 200, value_parser = at_least_one)]
    pub max_tokens: usize,
    /// How tokens are drawn.
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// Equal seeds, equal text
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// End where this text would come (it is not printed); may be repeated
    #[arg(long = "stop", value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub stops: Vec<String>,
    /// How many continuations
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    pub samples: usize,
    /// Draw nothing: keep the N best beginnings at every step, and write the best text at the end
    #[arg(
        long,
        value_name = "N",
        value_parser = at_least_one,
        conflicts_with_all = ["temperature", "top_k", "top_p", "min_p", "greedy", "samples"]
    )]
    pub beams: Option<usize>,
    /// The precision to compute in
    #[arg(long, value_enum, default_value_t)]
    pub precision: PrecisionArg,
    /// One JSON object a sample, instead of text
    #[arg(long)]
    pub json: bool,
}

/// Which tokens are left to draw from.
#[derive(Args, Clone, Copy, Debug)]
pub struct Filters {
    /// Draw from the K most likely tokens
    #[arg(long, value_name = "K")]
    pub top_k: Option<usize>,
    /// Draw from the most likely tokens that together reach probability P
    #[arg(long, value_name = "P")]
    pub top_p: Option<f32>,
    /// Draw from the tokens at least P times as likely as the most likely one
    #[arg(long, value_name = "P")]
    pub min_p: Option<f32>,
}

/// How tokens are drawn.
#[derive(Args, Debug)]
pub struct SamplingArgs {
    /// Above 1 bolder, below 1 safer; 0 is `--greedy`
    #[arg(long, value_name = "X", default_value_t = 0.8)]
    pub temperature: f32,
    /// Which tokens are left to draw from.
    #[command(flatten)]
    pub filters: Filters,
    /// Above 1, tokens that were there already become less likely
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub repetition_penalty: f32,
    /// Always take the most likely token
    #[arg(long, conflicts_with_all = ["temperature", "top_k", "top_p", "min_p"])]
    pub greedy: bool,
}

const FORWARD_EXAMPLES: &str = "\
Examples:
  lyceum forward gpt2/ --inputs in.safetensors --outputs out.safetensors
  lyceum forward runs/NAME --inputs in.safetensors --outputs out.safetensors \\
      --hidden-states --attentions

Inputs and outputs have the names that `transformers` gives them. A `gpt2` reads `input_ids` [B, T]
and, if they are there, `attention_mask` [B, T] and `position_ids` [B, T]; it writes `logits`
[B, T, V], `hidden_states.0` .. [B, T, D] and `attentions.0` .. [B, N, T, T]. BERT also reads
`token_type_ids`; T5 and its like `decoder_input_ids`; ViT and CLIP `pixel_values` [B, C, H, W];
Whisper `input_features`. A model without a head writes `last_hidden_state`. A `seed_transformer`
reads `src` [T, B] and writes `output` [T, B, D]. Of integers any type will do. What is computed at
a masked position means nothing.";

/// Options of `forward`.
#[derive(Args, Debug)]
pub struct Forward {
    /// A model directory, or a run
    pub model: PathBuf,
    /// A safetensors file with the inputs
    #[arg(long, value_name = "FILE")]
    pub inputs: PathBuf,
    /// The safetensors file to write
    #[arg(long, value_name = "FILE")]
    pub outputs: PathBuf,
    /// Also write the embeddings and every block's output, the last one after the final norm
    #[arg(long)]
    pub hidden_states: bool,
    /// Also write every layer's attention probabilities
    #[arg(long)]
    pub attentions: bool,
    /// The precision to compute in
    #[arg(long, value_enum, default_value = "f32")]
    pub precision: PrecisionArg,
}

const INSPECT_EXAMPLES: &str = "\
Examples:
  lyceum inspect runs/NAME
  lyceum inspect gpt2/model.safetensors
  lyceum inspect gpt2/ --json";

/// Options of `inspect`.
#[derive(Args, Debug)]
pub struct Inspect {
    /// A model or run directory, a safetensors file, a token store, or a tokenizer's directory
    pub path: PathBuf,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

const RUNS_EXAMPLES: &str = "\
Examples:
  lyceum runs
  lyceum runs experiments/ --json
  lyceum runs compare runs/a runs/b";

/// Options of `runs`.
#[derive(Args, Debug)]
pub struct Runs {
    /// The directory with the runs
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// One JSON array
    #[arg(long)]
    pub json: bool,
    /// What else can be done with runs.
    #[command(subcommand)]
    pub command: Option<RunsCommand>,
}

/// What else can be done with runs.
#[derive(Debug, Subcommand)]
pub enum RunsCommand {
    /// Put runs side by side: results, and which keys of their recipes differ
    Compare {
        /// Run directories
        #[arg(required = true, num_args = 2..)]
        runs: Vec<PathBuf>,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}

const PLAN_EXAMPLES: &str = "\
Examples:
  lyceum plan
  lyceum plan recipe.toml --set train.batch_size=16";

/// Options of `plan` and `verify`.
#[derive(Args, Debug)]
pub struct About {
    /// What it is about.
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

const VERIFY_EXAMPLES: &str = "\
Examples:
  lyceum verify
  lyceum verify recipe.toml --set model.depth=4";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  lyceum doctor
  lyceum doctor --json
  LYCEUM_ISA=avx2 lyceum doctor";

const BENCH_EXAMPLES: &str = "\
Examples:
  lyceum bench train --size S --mode bf16
  lyceum bench train --size BASE --mode f32 --threads 2 --json";

/// What is measured.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// A whole training step: forward, backward, clipping, optimizer
    #[command(after_long_help = BENCH_EXAMPLES)]
    Train(BenchTrain),
    /// A model's load, the reading of a prompt, and one token after another
    #[command(after_long_help = BENCH_DECODE_EXAMPLES)]
    Decode(BenchDecode),
    /// A step of tuning: all of a classifier, or low-rank changes of a language model
    #[command(after_long_help = BENCH_FINETUNE_EXAMPLES)]
    Finetune(BenchFinetune),
}

const BENCH_FINETUNE_EXAMPLES: &str = "\
Examples:
  lyceum bench finetune ./MiniLM --batch 32 --seq 128
  lyceum bench finetune ./MiniLM --texts reviews.txt
  lyceum bench finetune ./SmolLM2-135M --lora 16 --batch 4 --seq 512 --json";

/// Options of `bench finetune`.
#[derive(Args, Debug)]
pub struct BenchFinetune {
    /// A model directory, a GGUF file, or a run
    pub model: PathBuf,
    /// Learns low-rank changes of this rank from each next token (default: every weight, from
    /// two classes)
    #[arg(long, value_name = "RANK", value_parser = at_least_one)]
    pub lora: Option<usize>,
    /// Round what does not learn
    #[arg(long, requires = "lora", value_name = "FORM", value_parser = ["int8", "nf4"])]
    pub quantise: Option<String>,
    /// The precision
    #[arg(long, default_value = "bf16", value_parser = ["bf16", "f32", "f16"])]
    pub mode: String,
    /// Samples a step
    #[arg(long, value_name = "B", default_value_t = 32, value_parser = at_least_one)]
    pub batch: usize,
    /// Tokens a sample, at most
    #[arg(long, value_name = "T", default_value_t = 128, value_parser = at_least_one)]
    pub seq: usize,
    /// Samples are the lines of this file (default: random tokens)
    #[arg(long, value_name = "FILE")]
    pub texts: Option<PathBuf>,
    /// Steps that are timed
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = at_least_one)]
    pub steps: usize,
    /// Keep only each block's input, and run it again in backward
    #[arg(long)]
    pub recompute: bool,
    /// One JSON line
    #[arg(long)]
    pub json: bool,
}

const BENCH_DECODE_EXAMPLES: &str = "\
Examples:
  lyceum bench decode ./SmolLM2-135M
  lyceum bench decode model.gguf --prompt 64 --tokens 256 --precision f32 --json";

/// Options of `bench decode`.
#[derive(Args, Debug)]
pub struct BenchDecode {
    /// A model directory, a GGUF file, or a run
    pub model: PathBuf,
    /// Tokens that are read at once
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = at_least_one)]
    pub prompt: usize,
    /// Tokens that follow, one at a time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least_one)]
    pub tokens: usize,
    /// How often; the medians are shown
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = at_least_one)]
    pub rounds: usize,
    /// Run in this precision
    #[arg(long, value_enum, default_value_t)]
    pub precision: PrecisionArg,
    /// One JSON line
    #[arg(long)]
    pub json: bool,
}

/// Options of `bench train`.
#[derive(Args, Debug)]
pub struct BenchTrain {
    /// The model's size
    #[arg(long, default_value = "S", value_parser = ["S", "M", "BASE"])]
    pub size: String,
    /// The precision
    #[arg(long, default_value = "bf16", value_parser = ["bf16", "f32", "f16"])]
    pub mode: String,
    /// Sequences a step (default: that of the size)
    #[arg(long, value_name = "B", value_parser = at_least_one)]
    pub batch: Option<usize>,
    /// Tokens a sequence (default: that of the size)
    #[arg(long, value_name = "T", value_parser = at_least_one)]
    pub seq: Option<usize>,
    /// Sequences that go through the model at once (default: all)
    #[arg(long, value_name = "B", value_parser = at_least_one)]
    pub micro_batch: Option<usize>,
    /// Steps that are timed
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = at_least_one)]
    pub steps: usize,
    /// Keep only each block's input, and run it again in backward
    #[arg(long)]
    pub recompute: bool,
    /// One JSON line
    #[arg(long)]
    pub json: bool,
}

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  lyceum completions bash > ~/.local/share/bash-completion/completions/lyceum
  lyceum completions zsh > ~/.zfunc/_lyceum
  lyceum completions fish > ~/.config/fish/completions/lyceum.fish";

pub(super) fn at_least_one(text: &str) -> Result<usize, String> {
    let n = text.parse::<usize>().map_err(|error| error.to_string())?;
    if n == 0 { Err("at least 1".to_owned()) } else { Ok(n) }
}

#[cfg(test)]
mod tests;
