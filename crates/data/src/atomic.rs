//! Files that are there whole or not at all.

use std::fs::File;
use std::io;
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

/// A file to be written beside `path`, hidden, under a name of its own; dropped before [`finish`],
/// it goes. What an interrupted run left under that name is overwritten.
pub(crate) fn begin(path: &Path) -> io::Result<NamedTempFile> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let partial = format!(".{name}.partial");
    Builder::new().prefix(&partial).rand_bytes(0).make_in(parent(path), |path| File::create(path))
}

/// Syncs the file, and gives it its name.
pub(crate) fn finish(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(parent(path))?.sync_all()
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
