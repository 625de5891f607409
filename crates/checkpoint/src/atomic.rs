//! A file or a directory that is there whole or not at all, whatever happens while it is written.
//!
//! ```text
//! write under a temporary name beside the target, sync every file
//! a directory's manifest last, sync its directories
//! rename to the target, sync the parent
//! ```
//!
//! A killed process leaves a temporary, `.NAME.partial-PID`, that no reader takes for a checkpoint
//! and that [`sweep`] removes. A directory that replaces another sets the old one aside as
//! `.NAME.replaced-PID`; where the process died in between, [`sweep`] puts it back.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::CheckpointError;
use crate::disk::{Disk, DiskFile};
use crate::manifest::FileRecord;

/// Large enough that a write is worth its call, small enough to be hashed from the cache.
const CHUNK_BYTES: usize = 1 << 20;

/// Writes a file that appears with its whole content, or not at all.
///
/// # Errors
/// [`CheckpointError::Write`]; the file of before, if any, is as it was.
pub fn write_file(disk: &dyn Disk, target: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    write_file_with(disk, target, |out| out.write_all(bytes))
}

/// As [`write_file`], with a function that writes the content.
///
/// # Errors
/// As [`write_file`], and what `write` returns.
pub fn write_file_with(
    disk: &dyn Disk,
    target: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), CheckpointError> {
    let steps = || -> io::Result<()> {
        let partial = beside(target, Kind::Partial)?;
        let written = write_synced(disk, &partial, write).and_then(|_| {
            disk.rename(&partial, target)?;
            disk.sync(parent(target))
        });
        written.inspect_err(|_| drop(disk.remove(&partial)))
    };
    steps().map_err(CheckpointError::write(target))
}

/// Removes a directory such that no reader ever sees a half of it.
pub(crate) fn remove_dir(disk: &dyn Disk, target: &Path) -> Result<(), CheckpointError> {
    let steps = || {
        let partial = beside(target, Kind::Partial)?;
        disk.remove(&partial)?;
        disk.rename(target, &partial)?;
        disk.remove(&partial)
    };
    steps().map_err(CheckpointError::write(target))
}

/// Removes what killed processes left in `dir`, and puts back what they had set aside. The caller
/// knows that nobody else writes there. Returns the names that were dealt with.
///
/// # Errors
/// [`CheckpointError::Read`] for the directory, [`CheckpointError::Write`] for a leftover.
pub fn sweep(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>, CheckpointError> {
    sweep_where(disk, dir, |_| true)
}

pub(crate) fn sweep_where(
    disk: &dyn Disk,
    dir: &Path,
    of: impl Fn(&str) -> bool,
) -> Result<Vec<String>, CheckpointError> {
    let mut swept = vec![];
    for entry in fs::read_dir(dir).map_err(CheckpointError::read(dir))? {
        let entry = entry.map_err(CheckpointError::read(dir))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let Some((target, kind)) = parse_leftover(&name).filter(|(target, _)| of(target)) else {
            continue;
        };
        let (path, target) = (entry.path(), dir.join(target));
        let done = match kind {
            Kind::Replaced if !target.exists() => disk.rename(&path, &target),
            Kind::Replaced | Kind::Partial => disk.remove(&path),
        };
        done.map_err(CheckpointError::write(&path))?;
        swept.push(name);
    }
    Ok(swept)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Partial,
    Replaced,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Partial => "partial",
            Self::Replaced => "replaced",
        }
    }
}

pub(crate) fn beside(target: &Path, kind: Kind) -> io::Result<PathBuf> {
    let Some(name) = target.file_name().and_then(|name| name.to_str()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no name, or one not in UTF-8"));
    };
    let pid = std::process::id();
    Ok(parent(target).join(format!(".{name}.{}-{pid}", kind.name())))
}

/// The target and the kind of a leftover's name; `None` for any other name.
fn parse_leftover(name: &str) -> Option<(&str, Kind)> {
    let (target, end) = name.strip_prefix('.')?.rsplit_once('.')?;
    let (kind, pid) = end.split_once('-')?;
    let kind = [Kind::Partial, Kind::Replaced].into_iter().find(|k| k.name() == kind)?;
    let is_pid = !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit());
    (is_pid && !target.is_empty()).then_some((target, kind))
}

/// Whether a name is one that [`sweep`] removes.
pub(crate) fn is_leftover(name: &str) -> bool {
    matches!(parse_leftover(name), Some((_, Kind::Partial)))
}

pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Whether a directory can be renamed to `target`: nothing is there, or an empty directory.
pub(crate) fn is_free(target: &Path) -> bool {
    match fs::read_dir(target) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

pub(crate) fn write_synced(
    disk: &dyn Disk,
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<FileRecord> {
    let hashing = Hashing { inner: disk.create(path)?, hasher: blake3::Hasher::new() };
    let mut out = BufWriter::with_capacity(CHUNK_BYTES, hashing);
    write(&mut out)?;
    let mut hashing = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    hashing.inner.sync()?;
    Ok(FileRecord::from_hasher(&hashing.hasher))
}

struct Hashing {
    inner: Box<dyn DiskFile>,
    hasher: blake3::Hasher,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(&bytes[..bytes.len().min(CHUNK_BYTES)])?;
        self.hasher.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
