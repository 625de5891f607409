//! Which pairs of tokens merge, and the merging of one word.
//!
//! Sennrich, Haddow, Birch, "Neural Machine Translation of Rare Words with Subword Units",
//! arXiv:1508.07909, algorithm 1: of all pairs that are neighbours the one that was learned first
//! merges, the leftmost where it is there twice, until no pair is one that was learned.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// No token.
const NONE: u32 = u32::MAX;

/// Words up to this length are searched for their next merge from end to end; in longer ones a
/// heap knows it.
const SHORT: usize = 64;

/// Ranks compared at once.
const LANES: usize = 8;

/// The longest word whose room is kept for the next.
const KEPT: usize = 1 << 16;

/// The merge of a pair: when it was learned, and the token that it gives.
#[derive(Clone, Copy, Debug)]
struct Merge {
    /// Signed, because that is what every x86-64 compares by the register.
    rank: i32,
    id: u32,
}

const NO_MERGE: Merge = Merge { rank: i32::MAX, id: NONE };

impl Merge {
    fn is_none(self) -> bool {
        self.id == NONE
    }
}

/// A slot of the table by pair; an empty one has no merge.
#[derive(Clone, Copy, Debug)]
struct Slot {
    left: u32,
    right: u32,
    merge: Merge,
}

/// The tokens of bytes, and all merges.
#[derive(Debug)]
pub(super) struct Merges {
    bytes: [u32; 256],
    /// Bytes that are no token are left out of a word.
    lacks_bytes: bool,
    /// By two bytes, with which every word begins.
    of_bytes: Box<[Merge]>,
    /// At most half full; a pair lies at its hash or in the next free slots.
    slots: Box<[Slot]>,
    shift: u32,
}

/// What the merging of a word needs, kept from word to word.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    known: Vec<u8>,
    short: Short,
    long: Long,
}

/// A list of tokens by the place of their first byte; a place that a token to its left took over
/// has no merge.
#[derive(Debug)]
struct Short {
    ids: [u32; SHORT],
    /// Of the pair that begins here: its rank, and its token.
    ranks: [i32; SHORT],
    merged: [u32; SHORT],
    next: [u8; SHORT],
    previous: [u8; SHORT],
}

/// The same for any length, with what merges next on top of a heap.
#[derive(Debug, Default)]
struct Long {
    ids: Vec<u32>,
    merges: Vec<Merge>,
    next: Vec<u32>,
    previous: Vec<u32>,
    heap: BinaryHeap<Reverse<(i32, u32)>>,
}

impl Merges {
    /// Of the token of each byte, and pairs in the order in which they were learned with what
    /// they give.
    pub(super) fn new(bytes: &[Option<u32>; 256], pairs: &[((u32, u32), u32)]) -> Self {
        let n_slots = (pairs.len() * 2).next_power_of_two().max(2);
        let empty = Slot { left: 0, right: 0, merge: NO_MERGE };
        let mut table = Self {
            bytes: bytes.map(|id| id.unwrap_or(NONE)),
            lacks_bytes: bytes.contains(&None),
            of_bytes: Box::default(),
            slots: vec![empty; n_slots].into_boxed_slice(),
            shift: u64::BITS - n_slots.ilog2(),
        };
        for (&((left, right), id), rank) in pairs.iter().zip(0..) {
            let slot = table.slot(left, right);
            table.slots[slot] = Slot { left, right, merge: Merge { rank, id } };
        }
        let ids = table.bytes;
        table.of_bytes = ids.iter().flat_map(|&a| ids.map(|b| table.find(a, b))).collect();
        table
    }

