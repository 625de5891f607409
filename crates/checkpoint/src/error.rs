//! Why a checkpoint could not be read or written.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use thiserror::Error;

/// Why a checkpoint could not be read or written. What was there before is as it was.
#[derive(Debug, Error)]
#[allow(missing_docs)] // The messages say it, and the fields are their facts.
pub enum CheckpointError {
    #[error("failed to read `{path}`")]
    Read { path: PathBuf, source: io::Error },
    #[error("failed to write `{path}`")]
    Write { path: PathBuf, source: io::Error },
    #[error("`{path}` is not the JSON it should be")]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("`{path}` is no valid safetensors file: {problem}")]
    Header { path: PathBuf, problem: String },
    #[error("`{path}` is no valid index of shards: {problem}")]
    Index { path: PathBuf, problem: String },
    #[error("missing shard `{shard}` in `{dir}`, which should hold tensor `{tensor}`")]
    MissingShard { dir: PathBuf, shard: String, tensor: String },
    #[error("no weights in `{dir}`")]
    NoWeights { dir: PathBuf, pickled: bool },
    #[error("missing tensor `{name}` in `{path}`")]
    MissingTensor { path: PathBuf, name: String },
    #[error("tensor `{name}` is stored as {found}, expected {expected}")]
    Dtype { name: String, expected: &'static str, found: Dtype },
    #[error("tensor `{name}` has shape {found:?}, expected {expected:?}")]
    Shape { name: String, expected: Vec<usize>, found: Vec<usize> },
    #[error("`{path}` is no valid manifest: {problem}")]
    Manifest { path: PathBuf, problem: String },
    #[error("`{path}` has format version {found}, this build reads {known}")]
    FormatVersion { path: PathBuf, found: u32, known: u32 },
    #[error("damaged checkpoint `{dir}`: `{file}` {damage}")]
    Damaged { dir: PathBuf, file: String, damage: Damage },
    #[error("`{path}` exists and is not empty")]
    Exists { path: PathBuf },
    #[error("`{path}` is used by another process")]
    Locked { path: PathBuf },
    #[error("`{path}` is no run directory")]
    NotARun { path: PathBuf },
    #[error("`{path}` is neither a model directory nor a run directory")]
    NotAModel { path: PathBuf },
    #[error("no checkpoint to load in run `{run}`{}", Listed(skipped))]
    NoCheckpoint { run: PathBuf, skipped: Vec<CheckpointError> },
}

/// What is wrong with one file of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)]
pub enum Damage {
    #[error("is missing")]
    Missing,
    #[error("has {found} bytes, {expected} were written")]
    Size { expected: u64, found: u64 },
    #[error("has other content than was written: its BLAKE3 hash differs")]
    Hash,
}

struct Listed<'a>(&'a [CheckpointError]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.iter().try_for_each(|error| write!(f, "; {error}"))
    }
}

impl CheckpointError {
    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Read { path: path.to_owned(), source }
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Write { path: path.to_owned(), source }
    }

    /// Whether files are other than they were written, so that an earlier checkpoint may stand in;
    /// one that cannot be read, or that another version wrote, may be whole.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Manifest { .. })
    }

    /// What the user can do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Write { path, source } => return write_hint(path, source.kind()),
            Self::Header { .. } => {
                "the file is damaged, cut short or no safetensors file: fetch or write it again"
            }
            Self::Index { .. } | Self::MissingShard { .. } => {
                "copy every file the index names into the same directory"
            }
            Self::NoWeights { pickled: true, .. } => {
                "pickled weights are not loaded: save them as `model.safetensors`"
            }
            Self::NoWeights { pickled: false, .. } => {
                "expected `model.safetensors` or `model.safetensors.index.json`"
            }
            Self::Damaged { .. } => {
                "restore the file; where the change was on purpose, delete `manifest.json`"
            }
            Self::Manifest { .. } => {
                "the manifest was changed after it was written: use another checkpoint"
            }
            Self::Exists { .. } => {
                "give another directory, or continue the run that is in it with `--resume`"
            }
            Self::Locked { .. } => "wait for the other process to end, or stop it",
            Self::NotARun { .. } => "give a directory that `lyceum pretrain --out` wrote",
            Self::NotAModel { .. } => {
                "a model directory has a `config.json`, a run directory has `checkpoints/`"
            }
            Self::FormatVersion { .. } => "use the version of Lyceum that wrote it, or a newer one",
            Self::NoCheckpoint { skipped, .. } if !skipped.is_empty() => {
                "restore a file that is named, or start another run in another directory"
            }
            Self::NoCheckpoint { .. } => {
                "continue the run with `--resume`: its first checkpoint is yet to come"
            }
            Self::Json { .. } => "it was changed or cut short: write or fetch it again",
            Self::MissingTensor { .. } | Self::Shape { .. } => {
                "the weights are of another model than `config.json` tells: fetch both again"
            }
            Self::Dtype { .. } => "store it in a type that is expected",
            Self::Read { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

fn write_hint(path: &Path, kind: io::ErrorKind) -> Option<String> {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let place = path.parent().unwrap_or(path).display();
    match kind {
        StorageFull | QuotaExceeded => {
            Some(format!("free some space below `{place}`; earlier checkpoints are untouched"))
        }
        PermissionDenied | ReadOnlyFilesystem => {
            Some(format!("give a directory you may write to, instead of `{place}`"))
        }
        _ => None,
    }
}
