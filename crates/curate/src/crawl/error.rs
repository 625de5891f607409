//! Why a crawl could not be worked on.

use std::io::{self, ErrorKind};

use thiserror::Error;

use super::Slice;
use crate::dedup::DedupError;

/// Why a crawl could not be worked on. What was finished before stays, and the next try goes on
/// there.
#[derive(Debug, Error)]
#[allow(missing_docs)] // The messages say it, and the fields are their facts.
pub enum CrawlError {
    #[error("failed to read `{address}`")]
    Read { address: String, source: io::Error },
    #[error("failed to write `{address}`")]
    Write { address: String, source: io::Error },
    #[error("there is no web archive in `{address}` ({n_others} other files)")]
    NoArchives { address: String, n_others: usize },
    #[error("`{address}` is no list of paths: {problem}")]
    List { address: String, problem: String },
    #[error("`crawl.{name}` is {value}, expected {expected}")]
    Config { name: &'static str, value: String, expected: &'static str },
    #[error("`{address}` is of another recipe")]
    OtherRecipe { address: String },
    #[error("`{address}` is of {found}, expected {expected}")]
    OtherSlice { address: String, found: Slice, expected: Slice },
    #[error("`{address}` is left over: there are {n_slices} slices")]
    LeftOver { address: String, n_slices: usize },
    #[error("`{address}` is no manifest: {problem}")]
    Manifest { address: String, problem: String },
    #[error("failed to read the shard `{address}`")]
    Shard { address: String, source: io::Error },
    #[error(transparent)]
    Duplicates(#[from] DedupError),
    #[error("`{address}` is not there yet")]
    Unfinished { address: String },
}

impl CrawlError {
    /// What the user can do about it, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Write { source, .. } => match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                    "free some space, there or where temporary files are (`TMPDIR`): what is \
                     finished stays, and the same command goes on there"
                }
                _ => return None,
            },
            Self::NoArchives { .. } => {
                "names of web archives have `.warc`, `.wet` or `.arc` in them; a WAT has no text"
            }
            Self::Config { .. } => "change it in the recipe, or with `--set`",
            Self::OtherRecipe { .. } => {
                "give another folder, or the recipe and the shards that it was begun with"
            }
            Self::OtherSlice { .. } | Self::LeftOver { .. } => {
                "the inputs have changed since the folder was begun: give another one"
            }
            Self::Shard { .. } | Self::Manifest { .. } => {
                "remove the file: its slice is worked on again"
            }
            Self::Unfinished { .. } => "run the ranks that are missing, with the same recipe",
            _ => return None,
        })
    }
}
