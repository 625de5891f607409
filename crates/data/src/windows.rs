//! Batches of token ids, in an order that is a function of seed and epoch.
//!
//! A window is a row of a batch: `T` inputs and, one token later, `T` targets. In `Stream` mode
//! windows are cut from the token stream (`stream`), in `Documents` mode whole documents are
//! packed into rows (`packing`). Where a stream of windows stands is a [`Cursor`]; going on from
//! one is arithmetic, and micro-batches are slices of the same order.
//!
//! A document is predicted from the end-of-text id on: the id stands before its first token as
//! input, and after its last one as target. So the first token is a target too, and a model can
//! begin from end-of-text alone; a tokenizer without that id leaves it (of the stream, or of each
//! document) without a prediction. Every other token is a target once an epoch, but for the end of
//! a stream that fills no window: it is judged by, and not trained on.

mod batch;
mod mixture;
mod packing;
mod stream;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::permutation::Permutation;
use crate::{DataError, Store};
pub use batch::{Batch, IGNORED};
pub use mixture::{Ingredient, Mixture, Shares};
use packing::Plan;
use stream::Stream;

/// The epoch's place in a sample id: below it, 2^40 windows an epoch.
const EPOCH_SHIFT: u32 = 40;
/// The store's: below it, 2^16 epochs.
const PLACE_SHIFT: u32 = 56;

/// How windows are cut from documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Contiguous pieces of the stream; documents run on, an end-of-text id between them.
    #[default]
    Stream,
    /// Rows of whole documents, each seeing itself alone; those longer than a row are split.
    Documents,
}

/// What a batch is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BatchConfig {
    /// Windows a batch, B.
    pub batch: usize,
    /// Tokens a window, T.
    pub seq_len: usize,
    /// Of these, how many are left free for tokens around a text: in a stream around each window,
    /// among documents around each of them.
    pub around: usize,
    /// Decides the order, together with the epoch.
    pub seed: u64,
    /// How windows are cut.
    pub mode: Mode,
}

impl BatchConfig {
    /// Tokens of text a window.
    fn text_len(&self) -> Result<usize, DataError> {
        let len = self.seq_len.checked_sub(self.around).filter(|&len| len > 0);
        len.ok_or_else(|| {
            let (value, problem) = (self.seq_len.to_string(), "no room for text is left");
            DataError::Config { field: "seq_len", value, problem }
        })
    }
}

/// Where a stream of windows stands. Saved in a checkpoint; to resume is to start from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// Epochs done.
    pub epoch: u64,
    /// Windows of this epoch done.
    pub window: u64,
}

/// The windows of one epoch.
#[derive(Debug)]
enum Windows {
    Stream(Stream),
    Packed(Plan),
}

impl Windows {
    fn n_windows(&self) -> u64 {
        match self {
            Self::Stream(stream) => stream.n_windows,
            Self::Packed(plan) => plan.n_rows(),
        }
    }

    /// Appends window `i`, in the order of the store.
    fn append(
        &self,
        store: &Store,
        i: u64,
        sample_id: u64,
        batch: &mut Batch,
    ) -> Result<(), DataError> {
        let start = batch.inputs.len();
        match self {
            Self::Stream(stream) => stream.append(store, i, batch)?,
            Self::Packed(plan) => plan.append(store, i, batch)?,
        }
        batch.finish_row(start, store.end_of_text().unwrap_or(0), sample_id);
        Ok(())
    }
}

/// Where every store of a mixture stands, in their order; nothing is the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursors(pub Vec<Cursor>);

impl From<Cursor> for Cursors {
    fn from(cursor: Cursor) -> Self {
        Self(vec![cursor])
    }
}

/// The shuffled windows of one store, epoch after epoch.
#[derive(Debug)]
struct Reader {
    store: Arc<Store>,
    config: BatchConfig,
    windows: Windows,
    order: Permutation,
    cursor: Cursor,
    /// Windows that may be read in all.
    most: u64,
    /// Its place in a mixture.
    place: u64,
}

impl Reader {
    fn new(
        ingredient: &Ingredient,
        config: BatchConfig,
        (place, cursor): (u64, Cursor),
    ) -> Result<Self, DataError> {
        let store = Arc::clone(&ingredient.store);
        check(&store, config.batch, config.seq_len)?;
        // Another order for each store, and that of the seed for the first.
        let config = BatchConfig { seed: config.seed.wrapping_add(place << 32), ..config };
        let windows = match config.mode {
            Mode::Stream => Windows::Stream(Stream::whole(&store, config.text_len()?)?),
            Mode::Documents => packed(&store, &config, cursor.epoch)?,
        };
        let n_windows = windows.n_windows();
        if cursor.window >= n_windows {
            return Err(DataError::Cursor { window: cursor.window, n_windows });
        }
        let order = Permutation::new(n_windows, config.seed, cursor.epoch);
        let most = ingredient.max_epochs.map_or(u64::MAX, |n| (n * n_windows as f64) as u64);
        Ok(Self { store, config, windows, order, cursor, most, place })
    }

    /// Windows read so far.
    fn n_read(&self) -> u64 {
        self.cursor
            .epoch
            .saturating_mul(self.windows.n_windows())
            .saturating_add(self.cursor.window)
    }

    fn append_next(&mut self, batch: &mut Batch) -> Result<(), DataError> {
        let Cursor { epoch, window } = self.cursor;
        let sample_id = self.place << PLACE_SHIFT | epoch << EPOCH_SHIFT | window;
        self.windows.append(&self.store, self.order.at(window), sample_id, batch)?;
        self.cursor.window += 1;
        let n_windows = self.windows.n_windows();
        if self.cursor.window == n_windows {
            self.cursor = Cursor { epoch: epoch + 1, window: 0 };
            if self.config.mode == Mode::Documents {
                self.windows = packed(&self.store, &self.config, self.cursor.epoch)?;
            }
            self.order = Permutation::new(n_windows, self.config.seed, self.cursor.epoch);
        }
        Ok(())
    }
}

