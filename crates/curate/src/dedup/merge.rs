//! The runs of a range of keys become pairs of documents.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs;
use std::path::PathBuf;

use super::files::{Reader, Record, Writer, damaged, io_error, write_json};
use super::map::run_name;
use super::{Dedup, DedupError};

/// Runs that are merged at once: each is an open file with a buffer.
const MAX_FAN_IN: usize = 256;
const MIN_BUFFER: usize = 4 << 10;
const MAX_BUFFER: usize = 1 << 20;

/// A part of a sorted file.
struct Run {
    path: PathBuf,
    n_records: u64,
    range: (u64, u64),
}

impl Dedup {
    /// Finds the pairs of documents that share a key of a partition; nothing is done where that
    /// is done already.
    ///
    /// # Errors
    /// When a shard has not been mapped, or a file cannot be read or written.
    pub fn merge(&self, partition: usize) -> Result<(), DedupError> {
        if partition >= self.config.partitions {
            return Err(DedupError::Missing { piece: format!("partition {partition}") });
        }
        let done = self.store.path("pairs", &format!("{partition:05}.json"));
        if self.is_merged(partition) {
            return Ok(());
        }
        let mut runs = self.runs(partition)?;
        let fan_in = MAX_FAN_IN.min(self.memory_bytes() / 2 / MIN_BUFFER).max(2);
        let mut level = 0;
        while runs.len() > fan_in {
            runs = self.merge_level(partition, level, fan_in, &runs)?;
            level += 1;
        }
        let path = self.store.path("pairs", &format!("{partition:05}.pairs"));
        let mut pairs = Pairs {
            writer: Writer::create(&path)?,
            waiting: Vec::new(),
            max_waiting: self.memory_bytes() / 2 / size_of::<Record<2>>(),
        };
        let mut first: Option<Record<3>> = None;
        self.merge_runs(&runs, |record| match first {
            Some(first) if first[..2] == record[..2] => pairs.push(first, record),
            _ => {
                first = Some(record);
                Ok(())
            }
        })?;
        let n_pairs = pairs.finish()?;
        for level in 0..level {
            self.remove_level(partition, level)?;
        }
        write_json(&done, &n_pairs)
    }

    /// The parts of all runs of all shards that have keys of the partition.
    fn runs(&self, partition: usize) -> Result<Vec<Run>, DedupError> {
        let mut runs = Vec::new();
        for shard in 0..self.n_shards {
            for (idx, ends) in self.map_entry(shard)?.runs.iter().enumerate() {
                let path = self.store.path("map", &run_name(shard, idx));
                let end = |partition: usize| ends.get(partition).copied();
                let range = (partition.checked_sub(1).map_or(Some(0), end), end(partition));
                let (Some(start), Some(end), Some(&n_records)) = (range.0, range.1, ends.last())
                else {
                    let problem = format!("its description has no partition {partition}");
                    return Err(damaged(&path, problem));
                };
                if start != end {
                    runs.push(Run { path, n_records, range: (start, end) });
                }
            }
        }
        Ok(runs)
    }

    /// Merges runs in groups into fewer.
    fn merge_level(
        &self,
        partition: usize,
        level: usize,
        fan_in: usize,
        runs: &[Run],
    ) -> Result<Vec<Run>, DedupError> {
        let groups = runs.chunks(fan_in).enumerate().map(|(group, runs)| {
            let name = format!("{partition:05}.{level}.{group:05}.run");
            let path = self.store.path("pairs", &name);
            let mut writer = Writer::create(&path)?;
            self.merge_runs(runs, |record| writer.push(&record))?;
            let n_records = writer.n_records;
            writer.finish()?;
            Ok(Run { path, n_records, range: (0, n_records) })
        });
        let merged = groups.collect::<Result<Vec<Run>, DedupError>>()?;
        if let Some(before) = level.checked_sub(1) {
            self.remove_level(partition, before)?;
        }
        Ok(merged)
    }

    fn remove_level(&self, partition: usize, level: usize) -> Result<(), DedupError> {
        for group in 0.. {
            let name = format!("{partition:05}.{level}.{group:05}.run");
            let path = self.store.path("pairs", &name);
            if !path.exists() {
                break;
            }
            fs::remove_file(&path).map_err(|source| io_error("remove", &path, source))?;
        }
        Ok(())
    }

    /// Gives `each` all records of the runs, in order.
    fn merge_runs(
        &self,
        runs: &[Run],
        mut each: impl FnMut(Record<3>) -> Result<(), DedupError>,
    ) -> Result<(), DedupError> {
        let share = self.memory_bytes() / 2 / runs.len().max(1);
        let buffer = share.clamp(MIN_BUFFER, MAX_BUFFER);
        let mut readers = Vec::with_capacity(runs.len());
        let mut heap = BinaryHeap::with_capacity(runs.len());
        for (idx, run) in runs.iter().enumerate() {
            let mut reader = Reader::open(&run.path, run.n_records, run.range, buffer)?;
            heap.extend(reader.next()?.map(|record| Reverse((record, idx))));
            readers.push(reader);
        }
        while let Some(mut top) = heap.peek_mut() {
            let Reverse((record, idx)) = *top;
            match readers[idx].next()? {
                Some(next) => *top = Reverse((next, idx)),
                None => drop(std::collections::binary_heap::PeekMut::pop(top)),
            }
            each(record)?;
        }
        Ok(())
    }
}

/// Pairs of documents, the first of a key with each other one; the second has the bond in its two
/// upper bits.
struct Pairs {
    writer: Writer<2>,
    waiting: Vec<Record<2>>,
    max_waiting: usize,
}

impl Pairs {
    fn push(&mut self, first: Record<3>, other: Record<3>) -> Result<(), DedupError> {
        self.waiting.push([first[2], other[2] | (other[1] & 3) << 62]);
        if self.waiting.len() >= self.max_waiting { self.flush() } else { Ok(()) }
    }

    /// Writes what waits: documents that are alike share many bands, once is enough.
    fn flush(&mut self) -> Result<(), DedupError> {
        self.waiting.sort_unstable();
        self.waiting.dedup();
        self.waiting.drain(..).try_for_each(|pair| self.writer.push(&pair))
    }

    fn finish(mut self) -> Result<u64, DedupError> {
        self.flush()?;
        let n_pairs = self.writer.n_records;
        self.writer.finish()?;
        Ok(n_pairs)
    }
}
