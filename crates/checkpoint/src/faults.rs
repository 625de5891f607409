//! A disk that fails at a chosen operation: what a kill, a power loss or a full disk leaves behind.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::disk::{Disk, OsDisk};

/// What happens at the chosen operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process dies: a write or a removal is half done, and nothing is done after it.
    Kill,
    /// The machine loses power: as `Kill`, and what was not synced is lost: of a file its second
    /// half, of a directory its renames.
    PowerLoss,
    /// The disk is full: from here on nothing is created or written, renames and removals work.
    Full,
}

/// The operating system's disk, until operation number `at`, counted from 1, fails.
#[derive(Clone, Debug)]
pub struct FaultyDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    fault: Fault,
    at: usize,
    n_operations: usize,
    unsynced: BTreeSet<PathBuf>,
    /// Renames, from and to, in directories that were not synced since. One that replaces a file
    /// is not taken back: of both outcomes that is the newer.
    renames: Vec<(PathBuf, PathBuf)>,
}

impl FaultyDisk {
    /// A disk on which operation `at` fails; `usize::MAX` only counts.
    pub fn new(fault: Fault, at: usize) -> Self {
        let state =
            State { fault, at, n_operations: 0, unsynced: BTreeSet::new(), renames: vec![] };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// How many operations were asked for.
    pub fn n_operations(&self) -> usize {
        self.with(|state| state.n_operations)
    }

    /// Whether the fault has struck.
    pub fn failed(&self) -> bool {
        self.with(|state| state.n_operations >= state.at)
    }

    fn strikes_now(&self) -> bool {
        self.with(|state| state.n_operations == state.at)
    }

    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts one operation, and fails where it is the chosen one or a later one.
    fn pass(&self, needs_space: bool) -> io::Result<()> {
        self.with(|state| {
            state.n_operations += 1;
            if state.n_operations == state.at && state.fault == Fault::PowerLoss {
                state.lose_unsynced();
            }
            match state.fault {
                _ if state.n_operations < state.at => Ok(()),
                Fault::Full if needs_space => Err(io::ErrorKind::StorageFull.into()),
                Fault::Full => Ok(()),
                Fault::Kill | Fault::PowerLoss => Err(io::Error::other("the process is dead")),
            }
        })
    }
}

impl State {
    fn lose_unsynced(&mut self) {
        for path in &self.unsynced {
            if let Ok(file) = OpenOptions::new().write(true).open(path) {
                let len = file.metadata().map_or(0, |metadata| metadata.len());
                file.set_len(len / 2).unwrap_or_default();
            }
        }
        for (from, to) in self.renames.iter().rev().filter(|(from, _)| !from.exists()) {
            fs::rename(to, from).unwrap_or_default(); // What was removed since is gone.
        }
    }

    fn sync(&mut self, path: &Path) {
        self.unsynced.remove(path);
        self.renames.retain(|(_, to)| to.parent() != Some(path));
    }

    fn rename(&mut self, from: &Path, to: &Path) {
        let moved = |path: &PathBuf| match path.strip_prefix(from) {
            Ok(rest) if rest.as_os_str().is_empty() => to.to_owned(),
            Ok(rest) => to.join(rest),
            Err(_) => path.clone(),
        };
        self.unsynced = self.unsynced.iter().map(moved).collect();
        if !to.exists() {
            self.renames.push((from.to_owned(), to.to_owned()));
        }
    }
}

impl Disk for FaultyDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.pass(true)?;
        OsDisk.create_dir_all(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Write>> {
        self.pass(true)?;
        self.with(|state| state.unsynced.insert(path.to_owned()));
        let inner = fs::File::create(path)?;
        Ok(Box::new(FaultyFile { disk: self.clone(), inner }))
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        self.pass(false)?;
        self.with(|state| state.sync(path));
        OsDisk.sync(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.pass(false)?;
        self.with(|state| state.rename(from, to));
        OsDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let passed = self.pass(false);
        if self.strikes_now() && path.is_dir() {
            fs::read_dir(path)?.take(1).flatten().try_for_each(|e| OsDisk.remove(&e.path()))?;
        }
        passed?;
        OsDisk.remove(path)
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    inner: fs::File,
}

impl Write for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let passed = self.disk.pass(true);
        if self.disk.strikes_now() {
            self.inner.write_all(&bytes[..bytes.len() / 2])?;
        }
        passed?;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
