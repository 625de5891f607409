//! A directory that is written beside its target, and takes its place when it is complete.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::CheckpointError;
use crate::atomic::{PARTIAL, REPLACED, beside, parent, sweep, write_synced};
use crate::disk::Disk;
use crate::manifest::{self, FileRecord, Manifest, Origin, is_plain};

/// A directory being written under a temporary name; dropped without [`Self::commit`], it goes.
pub struct StagedDir<'d> {
    disk: &'d dyn Disk,
    target: PathBuf,
    partial: PathBuf,
    files: BTreeMap<String, FileRecord>,
}

impl<'d> StagedDir<'d> {
    /// Makes the temporary directory beside `target`, and removes what killed processes left of
    /// earlier tries. A directory that is at `target` stays until the new one is complete.
    ///
    /// # Errors
    /// [`CheckpointError::Write`].
    pub fn begin(disk: &'d dyn Disk, target: &Path) -> Result<Self, CheckpointError> {
        let partial = beside(target, PARTIAL).map_err(CheckpointError::write(target))?;
        disk.create_dir_all(parent(target)).map_err(CheckpointError::write(target))?;
        sweep(disk, parent(target), |name| Some(name.as_ref()) == target.file_name())?;
        disk.create_dir_all(&partial).map_err(CheckpointError::write(&partial))?;
        Ok(Self { disk, target: target.to_owned(), partial, files: BTreeMap::new() })
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
        let manifest = Manifest::new(origin, std::mem::take(&mut self.files));
        let path = self.partial.join(manifest::FILE_NAME);
        write_synced(self.disk, &path, |out| out.write_all(manifest.to_json().as_bytes()))?;
        let above = manifest.files.keys().flat_map(|name| Path::new(name).ancestors().skip(1));
        let dirs: BTreeSet<_> = above.chain([Path::new("")]).collect();
        dirs.iter().rev().try_for_each(|dir| self.disk.sync(&self.partial.join(dir)))?;
        self.place()?;
        Ok(manifest)
    }

    fn place(&self) -> io::Result<()> {
        let (disk, target) = (self.disk, &self.target);
        if !target.try_exists()? {
            disk.rename(&self.partial, target)?;
            return disk.sync(parent(target));
        }
        let replaced = beside(target, REPLACED)?;
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
