//! From inputs to slices.

use std::fmt;
use std::io::{BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use serde::{Deserialize, Serialize};

use super::{CrawlConfig, CrawlError};
use crate::place::{ALL, Found, Places, join};
use crate::warc::Format;

/// A longer line is no path, in bytes.
const LINE_MAX: u64 = 4096;
/// More paths are refused: a crawl of a month has 100 000 files.
const PATHS_MAX: usize = 10_000_000;

/// A part of a file, and a piece of work: records whose member begins in `start..end`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    /// The address of the file.
    pub source: String,
    /// In bytes.
    pub start: u64,
    /// In bytes; the largest number where the size of the file is not known.
    pub end: u64,
    /// What a store says which file it is (an `ETag`): what it says of another one is not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { source, start, end, tag } = self;
        match *end {
            u64::MAX => write!(f, "`{source}`")?,
            _ => write!(f, "bytes {start}..{end} of `{source}`")?,
        }
        tag.as_ref().map_or(Ok(()), |tag| write!(f, " (tag {tag})"))
    }
}

/// The slices of all inputs, in the order of the inputs and of the names in a folder. The same for
/// every rank.
pub(super) fn plan(places: &Places, config: &CrawlConfig) -> Result<Vec<Slice>, CrawlError> {
    let mut slices = Vec::new();
    for address in &config.inputs {
        let read = |source| CrawlError::Read { address: address.clone(), source };
        let Some(found) = places.find(address).map_err(read)? else {
            let (archives, n_others) = places.list(address, is_archive).map_err(read)?;
            if archives.is_empty() {
                return Err(CrawlError::NoArchives { address: address.clone(), n_others });
            }
            for found in archives {
                cut(places, config, &found, &mut slices)?;
            }
            continue;
        };
        cut(places, config, &found, &mut slices)?;
    }
    for list in &config.path_lists {
        let paths = paths(places, &list.list)?;
        let whole = |path: String| {
            let source = join(&list.base, &path);
            Slice { source, start: 0, end: u64::MAX, tag: None }
        };
        slices.extend(paths.into_iter().map(whole));
    }
    Ok(slices)
}

/// Whether a file is taken for a web archive, by its name.
fn is_archive(address: &str) -> bool {
    let name = address.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let bare = name.strip_suffix(".gz").or(name.strip_suffix(".zst")).unwrap_or(&name);
    let is_hidden = name.starts_with('.');
    !is_hidden && [".warc", ".wet", ".wat", ".arc"].iter().any(|end| bare.ends_with(end))
}

/// Cuts a gzip file of some size; others are one slice.
fn cut(
    places: &Places,
    config: &CrawlConfig,
    Found { url: source, size, tag }: &Found,
    slices: &mut Vec<Slice>,
) -> Result<(), CrawlError> {
    let size = *size;
    let is_known = size < u64::MAX;
    let mut n_parts = if is_known { size.div_ceil(config.slice_bytes).max(1) } else { 1 };
    if n_parts > 1 {
        let mut head = Vec::new();
        let read = places.open(source, 0..4, tag.as_deref());
        let read = read.and_then(|mut file| file.read_to_end(&mut head));
        read.map_err(|error| CrawlError::Read { address: source.clone(), source: error })?;
        if Format::of(&head) != Format::Gzip {
            n_parts = 1;
        }
    }
    for part in 0..n_parts {
        let start = part * config.slice_bytes;
        let end = if part + 1 == n_parts { size } else { start + config.slice_bytes };
        slices.push(Slice { source: source.clone(), start, end, tag: tag.clone() });
    }
    Ok(())
}

/// The lines of a list, which may be compressed.
fn paths(places: &Places, address: &str) -> Result<Vec<String>, CrawlError> {
    let read = |source| CrawlError::Read { address: address.to_owned(), source };
    let bad = |problem: String| CrawlError::List { address: address.to_owned(), problem };
    let mut file = BufReader::new(places.open(address, ALL, None).map_err(read)?);
    let is_gzip = Format::of(file.fill_buf().map_err(read)?) == Format::Gzip;
    let mut lines: Box<dyn BufRead> =
        if is_gzip { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(file) };
    let mut paths = Vec::new();
    let mut line = String::new();
    loop {
        line.clear();
        let n_bytes = lines.by_ref().take(LINE_MAX).read_line(&mut line).map_err(read)?;
        let path = line.trim();
        if n_bytes == 0 {
            return Ok(paths);
        }
        if n_bytes as u64 == LINE_MAX || path.chars().any(char::is_control) {
            return Err(bad(format!("line {} is none", paths.len() + 1)));
        }
        if path.split('/').any(|part| part == "..") {
            return Err(bad(format!("`{path}` leaves its base")));
        }
        if paths.len() == PATHS_MAX {
            return Err(bad(format!("more than {PATHS_MAX} lines")));
        }
        if !path.is_empty() {
            paths.push(path.to_owned());
        }
    }
}
