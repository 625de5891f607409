//! A shard becomes sorted runs of its keys.

use serde::{Deserialize, Serialize};

use super::files::Record;
use super::{Dedup, DedupConfig, DedupError, Sketcher};

/// What is beside the runs of a shard, written when all of them are there.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapEntry {
    /// BLAKE3 of the shard's file.
    pub shard_hash: String,
    pub n_documents: u32,
    /// For each run, how many records it has up to the end of each partition.
    pub runs: Vec<Vec<u64>>,
}

/// A shard whose documents are being added.
pub struct ShardMap<'a> {
    dedup: &'a Dedup,
    shard: u32,
    sketcher: Sketcher,
    /// Key in two halves, document.
    records: Vec<Record<3>>,
    max_records: usize,
    entry: MapEntry,
}

/// The partition of a key, by its upper half: equal ranges.
fn partition(config: &DedupConfig, upper: u64) -> usize {
    ((u128::from(upper) * config.partitions as u128) >> 64) as usize
}

impl Dedup {
    /// Begins a shard; `None` where it is done already. `hash` is that of its file.
    ///
    /// # Errors
    /// When there is no such shard, or what is done is of another file.
    pub fn map(&self, shard: u32, hash: &str) -> Result<Option<ShardMap<'_>>, DedupError> {
        if shard >= self.n_shards {
            return Err(DedupError::Missing { piece: format!("shard {shard}") });
        }
        match self.map_entry(shard) {
            Ok(entry) if entry.shard_hash == hash => return Ok(None),
            Ok(_) => return Err(DedupError::OtherShard { path: self.store.dir.clone(), shard }),
            Err(DedupError::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
        let entry = MapEntry { shard_hash: hash.to_owned(), n_documents: 0, runs: Vec::new() };
        let sketcher = Sketcher::new(&self.config);
        let max_records = self.memory_bytes() / size_of::<Record<3>>();
        Ok(Some(ShardMap { dedup: self, shard, sketcher, records: Vec::new(), max_records, entry }))
    }

    pub(super) fn map_entry(&self, shard: u32) -> Result<MapEntry, DedupError> {
        self.store.read_json(&entry_name(shard))
    }
}

fn entry_name(shard: u32) -> String {
    format!("map/{shard:05}.json")
}

/// The name of a run's file.
pub fn run_name(shard: u32, run: usize) -> String {
    format!("map/{shard:05}.{run:04}.run")
}

impl ShardMap<'_> {
    /// Adds the next document of the shard.
    ///
    /// # Errors
    /// When a run cannot be written.
    pub fn push(&mut self, text: &str, url: &str) -> Result<(), DedupError> {
        let place = self.entry.n_documents;
        let n_documents = u64::from(place) + 1;
        self.entry.n_documents = place.checked_add(1).ok_or(DedupError::TooMany { n_documents })?;
        let document = u64::from(self.shard) << 32 | u64::from(place);
        let records = &mut self.records;
        self.sketcher
            .keys(text, url, |key| records.push([(key >> 64) as u64, key as u64, document]));
        if self.records.len() >= self.max_records { self.spill() } else { Ok(()) }
    }

    /// Writes what is left, and that the shard is whole.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<(), DedupError> {
        self.spill()?;
        self.dedup.store.write_json(&entry_name(self.shard), &self.entry)
    }

    fn spill(&mut self) -> Result<(), DedupError> {
        if self.records.is_empty() {
            return Ok(());
        }
        self.records.sort_unstable();
        let name = run_name(self.shard, self.entry.runs.len());
        let mut writer = self.dedup.store.create(&name)?;
        let mut ends = vec![0; self.dedup.config.partitions];
        for record in self.records.drain(..) {
            writer.push(&record)?;
            ends[partition(&self.dedup.config, record[0])] = writer.n_records;
        }
        writer.finish()?;
        let mut end = 0;
        for here in &mut ends {
            end = end.max(*here);
            *here = end;
        }
        self.entry.runs.push(ends);
        Ok(())
    }
}
