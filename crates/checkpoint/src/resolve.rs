//! From what a user names to the directory of one model.

use std::fs;
use std::path::{Path, PathBuf};

use crate::run::{CHECKPOINTS, Checkpoint, Newest, RunDir, last_valid};
use crate::{CheckpointError, manifest, weights};

/// The model a path means.
#[derive(Debug)]
pub struct Resolved {
    /// A model directory, its files as its manifest says, where it has one.
    pub dir: PathBuf,
    /// What is wrong with the checkpoints that would have come first: to be told the user.
    pub skipped: Vec<CheckpointError>,
}

/// A model directory (a checkpoint is one) means itself; a run directory its best checkpoint, else
/// the newest, and where that is damaged, the next newest.
///
/// # Errors
/// There is no such path, it is neither, the checkpoint is damaged, or the run has no valid one.
pub fn resolve(path: &Path) -> Result<Resolved, CheckpointError> {
    fs::metadata(path).map_err(CheckpointError::read(path))?;
    if path.join(CHECKPOINTS).is_dir() {
        return resolve_run(path);
    }
    let is_model = path.is_file() || path.join("config.json").is_file();
    if !is_model && !weights::are_in(path) {
        return Err(CheckpointError::NotAModel { path: path.to_owned() });
    }
    if path.join(manifest::FILE_NAME).exists() {
        manifest::verify_model(path)?;
    }
    Ok(Resolved { dir: path.to_owned(), skipped: vec![] })
}

fn resolve_run(path: &Path) -> Result<Resolved, CheckpointError> {
    let run = RunDir::open(path)?;
    let (best, unread) = match run.best() {
        Ok(best) => (best.map(|best| best.step), vec![]),
        Err(error) => (None, vec![error]),
    };
    let mut candidates = run.checkpoints()?;
    // The newest is tried first but for the best.
    candidates.sort_by_key(|found| (best == Some(found.step), found.step));
    let Newest { checkpoint, skipped } = last_valid(candidates, unread, manifest::verify_model)?;
    match checkpoint {
        Some(Checkpoint { dir, .. }) => Ok(Resolved { dir, skipped }),
        None => Err(CheckpointError::NoCheckpoint { run: path.to_owned(), skipped }),
    }
}
