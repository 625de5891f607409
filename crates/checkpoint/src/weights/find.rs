//! Which file of a directory holds its weights, and what a file is by its first bytes.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::Unread;
use crate::{CheckpointError, atomic};

/// The name of a model's weights in its directory, where there is one file.
pub const FILE_NAME: &str = "model.safetensors";
/// What an index ends with: which file of the same directory holds which tensor.
const INDEX: &str = ".index.json";
const MAX_INDEX_BYTES: u64 = 100_000_000;
const HDF5_NAME: &str = "tf_model.h5";

#[derive(Deserialize)]
struct Index {
    /// Tensor name to file name.
    weight_map: BTreeMap<String, String>,
}

/// The formats, by what a file begins with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Format {
    Safetensors,
    TorchZip,
    TorchLegacy,
    Gguf,
    Flax,
    Hdf5,
}

impl Format {
    /// What it looks like is taken for a promise that its reader holds it to; what looks like
    /// nothing is taken for safetensors, whose reader says what is wrong.
    pub fn of(file: &[u8]) -> Self {
        Self::known(file).unwrap_or(Self::Safetensors)
    }

    pub fn known(file: &[u8]) -> Option<Self> {
        Some(match file {
            [_, _, _, _, _, _, _, _, b'{', ..] => Self::Safetensors,
            [b'P', b'K', 3, 4, ..] => Self::TorchZip,
            [b'G', b'G', b'U', b'F', ..] => Self::Gguf,
            [0x89, b'H', b'D', b'F', ..] => Self::Hdf5,
            [0x80, 1..=5, ..] => Self::TorchLegacy,
            [0x80..=0x8f | 0xde | 0xdf, ..] => Self::Flax,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::TorchZip | Self::TorchLegacy => "PyTorch",
            Self::Gguf => "GGUF",
            Self::Flax => "Flax msgpack",
            Self::Hdf5 => "HDF5",
        }
    }
}

/// The file of weights that a directory has, or the index of them.
///
/// # Errors
/// [`CheckpointError::NoWeights`].
pub(super) fn in_dir(dir: &Path) -> Result<PathBuf, CheckpointError> {
    let first = |names: &[&str]| names.iter().map(|name| dir.join(name)).find(|path| path.exists());
    let gguf = ggufs(dir)?;
    let found = first(&[FILE_NAME, "model.safetensors.index.json"])
        .or_else(|| gguf.first().filter(|_| gguf.len() == 1).cloned())
        .or_else(|| first(&["pytorch_model.bin", "pytorch_model.bin.index.json"]))
        .or_else(|| first(&["flax_model.msgpack"]));
    found.ok_or_else(|| {
        let unread = match dir.join(HDF5_NAME).exists() {
            true => Unread::Hdf5,
            false if gguf.len() > 1 => Unread::SeveralGguf,
            false => Unread::Nothing,
        };
        CheckpointError::NoWeights { path: dir.to_owned(), unread }
    })
}

fn ggufs(dir: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let entries = fs::read_dir(dir).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let paths = entries.map_err(CheckpointError::read(dir))?.into_iter().map(|entry| entry.path());
    Ok(paths.filter(|path| path.extension() == Some(OsStr::new("gguf"))).collect())
}

pub(super) fn is_index(path: &Path) -> bool {
    path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.ends_with(INDEX))
}

/// Reads an index; every file it names is a plain name.
pub(super) fn read_index(path: &Path) -> Result<BTreeMap<String, String>, CheckpointError> {
    let problem = |problem| CheckpointError::Index { path: path.to_owned(), problem };
    let json = atomic::read_small(path, MAX_INDEX_BYTES)?;
    let Index { weight_map } =
        serde_json::from_slice(&json).map_err(|error| problem(error.to_string()))?;
    // A file of the same directory, on every system.
    let is_plain =
        |name: &str| !matches!(name, "" | "." | "..") && !name.contains(['/', '\\', ':', '\0']);
    match weight_map.iter().find(|(_, file)| !is_plain(file)) {
        Some((tensor, file)) => {
            Err(problem(format!("tensor `{tensor}` is in `{file}`, outside the directory")))
        }
        None => Ok(weight_map),
    }
}
