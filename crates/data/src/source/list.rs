//! Which files a path stands for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::{Format, ReadOptions, code};
use crate::DataError;

/// Folders inside folders; deeper than any corpus, and an end to what never ends.
const DEPTH_MAX: usize = 64;

/// The longest file of patterns that is read.
const IGNORE_BYTES_MAX: u64 = 1 << 20;

const OTHER: &str = "of another format";
const LINK: &str = "links";
const DEEP: &str = "folders too deep inside of others";
const IGNORED: &str = "named by .gitignore or .ignore";
const VENDORED: &str = "folders of others' code";

/// The files of a source in the order they are read, and how many files and folders below its
/// folders are not, by why.
#[derive(Default)]
pub(super) struct Listing {
    pub entries: Vec<Entry>,
    pub skipped: BTreeMap<&'static str, u64>,
}

pub(super) struct Entry {
    pub path: PathBuf,
    pub format: Format,
    /// Named by the user, not found in a folder: it has to hold text.
    pub is_named: bool,
}

/// A file is itself; a folder is what is below it, by name, without hidden files.
pub(super) fn list(paths: &[PathBuf], options: &ReadOptions) -> Result<Listing, DataError> {
    let mut walk = Walk { options, listing: Listing::default(), ignores: Vec::new() };
    for path in paths {
        let metadata = fs::metadata(path).map_err(DataError::io("open", path))?;
        if !metadata.is_dir() {
            let format = options.format.or_else(|| format_of(path)).unwrap_or(Format::Text);
            walk.listing.entries.push(Entry { path: path.clone(), format, is_named: true });
            continue;
        }
        let before = walk.listing.entries.len();
        walk.folder(path, 0)?;
        if walk.listing.entries.len() == before {
            let n_skipped = walk.listing.skipped.values().sum();
            return Err(DataError::NoFiles { path: path.clone(), n_skipped });
        }
    }
    Ok(walk.listing)
}

struct Walk<'a> {
    options: &'a ReadOptions,
    listing: Listing,
    /// What is ignored in the folders above, where code is read.
    ignores: Vec<Gitignore>,
}

impl Walk<'_> {
    fn is_code(&self) -> bool {
        self.options.format == Some(Format::Code)
    }

    fn folder(&mut self, dir: &Path, depth: usize) -> Result<(), DataError> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(dir).map_err(DataError::io("read", dir))? {
            let entry = entry.map_err(DataError::io("read", dir))?;
            if !entry.file_name().as_encoded_bytes().starts_with(b".") {
                paths.push(entry.path());
            }
        }
        paths.sort();
        if self.is_code() {
            self.ignores.push(ignored_in(dir)?);
        }
        for path in paths {
            if let Some(reason) = self.entry(path, depth)? {
                *self.listing.skipped.entry(reason).or_default() += 1;
            }
        }
        if self.is_code() {
            self.ignores.pop();
        }
        Ok(())
    }

    /// Takes a file or what is in a folder; else gives why it does not.
    fn entry(&mut self, path: PathBuf, depth: usize) -> Result<Option<&'static str>, DataError> {
        let is_link = path.is_symlink();
        if is_link && (self.is_code() || !path.exists()) {
            return Ok(Some(LINK));
        }
        let metadata = fs::metadata(&path).map_err(DataError::io("open", &path))?;
        let is_dir = metadata.is_dir();
        if self.is_ignored(&path, is_dir) {
            return Ok(Some(IGNORED));
        }
        if is_dir {
            // A link to a folder may lead back up.
            let reason = match () {
                () if is_link => LINK,
                () if depth == DEPTH_MAX => DEEP,
                () if self.is_code() && code::is_vendored(&path) => VENDORED,
                () => return self.folder(&path, depth + 1).map(|()| None),
            };
            return Ok(Some(reason));
        }
        let format = if self.is_code() {
            self.options.code.knows(&path).then_some(Format::Code)
        } else {
            self.options.format.or_else(|| format_of(&path))
        };
        let Some(format) = format.filter(|_| metadata.is_file()) else { return Ok(Some(OTHER)) };
        self.listing.entries.push(Entry { path, format, is_named: false });
        Ok(None)
    }

    /// The file of patterns that is nearest, and has one for it, decides.
    fn is_ignored(&self, path: &Path, is_dir: bool) -> bool {
        let mut found = self.ignores.iter().rev().map(|ignore| ignore.matched(path, is_dir));
        found.find(|found| !found.is_none()).is_some_and(|found| found.is_ignore())
    }
}

/// What the files `.gitignore` and `.ignore` of a folder name, the second above the first. What
/// git makes nothing of is passed over.
fn ignored_in(dir: &Path) -> Result<Gitignore, DataError> {
    let mut patterns = GitignoreBuilder::new(dir);
    for path in [".gitignore", ".ignore"].map(|name| dir.join(name)) {
        if !path.is_file() {
            continue;
        }
        let bytes = mapped::read_small(&path, IGNORE_BYTES_MAX);
        let bytes = bytes.map_err(DataError::io("read", &path))?;
        for line in String::from_utf8_lossy(&bytes).lines() {
            let _ = patterns.add_line(None, line);
        }
    }
    let failed = |error| DataError::io("read", dir.join(".gitignore"))(io::Error::other(error));
    patterns.build().map_err(failed)
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
