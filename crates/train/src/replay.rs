//! The batch of a refused step, to be looked at.

use std::path::PathBuf;

use checkpoint::{CheckpointError, RunDir};
use data::Batch;
use serde_json::json;

use crate::error::StepError;

/// Writes `replay-step-N.json` into the run directory.
pub(crate) fn write(
    run: &RunDir,
    step: u64,
    error: &StepError,
    batch: &Batch,
) -> Result<PathBuf, CheckpointError> {
    let found = match error {
        StepError::NotFinite { at, sample_ids, .. } => json!({
            "op": at.as_ref().map(|at| at.op),
            "module": at.as_ref().map(|at| &at.path),
            "in_backward": at.as_ref().map(|at| at.backward),
            "samples": sample_ids,
        }),
        _ => json!(null),
    };
    let json = json!({
        "step": step,
        "problem": error.to_string(),
        "found": found,
        "seq_len": batch.seq_len,
        "sample_ids": batch.sample_ids,
        "inputs": batch.inputs,
        "targets": batch.targets,
        "segments": batch.segments,
        "positions": batch.positions,
    });
    let name = format!("replay-step-{step}.json");
    run.write_file(&name, format!("{json}\n").as_bytes())?;
    Ok(run.path().join(name))
}
