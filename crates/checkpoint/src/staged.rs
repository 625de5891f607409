//! A directory that is written beside its target, and takes its place when it is complete.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::CheckpointError;
use crate::atomic::{Kind, beside, is_free, parent, sweep_where, write_synced};
use crate::disk::Disk;
use crate::manifest::{self, FileRecord, Manifest, Origin, is_plain};

/// What to do where the target of a directory exists and is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Fail, and leave it as it is.
    Refuse,
    /// Put the new one in its place, once that is complete.
    Replace,
}

/// A directory being written under a temporary name; dropped without [`Self::commit`], it goes.
pub struct StagedDir<'d> {
    disk: &'d dyn Disk,
    target: PathBuf,
    partial: PathBuf,
    existing: Existing,
    files: BTreeMap<String, FileRecord>,
}

impl<'d> StagedDir<'d> {
    /// Makes the temporary directory beside `target`, and removes what killed processes left of
    /// earlier tries.
    ///
    /// # Errors
    /// [`CheckpointError::Exists`] with [`Existing::Refuse`], [`CheckpointError::Write`].
    pub fn begin(
        disk: &'d dyn Disk,
        target: &Path,
        existing: Existing,
    ) -> Result<Self, CheckpointError> {
        let partial = beside(target, Kind::Partial).map_err(CheckpointError::write(target))?;
        disk.create_dir_all(parent(target)).map_err(CheckpointError::write(target))?;
        sweep_where(disk, parent(target), |name| Some(name.as_ref()) == target.file_name())?;
        if existing == Existing::Refuse && !is_free(target) {
            return Err(CheckpointError::Exists { path: target.to_owned() });
        }
        disk.create_dir_all(&partial).map_err(CheckpointError::write(&partial))?;
        let (target, files) = (target.to_owned(), BTreeMap::new());
        Ok(Self { disk, target, partial, existing, files })
    }

    /// Where the files lie until the commit. What others write here becomes part of the checkpoint.
    pub fn path(&self) -> &Path {
        &self.partial
    }

    /// Writes and syncs one file; `name` is a path below the directory, with `/`.
    ///
    /// # Errors
    /// [`CheckpointError::Write`], naming the file by its place in the target.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), CheckpointError> {
        self.write_with(name, |out| out.write_all(bytes))
    }

    /// As [`Self::write`], with a function that writes the content.
    ///
    /// # Errors
    /// As [`Self::write`], and what `write` returns.
    pub fn write_with(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), CheckpointError> {
        assert!(is_plain(Path::new(name)), "staged directory: `{name}` is no path below it");
        let path = self.partial.join(name);
        let steps = || {
            if path.parent() != Some(&self.partial) {
                self.disk.create_dir_all(parent(&path))?;
            }
            write_synced(self.disk, &path, write)
        };
        let record = steps().map_err(CheckpointError::write(&self.target.join(name)))?;
        self.files.insert(name.to_owned(), record);
        Ok(())
    }

    /// Adds the manifest, and gives the directory its name.
    ///
    /// # Errors
    /// [`CheckpointError::Write`]; the temporary is removed, and what was at the target is as it
    /// was.
    pub fn commit(mut self, origin: Origin) -> Result<Manifest, CheckpointError> {
        self.finish(origin).map_err(CheckpointError::write(&self.target))
    }

    fn finish(&mut self, origin: Origin) -> io::Result<Manifest> {
        let mut dirs = vec![];
        self.adopt("", &mut dirs)?;
        let manifest = Manifest::new(origin, std::mem::take(&mut self.files));
        let path = self.partial.join(manifest::FILE_NAME);
        write_synced(self.disk, &path, |out| out.write_all(manifest.to_json().as_bytes()))?;
        dirs.iter().try_for_each(|dir| self.disk.sync(dir))?;
        self.place()?;
        Ok(manifest)
    }

    /// Hashes and syncs what others wrote below `prefix`; `dirs` gets every directory, inner first.
    fn adopt(&mut self, prefix: &str, dirs: &mut Vec<PathBuf>) -> io::Result<()> {
        let dir = self.partial.join(prefix);
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let Ok(file_name) = entry.file_name().into_string() else {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a name is not UTF-8"));
            };
            let name = format!("{prefix}{file_name}");
            if entry.file_type()?.is_dir() {
                self.adopt(&format!("{name}/"), dirs)?;
            } else if name != manifest::FILE_NAME && !self.files.contains_key(&name) {
                self.disk.sync(&entry.path())?;
                self.files.insert(name, FileRecord::of(&entry.path())?);
            }
        }
        dirs.push(dir);
        Ok(())
    }

    fn place(&self) -> io::Result<()> {
        let (disk, target) = (self.disk, &self.target);
        if self.existing == Existing::Refuse || is_free(target) {
            disk.rename(&self.partial, target)?;
            return disk.sync(parent(target));
        }
        let replaced = beside(target, Kind::Replaced)?;
        disk.rename(target, &replaced)?;
        if let Err(error) = disk.rename(&self.partial, target) {
            disk.rename(&replaced, target)?;
            return Err(error);
        }
        disk.sync(parent(target))?;
        drop(disk.remove(&replaced)); // What stays is swept by the next start.
        Ok(())
    }
}

impl Drop for StagedDir<'_> {
    fn drop(&mut self) {
        drop(self.disk.remove(&self.partial)); // What stays is swept by the next start.
    }
}
