//! What a model is given at once.

use super::Mode;
use crate::{DataError, Store};

/// A target that does not count.
pub const IGNORED: u32 = u32::MAX;

/// Rows of tokens. Shapes: all vectors but `sample_ids` `[B, T]`, that one `[B]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Tokens a row, T.
    pub seq_len: usize,
    /// What the model reads; end-of-text, else 0, where a row is padded.
    pub inputs: Vec<u32>,
    /// What it is to say, [`IGNORED`] where it is not asked.
    pub targets: Vec<u32>,
    /// `Documents` mode: which document of its row a token is of, from 1; 0 is padding.
    pub segments: Option<Vec<u32>>,
    /// `Documents` mode: the place in its document (or in the piece of a split one).
    pub positions: Option<Vec<u32>>,
    /// What begins with each target, where the store says so: see [`crate::marks`].
    pub marks: Option<Vec<u8>>,
    /// `store << 56 | epoch << 40 | window`: unique in a run, whatever the batch size.
    pub sample_ids: Vec<u64>,
    /// Targets that count.
    pub n_targets: u64,
}

impl Batch {
    /// Rows, B; the last batch of an evaluation may have fewer than asked for.
    pub fn n_rows(&self) -> usize {
        self.sample_ids.len()
    }

    pub(super) fn with_capacity(store: &Store, n_rows: usize, seq_len: usize, mode: Mode) -> Self {
        let n_tokens = n_rows * seq_len;
        let packed = || (mode == Mode::Documents).then(|| Vec::with_capacity(n_tokens));
        Self {
            seq_len,
            inputs: Vec::with_capacity(n_tokens),
            targets: Vec::with_capacity(n_tokens),
            segments: packed(),
            positions: packed(),
            marks: store.has_marks().then(|| Vec::with_capacity(n_tokens)),
            sample_ids: Vec::with_capacity(n_rows),
            n_targets: 0,
        }
    }

    /// Ends a row that began when the batch had `start` tokens: the rest of it is padding.
    pub(super) fn finish_row(&mut self, start: usize, pad: u32, sample_id: u64) {
        let end = start + self.seq_len;
        self.n_targets += (self.inputs.len() - start) as u64;
        self.inputs.resize(end, pad);
        self.targets.resize(end, IGNORED);
        self.segments.iter_mut().for_each(|segments| segments.resize(end, 0));
        self.positions.iter_mut().for_each(|positions| positions.resize(end, 0));
        self.marks.iter_mut().for_each(|marks| marks.resize(end, 0));
        self.sample_ids.push(sample_id);
    }

    /// Appends the `len` tokens from `first` on as targets; as inputs those one token before, of
    /// which the first is end-of-text unless the document `goes_on`.
    pub(super) fn extend(
        &mut self,
        store: &Store,
        first: u64,
        len: usize,
        goes_on: bool,
    ) -> Result<(), DataError> {
        let mut before = [store.end_of_text().unwrap_or(0)];
        if goes_on {
            store.read(first - 1, &mut before)?;
        }
        let start = self.targets.len();
        self.targets.resize(start + len, 0);
        store.read(first, &mut self.targets[start..])?;
        if let Some(marks) = &mut self.marks {
            marks.resize(start + len, 0);
            store.read_marks(first, &mut marks[start..]);
        }
        self.inputs.extend(before);
        self.inputs.extend_from_slice(&self.targets[start..start + len - 1]);
        Ok(())
    }
}
