//! The index of a sharded model: which file of the same directory holds which tensor.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::CheckpointError;

/// Its name in a model directory.
pub(super) const FILE_NAME: &str = "model.safetensors.index.json";
const MAX_BYTES: u64 = 100_000_000;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Index {
    #[serde(default)]
    pub metadata: Metadata,
    /// Tensor name to file name.
    pub weight_map: BTreeMap<String, String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Metadata {
    /// Bytes of all tensors; others write it too, nobody needs it.
    #[serde(default, skip_deserializing)]
    pub total_size: u64,
}

impl Index {
    /// Reads an index; every file it names is a plain name.
    pub(super) fn load(path: &Path) -> Result<Self, CheckpointError> {
        let problem = |problem| CheckpointError::Index { path: path.to_owned(), problem };
        let n_bytes = fs::metadata(path).map_err(CheckpointError::read(path))?.len();
        if n_bytes > MAX_BYTES {
            return Err(problem(format!("{n_bytes} bytes, at most {MAX_BYTES} allowed")));
        }
        let json = fs::read(path).map_err(CheckpointError::read(path))?;
        let index: Self =
            serde_json::from_slice(&json).map_err(|error| problem(error.to_string()))?;
        for (tensor, file) in &index.weight_map {
            if !is_file_name(file) {
                let text = format!("tensor `{tensor}` is in `{file}`, outside the directory");
                return Err(problem(text));
            }
        }
        Ok(index)
    }
}

/// Whether a name means a file of the same directory, on every system.
fn is_file_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\\', ':', '\0'])
}
