//! The file operations a save is made of, as a trait, so that a test can fail any one of them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// What a save does to a disk. Everything that changes a checkpoint, or is written whole, goes
/// through here; reading, logs that are appended to, token stores and the lock do not. Each method
/// is the operating system's, unless a test has its own.
///
/// # Errors
/// Those of the function of `std::fs` that a method is named after.
#[allow(clippy::missing_errors_doc)] // Said above, once for all.
pub trait Disk: Send + Sync {
    /// Creates a directory and those above it; one that is there is left as it is.
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    /// Creates a file, or empties it, for writing.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Write>> {
        Ok(Box::new(File::create(path)?))
    }

    /// Makes what was written to a file, or the names in a directory, survive a power loss.
    fn sync(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    /// Renames a file or a directory, replacing a file or an empty directory of that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    /// Removes a file, or a directory and all that is in it. What is not there is no error.
    fn remove(&self, path: &Path) -> io::Result<()> {
        let removed = match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
            Ok(_) => fs::remove_file(path),
            Err(error) => Err(error),
        };
        removed.or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })
    }
}

/// The disk as the operating system offers it.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

impl Disk for OsDisk {}
