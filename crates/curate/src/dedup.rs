//! Documents that were there before: the same, and nearly the same.
//!
//! | module | stage |
//! |---|---|
//! | `sketch` | a text becomes keys: two texts that share one are taken for the same |
//! | `map` | a shard becomes sorted runs of keys with their documents |
//! | `merge` | the runs of a range of keys become pairs of documents |
//! | `reduce` | the pairs become, for each shard, the documents that go |
//!
//! Broder, "On the resemblance and containment of documents" (1997); bands as in Leskovec,
//! Rajaraman, Ullman, "Mining of Massive Datasets", section 3.4. An exact duplicate is one more
//! band, whose key is the hash of all words; an address may be another. Keys of all bands are in
//! one order, so a range of it is a piece of work whatever the number of bands.
//!
//! Each stage reads and writes one folder, here or on `s3://`, a file a piece of work, which gets
//! its name when it is whole: any number of processes may share the pieces, each may be killed and
//! run again, and the bytes are the same. No two may do the same piece at once. What goes depends
//! on the documents and their numbers (shard, place in it) alone: of those taken for the same, the
//! first stays.
//!
//! Memory: `memory_mib` a stage; `reduce`, which needs five bytes a document, refuses to begin
//! where that is more. Disk: 24 bytes a key in the map; once more for each level of a merge, in a
//! file without a name, in the folder or, of one on `s3://`, where temporary files are.
//! Keys have 126 bits, so what is taken for the same is, with the probability that the bands give.

mod files;
mod map;
mod merge;
mod reduce;
mod sketch;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::place::Places;
use files::Store;
pub use map::ShardMap;
pub use reduce::{Gone, Report};
pub use sketch::Sketcher;

/// How alike is the same, and what it may cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DedupConfig {
    /// Words of a shingle; of a script without blanks, characters.
    pub shingle: usize,
    /// Groups of hashes; two documents that agree in all hashes of one are taken for the same.
    /// None: exact duplicates alone.
    pub bands: usize,
    /// Hashes of a group.
    pub rows: usize,
    /// Whether documents of the same words go, whatever the bands say.
    pub exact: bool,
    /// Whether documents of the same address go, see [`normal_url`](crate::filter::normal_url).
    pub url: bool,
    /// Chooses the hashes.
    pub seed: u64,
    /// Memory of a stage, in MiB.
    pub memory_mib: usize,
    /// Pieces of work of the merge.
    pub partitions: usize,
}

impl Default for DedupConfig {
    /// FineWeb's: Penedo et al., arXiv:2406.17557, section 3.4.
    fn default() -> Self {
        Self {
            shingle: 5,
            bands: 14,
            rows: 8,
            exact: true,
            url: false,
            seed: 1,
            memory_mib: 1024,
            partitions: 16,
        }
    }
}

impl DedupConfig {
    /// The probability that two documents are taken for the same whose sets of shingles have the
    /// Jaccard similarity `jaccard`: `1 - (1 - s^rows)^bands`.
    pub fn probability(&self, jaccard: f64) -> f64 {
        1.0 - (1.0 - jaccard.powf(self.rows as f64)).powf(self.bands as f64)
    }

    /// The similarity at which that rises most steeply, about: `(1 / bands)^(1 / rows)`.
    pub fn threshold(&self) -> f64 {
        (self.bands as f64).recip().powf((self.rows as f64).recip())
    }

    /// Whether anything is looked for.
    pub fn is_on(&self) -> bool {
        self.exact || self.url || self.bands > 0
    }

    /// Refuses what is out of range.
    ///
    /// # Errors
    /// [`DedupError::Config`] with the first such field.
    pub fn check(&self) -> Result<(), DedupError> {
        let fields = [
            ("shingle", self.shingle, 1, 1000),
            ("bands", self.bands, 0, 1000),
            ("rows", self.rows, 1, 1000),
            ("bands * rows", self.bands.saturating_mul(self.rows), 0, 1 << 14),
            ("memory_mib", self.memory_mib, 1, 1 << 30),
            ("partitions", self.partitions, 1, 1 << 16),
        ];
        for (field, value, min, max) in fields {
            if !(min..=max).contains(&value) {
                return Err(DedupError::Config { field, value, min, max });
            }
        }
        Ok(())
    }
}

