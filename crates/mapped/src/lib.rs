//! Memory-mapped files, read-only: the bytes of a file as a slice, and that slice as numbers. Also
//! small files, read whole within a limit.
//!
//! One of the few crates with `unsafe`, because a mapping is only as constant as the file below it.

#![allow(unsafe_code)]

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Deref;
use std::path::Path;

use bytemuck::{Pod, PodCastError};
use memmap2::Mmap;

/// A regular file, mapped for reading; its bytes by `Deref`.
///
/// The pages are the page cache's own: opening is free whatever the size, and two processes share
/// them. Whoever opens a file here owns it or finished writing it: Lyceum writes every file under
/// another name and renames it, so a mapped one is never written again. Where somebody else cuts a
/// mapped file short, reading beyond its new end ends the process (`SIGBUS`), as with any mapping.
///
/// ```
/// let path = std::env::temp_dir().join("mapped-example.txt");
/// std::fs::write(&path, "It was").unwrap();
/// assert_eq!(&mapped::MappedFile::open(&path).unwrap()[..2], b"It");
/// # std::fs::remove_file(&path).unwrap();
/// ```
#[derive(Debug)]
pub struct MappedFile {
    /// `None` for an empty file: there is no mapping of no bytes.
    map: Option<Mmap>,
}

impl MappedFile {
    /// Maps the whole file. An empty file is an empty slice.
    ///
    /// # Errors
    /// The file cannot be opened or mapped, or is not a regular file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = open_regular(path)?;
        if file.metadata()?.len() == 0 {
            return Ok(Self { map: None });
        }
        // SAFETY: the mapping is read-only, and nothing in this program writes to or
        // truncates a file once it has its name (files are written under a temporary name, then
        // renamed). That no other process does so either cannot be enforced: a concurrent write may
        // show up in the slice, a concurrent truncation raises SIGBUS. The readers treat the bytes
        // as untrusted numbers only, so a torn read gives wrong numbers and no broken invariant.
        let map = unsafe { Mmap::map(&file)? };
        Ok(Self { map: Some(map) })
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }
}

impl AsRef<[u8]> for MappedFile {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Opens a file that is one: a pipe would be waited for, a device may have no end.
///
/// # Errors
/// The file cannot be opened, or is not a regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    File::open(path)
}

/// The bytes of a file that is small by its nature.
///
/// # Errors
/// The file cannot be read, is not a regular file, or has more than `max_bytes`
/// ([`io::ErrorKind::FileTooLarge`]), be it that it grows while it is read.
pub fn read_small(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let file = open_regular(path)?;
    let (mut bytes, mut n_bytes) = (Vec::new(), file.metadata()?.len());
    if n_bytes <= max_bytes {
        n_bytes = file.take(max_bytes + 1).read_to_end(&mut bytes)? as u64;
    }
    if n_bytes > max_bytes {
        let problem = format!("{n_bytes} bytes, at most {max_bytes} are read");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(bytes)
}

/// The bytes as numbers of the machine's own byte order: in place where they are aligned for `T`,
/// else copied.
///
/// # Panics
/// When the length is no multiple of the size of `T`: check an outside length first.
pub fn cast_or_copy<T: Pod>(bytes: &[u8]) -> Cow<'_, [T]> {
    let size = size_of::<T>();
    match bytemuck::try_cast_slice(bytes) {
        Ok(numbers) => Cow::Borrowed(numbers),
        Err(PodCastError::TargetAlignmentGreaterAndInputNotAligned)
            if bytes.len().is_multiple_of(size) =>
        {
            Cow::Owned(bytemuck::pod_collect_to_vec(bytes))
        }
        Err(error) => {
            panic!("cast_or_copy: {} bytes are no whole number of {size}: {error}", bytes.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_file_is_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        for content in [vec![], vec![1], vec![7; 100_000]] {
            let path = dir.path().join(content.len().to_string());
            fs::write(&path, &content).unwrap();
            assert_eq!(*MappedFile::open(&path).unwrap(), content[..]);
        }
    }

    #[test]
    fn what_is_no_regular_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let kind = |path: &Path| MappedFile::open(path).unwrap_err().kind();
        assert_eq!(kind(&dir.path().join("missing")), io::ErrorKind::NotFound);
        assert_eq!(kind(dir.path()), io::ErrorKind::IsADirectory);
        assert_eq!(kind(Path::new("/dev/null")), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_small_file_is_read_within_its_limit_and_a_pipe_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("small");
        fs::write(&path, "It was").unwrap();
        assert_eq!(read_small(&path, 6).unwrap(), b"It was");
        let kind = |path: &Path| read_small(path, 5).unwrap_err().kind();
        assert_eq!(kind(&path), io::ErrorKind::FileTooLarge);
        assert_eq!(kind(Path::new("/dev/zero")), io::ErrorKind::InvalidInput);
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        assert_eq!(kind(&pipe), io::ErrorKind::InvalidInput);
        assert_eq!(MappedFile::open(&pipe).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn misaligned_bytes_are_copied_and_equal() {
        let numbers: Vec<f32> = (0..9_u8).map(f32::from).collect();
        let mut bytes: Vec<u8> = vec![0; 3];
        bytes.extend_from_slice(bytemuck::cast_slice(&numbers));
        for start in 0..4 {
            let padded = [&bytes[3 - start..3], &bytes[3..]].concat();
            let cast = cast_or_copy::<f32>(&padded[start..]);
            assert_eq!(*cast, numbers[..], "start {start}");
            let aligned = padded[start..].as_ptr().addr().is_multiple_of(align_of::<f32>());
            assert_eq!(matches!(cast, Cow::Borrowed(_)), aligned, "start {start}");
        }
        assert!(cast_or_copy::<u64>(&[]).is_empty());
    }

    #[test]
    #[should_panic(expected = "cast_or_copy: 5 bytes are no whole number of 4")]
    fn a_ragged_length_is_a_bug() {
        cast_or_copy::<u32>(&[0; 5]);
    }
}
