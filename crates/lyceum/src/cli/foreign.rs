//! Commands on models that others trained.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::{Filters, SamplingArgs, at_least_one};
use crate::commands::load::PrecisionArg;

/// The examples of these commands.
#[cfg(test)]
pub const EXAMPLES: [&str; 4] = [CHAT_EXAMPLES, RUN_EXAMPLES, PULL_EXAMPLES, CONVERT_EXAMPLES];

pub const CHAT_EXAMPLES: &str = "\
Examples:
  lyceum chat SmolLM2-135M-Instruct.Q4_1.gguf
  lyceum chat smollm2/ --system \"You answer in one sentence.\" --temperature 0.2
  echo \"What is the capital of France?\" | lyceum chat smollm2/ --greedy -q";

/// Options of `chat`.
#[derive(Args, Debug)]
pub struct Chat {
    /// A model directory, a GGUF file, or a run
    pub model: PathBuf,
    /// Adapters beside it.
    #[command(flatten)]
    pub adapters: AdapterArgs,
    /// What the model is told before the first turn
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// Go on with a conversation that `/save` wrote
    #[arg(long, value_name = "FILE")]
    pub load: Option<PathBuf>,
    /// At most so many new tokens an answer
    #[arg(long, short = 'n', value_name = "N", default_value_t = 512, value_parser = at_least_one)]
    pub max_tokens: usize,
    /// How tokens are drawn.
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// Equal seeds, equal answers
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// The precision to compute in
    #[arg(long, value_enum, default_value_t)]
    pub precision: PrecisionArg,
}

pub const RUN_EXAMPLES: &str = "\
Examples:
  lyceum run minilm/ \"A man is eating food.\"
  cat lines.txt | lyceum run minilm/ - --out embeddings.npy
  lyceum run bert/ \"The capital of France is [MASK].\"
  lyceum run minilm/ --adapter runs/opinions \"A man is eating food.\"
  cat pairs.jsonl | lyceum run classifier/ - --jsonl   # {\"text\": \"..\", \"text_pair\": \"..\"}
  cat asked.jsonl | lyceum run squad/ - --jsonl   # {\"question\": \"..\", \"context\": \"..\"}
  lyceum run opus-mt-en-de/ \"It was a bright day in April.\" --beams 4
  lyceum run t5-small/ --task translation_en_to_de \"It was a bright day in April.\"
  cat articles.jsonl | lyceum run bart-large-cnn/ - --jsonl --json
  lyceum run whisper-tiny/ talk.mp3 --timestamps
  lyceum run whisper-small/ *.flac --language de --task translate --json

A model without a head embeds each text (one JSON object a line: the mean of the last hidden states
over the tokens, of length 1, or what its `modules.json` says); one that fills in masks names the
likeliest tokens of each mask; one that classifies names the probabilities of its labels, of a text
or of each word; one that answers questions, where in the second text the answer is; one that
chooses, how likely each of the `choices` is; one with an encoder and a decoder writes what it makes
of each text: a translation, a summary. Whisper writes down what is said in audio files (WAV, AIFF,
FLAC, MP3, Ogg Vorbis, MP4, Matroska) of any length.";

/// Adapters beside a model.
#[derive(Args, Clone, Debug, Default)]
pub struct AdapterArgs {
    /// Use an adapter beside the model: its directory, or a run; perhaps so many times, as in
    /// `polite=0.5`; may be repeated
    #[arg(long = "adapter", value_name = "DIR[=TIMES]", value_parser = weighted)]
    pub all: Vec<(PathBuf, f32)>,
}

impl AdapterArgs {
    /// What a model beside them is called.
    pub fn name(&self, model: &Path) -> String {
        let one = |(dir, by): &(PathBuf, f32)| {
            let times = if *by == 1.0 { String::new() } else { format!("={by}") };
            format!(" + {}{times}", dir.display())
        };
        model.display().to_string() + &self.all.iter().map(one).collect::<String>()
    }
}

