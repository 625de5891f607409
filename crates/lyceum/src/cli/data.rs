//! Commands on data.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use data::Format;

use super::at_least_one;

pub const DATA_EXAMPLES: &str = "\
Examples:
  lyceum data tokenize corpus/ --tokenizer gpt2/ --out corpus.tokens
  lyceum data inspect corpus.tokens --verify
  lyceum data stats corpus.tokens --tokenizer gpt2/ --html stats.html
  lyceum data sample corpus.tokens 3 --seed 7 --tokenizer gpt2/
  lyceum data diff before.jsonl after.jsonl
  lyceum data check shard-000.tar

A shard is a token store, or text, JSONL, Parquet, CSV, TSV or a dump of a wiki (MediaWiki's XML),
compressed or not, or a folder of such. A store
knows the hash of its tokenizer and not its words: they come from `--tokenizer`, or from a folder
`tokenizer` beside the store, as runs have it.";

/// The examples of these commands.
#[cfg(test)]
pub const EXAMPLES: [&str; 2] = [DATA_EXAMPLES, TOKENIZE_EXAMPLES];

/// What is done with data.
#[derive(Debug, Subcommand)]
pub enum Data {
    /// Turn text into a token store, which training maps into memory
    #[command(after_long_help = TOKENIZE_EXAMPLES)]
    Tokenize(Tokenize),
    /// Show what a store or shard says of itself, and its first documents
    Inspect(InspectData),
    /// Count documents, their lengths and the most frequent tokens
    Stats(Stats),
    /// Draw some documents
    Sample(Sample),
    /// Tell which documents of two shards were added, removed or changed
    Diff(Diff),
    /// Look through a tar of samples, or images in a folder or tar a class, for what is wrong
    Check {
        /// A tar as `WebDataset` or `ImageNet` have them, packed or not; a folder of such, or of
        /// folders with images
        path: PathBuf,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}

/// How files are read.
#[derive(Args, Clone, Debug)]
pub struct ReadArgs {
    /// The format of every file: text, jsonl, parquet, csv, tsv or wiki (default: by their names)
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    pub format: Option<Format>,
    /// The field or column with the text
    #[arg(long, value_name = "NAME", default_value = "text")]
    pub field: String,
    /// What stands between two documents of a text file (default: a file is a document)
    #[arg(long, value_name = "TEXT")]
    pub separator: Option<String>,
}

const TOKENIZE_EXAMPLES: &str = "\
Examples:
  lyceum data tokenize corpus/ --tokenizer gpt2/ --out corpus.tokens
  lyceum data tokenize a.jsonl.zst b.parquet --field content --tokenizer qwen3/ --out all.tokens

The same text and tokenizer give the same bytes, whatever the threads. The store appears under its
name when it is whole; what was there before is there until then.";

/// Options of `data tokenize`.
#[derive(Args, Debug)]
pub struct Tokenize {
    /// Text, JSONL, Parquet, CSV, TSV, a wiki's dump, compressed or not; a folder of such; `-` for
    /// standard input
    #[arg(required = true, value_name = "IN")]
    pub inputs: Vec<PathBuf>,
    /// A directory with a tokenizer: a model's, a run's `data/tokenizer`
    #[arg(long, value_name = "DIR")]
    pub tokenizer: PathBuf,
    /// The store to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// How files are read.
    #[command(flatten)]
    pub read: ReadArgs,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// A shard, and how it is read.
#[derive(Args, Debug)]
pub struct ShardArgs {
    /// A token store, or files that `data tokenize` reads
    #[arg(value_name = "SHARD")]
    pub path: PathBuf,
    /// A directory with a tokenizer
    #[arg(long, value_name = "DIR")]
    pub tokenizer: Option<PathBuf>,
    /// How files are read.
    #[command(flatten)]
    pub read: ReadArgs,
}

/// Options of `data inspect`.
#[derive(Args, Debug)]
pub struct InspectData {
    /// What is looked at.
    #[command(flatten)]
    pub shard: ShardArgs,
    /// Read all of a store, and hold it against its hash
    #[arg(long)]
    pub verify: bool,
    /// How many of the first documents to show
    #[arg(long, short = 'n', value_name = "N", default_value_t = 3)]
    pub documents: usize,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// Options of `data stats`.
#[derive(Args, Debug)]
pub struct Stats {
    /// What is counted.
    #[command(flatten)]
    pub shard: ShardArgs,
    /// How many of the most frequent tokens to show
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub top: usize,
    /// Also write it as a page that needs nothing beside it
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// Options of `data sample`.
#[derive(Args, Debug)]
pub struct Sample {
    /// What is drawn from.
    #[command(flatten)]
    pub shard: ShardArgs,
    /// How many documents
    #[arg(value_name = "N", default_value_t = 5, value_parser = at_least_one)]
    pub n: usize,
    /// Equal seeds, equal documents
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// At most so many bytes of each
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = at_least_one)]
    pub max_bytes: usize,
    /// One JSON object a document
    #[arg(long)]
    pub json: bool,
}

/// Options of `data diff`.
#[derive(Args, Debug)]
pub struct Diff {
    /// How it was
    pub a: PathBuf,
    /// How it is
    pub b: PathBuf,
    /// How files are read.
    #[command(flatten)]
    pub read: ReadArgs,
    /// At most so many numbers of documents of each kind
    #[arg(long, short = 'n', value_name = "N", default_value_t = 10)]
    pub documents: usize,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

fn format(text: &str) -> Result<Format, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}
