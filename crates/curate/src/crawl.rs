//! A crawl, slice by slice, into shards.
//!
//! ```text
//! plan      inputs are cut into slices: a file, and a range of its bytes
//! work      a slice is read, its pages go through the stages, its documents into a shard
//! shard     JSONL or Parquet
//! manifest  what came out of a slice, and why the rest did not; the report is their sum
//! corpus    the same shards once more, without what was there before or is asked in a test
//! ```
//!
//! A slice is worked on alone, and its shard and then its manifest get their names when they are
//! whole: a kill costs the slices in hand, and the next run goes on with the same bytes. Slice `i`
//! belongs to rank `i % world`, so processes share a crawl without a word.

mod corpus;
mod error;
mod manifest;
mod plan;
mod shard;
#[cfg(test)]
mod tests;
mod work;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::ControlFlow;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use corpus::Corpus;
pub use error::CrawlError;
pub use manifest::{Counts, Example, Manifest, Report};
pub use plan::Slice;
pub use shard::ShardFormat;
pub use work::Page;

use crate::place::{Places, join};
use crate::warc::{BodyLimits, Kind};
use crate::{Document, Notes, ServerConfig};
use work::{Target, Worker};

/// Why a document went, as it is counted.
pub type Reason = &'static str;

/// What a page becomes: a document with its text, and whatever else can be told from the page.
/// Where it came from is filled in afterwards.
pub type Extract<'a> = &'a (dyn Fn(&Page) -> Result<Document, Reason> + Sync);

/// What is done to a document, what of that is counted, and whether it stays.
pub type Judge<'a> = &'a (dyn Fn(&mut Document, &mut Notes) -> Result<(), Reason> + Sync);

/// What is done to a page, in this order.
#[derive(Clone)]
pub struct Stages<'a> {
    /// First of all.
    pub extract: Extract<'a>,
    /// One after the other: language, filters, personal data.
    pub judge: Vec<Judge<'a>>,
}

/// A list of paths, as `CommonCrawl` has one for each crawl (`warc.paths.gz`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathList {
    /// The address of the list: a path a line; gzip or not.
    pub list: String,
    /// What the paths are below, such as `https://data.commoncrawl.org/`.
    pub base: String,
}

/// What is read, and what it is written as.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CrawlConfig {
    /// Files and folders: here, at `http://` and `https://` (files), or at `s3://` (a folder ends
    /// with a slash).
    pub inputs: Vec<String>,
    /// Lists of files, each of which is one slice.
    pub path_lists: Vec<PathList>,
    /// How much of a gzip file is a slice, in bytes.
    pub slice_bytes: u64,
    /// Records that are looked at.
    pub kinds: Vec<Kind>,
    /// Answers of HTTP that are looked at.
    pub statuses: Vec<u16>,
    /// The largest record, in bytes.
    pub record_max: usize,
    /// How large a body may become.
    pub body: BodyLimits,
    /// What shards are.
    pub format: ShardFormat,
    /// How well they are compressed: 1 to 22, of Zstandard.
    pub level: i32,
    /// Which servers are asked.
    pub servers: ServerConfig,
}

impl Default for CrawlConfig {
    fn default() -> Self {
        Self {
            inputs: Vec::new(),
            path_lists: Vec::new(),
            slice_bytes: 256 << 20,
            kinds: vec![Kind::Response, Kind::Conversion],
            statuses: vec![200],
            record_max: 64 << 20,
            body: BodyLimits::default(),
            format: ShardFormat::default(),
            level: 3,
            servers: ServerConfig::default(),
        }
    }
}

impl CrawlConfig {
    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// [`CrawlError::Config`] with the first such field.
    pub fn check(&self) -> Result<(), CrawlError> {
        const RECORD_MAX: usize = 4 << 30;
        let Self { slice_bytes, record_max, level, .. } = self;
        let is_empty = self.inputs.is_empty() && self.path_lists.is_empty();
        let fields: [(_, &dyn Display, _, _); 5] = [
            ("inputs", &"empty", !is_empty, "files, folders or lists"),
            ("slice_bytes", slice_bytes, *slice_bytes >= 1 << 10, "1 KiB or more"),
            ("record_max", record_max, (1..=RECORD_MAX).contains(record_max), "1 byte to 4 GiB"),
            ("statuses", &"empty", !self.statuses.is_empty(), "answers of HTTP, such as 200"),
            ("level", level, (1..=22).contains(level), "1 to 22"),
        ];
        match fields.into_iter().find(|(_, _, fits, _)| !fits) {
            None => Ok(()),
            Some((name, value, _, expected)) => {
                Err(CrawlError::Config { name, value: value.to_string(), expected })
            }
        }
    }
}

