//! Why a checkpoint could not be read or written.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::weights::Stored;

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
    #[error("`{path}` is no valid {format} file: {problem}")]
    Header { path: PathBuf, format: &'static str, problem: String },
    #[error("`{path}` asks for {what} at byte {at}, which no tensor needs")]
    Refused { path: PathBuf, what: String, at: usize },
    #[error("`{path}` is no valid index of shards: {problem}")]
    Index { path: PathBuf, problem: String },
    #[error("missing shard `{shard}` in `{dir}`, which should hold tensor `{tensor}`")]
    MissingShard { dir: PathBuf, shard: String, tensor: String },
    #[error("no weights to be read in `{path}`")]
    NoWeights { path: PathBuf, unread: Unread },
    #[error("missing tensor `{name}` in `{path}`")]
    MissingTensor { path: PathBuf, name: String },
    #[error("tensor `{name}` is stored as {found}, expected {expected}")]
    Dtype { name: String, expected: &'static str, found: Stored },
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

/// What is there instead of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The hints say it.
pub enum Unread {
    Nothing,
    SeveralGguf,
    Hdf5,
}

/// What a reader of one format finds wrong with a file.
#[derive(Debug)]
pub(crate) enum Problem {
    Malformed(String),
    /// Something that only a program needs, and the byte at which it is asked for.
    Refused {
        what: String,
        at: usize,
    },
    Unread(Unread),
}

impl From<String> for Problem {
    fn from(problem: String) -> Self {
        Self::Malformed(problem)
    }
}

impl From<&str> for Problem {
    fn from(problem: &str) -> Self {
        Self::Malformed(problem.to_owned())
    }
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
            Self::NoWeights { path, unread } => return Some(unread.hint(path)),
            Self::Header { .. } => {
                "the file is damaged, cut short or of another format: fetch or write it again"
            }
            Self::Refused { .. } => {
                "a pickle may run any program, so only tensors and plain containers are read; \
                 where you trust the file, save its `state_dict` as `model.safetensors`"
            }
            Self::Index { .. } | Self::MissingShard { .. } => {
                "copy every file the index names into the same directory"
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

impl Unread {
    fn hint(self, path: &Path) -> String {
        match self {
            Self::Nothing => "expected `model.safetensors`, one `*.gguf`, `pytorch_model.bin` or \
                              `flax_model.msgpack`"
                .to_owned(),
            Self::SeveralGguf => "there are several `*.gguf`: give the path of one".to_owned(),
            Self::Hdf5 => {
                let dir = if path.is_dir() { path } else { crate::atomic::parent(path) }.display();
                format!(
                    "convert TensorFlow's weights once, with `transformers<5` and `tensorflow`: \
                     python -c \"from transformers import AutoModelForPreTraining as M; \
                     M.from_pretrained('{dir}', from_tf=True).save_pretrained('{dir}')\""
                )
            }
        }
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
