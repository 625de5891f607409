//! Commands on data.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use data::Format;

use super::at_least_one;

pub const DATA_EXAMPLES: &str = "\
Examples:
  lyceum data crawl crawl --set 'crawl.inputs=[\"warcs/\"]' --out corpora/web
  lyceum data tokenize corpus/ --tokenizer gpt2/ --out corpus.tokens
  lyceum data inspect corpus.tokens --verify
  lyceum data stats corpus.tokens --tokenizer gpt2/ --html stats.html
  lyceum data sample corpus.tokens 3 --seed 7 --tokenizer gpt2/
  lyceum data diff before.jsonl after.jsonl
  lyceum data check shard-000.tar

A shard is a token store, or text, JSONL, Parquet, CSV, TSV or a dump of a wiki (MediaWiki's XML),
compressed or not, or a folder of such; with `--format book` plain books, with `--format code`
source code, of which the files that nobody wrote are left out. A store knows the hash of its
tokenizer and not its words: they come from `--tokenizer`, or from a folder `tokenizer` beside the
store, as runs have it.";

/// The examples of these commands.
#[cfg(test)]
pub const EXAMPLES: [&str; 3] = [DATA_EXAMPLES, TOKENIZE_EXAMPLES, CRAWL_EXAMPLES];

/// What is done with data.
#[derive(Debug, Subcommand)]
pub enum Data {
    /// Make a clean corpus of web archives, by a recipe
    #[command(after_long_help = CRAWL_EXAMPLES)]
    Crawl(Crawl),
    /// Turn text into a token store, to be counted and compared; `pretrain` makes its own
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
    /// The format of every file: text, book, code, jsonl, parquet, csv, tsv or wiki (default: by
    /// their names, which say neither book nor code)
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    pub format: Option<Format>,
    /// The field or column with the text
    #[arg(long, value_name = "NAME", default_value = "text")]
    pub field: String,
    /// What stands between two documents of a text file (default: a file is a document)
    #[arg(long, value_name = "TEXT")]
    pub separator: Option<String>,
}

const CRAWL_EXAMPLES: &str = "\
Examples:
  lyceum data crawl crawl --set 'crawl.inputs=[\"warcs/\"]' --out corpora/web
  lyceum data crawl recipe.toml --out corpora/web --set duplicates.bands=20 --json
  mpirun -n 64 lyceum data crawl recipe.toml --out /shared/web
  srun lyceum data crawl recipe.toml --out s3://corpora/web
  lyceum pretrain gpt.toml --set 'data.paths=[\"corpora/web/final\"]'

A recipe is TOML, and `inputs` are all it must say: files and folders with WARC, WET or ARC, here,
on `http(s)://` or `s3://`. What is not said is as in FineWeb. `crawl` is in the binary: its
thresholds are those, and every key that is often changed stands in it.

  [crawl]          inputs, path_lists (of CommonCrawl), slice_bytes, format (jsonl_zst, parquet) ..
  [extract]        main text of HTML: markdown, links, comments
  [language]       keep (codes of ISO 639-1; [] is all), min_score
  [filter.gopher]  .. repetition, c4, fineweb: enabled, and every threshold of the papers
  [blocklist]      files of domains, urls, url_words, words ..
  [personal]       action: scrub, tag (a column says where), off; kinds, placeholder
  [duplicates]     exact, url, bands and rows of MinHash (0 bands: none), memory_mib
  [contamination]  sets: files of evaluation sets by name; ngram, min_shared

Into DIR come `shards/` (what was read and passed), `duplicates/` (what is the same), `final/` (the
corpus: a line or row a document, with its text, source, offset, URL, date, language and score),
`manifests/`, `recipe.toml`, and `report.json` and `report.html`, which say of every record that is
not in the corpus why, and where the first few of each reason are. The table on standard output says
it in short. `shards/`, `duplicates/` and `manifests/` may be removed when all is done.

A run that is stopped or killed goes on where it was with the same command, and ends with the same
bytes. Processes may share the work and one DIR: each takes every N-th piece, waits where it needs
what others do, and gives up after `--patience` with the names of the ranks that are late. Rank and
number come from `--rank` and `--world`, else from the launcher's OMPI_COMM_WORLD_RANK and _SIZE,
PMI_RANK and _SIZE, or SLURM_PROCID and _NTASKS. No two processes may have the same rank.

DIR may be on `s3://`, and then machines need no folder in common. The server is `s3_endpoint` in
`[crawl.servers]`, else Amazon's of `s3_region`; AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY say who
asks. What is needed for a while is in TMPDIR. Other commands read the corpus from a disk.";

/// Options of `data crawl`.
#[derive(Args, Debug)]
pub struct Crawl {
    /// The recipe: a TOML file, or `crawl`, which is in the binary
    pub recipe: String,
    /// The folder that gets the corpus and its report, here or `s3://BUCKET/FOLDER`; another try
    /// goes on with what is there
    #[arg(long, value_name = "DIR")]
    pub out: String,
    /// Set a key of the recipe, such as `language.min_score=0.8`; may be repeated, the last counts
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Which of the processes that share the work this is, from 0 (default: as the launcher says)
    #[arg(long, value_name = "R", requires = "world")]
    pub rank: Option<usize>,
    /// How many processes share the work
    #[arg(long, value_name = "N", requires = "rank", value_parser = at_least_one)]
    pub world: Option<usize>,
    /// Give up when no other process has finished a piece for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub patience: u64,
    /// One JSON object, as in `report.json`
    #[arg(long)]
    pub json: bool,
}

const TOKENIZE_EXAMPLES: &str = "\
Examples:
  lyceum data tokenize corpus/ --tokenizer gpt2/ --out corpus.tokens
  lyceum data tokenize a.jsonl.zst b.parquet --field content --tokenizer qwen3/ --out all.tokens
  lyceum data tokenize repository/ --format code --tokenizer qwen3/ --out code.tokens

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
