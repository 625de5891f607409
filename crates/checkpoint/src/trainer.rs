//! What only the trainer needs of a checkpoint, in `trainer/`: optimizer tensors and its state.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::weights::{self, Entry, Weights};
use crate::{CheckpointError, StagedDir, atomic};

const OPTIMIZER: &str = "trainer/optimizer";
const STATE: &str = "trainer/state.json";

/// Adds the optimizer's tensors and the trainer's state to a checkpoint being written.
///
/// Every finite number comes back with the same bits; JSON has no others.
///
/// # Errors
/// [`CheckpointError::Write`].
///
/// # Panics
/// When the state cannot be JSON (a map whose keys are no strings).
pub fn save(
    staged: &mut StagedDir,
    tensors: &[Entry],
    state: &impl Serialize,
) -> Result<(), CheckpointError> {
    weights::save(staged, OPTIMIZER, tensors, u64::MAX)?;
    let mut json = serde_json::to_string_pretty(state).expect("a state that can be JSON");
    json.push('\n');
    staged.write(STATE, json.as_bytes())
}

/// Reads back what [`save`] wrote, from a checkpoint's directory.
///
/// # Errors
/// A file is missing or false, or the state is not of type `S`.
pub fn load<S: DeserializeOwned>(dir: &Path) -> Result<(Weights, S), CheckpointError> {
    let tensors = Weights::open(&dir.join(OPTIMIZER).with_extension("safetensors"))?;
    Ok((tensors, atomic::read_json(&dir.join(STATE))?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;
    use crate::{Origin, OsDisk, Values};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct State {
        step: u64,
        loss: f64,
        scale: f32,
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn state_comes_back_with_the_same_bits(
            step: u64,
            loss in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO,
            scale in prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL,
        ) {
            let temp = tempfile::tempdir().unwrap();
            let dir = temp.path().join("step-1");
            let mut staged = StagedDir::begin(&OsDisk, &dir).unwrap();
            let moments = [Entry::new("m", &[1], Values::F32(&[0.5]))];
            save(&mut staged, &moments, &State { step, loss, scale }).unwrap();
            staged.commit(Origin::default()).unwrap();
            let (tensors, found) = load::<State>(&dir).unwrap();
            prop_assert_eq!(tensors.to_f32("m").unwrap(), [0.5]);
            prop_assert_eq!(found.loss.to_bits(), loss.to_bits());
            prop_assert_eq!(found, State { step, loss, scale });
        }
    }

    #[test]
    fn a_state_of_another_shape_is_an_error() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("step-1");
        let mut staged = StagedDir::begin(&OsDisk, &dir).unwrap();
        save(&mut staged, &[], &"not a state").unwrap();
        staged.commit(Origin::default()).unwrap();
        let error = load::<State>(&dir).err().unwrap();
        assert!(matches!(error, CheckpointError::Json { .. }), "{error}");
    }
}
