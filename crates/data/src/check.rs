//! What is in an archive or a folder of images, and what is wrong with it, before it is trained on.
//!
//! - a tar of samples, as `WebDataset` has them: files of one name and several endings, one after
//!   the other;
//! - a tar of tars, or a folder of folders, a class each: `ImageNet`.
//!
//! Nothing is unpacked. Every byte is read, so what is cut short is found; memory holds a hash a
//! name, and some of the problems.

mod archive;
mod folder;

use std::collections::BTreeMap;
use std::path::Path;

use crate::DataError;

/// Problems that are told; the others are counted.
const PROBLEMS_MAX: usize = 100;
/// Endings, or classes, that are told apart.
const KINDS_MAX: usize = 1 << 16;
/// Characters of a name that are told.
const NAME_MAX: usize = 200;

/// How samples lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// Files of one name are a sample: `WebDataset`.
    #[default]
    Samples,
    /// A folder, or a tar inside the tar, is a class.
    Classes,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The entry, by its name in the archive or below the folder.
    pub entry: String,
    /// What is wrong with it.
    pub what: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// How samples lie.
    pub layout: Layout,
    /// Archives read; 0 for a folder.
    pub n_archives: u64,
    /// Files.
    pub n_files: u64,
    /// Their bytes.
    pub n_bytes: u64,
    /// Samples: of one name, or images.
    pub n_samples: u64,
    /// Files by ending, or images by class.
    pub kinds: BTreeMap<String, u64>,
    /// All problems.
    pub n_problems: u64,
    /// The first of them.
    pub problems: Vec<Problem>,
}

/// Looks through a tar, packed or not, a folder of tars, or a folder of classes.
///
/// # Errors
/// When the path cannot be read, or holds neither. What is wrong inside is a [`Problem`].
pub fn check(path: &Path) -> Result<Checked, DataError> {
    let metadata = path.metadata().map_err(DataError::io("open", path))?;
    let mut checked = Checked::default();
    if metadata.is_dir() {
        folder::check(path, &mut checked)?;
    } else {
        archive::check(path, "", &mut checked)?;
    }
    Ok(checked)
}

impl Checked {
    fn problem(&mut self, entry: impl Into<String>, what: impl Into<String>) {
        self.n_problems += 1;
        if self.problems.len() < PROBLEMS_MAX {
            let (mut entry, mut what) = (entry.into(), what.into());
            entry.truncate(entry.floor_char_boundary(NAME_MAX));
            what.truncate(what.floor_char_boundary(2 * NAME_MAX));
            self.problems.push(Problem { entry, what });
        }
    }

    fn count(&mut self, kind: &str) {
        if let Some(n) = self.kinds.get_mut(kind) {
            *n += 1;
        } else if self.kinds.len() < KINDS_MAX {
            let kind = &kind[..kind.floor_char_boundary(NAME_MAX)];
            *self.kinds.entry(kind.to_owned()).or_default() += 1;
        }
    }
}

/// Whether a file's name is that of an image.
fn is_image(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_lowercase());
    ending.is_some_and(|ending| {
        ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"].contains(&&*ending)
    })
}

/// What is wrong with the first bytes of an image.
fn image_problem(start: &[u8]) -> Option<&'static str> {
    const STARTS: [&[u8]; 7] =
        [b"\xFF\xD8\xFF", b"\x89PNG\r\n\x1A\n", b"RIFF", b"GIF8", b"BM", b"II*\0", b"MM\0*"];
    match start {
        [] => Some("is empty"),
        start if STARTS.iter().any(|known| start.starts_with(known)) => None,
        _ => Some("does not begin as an image does"),
    }
}

#[cfg(test)]
mod tests;
