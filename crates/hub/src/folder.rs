//! What fills beside its target, and takes its name once it is whole.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::client::Client;
use crate::fetch::Tell;
use crate::part::Part;
use crate::{HubError, Listing, RemoteFile};

/// Held while a folder fills.
const LOCK: &str = ".lock";
/// What a file is called until it is whole; its hash follows.
const PART: &str = ".part-";

/// The folder of a model to be. It fills as `.NAME.pull` beside its target, and a later process
/// goes on with what is there.
pub struct Folder {
    target: PathBuf,
    dir: PathBuf,
    _lock: File,
}

impl Folder {
    /// Whether all of these files are at `target` already; nothing else may be.
    ///
    /// # Errors
    /// [`HubError::Exists`] for a target with another content.
    pub fn is_whole(
        target: &Path,
        listing: &Listing,
        files: &[&RemoteFile],
    ) -> Result<bool, HubError> {
        let read = |source| HubError::Read { path: target.to_owned(), source };
        let is_empty = match fs::read_dir(target) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(read(error)),
        };
        if is_empty {
            return Ok(false);
        }
        for file in files {
            if check(&target.join(&file.path), file)? != Some(true) {
                let model = format!("{} at {}", listing.model.repo(), listing.commit);
                let (path, file) = (target.to_owned(), file.path.clone());
                return Err(HubError::Exists { path, file, model });
            }
        }
        Ok(true)
    }

    /// Begins to fill, or goes on.
    ///
    /// # Errors
    /// [`HubError::Locked`], [`HubError::Write`].
    pub fn begin(target: &Path) -> Result<Self, HubError> {
        let write = |source| HubError::Write { path: target.to_owned(), source };
        let Some(name) = target.file_name() else {
            return Err(write(io::Error::new(io::ErrorKind::InvalidInput, "it has no name")));
        };
        let dir = target.with_file_name(format!(".{}.pull", name.to_string_lossy()));
        fs::create_dir_all(&dir).map_err(write)?;
        let lock = File::create(dir.join(LOCK)).map_err(write)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { target: target.to_owned(), dir, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(HubError::Locked { path: target.to_owned() }),
            Err(TryLockError::Error(source)) => Err(write(source)),
        }
    }

    /// How many bytes of a file are there; more than it has are none.
    pub fn n_bytes(&self, file: &RemoteFile) -> u64 {
        let len = |path: PathBuf| fs::metadata(path).ok().map(|found| found.len());
        let found = len(self.dir.join(&file.path)).or_else(|| len(self.part(file)));
        found.filter(|n| *n <= file.n_bytes).unwrap_or(0)
    }

    /// Fetches a file, or what is missing of it.
    ///
    /// # Errors
    /// Where it does not come whole; what has come stays, but for what has another hash.
    pub fn fetch(
        &self,
        client: &Client,
        listing: &Listing,
        file: &RemoteFile,
        tell: Tell,
    ) -> Result<(), HubError> {
        let place = self.dir.join(&file.path);
        if check(&place, file)? == Some(true) {
            tell(crate::Event::At { file, n_bytes: file.n_bytes });
            return Ok(());
        }
        let part = self.part(file);
        client.fetch(listing, file, &part, tell)?;
        let moved = fs::create_dir_all(place.parent().unwrap_or(&self.dir))
            .and_then(|()| fs::rename(&part, &place));
        moved.map_err(|source| HubError::Write { path: place, source })
    }

    /// Gives the folder its name; it holds these files and no other.
    ///
    /// # Errors
    /// [`HubError::Write`].
    pub fn finish(self, files: &[&RemoteFile]) -> Result<(), HubError> {
        let steps = || {
            sweep(&self.dir, &self.dir, files)?;
            File::open(&self.dir)?.sync_all()?;
            fs::rename(&self.dir, &self.target)?;
            let above = self.target.parent().filter(|above| !above.as_os_str().is_empty());
            File::open(above.unwrap_or(Path::new(".")))?.sync_all()
        };
        steps().map_err(|source| HubError::Write { path: self.target.clone(), source })
    }

    fn part(&self, file: &RemoteFile) -> PathBuf {
        self.dir.join(format!("{PART}{}", file.hash.hex()))
    }
}

fn check(path: &Path, file: &RemoteFile) -> Result<Option<bool>, HubError> {
    Part::check(path, &file.hash, file.n_bytes)
        .map_err(|source| HubError::Read { path: path.to_owned(), source })
}

/// Removes what is none of the files: the lock, and what another revision left.
fn sweep(root: &Path, dir: &Path, files: &[&RemoteFile]) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let below = path.strip_prefix(root).unwrap_or(&path);
        if files.iter().any(|file| Path::new(&file.path) == below) {
            continue;
        }
        if !path.is_dir() {
            fs::remove_file(&path)?;
        } else if files.iter().any(|file| Path::new(&file.path).starts_with(below)) {
            sweep(root, &path, files)?;
        } else {
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}
