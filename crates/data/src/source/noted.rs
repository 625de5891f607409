//! What is counted while documents are read.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard};

/// What is to be said of documents, beside what is in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// Records without text.
    pub empty: Places,
    /// Documents that the rules of their format leave out, by why.
    pub left_out: BTreeMap<&'static str, Places>,
    /// What was done to documents that are there, or to what was said of them.
    pub done: BTreeMap<&'static str, Places>,
}

/// How often something was, and where first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// How often.
    pub n: u64,
    /// Where the first of them are, in words.
    pub first: Vec<String>,
}

/// Counters that a reader shares with who asks for them.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Bytes of files, as they lie on the disk.
    pub n_read: Arc<AtomicU64>,
    noted: Mutex<Noted>,
}

impl Tally {
    pub fn note(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().expect("nobody panics with it")
    }
}

impl Noted {
    /// Documents that are left out, for whatever reason.
    pub fn n_left_out(&self) -> u64 {
        self.left_out.values().map(|places| places.n).sum()
    }

    pub(super) fn left_out(&mut self, why: &'static str, place: impl FnOnce() -> String) {
        self.left_out.entry(why).or_default().add(1, place);
    }

    pub(super) fn done(&mut self, what: &'static str, n: u64, place: impl FnOnce() -> String) {
        if n > 0 {
            self.done.entry(what).or_default().add(n, place);
        }
    }
}

impl Places {
    /// How many are named.
    const MAX: usize = 5;

    /// Counts `n` more at a place, which is named if it is among the first.
    pub fn add(&mut self, n: u64, place: impl FnOnce() -> String) {
        self.n += n;
        if self.first.len() < Self::MAX {
            self.first.push(place());
        }
    }
}
