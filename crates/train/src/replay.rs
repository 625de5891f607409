//! The batch of a refused step, to be looked at.

use std::path::PathBuf;

use checkpoint::{CheckpointError, RunDir};
use serde_json::{Value, json};
use tasks::{Example, Row};

use crate::error::StepError;

/// Writes `replay-step-N.json` into the run directory.
pub(crate) fn write(
    run: &RunDir,
    step: u64,
    error: &StepError,
    examples: &[Example],
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
        "examples": examples.iter().map(shown).collect::<Vec<_>>(),
    });
    let name = format!("replay-step-{step}.json");
    run.write_file(&name, format!("{json}\n").as_bytes())?;
    Ok(run.path().join(name))
}

fn shown(example: &Example) -> Value {
    let row = |row: &Row| {
        json!({
            "ids": row.ids,
            "types": row.types,
            "segments": row.segments,
            "positions": row.positions,
        })
    };
    json!({
        "sample_id": example.sample_id,
        "input": row(&example.input),
        "output": example.output.as_ref().map(row),
        "targets": example.targets,
        "label": format!("{:?}", example.label),
        "prefix": example.prefix,
    })
}