/// A directory, and how often what is in it counts.
fn weighted(text: &str) -> Result<(PathBuf, f32), String> {
    if Path::new(text).exists() {
        return Ok((text.into(), 1.0));
    }
    let by = text.rsplit_once('=').and_then(|(dir, by)| Some((dir, by.parse::<f32>().ok()?)));
    match by {
        Some((_, by)) if !by.is_finite() => Err(format!("{by} times is no number of times")),
        Some((dir, by)) => Ok((dir.into(), by)),
        None => Ok((text.into(), 1.0)),
    }
}

/// Options of `run`.
#[derive(Args, Debug)]
#[allow(clippy::struct_excessive_bools)] // Switches.
pub struct Run {
    /// A model directory, a GGUF file, or a run
    pub model: PathBuf,
    /// Texts, or audio files for a model of speech; `-` for standard input, each line a text
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<String>,
    /// Adapters beside it.
    #[command(flatten)]
    pub adapters: AdapterArgs,
    /// Each line of standard input is a JSON object with `text` and perhaps `text_pair`, or with
    /// `choices`
    #[arg(long)]
    pub jsonl: bool,
    /// How hidden states become one vector (default: as the model's `modules.json` says, else mean)
    #[arg(long, value_enum)]
    pub pooling: Option<Pooling>,
    /// Leave the length of embeddings as it is
    #[arg(long)]
    pub no_normalize: bool,
    /// Write embeddings to a file that numpy loads, a row a text, instead of JSON
    #[arg(long, value_name = "FILE.npy")]
    pub out: Option<PathBuf>,
    /// Likeliest tokens of a mask, or labels
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = at_least_one)]
    pub top: usize,
    /// How an encoder-decoder writes.
    #[command(flatten)]
    pub search: SearchArgs,
    /// What is to be done: `transcribe` or `translate` (to English) with Whisper, else one of the
    /// `task_specific_params` of the model's config
    #[arg(long, value_name = "TASK")]
    pub task: Option<String>,
    /// The language that is spoken, such as `en` (default: Whisper finds out)
    #[arg(long, value_name = "CODE")]
    pub language: Option<String>,
    /// Say when each segment of a sound begins and ends
    #[arg(long)]
    pub timestamps: bool,
    /// Texts that go through the model at once; where nothing is written, 32 times as many are read
    /// before and sorted by length (1: each text as it comes)
    #[arg(long, value_name = "B", default_value_t = 32, value_parser = at_least_one)]
    pub batch: usize,
    /// The precision to compute in
    #[arg(long, value_enum, default_value_t)]
    pub precision: PrecisionArg,
    /// One JSON object a text or file, whatever the head
    #[arg(long)]
    pub json: bool,
}

/// How an encoder-decoder writes; what is not said is as the model's files have it.
#[derive(Args, Debug)]
pub struct SearchArgs {
    /// Keep the N best beginnings at every step; 1 takes the most likely token, always
    #[arg(
        long,
        value_name = "N",
        value_parser = at_least_one,
        conflicts_with_all = ["temperature", "top_k", "top_p", "min_p"]
    )]
    pub beams: Option<usize>,
    /// At most so many new tokens a text, or a window of a sound
    #[arg(long, short = 'n', value_name = "N", value_parser = at_least_one)]
    pub max_tokens: Option<usize>,
    /// Draw tokens instead: above 1 bolder, below 1 safer
    #[arg(long, value_name = "X")]
    pub temperature: Option<f32>,
    /// Which tokens are left to draw from.
    #[command(flatten)]
    pub filters: Filters,
    /// Above 1, tokens that were there already become less likely
    #[arg(long, value_name = "X")]
    pub repetition_penalty: Option<f32>,
    /// Equal seeds, equal text, where tokens are drawn
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

