//! How good a model is on text it was not trained on.

use std::sync::Arc;

use data::{DataError, EvalBatches, Mode, Store};
use models::Model;
use tasks::{MicroBatch, Objective, bits_per_byte};
use tensor::{Device, Loss, Precision, Tape};

/// What an evaluation found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// Over every token of the store.
    pub loss: Loss,
    /// Bits for each byte of the text.
    pub bits_per_byte: Option<f64>,
}

/// The loss over every token of `store`, in windows of `seq_len`.
///
/// # Errors
/// Where the store cannot be read.
pub fn evaluate(
    (model, device, precision): (&Model, &Device, Precision),
    objective: &dyn Objective,
    store: &Arc<Store>,
    [batch, seq_len]: [usize; 2],
    mode: Mode,
) -> Result<Evaluation, DataError> {
    let mut loss = Loss::default();
    for rows in EvalBatches::new(Arc::clone(store), batch, seq_len, mode)? {
        let rows = rows?;
        let micro = MicroBatch::new(&rows, rows.seq_len, 0..rows.n_rows(), None);
        let tape = Tape::new(device, &model.params, precision);
        loss += objective.loss(&tape, model.stack(), &micro);
    }
    Ok(Evaluation { loss, bits_per_byte: bits_per_byte(loss, store.n_text_bytes()) })
}
