//! The file operations a save is made of, as a trait, so that a test can fail any one of them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// What a save does to a disk. Everything that changes a checkpoint or a run goes through here;
/// reading does not.
pub trait Disk: Send + Sync {
    /// Creates a directory and those above it; one that is there is left as it is.
    ///
    /// # Errors
    /// Those of `std::fs::create_dir_all`.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Creates a file, or empties it, for writing.
    ///
    /// # Errors
    /// Those of `std::fs::File::create`.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Makes what was written to a file, or the names in a directory, survive a power loss.
    ///
    /// # Errors
    /// Those of `std::fs::File::sync_all`, and of opening it.
    fn sync(&self, path: &Path) -> io::Result<()>;
    /// Renames a file or a directory, replacing a file or an empty directory of that name.
    ///
    /// # Errors
    /// Those of `std::fs::rename`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file, or a directory and all that is in it. What is not there is no error.
    ///
    /// # Errors
    /// Those of `std::fs::remove_file` and `std::fs::remove_dir_all`.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// A file being written.
pub trait DiskFile: Write + Send {
    /// Makes what was written survive a power loss.
    ///
    /// # Errors
    /// Those of `std::fs::File::sync_all`.
    fn sync(&mut self) -> io::Result<()>;
}

/// The disk as the operating system offers it.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File::create(path)?))
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

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

impl DiskFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}