/// Shuffled batches without end, of one store or several: epochs follow one another, also inside a
/// batch.
#[derive(Debug)]
pub struct Batches {
    readers: Vec<Reader>,
    mixture: Mixture,
    config: BatchConfig,
}

impl Batches {
    /// Batches from `cursors` on: those that a stream from the beginning would give from there.
    ///
    /// # Errors
    /// When a store has too few tokens for a window, a size is 0, a share is none, or a cursor is
    /// not inside an epoch.
    pub fn new(
        mixture: impl Into<Mixture>,
        config: BatchConfig,
        cursors: impl Into<Cursors>,
    ) -> Result<Self, DataError> {
        let (mixture, Cursors(mut cursors)) = (mixture.into(), cursors.into());
        mixture.check()?;
        let n = mixture.ingredients.len();
        if cursors.is_empty() {
            cursors.resize(n, Cursor::default());
        }
        if cursors.len() != n {
            return Err(DataError::Cursors { found: cursors.len(), expected: n });
        }
        let readers = mixture.ingredients.iter().zip((0..).zip(cursors));
        let readers = readers.map(|(ingredient, place)| Reader::new(ingredient, config, place));
        Ok(Self { readers: readers.collect::<Result<_, _>>()?, mixture, config })
    }

    /// The next `batch` windows.
    ///
    /// # Errors
    /// When a store turns out to be damaged, or all that is wanted was read as often as it may be.
    pub fn next_batch(&mut self) -> Result<Batch, DataError> {
        let BatchConfig { batch: n_rows, seq_len, mode, seed, .. } = self.config;
        let mut batch = Batch::with_capacity(&self.readers[0].store, n_rows, seq_len, mode);
        for _ in 0..n_rows {
            let n: u64 = self.readers.iter().map(Reader::n_read).sum();
            let is_left = |i: usize| self.readers[i].n_read() < self.readers[i].most;
            let chosen = self.mixture.choose((n, n / n_rows as u64), seed, is_left);
            let chosen = chosen.ok_or(DataError::UsedUp { n_windows: n })?;
            self.readers[chosen].append_next(&mut batch)?;
        }
        Ok(batch)
    }

    /// Where the next batch begins.
    pub fn cursors(&self) -> Cursors {
        Cursors(self.readers.iter().map(|reader| reader.cursor).collect())
    }

    /// Windows an epoch of each store; the same in every epoch.
    pub fn n_windows(&self) -> Vec<u64> {
        self.readers.iter().map(|reader| reader.windows.n_windows()).collect()
    }

    /// After how many windows all that a step wants is used up, if that is before `n_steps` steps
    /// are over; each store is taken to be drawn exactly as often as its share says.
    pub fn last_until(&self, n_steps: u64) -> Option<u64> {
        let left = self.readers.iter().map(|reader| match reader.most {
            u64::MAX => f64::INFINITY,
            most => most as f64,
        });
        self.mixture.last_until(left.collect(), (n_steps, self.config.batch))
    }

    /// Windows that were read of each store.
    pub fn n_read(&self) -> Vec<u64> {
        self.readers.iter().map(Reader::n_read).collect()
    }
}

/// Every token once, in the order of the store; the last window of a stream may be partly padding.
#[derive(Debug)]
pub struct EvalBatches {
    store: Arc<Store>,
    config: BatchConfig,
    windows: Windows,
    next: u64,
}

impl EvalBatches {
    /// Batches of at most `config.batch` windows; no seed decides anything.
    ///
    /// # Errors
    /// When the store has nothing to predict, or a size is 0.
    pub fn new(store: Arc<Store>, config: BatchConfig) -> Result<Self, DataError> {
        check(&store, config.batch, config.seq_len)?;
        let windows = match config.mode {
            Mode::Stream => Windows::Stream(Stream::padded(&store, config.text_len()?)),
            Mode::Documents => Windows::Packed(Plan::in_order(&store, &config)?),
        };
        Ok(Self { store, config, windows, next: 0 })
    }

    /// Windows there are.
    pub fn n_windows(&self) -> u64 {
        self.windows.n_windows()
    }
}

impl Iterator for EvalBatches {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let end = self.n_windows().min(self.next + self.config.batch as u64);
        if self.next == end {
            return None;
        }
        let n_rows = (end - self.next) as usize;
        let mut batch =
            Batch::with_capacity(&self.store, n_rows, self.config.seq_len, self.config.mode);
        let mut rows = self.next..end;
        let filled = rows.try_for_each(|i| self.windows.append(&self.store, i, i, &mut batch));
        // An evaluation that found damage is over.
        self.next = if filled.is_ok() { end } else { self.n_windows() };
        Some(filled.map(|()| batch))
    }
}

fn packed(store: &Store, config: &BatchConfig, epoch: u64) -> Result<Windows, DataError> {
    Plan::best_fit(store, config, epoch).map(Windows::Packed)
}

fn check(store: &Store, batch: usize, seq_len: usize) -> Result<(), DataError> {
    for (field, value) in [("batch", batch), ("seq_len", seq_len)] {
        if value == 0 || value > 1 << 30 {
            let (value, problem) = (value.to_string(), "it must be 1 to 2^30");
            return Err(DataError::Config { field, value, problem });
        }
    }
    if store.n_tokens() < 2 {
        return Err(DataError::TooFewTokens { n_tokens: store.n_tokens(), seq_len, needed: 2 });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