/// How hidden states become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Pooling {
    /// Their mean over the tokens.
    Mean,
    /// That of the first token.
    Cls,
    /// That of the last token.
    Last,
    /// The largest of every number.
    Max,
}

pub const PULL_EXAMPLES: &str = "\
Examples:
  lyceum pull HuggingFaceTB/SmolLM2-135M-Instruct
  lyceum pull openai-community/gpt2@main --out models/gpt2
  lyceum pull bartowski/SmolLM2-135M-Instruct-GGUF --weights SmolLM2-135M-Instruct-Q8_0.gguf
  HF_ENDPOINT=https://hf-mirror.com lyceum pull google-bert/bert-base-uncased

The folder is one that `transformers` and every command here reads. Of weights in several formats
one is fetched: safetensors, else GGUF where there is one file, else PyTorch's, else Flax's. Every
file is held to the hash that the hub lists. What was interrupted goes on with the same command;
nothing has the folder's name before it is whole.

A private or gated model needs a token: in HF_TOKEN, or where `hf auth login` keeps it. HF_ENDPOINT
names a mirror.";

/// Options of `pull`.
#[derive(Args, Debug)]
pub struct Pull {
    /// The model, and a branch, tag or commit of it (default: `main`)
    #[arg(value_name = "OWNER/NAME[@REVISION]")]
    pub model: String,
    /// The folder to make (default: the model's name, in the current directory)
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Which file of weights, where there are several; an index stands for its shards
    #[arg(long, value_name = "FILE")]
    pub weights: Option<String>,
}

pub const CONVERT_EXAMPLES: &str = "\
Examples:
  lyceum convert model.gguf smollm2/ --to hf --dtype bf16
  lyceum convert runs/mine model.gguf --to gguf --dtype q8_0
  lyceum convert old-checkpoint/ new/ --to hf          # a pickle becomes safetensors
  lyceum convert model/ merged/ --to hf --adapter runs/polite --adapter runs/short=0.5
  lyceum convert runs/a soup/ --to hf --average runs/b --average runs/c";

/// Options of `convert`.
#[derive(Args, Debug)]
pub struct Convert {
    /// A model directory, a file of weights, or a run
    pub input: PathBuf,
    /// The directory or file to write; it must not exist
    pub output: PathBuf,
    /// The format
    #[arg(long, value_enum)]
    pub to: Format,
    /// How tensors are stored (default: as most of the model is)
    #[arg(long, value_enum)]
    pub dtype: Option<DtypeArg>,
    /// Adapters that are put into its weights.
    #[command(flatten)]
    pub adapters: AdapterArgs,
    /// Take them out of its weights again, into which they were put
    #[arg(long, requires = "all")]
    pub unmerge: bool,
    /// Average its weights with those of another model that began as the same; may be repeated
    #[arg(long, value_name = "MODEL")]
    pub average: Vec<PathBuf>,
    /// Above this, the weights of a directory are written in several files and an index, such as
    /// `500MB` (default: 5GB)
    #[arg(long, value_name = "SIZE", value_parser = n_bytes)]
    pub max_shard_size: Option<u64>,
}

/// A size as `transformers` has them, in powers of ten.
fn n_bytes(text: &str) -> Result<u64, String> {
    let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1000)];
    let size = units.into_iter().find_map(|(unit, bytes)| {
        let n = text.strip_suffix(unit)?.trim().parse::<u64>().ok()?;
        n.checked_mul(bytes).filter(|bytes| *bytes > 0)
    });
    size.ok_or_else(|| "expected a number of KB, MB or GB, such as 500MB".to_owned())
}

/// What can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A directory that `transformers` loads.
    Hf,
    /// A file that `llama.cpp` loads.
    Gguf,
}

/// How tensors are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(non_camel_case_types)] // As the field spells it.
#[allow(missing_docs)]
pub enum DtypeArg {
    F32,
    F16,
    Bf16,
    #[value(name = "q8_0")]
    Q8_0,
}
