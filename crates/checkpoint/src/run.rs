//! A run's directory, from the side of the checkpoints.
//!
//! ```text
//! RUN/.lock                   held by the process that writes
//! RUN/best.json               the best step and its metric
//! RUN/checkpoints/step-100/   config.json, model.safetensors, .., manifest.json: a model directory
//! RUN/checkpoints/step-100/trainer/   moments and state, for a resume
//! ```
//!
//! What else is in it (recipe, metrics, report) belongs to others.

#[cfg(test)]
mod tests;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::atomic::{self, is_leftover, sweep};
use crate::disk::{Disk, OsDisk};
use crate::{CheckpointError, Manifest, StagedDir, manifest};

const LOCK: &str = ".lock";
const BEST: &str = "best.json";
pub(crate) const CHECKPOINTS: &str = "checkpoints";

/// A run directory; where it was opened to write, locked until this is dropped.
pub struct RunDir {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    _lock: Option<File>,
}

/// One checkpoint of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// How many steps were done when it was saved.
    pub step: u64,
    /// A model directory.
    pub dir: PathBuf,
}

/// Where to go on from.
#[derive(Debug)]
pub struct Newest {
    /// The newest checkpoint with every file as it was written; `None` where there is none yet.
    pub checkpoint: Option<Checkpoint>,
    /// What is wrong with the newer ones, newest first.
    pub skipped: Vec<CheckpointError>,
}

/// The best checkpoint so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Its step.
    pub step: u64,
    /// What it was judged by: the lower, the better.
    pub metric: f64,
}

impl RunDir {
    /// Makes a new run directory, and locks it.
    ///
    /// # Errors
    /// [`CheckpointError::Exists`] where something is in it, [`CheckpointError::Locked`],
    /// [`CheckpointError::Write`].
    pub fn create(path: &Path) -> Result<Self, CheckpointError> {
        Self::create_on(path, Arc::new(OsDisk))
    }

