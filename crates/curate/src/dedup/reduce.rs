//! Pairs become the documents that go.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::files::{Run, damaged};
use super::merge::{count_name, pairs_name};
use super::{Dedup, DedupError};
use crate::filter::Reason;

/// What there is when all is joined.
pub(super) const REPORT: &str = "gone/report.json";
const BUFFER: usize = 1 << 20;
/// A place in the forest and the reason.
const BYTES_PER_DOCUMENT: u64 = 5;

/// A document that goes, and the first one that is taken for the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Its place in its shard.
    pub idx: u32,
    /// `dedup.exact`, `dedup.url` or `dedup.near`: the strongest bond with any other.
    pub reason: Reason,
    /// Shard and place of the document that stays.
    pub kept: (u32, u32),
}

/// What there was and what goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// All documents.
    pub n_documents: u64,
    /// Those of them that go.
    pub n_gone: u64,
    /// Groups of documents taken for the same.
    pub n_clusters: u64,
    /// How many go from each shard.
    pub gone_by_shard: Vec<u64>,
}

const REASONS: [Reason; 3] = ["dedup.exact", "dedup.url", "dedup.near"];

impl Dedup {
    /// Joins all pairs and writes for each shard what goes; nothing is done where that is done.
    ///
    /// One process alone. Five bytes a document are its memory.
    ///
    /// # Errors
    /// When a partition has not been merged, memory is too small, or a file cannot be read or
    /// written.
    pub fn reduce(&self) -> Result<Report, DedupError> {
        if self.is_reduced()? {
            return self.store.read_json(REPORT);
        }
        let counts = (0..self.n_shards).into_par_iter().map(|shard| self.map_entry(shard));
        let counts: Vec<_> =
            counts.map(|entry| Ok(entry?.n_documents)).collect::<Result<_, DedupError>>()?;
        let mut bases = vec![0_u64];
        for n_documents in counts {
            bases.push(bases[bases.len() - 1] + u64::from(n_documents));
        }
        let n_documents = bases[bases.len() - 1];
        let needed_mib = (n_documents * BYTES_PER_DOCUMENT).div_ceil(1 << 20);
        if n_documents > u64::from(u32::MAX) {
            return Err(DedupError::TooMany { n_documents });
        }
        if needed_mib > self.config.memory_mib as u64 {
            let memory_mib = self.config.memory_mib;
            return Err(DedupError::Memory { n_documents, needed_mib, memory_mib });
        }
        let mut forest = Forest::new(n_documents as u32);
        for partition in 0..self.config.partitions {
            self.join(partition, &bases, &mut forest)?;
        }
        let mut report = Report { n_documents, ..Report::default() };
        for shard in 0..self.n_shards {
            self.write_gone(shard, &bases, &mut forest, &mut report)?;
        }
        self.store.write_json(REPORT, &report)?;
        Ok(report)
    }

    /// Reads a partition's pairs into the forest.
    fn join(&self, partition: usize, bases: &[u64], forest: &mut Forest) -> Result<(), DedupError> {
        let n_pairs = self.store.read_json(&count_name(partition))?;
        let name = pairs_name(partition);
        let mut reader = self.store.open::<2>(&Run::whole(name.clone(), n_pairs), BUFFER)?;
        let number = |document: u64| {
            let (shard, idx) = ((document >> 32) as usize, document & u64::from(u32::MAX));
            let (base, end) = (bases.get(shard)?, bases.get(shard + 1)?);
            (base + idx < *end).then_some((base + idx) as u32)
        };
        while let Some([first, other]) = reader.next()? {
            let bond = (other >> 62) as u8;
            let pair = (number(first), number(other & (u64::MAX >> 2)));
            let ((Some(first), Some(other)), 0..=2) = (pair, bond) else {
                return Err(damaged(&name, format!("no document has the number {other:#x}")));
            };
            forest.join(first, other, bond);
        }
        Ok(())
    }

    /// Writes what goes of a shard, and counts it.
    fn write_gone(
        &self,
        shard: u32,
        bases: &[u64],
        forest: &mut Forest,
        report: &mut Report,
    ) -> Result<(), DedupError> {
        let mut writer = self.store.create(&gone_name(shard))?;
        let (base, end) = (bases[shard as usize] as u32, bases[shard as usize + 1] as u32);
        for number in base..end {
            let (root, bond) = (forest.root(number), forest.bonds[number as usize]);
            if root == number {
                report.n_clusters += u64::from(bond < Forest::ALONE);
                continue;
            }
            let kept_shard = bases.partition_point(|&base| base <= u64::from(root)) - 1;
            let kept_idx = u64::from(root) - bases[kept_shard];
            let gone = u64::from(bond) << 32 | u64::from(number - base);
            writer.push(&[gone, (kept_shard as u64) << 32 | kept_idx])?;
        }
        report.gone_by_shard.push(writer.n_records);
        report.n_gone += writer.n_records;
        writer.finish()
    }

    /// The documents of a shard that go, in order; after [`reduce`](Self::reduce).
    ///
    /// # Errors
    /// When that has not ended, or the file cannot be read.
    pub fn gone(&self, shard: u32) -> Result<Vec<Gone>, DedupError> {
        let report: Report = self.store.read_json(REPORT)?;
        let name = gone_name(shard);
        let n_gone = report.gone_by_shard.get(shard as usize).copied().unwrap_or_default();
        let mut reader = self.store.open::<2>(&Run::whole(name.clone(), n_gone), BUFFER)?;
        let mut all = Vec::new();
        while let Some([gone, kept]) = reader.next()? {
            let Some(&reason) = REASONS.get((gone >> 32) as usize) else {
                return Err(damaged(&name, format!("no reason has the number {}", gone >> 32)));
            };
            all.push(Gone { idx: gone as u32, reason, kept: ((kept >> 32) as u32, kept as u32) });
        }
        Ok(all)
    }
}

fn gone_name(shard: u32) -> String {
    format!("gone/{shard:05}.gone")
}

/// Trees of documents taken for the same, the root the first of them: so it depends on no order.
struct Forest {
    parents: Vec<u32>,
    bonds: Vec<u8>,
}

impl Forest {
    const ALONE: u8 = 3;

    fn new(n_documents: u32) -> Self {
        let bonds = vec![Self::ALONE; n_documents as usize];
        Self { parents: (0..n_documents).collect(), bonds }
    }

    /// The root, with every other step of the way to it taken out.
    fn root(&mut self, mut number: u32) -> u32 {
        loop {
            let parent = self.parents[number as usize];
            if parent == number {
                return number;
            }
            let above = self.parents[parent as usize];
            self.parents[number as usize] = above;
            number = above;
        }
    }

    fn join(&mut self, a: u32, b: u32, bond: u8) {
        for document in [a, b] {
            let strongest = &mut self.bonds[document as usize];
            *strongest = bond.min(*strongest);
        }
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b) as usize] = a.min(b);
    }
}
