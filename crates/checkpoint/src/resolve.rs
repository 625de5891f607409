//! From what a user names to the directory of one model.

use std::fs;
use std::path::{Path, PathBuf};

use crate::run::{CHECKPOINTS, RunDir};
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
    if !path.join("config.json").is_file() && !path.join(weights::FILE_NAME).is_file() {
        return Err(CheckpointError::NotAModel { path: path.to_owned() });
    }
    if path.join(manifest::FILE_NAME).exists() {
        manifest::verify_model(path)?;
    }
    Ok(Resolved { dir: path.to_owned(), skipped: vec![] })
}

fn resolve_run(path: &Path) -> Result<Resolved, CheckpointError> {
    let run = RunDir::open(path)?;
    let mut skipped = vec![];
    let best = run.best().unwrap_or_else(|error| {
        skipped.push(error);
        None
    });
    let mut candidates = run.checkpoints()?;
    // The newest is tried first but for the best.
    candidates.sort_by_key(|found| (best.map(|best| best.step) == Some(found.step), found.step));
    for candidate in candidates.into_iter().rev() {
        match manifest::verify_model(&candidate.dir) {
            Ok(_) => return Ok(Resolved { dir: candidate.dir, skipped }),
            Err(error) => skipped.push(error),
        }
    }
    Err(CheckpointError::NoCheckpoint { run: path.to_owned(), skipped })
}
