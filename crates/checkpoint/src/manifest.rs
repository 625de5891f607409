//! The manifest of a checkpoint: size and BLAKE3 hash of every file, and its own hash.
//!
//! Written last, so a directory that has one was written to its end. The text is canonical: what
//! is not byte for byte what this module would write is refused, so no flip in it goes unseen.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Component, Path};

use mapped::MappedFile;
use serde::{Deserialize, Serialize};

use crate::{CheckpointError, Damage, atomic};

/// Its name in a checkpoint.
pub const FILE_NAME: &str = "manifest.json";
/// Files below this belong to the trainer; a model is loaded without them.
pub const TRAINER: &str = "trainer/";

const FORMAT_VERSION: u32 = 1;
/// A manifest of a thousand shards has 150 kB.
const MAX_BYTES: u64 = 16 << 20;

/// Who wrote a checkpoint. Resuming with another build or path changes the bits, so it warns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Version and revision of the program.
    pub build: String,
    /// The instruction set the kernels ran on.
    pub isa: String,
}

/// One file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its size.
    pub bytes: u64,
    /// Its BLAKE3 hash, in hexadecimal.
    pub blake3: String,
}

/// What a checkpoint consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Of this file, counted up when a field changes its meaning.
    pub format_version: u32,
    /// Who wrote it.
    pub origin: Origin,
    /// By path below the checkpoint's directory, with `/`.
    pub files: BTreeMap<String, FileRecord>,
    /// BLAKE3 of this text with an empty string here.
    blake3: String,
}

/// Checks every file of the checkpoint `dir` against its manifest.
///
/// # Errors
/// [`CheckpointError::Damaged`] with the first file that is missing or changed, and
/// [`CheckpointError::Manifest`] where it is the manifest itself.
pub fn verify(dir: &Path) -> Result<Manifest, CheckpointError> {
    verify_files(dir, |_| true)
}

/// As [`verify`], without the files below `trainer/`: enough to load the model.
///
/// # Errors
/// As [`verify`].
pub fn verify_model(dir: &Path) -> Result<Manifest, CheckpointError> {
    verify_files(dir, |name| !name.starts_with(TRAINER))
}

fn verify_files(dir: &Path, wanted: impl Fn(&str) -> bool) -> Result<Manifest, CheckpointError> {
    let manifest = Manifest::load(dir)?;
    for (name, record) in manifest.files.iter().filter(|(name, _)| wanted(name)) {
        let path = dir.join(name);
        if let Some(damage) = record.damage(&path).map_err(CheckpointError::read(&path))? {
            let (dir, file) = (dir.to_owned(), name.clone());
            return Err(CheckpointError::Damaged { dir, file, damage });
        }
    }
    Ok(manifest)
}

impl Manifest {
    pub(crate) fn new(origin: Origin, files: BTreeMap<String, FileRecord>) -> Self {
        let mut manifest =
            Self { format_version: FORMAT_VERSION, origin, files, blake3: String::new() };
        manifest.blake3 = blake3::hash(manifest.to_json().as_bytes()).to_string();
        manifest
    }

    /// The text of the file.
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).expect("strings and numbers only");
        json.push('\n');
        json
    }

    /// Reads the manifest of a checkpoint, and checks nothing but the manifest.
    ///
    /// # Errors
    /// It is missing, unreadable, of another format version, or was changed.
    pub fn load(dir: &Path) -> Result<Self, CheckpointError> {
        let path = dir.join(FILE_NAME);
        if path.is_dir() || matches!(path.try_exists(), Ok(false)) {
            let (dir, file) = (dir.to_owned(), FILE_NAME.to_owned());
            return Err(CheckpointError::Damaged { dir, file, damage: Damage::Missing });
        }
        let text = atomic::read_small(&path, MAX_BYTES)?;
        Self::parse(&path, &text)
    }

    fn parse(path: &Path, text: &[u8]) -> Result<Self, CheckpointError> {
        let invalid = |problem| CheckpointError::Manifest { path: path.to_owned(), problem };
        let json = |error: serde_json::Error| invalid(error.to_string());
        // Alone at first: another version may have other fields.
        let Version { format_version: found } = serde_json::from_slice(text).map_err(json)?;
        if found != FORMAT_VERSION {
            let (path, known) = (path.to_owned(), FORMAT_VERSION);
            return Err(CheckpointError::FormatVersion { path, found, known });
        }
        let found: Self = serde_json::from_slice(text).map_err(json)?;
        let expected = Self::new(found.origin, found.files);
        if expected.to_json().as_bytes() != text {
            return Err(invalid("its own BLAKE3 hash differs".to_owned()));
        }
        match expected.files.keys().find(|name| !is_plain(Path::new(name))) {
            Some(name) => Err(invalid(format!("`{name}` is no path below the checkpoint"))),
            None => Ok(expected),
        }
    }
}

#[derive(Deserialize)]
struct Version {
    format_version: u32,
}

impl FileRecord {
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_rayon(&MappedFile::open(path)?);
        Ok(Self::from_hasher(&hasher))
    }

    pub(crate) fn from_hasher(hasher: &blake3::Hasher) -> Self {
        Self { bytes: hasher.count(), blake3: hasher.finalize().to_string() }
    }

    fn damage(&self, path: &Path) -> io::Result<Option<Damage>> {
        let found = match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => return Ok(Some(Damage::Missing)),
        };
        if found != self.bytes {
            return Ok(Some(Damage::Size { expected: self.bytes, found }));
        }
        Ok((Self::of(path)? != *self).then_some(Damage::Hash))
    }
}

/// Whether a path stays below the directory it is joined to.
pub(crate) fn is_plain(path: &Path) -> bool {
    path.file_name().is_some() && path.components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str) -> Manifest {
        let record = FileRecord { bytes: 3, blake3: blake3::hash(b"abc").to_string() };
        let origin = Origin { build: "0.1.0".into(), isa: "avx2".into() };
        Manifest::new(origin, BTreeMap::from([(name.to_owned(), record)]))
    }

    fn parse(text: &[u8]) -> Result<Manifest, String> {
        Manifest::parse(Path::new("m"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn every_flipped_bit_of_a_manifest_is_seen() {
        let text = sample("config.json").to_json().into_bytes();
        assert_eq!(parse(&text), Ok(sample("config.json")));
        for bit in 0..text.len() * 8 {
            let mut flipped = text.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(parse(&flipped).is_err(), "bit {bit}");
        }
        for len in 0..text.len() {
            assert!(parse(&text[..len]).is_err(), "cut to {len}");
        }
    }

    #[test]
    fn another_format_version_is_named() {
        let text = sample("a").to_json().replace("\"format_version\": 1", "\"format_version\": 2");
        for text in ["{\"format_version\": 2, \"other\": []}", &text] {
            let problem = parse(text.as_bytes()).unwrap_err();
            assert_eq!(problem, "`m` has format version 2, this build reads 1");
        }
    }

    #[test]
    fn a_path_out_of_the_checkpoint_is_refused() {
        for name in ["../../etc/passwd", "/etc/passwd", "a/../../b", "", "..", "./a"] {
            let problem = parse(sample(name).to_json().as_bytes()).unwrap_err();
            assert!(problem.contains("no path below"), "{name}: {problem}");
        }
    }
}
