//! The format that numpy has for one array, version 1.0: a head of 128 bytes, then the values.
//!
//! `NumPy` enhancement proposal 1, "A Simple File Format for `NumPy` Arrays".

use std::fs::{File, Permissions};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

use crate::failure::{Context, Failure};

const HEAD_BYTES: usize = 128;

/// An array `[N, D]` of f32 that grows row by row, and gets its name once it is whole.
pub struct Npy {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
    n_rows: usize,
    width: usize,
}

impl Npy {
    /// Begins an array that is to be at `path`.
    ///
    /// # Errors
    /// Where it is not called `.npy`, or cannot be written.
    pub fn create(path: &Path, width: usize) -> Result<Self, Failure> {
        if path.extension().is_none_or(|extension| extension != "npy") {
            let problem = format!("`--out` is `{}`, which does not end in `.npy`", path.display());
            return Err(Failure::new(problem).hint("embeddings are written as NumPy has arrays"));
        }
        if path.exists() {
            return Err(Failure::new(format!("`{}` exists", path.display()))
                .hint("give a path where there is nothing yet"));
        }
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        let dir = dir.unwrap_or(Path::new("."));
        if !dir.is_dir() {
            return Err(Failure::new(format!("there is no folder `{}`", dir.display()))
                .hint("make it first, or give another path with `--out`"));
        }
        // As any file of the user's: less what the umask says.
        let file = Builder::new().permissions(Permissions::from_mode(0o666)).tempfile_in(dir);
        let file = file.context(failed(path))?;
        let mut file = BufWriter::new(file);
        file.write_all(&[0; HEAD_BYTES]).context(failed(path))?;
        Ok(Self { path: path.to_owned(), file, n_rows: 0, width })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn push(&mut self, row: &[f32]) -> Result<(), Failure> {
        assert_eq!(row.len(), self.width, "npy: a row");
        self.n_rows += 1;
        let bytes: Vec<u8> = row.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.file.write_all(&bytes).context(failed(&self.path))
    }

    /// Writes the head, and gives the file its name; how many rows there are.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn finish(self) -> Result<usize, Failure> {
        let Self { path, file, n_rows, width } = self;
        let write = || -> std::io::Result<File> {
            let mut file = file.into_inner()?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&head([n_rows, width]))?;
            file.as_file().sync_all()?;
            Ok(file.persist(&path)?)
        };
        write().context(failed(&path))?;
        Ok(n_rows)
    }
}

fn failed(path: &Path) -> String {
    format!("failed to write `{}`", path.display())
}

fn head([n, d]: [usize; 2]) -> [u8; HEAD_BYTES] {
    let dict = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({n}, {d}), }}");
    let mut head = [b' '; HEAD_BYTES];
    head[..8].copy_from_slice(b"\x93NUMPY\x01\x00");
    head[8..10].copy_from_slice(&(HEAD_BYTES as u16 - 10).to_le_bytes());
    head[10..10 + dict.len()].copy_from_slice(dict.as_bytes());
    head[HEAD_BYTES - 1] = b'\n';
    head
}
