//! What went, and why; what was done.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How many offsets of a reason are kept.
const FIRST: usize = 5;

/// How often something was left out for each reason, and where that first was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally(BTreeMap<String, Count>);

/// How often, and where first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// How often.
    pub n: u64,
    /// The first few offsets, in bytes of the file.
    pub first: Vec<u64>,
}

impl Tally {
    /// Counts one.
    pub fn add(&mut self, reason: &str, offset: u64) {
        if !self.0.contains_key(reason) {
            self.0.insert(reason.to_owned(), Count::default());
        }
        let Some(count) = self.0.get_mut(reason) else { return };
        count.n += 1;
        if count.first.len() < FIRST {
            count.first.push(offset);
        }
    }

    /// Adds what another counted after this one.
    pub fn merge(&mut self, other: &Self) {
        for (reason, count) in &other.0 {
            let mine = self.0.entry(reason.clone()).or_default();
            mine.n += count.n;
            let room = FIRST - mine.first.len().min(FIRST);
            mine.first.extend(count.first.iter().take(room));
        }
    }

    /// How often for one reason.
    pub fn n(&self, reason: &str) -> u64 {
        self.0.get(reason).map_or(0, |count| count.n)
    }

    /// How often for any.
    pub fn total(&self) -> u64 {
        self.0.values().map(|count| count.n).sum()
    }

    /// Every reason, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Count)> {
        self.0.iter().map(|(reason, count)| (reason.as_str(), count))
    }
}

/// How often each thing was done or found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Notes(BTreeMap<String, u64>);

impl Notes {
    /// Counts `n` more of it.
    pub fn add(&mut self, name: &str, n: u64) {
        if let Some(mine) = self.0.get_mut(name) {
            *mine += n;
        } else if n > 0 {
            self.0.insert(name.to_owned(), n);
        }
    }

    /// Counts what another counted.
    pub fn merge(&mut self, other: &Self) {
        other.iter().for_each(|(name, n)| self.add(name, n));
    }

    /// How often one was.
    pub fn n(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, n)| (name.as_str(), *n))
    }
}
