//! Where the examples of a run come from.

use data::Cursors;
use tasks::Example;

use crate::error::TrainError;
use crate::evaluate::Evaluation;
use crate::state::DataHashes;
use crate::trainer::Trainer;

/// Examples, step by step, and what the model is judged by.
pub trait Feed {
    /// Goes to where `cursors` stand; nothing is the beginning. Comes before everything else.
    ///
    /// # Errors
    /// Where there is no such place, or too little for a step.
    fn seek(&mut self, cursors: &Cursors) -> Result<(), TrainError>;

    /// The examples of the next step, which may be what the model of `trainer` makes of them.
    ///
    /// # Errors
    /// Where they cannot be read or made, or are used up.
    fn next(&mut self, trainer: &Trainer) -> Result<Vec<Example>, TrainError>;

    /// What is to be told of these beside their loss, and one of them to be read.
    fn told(&self) -> (Vec<(&str, f64)>, Option<String>) {
        (Vec::new(), None)
    }

    /// Where it stands.
    fn cursors(&self) -> Cursors;

    /// Of each source its name, what was read of it, and how much an epoch of it has.
    fn read(&self) -> Vec<(&str, u64, u64)>;

    /// Hashes of all that it gives, by name.
    fn hashes(&self) -> DataHashes;

    /// How good the model of `trainer` is; none where there is nothing to judge by.
    ///
    /// # Errors
    /// Where that cannot be read.
    fn judge(&self, trainer: &Trainer) -> Result<Option<Evaluation>, TrainError>;
}
