//! A file that only grows, by whole records.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::LogError;

/// An append-only file. A record that could not be written whole leaves the file as it was, so
/// that a full disk does not tear what comes after it.
#[derive(Debug)]
pub(crate) struct AppendFile {
    path: PathBuf,
    file: File,
    len: u64,
}

impl AppendFile {
    /// A new file; one that exists is refused.
    pub(crate) fn create(path: &Path) -> Result<Self, LogError> {
        Self::with(path, OpenOptions::new().append(true).create_new(true), "create")
    }

    /// An existing file, to go on with at its end.
    pub(crate) fn open(path: &Path) -> Result<Self, LogError> {
        Self::with(path, OpenOptions::new().append(true), "open")
    }

    fn with(path: &Path, options: &OpenOptions, action: &'static str) -> Result<Self, LogError> {
        let opened = options.open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (len, file) = opened.map_err(|source| failed(action, path, source))?;
        Ok(Self { path: path.to_path_buf(), file, len })
    }

    /// Appends one record by one call to the system.
    pub(crate) fn append(&mut self, record: &[u8]) -> Result<(), LogError> {
        if let Err(source) = self.file.write_all(record) {
            // When this fails as well, readers and `Log::resume` drop the torn record.
            let _ = self.file.set_len(self.len);
            return Err(failed("append to", &self.path, source));
        }
        self.len += record.len() as u64;
        Ok(())
    }

    /// Waits until everything is on the disk.
    pub(crate) fn sync(&self) -> Result<(), LogError> {
        self.file.sync_data().map_err(|source| failed("flush", &self.path, source))
    }
}

/// An [`LogError::Io`] on `path`.
pub(super) fn failed(action: &'static str, path: &Path, source: io::Error) -> LogError {
    LogError::Io { action, path: path.to_path_buf(), source }
}