    /// Where a pair is, or would be.
    #[inline]
    fn slot(&self, left: u32, right: u32) -> usize {
        let key = u64::from(left) << 32 | u64::from(right);
        let mut slot = (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> self.shift) as usize;
        loop {
            let found = &self.slots[slot];
            if (found.left == left && found.right == right) || found.merge.is_none() {
                return slot;
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    #[inline]
    fn find(&self, left: u32, right: u32) -> Merge {
        self.slots[self.slot(left, right)].merge
    }

    /// The tokens of a word's bytes.
    fn ids(&self, word: &[u8]) -> impl Iterator<Item = u32> {
        word.iter().map(|&byte| self.bytes[usize::from(byte)])
    }

    /// The merges of a word's bytes with the next.
    fn merges(&self, word: &[u8]) -> impl Iterator<Item = Merge> {
        let of = |pair: &[u8]| usize::from(pair[0]) << 8 | usize::from(pair[1]);
        word.windows(2).map(move |pair| self.of_bytes[of(pair)])
    }

    /// Appends the tokens of `word`.
    pub(super) fn apply(&self, word: &[u8], scratch: &mut Scratch, out: &mut Vec<u32>) {
        let Scratch { known, short, long } = scratch;
        let mut word = word;
        if self.lacks_bytes {
            known.clear();
            known.extend(word.iter().filter(|&&byte| self.bytes[usize::from(byte)] != NONE));
            word = known;
        }
        if word.len() <= SHORT {
            self.short(word, short, out);
        } else {
            self.long(word, long, out);
            if word.len() > KEPT {
                *scratch = Scratch::default();
            }
        }
    }

    fn short(&self, word: &[u8], list: &mut Short, out: &mut Vec<u32>) {
        let n = word.len();
        let Short { ids, ranks, merged, next, previous } = list;
        ids.iter_mut().zip(self.ids(word)).for_each(|(slot, id)| *slot = id);
        for (at, merge) in self.merges(word).enumerate() {
            (ranks[at], merged[at]) = (merge.rank, merge.id);
        }
        for at in 0..n {
            (next[at], previous[at]) = (at as u8 + 1, (at as u8).wrapping_sub(1));
        }
        let ranks = &mut ranks[..n.next_multiple_of(LANES)];
        ranks[n.saturating_sub(1)..].fill(i32::MAX);
        while let Some(at) = lowest(ranks) {
            let right = usize::from(next[at]);
            let after = usize::from(next[right]);
            ids[at] = merged[at];
            next[at] = next[right];
            ranks[right] = i32::MAX;
            ranks[at] = i32::MAX;
            if after < n {
                previous[after] = at as u8;
                let merge = self.find(ids[at], ids[after]);
                (ranks[at], merged[at]) = (merge.rank, merge.id);
            }
            if at > 0 {
                let before = usize::from(previous[at]);
                let merge = self.find(ids[before], ids[at]);
                (ranks[before], merged[before]) = (merge.rank, merge.id);
            }
        }
        let mut at = 0;
        while at < n {
            out.push(ids[at]);
            at = usize::from(next[at]);
        }
    }

    /// `n log n` for any word.
    fn long(&self, word: &[u8], list: &mut Long, out: &mut Vec<u32>) {
        let Long { ids, merges, next, previous, heap } = list;
        let n = word.len() as u32;
        ids.clear();
        ids.extend(self.ids(word));
        merges.clear();
        merges.extend(self.merges(word).chain([NO_MERGE]));
        next.clear();
        next.extend(1..=n);
        previous.clear();
        previous.extend((0..n).map(|at| at.wrapping_sub(1)));
        let known = merges.iter().zip(0..).filter(|(merge, _)| !merge.is_none());
        heap.extend(known.map(|(merge, at)| Reverse((merge.rank, at))));
        while let Some(Reverse((rank, at))) = heap.pop() {
            let left = at as usize;
            // Whether the pair is still there.
            if merges[left].rank != rank {
                continue;
            }
            let right = next[left] as usize;
            let (after, before) = (next[right], previous[left]);
            ids[left] = merges[left].id;
            next[left] = after;
            (merges[left], merges[right]) = (NO_MERGE, NO_MERGE);
            let mut pair = |first: u32, second: u32| {
                let merge = self.find(ids[first as usize], ids[second as usize]);
                merges[first as usize] = merge;
                if !merge.is_none() {
                    heap.push(Reverse((merge.rank, first)));
                }
            };
            if after < n {
                previous[after as usize] = at;
                pair(at, after);
            }
            if before < n {
                pair(before, at);
            }
        }
        let mut at = 0;
        while at < n {
            out.push(ids[at as usize]);
            at = next[at as usize];
        }
    }
}

/// Where the lowest rank is, the first of them; `None` where there is none.
#[inline]
fn lowest(ranks: &[i32]) -> Option<usize> {
    let mut low = [i32::MAX; LANES];
    for chunk in ranks.as_chunks::<LANES>().0 {
        low = std::array::from_fn(|lane| low[lane].min(chunk[lane]));
    }
    let low = low.into_iter().min().filter(|&rank| rank < i32::MAX)?;
    ranks.iter().position(|&rank| rank == low)
}

impl Default for Short {
    fn default() -> Self {
        Self {
            ids: [NONE; SHORT],
            ranks: [i32::MAX; SHORT],
            merged: [NONE; SHORT],
            next: [0; SHORT],
            previous: [0; SHORT],
        }
    }
}