    /// As [`Self::create`], on a disk of the caller's.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn create_on(path: &Path, disk: Arc<dyn Disk>) -> Result<Self, CheckpointError> {
        if !is_unused(path)? {
            return Err(CheckpointError::Exists { path: path.to_owned() });
        }
        Self::lock(path, disk)
    }

    /// Opens a run directory to go on writing: makes it where nothing is there yet, locks it, and
    /// removes what a killed process left.
    ///
    /// # Errors
    /// [`CheckpointError::NotARun`] for a directory of something else,
    /// [`CheckpointError::Locked`], [`CheckpointError::Write`].
    pub fn resume(path: &Path) -> Result<Self, CheckpointError> {
        Self::resume_on(path, Arc::new(OsDisk))
    }

    /// As [`Self::resume`], on a disk of the caller's.
    ///
    /// # Errors
    /// As [`Self::resume`].
    pub fn resume_on(path: &Path, disk: Arc<dyn Disk>) -> Result<Self, CheckpointError> {
        if !path.join(CHECKPOINTS).is_dir() && !is_unused(path)? {
            return Err(CheckpointError::NotARun { path: path.to_owned() });
        }
        Self::lock(path, disk)
    }

    /// Opens a run directory to read, while another process may be writing.
    ///
    /// # Errors
    /// [`CheckpointError::NotARun`], [`CheckpointError::Read`] where there is no such directory.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        fs::metadata(path).map_err(CheckpointError::read(path))?;
        if !path.join(CHECKPOINTS).is_dir() {
            return Err(CheckpointError::NotARun { path: path.to_owned() });
        }
        Ok(Self { path: path.to_owned(), disk: Arc::new(OsDisk), _lock: None })
    }

    fn lock(path: &Path, disk: Arc<dyn Disk>) -> Result<Self, CheckpointError> {
        let checkpoints = path.join(CHECKPOINTS);
        disk.create_dir_all(&checkpoints).map_err(CheckpointError::write(&checkpoints))?;
        let lock_path = path.join(LOCK);
        let file = File::create(&lock_path).map_err(CheckpointError::write(&lock_path))?;
        let lock = match file.try_lock() {
            Ok(()) => Some(file),
            Err(TryLockError::WouldBlock) => {
                return Err(CheckpointError::Locked { path: path.to_owned() });
            }
            // Some network file systems have no locks: better unguarded than unusable.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => None,
            Err(TryLockError::Error(error)) => {
                return Err(CheckpointError::write(&lock_path)(error));
            }
        };
        sweep(&*disk, path, |_| true)?;
        sweep(&*disk, &checkpoints, |_| true)?;
        Ok(Self { path: path.to_owned(), disk, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All checkpoints, damaged ones too, the oldest first.
    ///
    /// # Errors
    /// [`CheckpointError::Read`].
    pub fn checkpoints(&self) -> Result<Vec<Checkpoint>, CheckpointError> {
        let dir = self.path.join(CHECKPOINTS);
        let mut found = vec![];
        for entry in fs::read_dir(&dir).map_err(CheckpointError::read(&dir))? {
            let entry = entry.map_err(CheckpointError::read(&dir))?;
            if let Some(step) = entry.file_name().to_str().and_then(parse_step) {
                found.push(Checkpoint { step, dir: entry.path() });
            }
        }
        found.sort_by_key(|checkpoint| checkpoint.step);
        Ok(found)
    }

    /// Begins the checkpoint of a step; it counts once it is committed. One of the same step (a
    /// damaged one, as a rule) is replaced then.
    ///
    /// # Errors
    /// [`CheckpointError::Write`].
    pub fn stage(&self, step: u64) -> Result<StagedDir<'_>, CheckpointError> {
        StagedDir::begin(&*self.disk, &self.checkpoint_dir(step))
    }

    /// Where the checkpoint of a step is, or would be.
    pub fn checkpoint_dir(&self, step: u64) -> PathBuf {
        self.path.join(CHECKPOINTS).join(step_name(step))
    }

    /// The newest checkpoint whose every file is as it was written; none where there is none at
    /// all.
    ///
    /// # Errors
    /// [`CheckpointError::NoCheckpoint`] where all are damaged; what may be whole and cannot be
    /// read.
    pub fn newest_valid(&self) -> Result<Newest, CheckpointError> {
        let newest = last_valid(self.checkpoints()?, vec![], manifest::verify)?;
        if newest.checkpoint.is_none() && !newest.skipped.is_empty() {
            let (run, skipped) = (self.path.clone(), newest.skipped);
            return Err(CheckpointError::NoCheckpoint { run, skipped });
        }
        Ok(newest)
    }

    /// Notes the best checkpoint, which [`Self::prune`] keeps.
    ///
    /// # Errors
    /// [`CheckpointError::Write`].
    ///
    /// # Panics
    /// When the metric is not finite.
    pub fn record_best(&self, best: Best) -> Result<(), CheckpointError> {
        assert!(best.metric.is_finite(), "record_best: metric is {}", best.metric);
        let json = serde_json::to_string(&best).expect("two finite numbers");
        self.write_file(BEST, format!("{json}\n").as_bytes())
    }

    /// Removes the note of the best checkpoint.
    ///
    /// # Errors
    /// [`CheckpointError::Write`].
    pub fn forget_best(&self) -> Result<(), CheckpointError> {
        let path = self.path.join(BEST);
        self.disk.remove(&path).map_err(CheckpointError::write(&path))
    }

    /// The best checkpoint, where one was noted.
    ///
    /// # Errors
    /// [`CheckpointError::Read`], [`CheckpointError::Json`].
    pub fn best(&self) -> Result<Option<Best>, CheckpointError> {
        let path = self.path.join(BEST);
        if matches!(path.try_exists(), Ok(false)) {
            return Ok(None);
        }
        atomic::read_json(&path).map(Some)
    }

    /// Removes all checkpoints up to the one just saved, but for the last `keep_last` and the best.
    /// Later ones (of a run that went back to an earlier step) stay. Returns the removed steps.
    ///
    /// # Errors
    /// As [`Self::best`], and [`CheckpointError::Write`].
    pub fn prune(&self, saved_step: u64, keep_last: usize) -> Result<Vec<u64>, CheckpointError> {
        let best = self.best()?.map(|best| best.step);
        let mut past = self.checkpoints()?;
        past.retain(|checkpoint| checkpoint.step <= saved_step);
        past.truncate(past.len().saturating_sub(keep_last.max(1)));
        past.retain(|checkpoint| Some(checkpoint.step) != best);
        for checkpoint in &past {
            atomic::remove_dir(&*self.disk, &checkpoint.dir)?;
        }
        Ok(past.iter().map(|checkpoint| checkpoint.step).collect())
    }

    /// Writes a file at the top of the run, whole or not at all.
    ///
    /// # Errors
    /// [`CheckpointError::Write`].
    pub fn write_file(&self, name: &str, bytes: &[u8]) -> Result<(), CheckpointError> {
        atomic::write_file(&*self.disk, &self.path.join(name), bytes)
    }
}

/// The last of `candidates` that `verify` finds whole; what is wrong with those after it is added
/// to `skipped`.
///
/// # Errors
/// What may be whole, but cannot be read.
pub(crate) fn last_valid(
    candidates: Vec<Checkpoint>,
    mut skipped: Vec<CheckpointError>,
    verify: fn(&Path) -> Result<Manifest, CheckpointError>,
) -> Result<Newest, CheckpointError> {
    for checkpoint in candidates.into_iter().rev() {
        match verify(&checkpoint.dir) {
            Ok(_) => return Ok(Newest { checkpoint: Some(checkpoint), skipped }),
            Err(error) if error.is_damage() => skipped.push(error),
            Err(error) => return Err(error),
        }
    }
    Ok(Newest { checkpoint: None, skipped })
}

fn step_name(step: u64) -> String {
    format!("step-{step}")
}

/// The step of a checkpoint's name; no other spelling of a number counts.
fn parse_step(name: &str) -> Option<u64> {
    let step = name.strip_prefix("step-")?.parse().ok()?;
    (step_name(step) == name).then_some(step)
}

/// Whether nothing is there but what a run killed in its first moment leaves.
fn is_unused(path: &Path) -> Result<bool, CheckpointError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(CheckpointError::read(path)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(CheckpointError::read(path))?;
        let unused = match entry.file_name().to_str() {
            Some(LOCK) => true,
            Some(CHECKPOINTS) => is_unused(&entry.path())?,
            Some(name) => is_leftover(name),
            None => false,
        };
        if !unused {
            return Ok(false);
        }
    }
    Ok(true)
}