/// Why duplicates could not be found.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DedupError {
    /// A field of the config is out of its range.
    #[error("dedup: `{field}` is {value}, and must be from {min} to {max}")]
    Config {
        /// Its name.
        field: &'static str,
        /// What it is.
        value: usize,
        /// The least.
        min: usize,
        /// The greatest.
        max: usize,
    },
    /// The folder was begun with another config or number of shards.
    #[error(
        "`{path}` was begun with other settings\n\nhint: remove the folder, or use the settings of \
         `config.json` in it"
    )]
    Other {
        /// The folder.
        path: String,
    },
    /// A shard is not what it was when the folder was filled.
    #[error(
        "`{path}` was made when shard {shard} was another one\n\nhint: remove the folder, and \
         those of what was made with it (`manifests`, `final`): all are made again"
    )]
    OtherShard {
        /// The folder.
        path: String,
        /// Its number.
        shard: u32,
    },
    /// The system refused.
    #[error("failed to {action} `{path}`")]
    Io {
        /// `read`, `write` ..
        action: &'static str,
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not as its stage left it.
    #[error("`{path}` is damaged: {problem}\n\nhint: remove it, and run its stage again")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// A stage is asked for before the one before it has ended.
    #[error("{piece} is missing: its stage has not ended")]
    Missing {
        /// The file that is not there.
        piece: String,
    },
    /// More documents than the memory allows for.
    #[error(
        "{n_documents} documents need {needed_mib} MiB to be joined, and {memory_mib} are \
         allowed\n\nhint: raise `memory_mib`"
    )]
    Memory {
        /// How many there are.
        n_documents: u64,
        /// What they need.
        needed_mib: u64,
        /// What there may be.
        memory_mib: usize,
    },
    /// More documents than have numbers.
    #[error("{n_documents} documents, at most {}", u32::MAX)]
    TooMany {
        /// How many there are.
        n_documents: u64,
    },
}

/// A folder in which duplicates are looked for.
#[derive(Debug)]
pub struct Dedup {
    config: DedupConfig,
    n_shards: u32,
    store: Store,
}

/// The file that says what a folder is for.
const SETTINGS: &str = "config.json";

/// What a folder is for; it says so.
#[derive(PartialEq, Serialize, Deserialize)]
struct Settings {
    version: u32,
    n_shards: u32,
    config: DedupConfig,
}

impl Dedup {
    /// Opens or begins the folder for so many shards.
    ///
    /// # Errors
    /// When it was begun with other settings (memory may differ), or cannot be written.
    pub fn open(
        places: &Places,
        dir: &str,
        config: &DedupConfig,
        n_shards: u32,
    ) -> Result<Self, DedupError> {
        config.check()?;
        let store = Store { places: places.clone(), dir: dir.to_owned() };
        let fixed = DedupConfig { memory_mib: 0, ..config.clone() };
        let settings = Settings { version: 2, n_shards, config: fixed };
        if !store.exists(SETTINGS)? {
            store.write_json(SETTINGS, &settings)?;
        } else if store.read_json::<Settings>(SETTINGS)? != settings {
            return Err(DedupError::Other { path: dir.to_owned() });
        }
        Ok(Self { config: config.clone(), n_shards, store })
    }

    /// Whether a folder was begun: no two processes may do that at once.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn is_begun(places: &Places, dir: &str) -> Result<bool, DedupError> {
        Store { places: places.clone(), dir: dir.to_owned() }.exists(SETTINGS)
    }

    /// The shards that are mapped.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn mapped(&self) -> Result<BTreeSet<usize>, DedupError> {
        self.store.numbers("map")
    }

    /// The partitions that are merged.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn merged(&self) -> Result<BTreeSet<usize>, DedupError> {
        self.store.numbers("pairs")
    }

    /// Whether it is known what goes.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn is_reduced(&self) -> Result<bool, DedupError> {
        self.store.exists(reduce::REPORT)
    }

    /// Pieces of the merge.
    pub fn n_partitions(&self) -> usize {
        self.config.partitions
    }

    fn memory_bytes(&self) -> usize {
        self.config.memory_mib << 20
    }
}
