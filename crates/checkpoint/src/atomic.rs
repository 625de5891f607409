//! A file or a directory that is there whole or not at all, whatever happens while it is written.
//!
//! ```text
//! write under a temporary name beside the target, sync every file
//! a directory's manifest last, sync its directories
//! rename to the target, sync the parent
//! ```
//!
//! A killed process leaves a temporary, `.NAME.partial-PID`, that no reader takes for a checkpoint
//! and that `sweep` removes. A directory that replaces another sets the old one aside as
//! `.NAME.replaced-PID`; where the process died in between, `sweep` puts it back.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::CheckpointError;
use crate::disk::Disk;
use crate::manifest::FileRecord;

/// The kinds of leftovers.
pub(crate) const PARTIAL: &str = "partial";
pub(crate) const REPLACED: &str = "replaced";

/// Large enough that a write is worth its call, small enough to be hashed from the cache.
const CHUNK_BYTES: usize = 1 << 20;

/// A trainer's state has a few hundred bytes.
const MAX_JSON_BYTES: u64 = 1 << 20;

/// Writes a file that appears with its whole content, or not at all.
///
/// # Errors
/// [`CheckpointError::Write`]; the file of before, if any, is as it was.
pub fn write_file(disk: &dyn Disk, target: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    write_file_with(disk, target, |out| out.write_all(bytes))
}

/// As [`write_file`], with a function that writes the content. A link stays, and what it leads to
/// is replaced; a pipe or a device is written into, for nothing can take its place.
///
/// # Errors
/// As [`write_file`], and what `write` returns.
pub fn write_file_with(
    disk: &dyn Disk,
    target: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), CheckpointError> {
    let steps = || -> io::Result<()> {
        if fs::metadata(target).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
            let mut out = BufWriter::with_capacity(CHUNK_BYTES, disk.create(target)?);
            write(&mut out)?;
            return out.flush();
        }
        let target = &fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        let partial = beside(target, PARTIAL)?;
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
        let partial = beside(target, PARTIAL)?;
        disk.remove(&partial)?;
        disk.rename(target, &partial)?;
        disk.remove(&partial)
    };
    steps().map_err(CheckpointError::write(target))
}

/// Removes what killed processes left in `dir` of the targets that are `wanted`, and puts back
/// what they had set aside. The caller knows that nobody else writes those.
///
/// # Errors
/// [`CheckpointError::Read`] for the directory, [`CheckpointError::Write`] for a leftover.
pub(crate) fn sweep(
    disk: &dyn Disk,
    dir: &Path,
    wanted: impl Fn(&str) -> bool,
) -> Result<(), CheckpointError> {
    for entry in fs::read_dir(dir).map_err(CheckpointError::read(dir))? {
        let entry = entry.map_err(CheckpointError::read(dir))?;
        let (name, path) = (entry.file_name(), entry.path());
        let Some((target, kind)) = name.to_str().and_then(parse_leftover) else { continue };
        if wanted(target) {
            let target = dir.join(target);
            let put_back = kind == REPLACED && !target.exists();
            let done = if put_back { disk.rename(&path, &target) } else { disk.remove(&path) };
            done.map_err(CheckpointError::write(&path))?;
        }
    }
    Ok(())
}

pub(crate) fn beside(target: &Path, kind: &str) -> io::Result<PathBuf> {
    let Some(name) = target.file_name().and_then(|name| name.to_str()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no name, or one not in UTF-8"));
    };
    Ok(parent(target).join(format!(".{name}.{kind}-{}", std::process::id())))
}

/// The target and the kind of a leftover's name; `None` for any other name.
fn parse_leftover(name: &str) -> Option<(&str, &str)> {
    let (target, end) = name.strip_prefix('.')?.rsplit_once('.')?;
    let (kind, pid) = end.split_once('-')?;
    let is_pid = !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit());
    let is_ours = [PARTIAL, REPLACED].contains(&kind) && is_pid && !target.is_empty();
    is_ours.then_some((target, kind))
}

/// Whether a name is one that [`sweep`] removes.
pub(crate) fn is_leftover(name: &str) -> bool {
    matches!(parse_leftover(name), Some((_, PARTIAL)))
}

pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
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
    let hashing = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    disk.sync(path)?;
    Ok(FileRecord::from_hasher(&hashing.hasher))
}

struct Hashing {
    inner: Box<dyn Write>,
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

/// Reads a file that is small by its nature.
pub(crate) fn read_small(path: &Path, max_bytes: u64) -> Result<Vec<u8>, CheckpointError> {
    mapped::read_small(path, max_bytes).map_err(CheckpointError::read(path))
}

/// Reads JSON of the program's own.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, CheckpointError> {
    let json = read_small(path, MAX_JSON_BYTES)?;
    serde_json::from_slice(&json)
        .map_err(|source| CheckpointError::Json { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileTypeExt, symlink};
    use std::process::Command;
    use std::thread;

    use super::*;
    use crate::OsDisk;

    #[test]
    fn what_is_no_file_is_written_into_and_a_link_stays_one() {
        let temp = tempfile::tempdir().unwrap();
        let [file, link, pipe] = ["file", "link", "pipe"].map(|name| temp.path().join(name));
        fs::write(&file, "before").unwrap();
        symlink(&file, &link).unwrap();
        write_file(&OsDisk, &link, b"after").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"after");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let from = pipe.clone();
        let reader = thread::spawn(move || fs::read(from).unwrap());
        write_file(&OsDisk, &pipe, b"through").unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 3, "no leftover");
    }
}
