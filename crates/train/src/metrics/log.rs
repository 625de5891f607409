//! Append-only JSON lines that survive a kill at any moment.

use std::io;
use std::marker::PhantomData;
use std::path::Path;

use checkpoint::{OsDisk, atomic};

use super::append::{AppendFile, failed};
use super::{LogError, Row};

/// An open log, at its end.
#[derive(Debug)]
pub struct Log<R> {
    file: AppendFile,
    row: PhantomData<fn(&R)>,
}

impl<R: Row> Log<R> {
    /// A log of a new run.
    ///
    /// # Errors
    /// When the file exists, or cannot be made.
    pub fn create(path: &Path) -> Result<Self, LogError> {
        Ok(Self { file: AppendFile::create(path)?, row: PhantomData })
    }

    /// The log of a run that goes on after `step`: rows of later steps and a torn last line are
    /// cut off, at once or not at all; what is kept keeps its bytes. A log that is missing is
    /// made.
    ///
    /// # Errors
    /// When the file cannot be read or written, or when a line that is not the last is damaged.
    pub fn resume(path: &Path, step: u64) -> Result<Self, LogError> {
        let bytes = match std::fs::read(path) {
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Self::create(path),
            read => read.map_err(|source| failed("read", path, source))?,
        };
        let rows = parse::<R>(path, &bytes)?;
        let kept = rows.iter().filter(|(_, row)| row.step() <= step);
        let text: Vec<u8> = kept.flat_map(|(line, _)| line.iter().chain(b"\n")).copied().collect();
        if text != bytes {
            atomic::write_file(&OsDisk, path, &text)?;
        }
        Ok(Self { file: AppendFile::open(path)?, row: PhantomData })
    }

    /// Appends a row. One that could not be written leaves the log as it was.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn append(&mut self, row: &R) -> Result<(), LogError> {
        let mut line = serde_json::to_vec(row).expect("a row is plain data with string keys");
        line.push(b'\n');
        self.file.append(&line)
    }

    /// Waits until every row is on the disk. Called before a checkpoint is made, so that no
    /// checkpoint is newer than its log.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync(&self) -> Result<(), LogError> {
        self.file.sync()
    }
}

/// Reads a log, also one that is being written: a torn last line is left out.
///
/// # Errors
/// When the file cannot be read, or when a line that is not the last is damaged.
pub fn read<R: Row>(path: &Path) -> Result<Vec<R>, LogError> {
    let bytes = std::fs::read(path).map_err(|source| failed("read", path, source))?;
    Ok(parse(path, &bytes)?.into_iter().map(|(_, row)| row).collect())
}

/// Every row with the bytes it was read from, but for a torn last line. Blank lines count for
/// nothing.
fn parse<'a, R: Row>(path: &Path, bytes: &'a [u8]) -> Result<Vec<(&'a [u8], R)>, LogError> {
    let lines = bytes.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).zip(1..);
    let mut lines = lines.filter(|(line, _)| !line.is_empty()).peekable();
    let mut rows = vec![];
    while let Some((text, line)) = lines.next() {
        match serde_json::from_slice(text) {
            Ok(row) => rows.push((text, row)),
            Err(_) if lines.peek().is_none() => break,
            Err(source) => return Err(LogError::Row { path: path.to_path_buf(), line, source }),
        }
    }
    Ok(rows)
}
