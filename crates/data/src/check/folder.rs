//! Folders: of archives, or a folder a class.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{Checked, Layout, archive, image_problem, is_image};
use crate::DataError;

/// Folders inside folders: a split, a class, and some more.
const DEPTH_MAX: usize = 16;

/// Checks a folder of archives, or of classes.
pub(super) fn check(path: &Path, checked: &mut Checked) -> Result<(), DataError> {
    let archives: Vec<PathBuf> = entries(path)?.into_iter().filter(|path| is_tar(path)).collect();
    for path in &archives {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_file() {
            archive::check(path, &format!("{name}/"), checked)?;
        } else {
            checked.problem(name, "is no file");
        }
    }
    if archives.is_empty() {
        checked.layout = Layout::Classes;
        walk(path, "", checked, 0)?;
        if checked.n_samples == 0 {
            let n_skipped = checked.n_files;
            return Err(DataError::NoFiles { path: path.to_owned(), n_skipped });
        }
    }
    Ok(())
}

fn is_tar(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.bz2"].iter().any(|end| name.ends_with(end))
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let read = fs::read_dir(dir).map_err(DataError::io("read", dir))?;
    let mut paths = vec![];
    for entry in read {
        paths.push(entry.map_err(DataError::io("read", dir))?.path());
    }
    paths.sort();
    Ok(paths)
}

/// Goes through a folder, which is a class where it holds files.
fn walk(dir: &Path, name: &str, checked: &mut Checked, depth: usize) -> Result<(), DataError> {
    let paths = entries(dir)?;
    if paths.is_empty() {
        checked.problem(name, "is an empty folder");
    }
    for path in paths {
        let last = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let below = if name.is_empty() { last.clone() } else { format!("{name}/{last}") };
        let metadata = path.symlink_metadata().map_err(DataError::io("open", &path))?;
        if metadata.is_symlink() {
            checked.problem(&below, "is a link");
        } else if metadata.is_dir() && depth == DEPTH_MAX {
            checked.problem(&below, "lies too deep");
        } else if metadata.is_dir() {
            walk(&path, &below, checked, depth + 1)?;
        } else if metadata.is_file() && !last.starts_with('.') {
            checked.n_files += 1;
            checked.n_bytes += metadata.len();
            if !is_image(&last) {
                continue;
            }
            checked.n_samples += 1;
            checked.count(if name.is_empty() { "." } else { name });
            let mut start = vec![];
            let read = File::open(&path).and_then(|file| file.take(16).read_to_end(&mut start));
            read.map_err(DataError::io("read", &path))?;
            if let Some(what) = image_problem(&start) {
                checked.problem(&below, what);
            }
        }
    }
    Ok(())
}
