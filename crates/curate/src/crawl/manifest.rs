//! What was made of a slice, and of all of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CrawlError, Slice};
use crate::place::{Places, join};
use crate::{Document, Notes, Tally};

/// A larger manifest is none, in bytes.
const BYTES_MAX: u64 = 64 << 20;

/// What came out of a slice, and why the rest did not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// BLAKE3 of the recipe.
    pub recipe: String,
    /// What was worked on.
    pub slice: Slice,
    /// The shard's file, from the folder of the manifest on.
    pub shard: String,
    /// Its size.
    pub shard_bytes: u64,
    /// BLAKE3 of it.
    pub shard_hash: String,
    /// What went in and came out.
    pub counts: Counts,
}

/// What went in and came out. `records` = `documents` + those of `gone`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Records of the kinds that were asked for.
    pub records: u64,
    /// Their payloads.
    pub record_bytes: u64,
    /// Documents that came out.
    pub documents: u64,
    /// Their texts.
    pub text_bytes: u64,
    /// What could not be read in the file.
    pub skipped: Tally,
    /// Why records did not become documents.
    pub gone: Tally,
    /// What stages counted.
    pub notes: Notes,
    /// Documents a language.
    pub languages: Notes,
    /// Documents by the size of their text: entry `i` has those of `2^i..2^(i+1)` bytes.
    pub text_sizes: Vec<u64>,
    /// Documents by how sure their language is, in tenths.
    pub language_scores: [u64; 10],
}

impl Counts {
    /// Counts a document that came out.
    pub(super) fn push(&mut self, document: &Document) {
        let n_bytes = document.text.len() as u64;
        let bin = n_bytes.max(1).ilog2() as usize;
        if self.text_sizes.len() <= bin {
            self.text_sizes.resize(bin + 1, 0);
        }
        self.text_sizes[bin] += 1;
        self.language_scores[(document.language_score.clamp(0.0, 0.99) * 10.0) as usize] += 1;
        self.languages.add(&document.language, 1);
        self.documents += 1;
        self.text_bytes += n_bytes;
    }

    fn merge(&mut self, other: &Self) {
        self.records += other.records;
        self.record_bytes += other.record_bytes;
        self.documents += other.documents;
        self.text_bytes += other.text_bytes;
        self.skipped.merge(&other.skipped);
        self.gone.merge(&other.gone);
        self.notes.merge(&other.notes);
        self.languages.merge(&other.languages);
        if self.text_sizes.len() < other.text_sizes.len() {
            self.text_sizes.resize(other.text_sizes.len(), 0);
        }
        let sizes = self.text_sizes.iter_mut().zip(&other.text_sizes);
        let scores = self.language_scores.iter_mut().zip(&other.language_scores);
        sizes.chain(scores).for_each(|(mine, n)| *mine += n);
    }
}

/// Where something went for the first time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// The address of the file.
    pub source: String,
    /// In bytes.
    pub offset: u64,
}

/// What came of all slices.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// How many slices there are.
    pub slices: u64,
    /// All of them.
    pub shard_bytes: u64,
    /// All of them; of offsets, see `examples`.
    pub counts: Counts,
    /// Where the first few went, a reason.
    pub examples: BTreeMap<String, Vec<Example>>,
}

impl Report {
    /// Adds a slice.
    pub(super) fn push(&mut self, manifest: &Manifest) {
        const EXAMPLES: usize = 5;
        self.slices += 1;
        self.shard_bytes += manifest.shard_bytes;
        self.counts.merge(&manifest.counts);
        let tallies = [&manifest.counts.skipped, &manifest.counts.gone];
        for (reason, count) in tallies.into_iter().flat_map(Tally::iter) {
            let examples = self.examples.entry(reason.to_owned()).or_default();
            let room = EXAMPLES - examples.len().min(EXAMPLES);
            examples.extend(
                count.first.iter().take(room).map(|offset| Example {
                    source: manifest.slice.source.clone(),
                    offset: *offset,
                }),
            );
        }
    }
}

/// What is written for slice `i`: the manifest's name without its ending, and the shard's.
pub(super) fn name(i: usize) -> String {
    format!("part-{i:06}")
}

/// The manifest of slice `i`, if it is there; that of another recipe or slice is refused.
pub(super) fn load(
    places: &Places,
    output: &str,
    (i, slice): (usize, &Slice),
    recipe: &str,
) -> Result<Option<Manifest>, CrawlError> {
    let address = join(output, &format!("{}.json", name(i)));
    let bytes = places.read(&address, BYTES_MAX);
    let bytes = bytes.map_err(|source| CrawlError::Read { address: address.clone(), source })?;
    let Some(bytes) = bytes else { return Ok(None) };
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| {
        CrawlError::Manifest { address: address.clone(), problem: error.to_string() }
    })?;
    if manifest.recipe != recipe {
        return Err(CrawlError::OtherRecipe { address });
    }
    if manifest.slice != *slice {
        let (found, expected) = (manifest.slice, slice.clone());
        return Err(CrawlError::OtherSlice { address, found, expected });
    }
    let shard = join(output, &manifest.shard);
    let is_whole = match places.find(&shard) {
        Ok(found) => found.is_some_and(|found| found.size == manifest.shard_bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(source) => return Err(CrawlError::Read { address: shard, source }),
    };
    Ok(is_whole.then_some(manifest))
}
