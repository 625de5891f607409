//! The runs of a range of keys become pairs of documents.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{BufWriter, Write};
use std::rc::Rc;

use super::files::{Place, Record, Run, Writer, damaged, io_error, write};
use super::map::run_name;
use super::{Dedup, DedupError};

/// Runs that are merged at once: each is an open file with a buffer.
const MAX_FAN_IN: usize = 256;
const MIN_BUFFER: usize = 4 << 10;
const MAX_BUFFER: usize = 1 << 20;

/// The name of a partition's pairs.
pub(super) fn pairs_name(partition: usize) -> String {
    format!("pairs/{partition:05}.pairs")
}

/// The name of the file that says how many they are, and that they are whole.
pub(super) fn count_name(partition: usize) -> String {
    format!("pairs/{partition:05}.json")
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
        let done = count_name(partition);
        if self.store.exists(&done)? {
            return Ok(());
        }
        let mut runs = self.runs(partition)?;
        let fan_in = MAX_FAN_IN.min(self.memory_bytes() / 2 / MIN_BUFFER).max(2);
        while runs.len() > fan_in {
            runs = self.merge_level(fan_in, &runs)?;
        }
        let mut pairs = Pairs {
            writer: self.store.create(&pairs_name(partition))?,
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
        self.store.write_json(&done, &n_pairs)
    }

    /// The parts of all runs of all shards that have keys of the partition.
    fn runs(&self, partition: usize) -> Result<Vec<Run>, DedupError> {
        let mut runs = Vec::new();
        for shard in 0..self.n_shards {
            for (idx, ends) in self.map_entry(shard)?.runs.iter().enumerate() {
                let name = run_name(shard, idx);
                let end = |partition: usize| ends.get(partition).copied();
                let range = (partition.checked_sub(1).map_or(Some(0), end), end(partition));
                let (Some(start), Some(end), Some(&n_records)) = (range.0, range.1, ends.last())
                else {
                    let problem = format!("its description has no partition {partition}");
                    return Err(damaged(&name, problem));
                };
                if start != end {
                    let place = Place::Stored { name, n_records };
                    runs.push(Run { place, range: (start, end) });
                }
            }
        }
        Ok(runs)
    }

    /// Merges runs in groups into fewer, which are one after the other in one file.
    fn merge_level(&self, fan_in: usize, runs: &[Run]) -> Result<Vec<Run>, DedupError> {
        let file = self.store.scratch()?;
        let mut writer = BufWriter::with_capacity(1 << 16, &*file);
        let failed = |source| io_error("write a file in", &self.store.dir, source);
        let (mut merged, mut end) = (Vec::new(), 0);
        for runs in runs.chunks(fan_in) {
            let start = end;
            self.merge_runs(runs, |record| {
                end += 1;
                write(&mut writer, &record).map_err(failed)
            })?;
            merged.push(Run { place: Place::Scratch(Rc::clone(&file)), range: (start, end) });
        }
        writer.flush().map_err(failed)?;
        drop(writer);
        Ok(merged)
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
            let mut reader = self.store.open(run, buffer)?;
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
