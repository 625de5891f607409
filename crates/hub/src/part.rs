//! A file as far as it has come, and its hash.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

/// What the content of a file must give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hash {
    is_git: bool,
    hex: String,
}

impl Hash {
    /// Of the bytes, as large files have it; `None` where it is none.
    pub(crate) fn sha256(hex: &str) -> Option<Self> {
        Self::new(false, hex, 64)
    }

    /// Of the bytes with their number in front, as git names its objects; `None` where it is none.
    pub(crate) fn git(hex: &str) -> Option<Self> {
        Self::new(true, hex, 40)
    }

    fn new(is_git: bool, hex: &str, n: usize) -> Option<Self> {
        let is_hash = hex.len() == n && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hash.then(|| Self { is_git, hex: hex.to_ascii_lowercase() })
    }

    /// What it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        if self.is_git { "the git hash" } else { "the SHA-256" }
    }

    /// In hexadecimal digits.
    pub(crate) fn hex(&self) -> &str {
        &self.hex
    }

    fn begin(&self, n_bytes: u64) -> Context {
        if !self.is_git {
            return Context::new(&SHA256);
        }
        let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        context.update(format!("blob {n_bytes}\0").as_bytes());
        context
    }
}

/// A file that is being fetched, or is there already.
pub(crate) struct Part {
    file: File,
    expected: Hash,
    n_expected: u64,
    context: Context,
    n_bytes: u64,
}

impl Part {
    /// Opens what is there of a file that shall have `n_expected` bytes, or begins it; what there
    /// is more is cut off.
    pub fn open(path: &Path, expected: &Hash, n_expected: u64) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        let context = expected.begin(n_expected);
        let mut part = Self { file, expected: expected.clone(), n_expected, context, n_bytes: 0 };
        if part.file.metadata()?.len() > n_expected {
            part.restart()?;
        }
        part.read_on()?;
        Ok(part)
    }

    /// Whether a file has the content it shall have; `None` where there is no such file.
    pub fn check(path: &Path, expected: &Hash, n_expected: u64) -> io::Result<Option<bool>> {
        let file = match File::open(path) {
            Ok(file) if file.metadata()?.is_file() => file,
            Ok(_) => return Ok(Some(false)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if file.metadata()?.len() != n_expected {
            return Ok(Some(false));
        }
        let context = expected.begin(n_expected);
        let mut part = Self { file, expected: expected.clone(), n_expected, context, n_bytes: 0 };
        part.read_on()?;
        Ok(Some(part.found() == part.expected.hex))
    }

    /// The bytes that are there.
    pub fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    /// Forgets what is there.
    pub fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        (self.context, self.n_bytes) = (self.expected.begin(self.n_expected), 0);
        Ok(())
    }

    /// Adds some bytes.
    pub fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.context.update(bytes);
        self.n_bytes += bytes.len() as u64;
        Ok(())
    }

    /// Makes what is there survive a power loss.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// The hash of what is there.
    pub fn found(&self) -> String {
        let digest = self.context.clone().finish();
        digest.as_ref().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
    }

    fn read_on(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 18];
        loop {
            match self.file.read(&mut buffer)? {
                0 => return Ok(()),
                n => {
                    self.context.update(&buffer[..n]);
                    self.n_bytes += n as u64;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn hashes_are_those_of_sha256sum_and_git() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a");
        fs::write(&path, "hello\n").expect("written");
        let sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        let git = "ce013625030ba8dba906f756967f9e9ca394464a";
        for hash in [Hash::sha256(sha256), Hash::git(git)].map(|hash| hash.expect("a hash")) {
            assert_eq!(Part::check(&path, &hash, 6).expect("read"), Some(true));
            assert_eq!(Part::check(&path, &hash, 7).expect("read"), Some(false));
            assert_eq!(Part::check(&dir.path().join("b"), &hash, 6).expect("read"), None);
        }
        assert_eq!(Hash::sha256(git), None);
        assert_eq!(Hash::git(&"g".repeat(40)), None);
    }

    #[test]
    fn a_part_goes_on_where_it_stands_and_forgets_what_is_too_much() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a");
        let hash = Hash::git("ce013625030ba8dba906f756967f9e9ca394464a").expect("a hash");
        fs::write(&path, "hel").expect("written");
        let mut part = Part::open(&path, &hash, 6).expect("opens");
        assert_eq!(part.n_bytes(), 3);
        part.push(b"lo\n").expect("written");
        assert_eq!(part.found(), hash.hex());
        assert_eq!(fs::read(&path).expect("there"), b"hello\n");
        fs::write(&path, "hello\nand more").expect("written");
        assert_eq!(Part::open(&path, &hash, 6).expect("opens").n_bytes(), 0);
    }
}
