//! Files of fixed records, whole or not there, and the descriptions beside them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::DedupError;
use crate::place::{Draft, Places, join, scratch};

/// The greatest description that is read.
const MAX_JSON: u64 = 64 << 20;

/// A folder, and the files in it by their names below it.
#[derive(Debug)]
pub struct Store {
    pub places: Places,
    pub dir: String,
}

/// A record of `N` numbers.
pub type Record<const N: usize> = [u64; N];

impl Store {
    pub fn exists(&self, name: &str) -> Result<bool, DedupError> {
        let path = join(&self.dir, name);
        self.places.exists(&path).map_err(|source| io_error("look for", &path, source))
    }

    /// The numbers of the descriptions of a stage.
    pub fn numbers(&self, stage: &str) -> Result<BTreeSet<usize>, DedupError> {
        let path = join(&self.dir, stage);
        self.places.numbers(&path).map_err(|source| io_error("list", &path, source))
    }

    /// Writes a description.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), DedupError> {
        let path = join(&self.dir, name);
        let text = serde_json::to_vec_pretty(value).map_err(io::Error::from);
        let written = text.and_then(|text| self.places.write(&path, &text));
        written.map_err(|source| io_error("write", &path, source))
    }

    /// Reads a description; where there is none, its stage has not ended.
    pub fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<T, DedupError> {
        let path = join(&self.dir, name);
        let bytes = self.places.read(&path, MAX_JSON);
        let bytes = bytes.map_err(|source| io_error("read", &path, source))?;
        let bytes = bytes.ok_or_else(|| DedupError::Missing { piece: path.clone() })?;
        serde_json::from_slice(&bytes).map_err(|error| damaged(&path, error.to_string()))
    }

    /// Begins a file.
    pub fn create<const N: usize>(&self, name: &str) -> Result<Writer<N>, DedupError> {
        let path = join(&self.dir, name);
        let file = self.places.begin(&path).map_err(|source| io_error("create", &path, source))?;
        Ok(Writer { file: BufWriter::with_capacity(1 << 16, file), path, n_records: 0 })
    }

    /// The records of a run, in order.
    pub fn open<const N: usize>(&self, run: &Run, buffer: usize) -> Result<Reader<N>, DedupError> {
        let size = N as u64 * 8;
        let (start, end) = run.range;
        let (path, file): (_, Box<dyn Read>) = match &run.place {
            Place::Scratch(file) => {
                let part = Part { file: Rc::clone(file), at: start * size };
                ("temporary file".to_owned(), Box::new(part))
            }
            Place::Stored { name, n_records } => {
                let path = join(&self.dir, name);
                let bad = |len| {
                    let problem =
                        format!("{len} bytes, where {n_records} records of {size} must be");
                    damaged(&path, problem)
                };
                let len = n_records.checked_mul(size).ok_or_else(|| bad(u64::MAX))?;
                if start > end || end > *n_records {
                    return Err(bad(len));
                }
                let fetched = self.places.fetch(&path, start * size..end * size);
                let (file, found) = fetched.map_err(|source| io_error("open", &path, source))?;
                if found != len {
                    return Err(bad(found));
                }
                (path, Box::new(file))
            }
        };
        Ok(Reader { file: BufReader::with_capacity(buffer, file), path, left: end - start })
    }

    /// A file for what is needed for a while.
    pub fn scratch(&self) -> Result<Rc<File>, DedupError> {
        let file = scratch(&self.dir);
        Ok(Rc::new(file.map_err(|source| io_error("create a file in", &self.dir, source))?))
    }
}

/// Records of a file, from one to another.
pub struct Run {
    pub place: Place,
    pub range: (u64, u64),
}

impl Run {
    /// All records of a file of the folder.
    pub fn whole(name: String, n_records: u64) -> Self {
        Self { place: Place::Stored { name, n_records }, range: (0, n_records) }
    }
}

/// Where a run is.
pub enum Place {
    /// In a file of the folder.
    Stored { name: String, n_records: u64 },
    /// In one without a name, here.
    Scratch(Rc<File>),
}

/// A part of a file that others read too.
struct Part {
    file: Rc<File>,
    at: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut file = &*self.file;
        file.seek(SeekFrom::Start(self.at))?;
        let n = file.read(buffer)?;
        self.at += n as u64;
        Ok(n)
    }
}

/// A file on its way; dropped before it is finished, it goes.
pub struct Writer<const N: usize> {
    file: BufWriter<Draft>,
    path: String,
    pub n_records: u64,
}

impl<const N: usize> Writer<N> {
    pub fn push(&mut self, record: &Record<N>) -> Result<(), DedupError> {
        self.n_records += 1;
        write(&mut self.file, record).map_err(|source| io_error("write", &self.path, source))
    }

    /// Gives it its name.
    pub fn finish(self) -> Result<(), DedupError> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error);
        let finished = file.and_then(Draft::finish);
        finished.map_err(|source| io_error("write", &self.path, source))
    }
}

/// Writes a record.
pub fn write<const N: usize>(file: &mut impl Write, record: &Record<N>) -> io::Result<()> {
    record.iter().try_for_each(|number| file.write_all(&number.to_le_bytes()))
}

/// Records, in order.
pub struct Reader<const N: usize> {
    file: BufReader<Box<dyn Read>>,
    path: String,
    left: u64,
}

impl<const N: usize> Reader<N> {
    pub fn next(&mut self) -> Result<Option<Record<N>>, DedupError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let mut record = [0; N];
        for number in &mut record {
            let mut bytes = [0; 8];
            let read = self.file.read_exact(&mut bytes);
            read.map_err(|source| io_error("read", &self.path, source))?;
            *number = u64::from_le_bytes(bytes);
        }
        Ok(Some(record))
    }
}

pub fn io_error(action: &'static str, path: &str, source: io::Error) -> DedupError {
    DedupError::Io { action, path: path.to_owned(), source }
}

pub fn damaged(path: &str, problem: String) -> DedupError {
    DedupError::Damaged { path: path.to_owned(), problem }
}
