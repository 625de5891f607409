//! How good a model is on text it was not trained on.

use std::collections::BTreeMap;
use std::sync::Arc;

use data::{BatchConfig, DataError, EvalBatches, Store};
use models::Model;
use tasks::{Losses, MicroBatch, TextObjective, bits_per_byte};
use tensor::{Device, Precision, Tape};

/// What an evaluation found.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Over every window of the store.
    pub losses: Losses,
    /// Bits for each byte of the text, where every token of it is a target.
    pub bits_per_byte: Option<f64>,
    /// Bytes of the text.
    pub n_bytes: u64,
    /// By source, where there are several.
    pub sources: BTreeMap<String, Losses>,
    /// What a task is judged by beside its loss, by name, none where it is not defined; the best is
    /// so by the first.
    pub metrics: Vec<(String, Option<f64>)>,
    /// Whether the best has least of that.
    pub is_better_small: bool,
}

impl Evaluation {
    /// Of losses alone.
    pub fn of(losses: Losses) -> Self {
        let (sources, metrics) = (BTreeMap::new(), Vec::new());
        let (bits_per_byte, n_bytes, is_better_small) = (None, 0, false);
        Self { losses, bits_per_byte, n_bytes, sources, metrics, is_better_small }
    }

    /// The same, of a source with a name.
    pub(crate) fn of_source(mut self, name: &str) -> Self {
        if !name.is_empty() {
            self.sources.insert(name.to_owned(), self.losses.clone());
        }
        self
    }

    /// Both together.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.losses += other.losses;
        self.n_bytes += other.n_bytes;
        self.sources.extend(other.sources);
        let both = self.bits_per_byte.and(other.bits_per_byte);
        self.bits_per_byte = both.and_then(|_| bits_per_byte(self.losses.first(), self.n_bytes));
        self
    }
}

/// What an evaluation draws by: every one the same.
const SEED: u64 = 0;

/// The losses over `store`, in windows as `batches` has them, in order.
///
/// # Errors
/// Where the store cannot be read.
pub fn evaluate(
    (model, device, precision): (&Model, &Device, Precision),
    objective: &dyn TextObjective,
    store: &Arc<Store>,
    batches: BatchConfig,
) -> Result<Evaluation, DataError> {
    let mut losses = Losses::default();
    for rows in EvalBatches::new(Arc::clone(store), batches)? {
        let examples = objective.examples(&rows?, SEED);
        let micro = MicroBatch::new(&examples, 0..examples.len(), None);
        let tape = Tape::new(device, &model.params, precision);
        losses += objective.loss(&tape, model, &micro);
    }
    let counts_text = objective.counts_text();
    let n_bytes = store.n_text_bytes();
    let bits = bits_per_byte(losses.first(), n_bytes).filter(|_| counts_text);
    Ok(Evaluation { bits_per_byte: bits, n_bytes, ..Evaluation::of(losses) })
}
