//! Which files a path stands for.

use std::fs;
use std::path::{Path, PathBuf};

use super::Format;
use crate::DataError;

/// Folders inside folders; deeper than any corpus, and an end to what never ends.
const DEPTH_MAX: usize = 64;

/// The files of a source in the order they are read, and how many of its folders' are not: those of
/// unknown format, and links to folders or to nothing.
#[derive(Default)]
pub(super) struct Listing {
    pub entries: Vec<Entry>,
    pub n_skipped: usize,
}

pub(super) struct Entry {
    pub path: PathBuf,
    pub format: Format,
    /// Named by the user, not found in a folder: it has to hold text.
    pub is_named: bool,
}

/// A file is itself; a folder is what is below it, by name, without hidden files.
pub(super) fn list(paths: &[PathBuf], format: Option<Format>) -> Result<Listing, DataError> {
    let mut listing = Listing::default();
    for path in paths {
        let metadata = fs::metadata(path).map_err(DataError::io("open", path))?;
        if !metadata.is_dir() {
            let format = format.or_else(|| format_of(path)).unwrap_or(Format::Text);
            listing.entries.push(Entry { path: path.clone(), format, is_named: true });
            continue;
        }
        let before = listing.entries.len();
        walk(path, format, &mut listing, 0)?;
        if listing.entries.len() == before {
            let (path, n_skipped) = (path.clone(), listing.n_skipped);
            return Err(DataError::NoFiles { path, n_skipped });
        }
    }
    Ok(listing)
}

fn walk(
    dir: &Path,
    format: Option<Format>,
    listing: &mut Listing,
    depth: usize,
) -> Result<(), DataError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(DataError::io("read", dir))? {
        let entry = entry.map_err(DataError::io("read", dir))?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    for path in paths {
        if path.is_symlink() && !path.exists() {
            listing.n_skipped += 1;
            continue;
        }
        let metadata = fs::metadata(&path).map_err(DataError::io("open", &path))?;
        let known = format.or_else(|| format_of(&path));
        match known {
            // A link to a folder may lead back up.
            _ if metadata.is_dir() && (path.is_symlink() || depth == DEPTH_MAX) => {
                listing.n_skipped += 1;
            }
            _ if metadata.is_dir() => walk(&path, format, listing, depth + 1)?,
            Some(format) if metadata.is_file() => {
                listing.entries.push(Entry { path, format, is_named: false });
            }
            _ => listing.n_skipped += 1,
        }
    }
    Ok(())
}

/// By the name, `.gz`, `.zst` and `.bz2` taken off.
fn format_of(path: &Path) -> Option<Format> {
    let name = path.file_name()?.to_str()?.to_lowercase();
    let packed = [".gz", ".zst", ".bz2"].iter().find_map(|end| name.strip_suffix(end));
    let name = packed.unwrap_or(&name);
    match name.rsplit_once('.')?.1 {
        "txt" | "text" | "md" => Some(Format::Text),
        "jsonl" | "ndjson" => Some(Format::Jsonl),
        "parquet" => Some(Format::Parquet),
        "csv" => Some(Format::Csv),
        "tsv" => Some(Format::Tsv),
        "xml" => Some(Format::Wiki),
        _ => None,
    }
}
