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

/// What [`Log::resume`] dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Rows of steps after the resumed one.
    pub n_rows: usize,
    /// Whether the last line was torn.
    pub torn: bool,
}

/// A log as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows<R> {
    /// In file order.
    pub rows: Vec<R>,
    /// Whether there was a torn last line, which is left out.
    pub torn: bool,
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
    pub fn resume(path: &Path, step: u64) -> Result<(Self, Cut), LogError> {
        let bytes = match std::fs::read(path) {
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                return Ok((Self::create(path)?, Cut::default()));
            }
            read => read.map_err(|source| failed("read", path, source))?,
        };
        let lines = parse::<R>(path, &bytes)?;
        let kept: Vec<&[u8]> = lines
            .rows
            .iter()
            .filter(|(_, row)| row.step() <= step)
            .map(|(line, _)| *line)
            .collect();
        let cut = Cut { n_rows: lines.rows.len() - kept.len(), torn: lines.torn };
        let text: Vec<u8> =
            kept.iter().flat_map(|line| line.iter().chain(b"\n")).copied().collect();
        if text != bytes {
            atomic::write_file(&OsDisk, path, &text)?;
        }
        Ok((Self { file: AppendFile::open(path)?, row: PhantomData }, cut))
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

/// Reads a log, also one that is being written: a torn last line is left out and said.
///
/// # Errors
/// When the file cannot be read, or when a line that is not the last is damaged.
pub fn read<R: Row>(path: &Path) -> Result<Rows<R>, LogError> {
    let bytes = std::fs::read(path).map_err(|source| failed("read", path, source))?;
    let Rows { rows, torn } = parse(path, &bytes)?;
    Ok(Rows { rows: rows.into_iter().map(|(_, row)| row).collect(), torn })
}

/// Every row with the bytes it was read from. Blank lines count for nothing.
fn parse<'a, R: Row>(path: &Path, bytes: &'a [u8]) -> Result<Rows<(&'a [u8], R)>, LogError> {
    let lines: Vec<(usize, &[u8])> = bytes
        .split(|&byte| byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .collect();
    let mut rows = Vec::with_capacity(lines.len());
    for (at, &(line_idx, line)) in lines.iter().enumerate() {
        match serde_json::from_slice(line) {
            Ok(row) => rows.push((line, row)),
            Err(_) if at + 1 == lines.len() => return Ok(Rows { rows, torn: true }),
            Err(source) => {
                return Err(LogError::Row { path: path.to_path_buf(), line: line_idx + 1, source });
            }
        }
    }
    Ok(Rows { rows, torn: false })
}