/// A crawl that can be worked on.
pub struct Crawl<'a> {
    places: &'a Places,
    config: &'a CrawlConfig,
    stages: Stages<'a>,
    output: &'a str,
    recipe: String,
    slices: Vec<Slice>,
}

impl<'a> Crawl<'a> {
    /// Lists the inputs and cuts them. `recipe` is all that decides what the stages do: together
    /// with `config` it names what is written into the folder `output`, here or on `s3://`.
    ///
    /// # Errors
    /// [`CrawlError`], where the config or an input is not what it should be, or `output` has
    /// something that is of other inputs.
    pub fn new(
        places: &'a Places,
        config: &'a CrawlConfig,
        stages: Stages<'a>,
        recipe: &str,
        output: &'a str,
    ) -> Result<Self, CrawlError> {
        config.check()?;
        let slices = plan::plan(places, config)?;
        let mut hasher = blake3::Hasher::new();
        // How servers are asked changes no byte.
        let fixed = CrawlConfig { servers: ServerConfig::default(), ..config.clone() };
        hasher.update(&serde_json::to_vec(&fixed).unwrap_or_default());
        hasher.update(recipe.as_bytes());
        let recipe = hasher.finalize().to_hex().to_string();
        let crawl = Self { places, config, stages, output, recipe, slices };
        crawl.check_left_over()?;
        Ok(crawl)
    }

    /// What there is to do.
    pub fn slices(&self) -> &[Slice] {
        &self.slices
    }

    /// Works on the slices of `rank` that are not finished, on all threads; `each` is called with
    /// every one that is, and may end it.
    ///
    /// # Errors
    /// The first [`CrawlError`]; other threads finish the slices they are at.
    pub fn run(
        &self,
        rank: usize,
        world: usize,
        each: &(dyn Fn(usize, &Manifest) -> ControlFlow<()> + Sync),
    ) -> Result<(), CrawlError> {
        assert!(rank < world, "crawl: rank {rank} of {world}");
        let worker = Worker { target: self.target(), stages: &self.stages };
        let mine = self.slices.iter().enumerate().skip(rank).step_by(world);
        let mine: Vec<_> = mine.collect();
        // One at a time, in their order: so a run that is cut off leaves no holes.
        let result = mine.into_par_iter().with_max_len(1).try_for_each(|(i, slice)| {
            let manifest = match worker.target.finished(i, slice).map_err(Some)? {
                Some(manifest) => manifest,
                None => worker.run(i, slice).map_err(Some)?,
            };
            if each(i, &manifest).is_break() { Err(None) } else { Ok(()) }
        });
        match result {
            Err(Some(error)) => Err(error),
            Ok(()) | Err(None) => Ok(()),
        }
    }

    /// The sum of all manifests.
    ///
    /// # Errors
    /// [`CrawlError`], where one is missing or is none.
    pub fn report(&self) -> Result<Report, CrawlError> {
        self.target().report(&self.slices)
    }

    /// The slices that have a manifest.
    ///
    /// # Errors
    /// [`CrawlError`], where they cannot be listed.
    pub fn done(&self) -> Result<BTreeSet<usize>, CrawlError> {
        self.target().done()
    }

    /// Refuses the manifest of slice `i` where it is of something else.
    ///
    /// # Errors
    /// [`CrawlError`].
    pub fn check(&self, i: usize) -> Result<(), CrawlError> {
        self.target().load(i, &self.slices[i]).map(drop)
    }

    fn target(&self) -> Target<'_> {
        let Self { places, config, output, recipe, .. } = self;
        Target { places, config, output, shards: "", recipe, before: None }
    }

    /// BLAKE3 of shard `i`, which is finished.
    fn shard_hash(&self, i: usize) -> Result<String, CrawlError> {
        let manifest = self.target().load(i, &self.slices[i])?;
        let address = || join(self.output, &format!("{}.json", manifest::name(i)));
        Ok(manifest.ok_or_else(|| CrawlError::Unfinished { address: address() })?.shard_hash)
    }

    /// Refuses a folder with manifests of slices that there are not.
    fn check_left_over(&self) -> Result<(), CrawlError> {
        let n_slices = self.slices.len();
        match self.done()?.range(n_slices..).next() {
            None => Ok(()),
            Some(&i) => {
                let address = join(self.output, &format!("{}.json", manifest::name(i)));
                Err(CrawlError::LeftOver { address, n_slices })
            }
        }
    }
}
