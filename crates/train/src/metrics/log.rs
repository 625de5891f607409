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
    /// Damaged lines that [`Self::resume`] cut off.
    pub dropped: Vec<LogError>,
    file: AppendFile,
    row: PhantomData<fn(&R)>,
}

impl<R: Row> Log<R> {
    /// A log of a new run.
    ///
    /// # Errors
    /// When the file exists, or cannot be made.
    pub fn create(path: &Path) -> Result<Self, LogError> {
        Ok(Self { dropped: vec![], file: AppendFile::create(path)?, row: PhantomData })
    }

    /// The log of a run that goes on after `step`: what comes after the last row of that step or
    /// an earlier one is cut off, damaged or not, at once or not at all; what is kept keeps its
    /// bytes. A log that is missing is made.
    ///
    /// # Errors
    /// When the file cannot be read or written, or when a line is damaged that would be kept.
    pub fn resume(path: &Path, step: u64) -> Result<Self, LogError> {
        let bytes = match std::fs::read(path) {
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Self::create(path),
            read => read.map_err(|source| failed("read", path, source))?,
        };
        let mut rows = parse::<R>(path, &bytes);
        let is_kept = |row: &R| row.step() <= step;
        let last = rows.iter().rposition(|(_, row)| row.as_ref().is_ok_and(is_kept));
        let cut = rows.split_off(last.map_or(0, |last| last + 1));
        let mut text = Vec::new();
        for (line, row) in rows {
            if is_kept(&row?) {
                text.extend(line.iter().chain(b"\n"));
            }
        }
        if text != bytes {
            atomic::write_file(&OsDisk, path, &text)?;
        }
        let dropped = cut.into_iter().filter_map(|(_, row)| row.err()).collect();
        Ok(Self { dropped, file: AppendFile::open(path)?, row: PhantomData })
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
    parse(path, &bytes).into_iter().map(|(_, row)| row).collect()
}

/// Every line with the row that it is, but for a torn last one. Blank lines count for nothing.
fn parse<'a, R: Row>(path: &Path, bytes: &'a [u8]) -> Vec<(&'a [u8], Result<R, LogError>)> {
    let lines = bytes.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).zip(1..);
    let row = |(text, line)| {
        let damaged = |source| LogError::Row { path: path.to_path_buf(), line, source };
        (text, serde_json::from_slice(text).map_err(damaged))
    };
    let mut rows: Vec<_> = lines.filter(|(line, _)| !line.is_empty()).map(row).collect();
    rows.pop_if(|(_, row)| row.is_err());
    rows
}
