//! Documents packed into rows.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{Batch, BatchConfig};
use crate::permutation::Permutation;
use crate::{DataError, Store};

/// A document, or a piece of one longer than a row.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Its first target.
    first: u64,
    len: u32,
    /// It begins its document, so end-of-text stands before it.
    begins: bool,
}

/// Which pieces are in which row.
///
/// Best-fit decreasing: the longest piece first, each into the fullest row that still has room.
/// Ding et al., "Fewer Truncations Improve Language Modeling", arXiv:2404.10830. Among pieces of
/// one length, seed and epoch decide. How full rows are depends on the lengths
/// alone, so every epoch has the same number of rows.
#[derive(Debug)]
pub(super) struct Plan {
    pieces: Vec<Piece>,
    /// Row `r` is `pieces[ends[r - 1]..ends[r]]`.
    ends: Vec<usize>,
}

impl Plan {
    /// Rows of about as few tokens of padding as can be, for training.
    pub fn best_fit(store: &Store, config: &BatchConfig, epoch: u64) -> Result<Self, DataError> {
        let (seq_len, around) = (config.seq_len, config.around as u32);
        let pieces = pieces(store, config.text_len()?)?;
        let shuffle = Permutation::new(pieces.len() as u64, config.seed, epoch);
        let mut order: Vec<usize> =
            (0..pieces.len() as u64).map(|i| shuffle.at(i) as usize).collect();
        order.sort_by_key(|&i| Reverse(pieces[i].len));
        let mut n_rows = 0;
        // Rows by the room that is left in them.
        let mut room: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        let mut placed = Vec::with_capacity(pieces.len());
        for i in order {
            let piece = pieces[i];
            let len = piece.len + around;
            let fitting = room.range(len..).next().map(|(&left, _)| left);
            let (left, row) = if let Some(left) = fitting {
                (left, take(&mut room, left))
            } else {
                n_rows += 1;
                (seq_len as u32, n_rows - 1)
            };
            if left > len {
                room.entry(left - len).or_default().push(row);
            }
            placed.push((row, piece));
        }
        placed.sort_by_key(|&(row, _)| row);
        Ok(Self::from_rows(placed, n_rows))
    }

    /// Rows in the order of the store, for evaluation.
    pub fn in_order(store: &Store, config: &BatchConfig) -> Result<Self, DataError> {
        let (mut n_rows, mut left) = (0, 0);
        let mut placed = Vec::new();
        for piece in pieces(store, config.text_len()?)? {
            let len = piece.len + config.around as u32;
            if len > left {
                (n_rows, left) = (n_rows + 1, config.seq_len as u32);
            }
            left -= len;
            placed.push((n_rows - 1, piece));
        }
        Ok(Self::from_rows(placed, n_rows))
    }

    fn from_rows(placed: Vec<(usize, Piece)>, n_rows: usize) -> Self {
        let mut ends = vec![0; n_rows];
        for (end, (row, _)) in (1..).zip(&placed) {
            ends[*row] = end;
        }
        Self { pieces: placed.into_iter().map(|(_, piece)| piece).collect(), ends }
    }

    pub fn n_rows(&self) -> u64 {
        self.ends.len() as u64
    }

    /// Appends row `i`, without its padding.
    pub fn append(&self, store: &Store, i: u64, batch: &mut Batch) -> Result<(), DataError> {
        let i = i as usize;
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        for (segment, piece) in (1..).zip(&self.pieces[start..self.ends[i]]) {
            batch.extend(store, piece.first, piece.len as usize, !piece.begins)?;
            if let Some(segments) = &mut batch.segments {
                segments.resize(batch.inputs.len(), segment);
            }
            batch.positions.iter_mut().for_each(|positions| positions.extend(0..piece.len));
        }
        Ok(())
    }
}

/// A row that has exactly `left` tokens of room; the one that was there last.
fn take(room: &mut BTreeMap<u32, Vec<usize>>, left: u32) -> usize {
    let rows = room.get_mut(&left).expect("a row was found there");
    let row = rows.pop().expect("empty lists are removed");
    if rows.is_empty() {
        room.remove(&left);
    }
    row
}

/// All documents, those longer than a row in pieces.
fn pieces(store: &Store, seq_len: usize) -> Result<Vec<Piece>, DataError> {
    let mut pieces = Vec::new();
    let has_end = store.end_of_text().is_some();
    for i in 0..store.n_documents() {
        let document = store.document(i)?;
        let mut first = document.start + u64::from(!has_end);
        while first < document.end {
            let len = (document.end - first).min(seq_len as u64) as u32;
            pieces.push(Piece { first, len, begins: has_end && first == document.start });
            first += u64::from(len);
        }
    }
    if pieces.is_empty() {
        let n_tokens = store.n_tokens();
        return Err(DataError::TooFewTokens { n_tokens, seq_len, needed: n_tokens + 1 });
    }
    Ok(pieces)
}
