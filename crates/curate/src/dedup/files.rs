//! Files of fixed records, whole or not there, and the descriptions beside them.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tempfile::{Builder, NamedTempFile};

use super::DedupError;

/// The greatest description that is read.
const MAX_JSON: u64 = 64 << 20;

/// A folder.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
}

/// A record of `N` numbers.
pub type Record<const N: usize> = [u64; N];

impl Store {
    pub fn new(dir: &Path) -> Result<Self, DedupError> {
        for name in ["map", "pairs", "gone"] {
            let path = dir.join(name);
            fs::create_dir_all(&path).map_err(|source| io_error("create", &path, source))?;
        }
        Ok(Self { dir: dir.to_owned() })
    }

    pub fn path(&self, stage: &str, name: &str) -> PathBuf {
        self.dir.join(stage).join(name)
    }
}

/// Writes a description.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), DedupError> {
    let mut writer = Writer::<1>::create(path)?;
    let write = serde_json::to_writer_pretty(&mut writer.file, value);
    write.map_err(|source| io_error("write", path, source.into()))?;
    writer.finish()
}

/// Reads a description; where there is none, its stage has not ended.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, DedupError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(DedupError::Missing { piece: path.display().to_string() });
        }
        file => file.map_err(|source| io_error("open", path, source))?,
    };
    serde_json::from_reader(BufReader::new(file.take(MAX_JSON)))
        .map_err(|error| damaged(path, error.to_string()))
}

/// A file on its way; dropped before it is finished, it goes.
pub struct Writer<const N: usize> {
    file: BufWriter<NamedTempFile>,
    path: PathBuf,
    pub n_records: u64,
}

impl<const N: usize> Writer<N> {
    /// Begins one under another name; what an interrupted run left there is overwritten.
    pub fn create(path: &Path) -> Result<Self, DedupError> {
        let dir = path.parent().unwrap_or(Path::new("."));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let file = Builder::new()
            .prefix(&format!(".{name}.partial"))
            .rand_bytes(0)
            .make_in(dir, |path| File::create(path))
            .map_err(|source| io_error("create", path, source))?;
        Ok(Self {
            file: BufWriter::with_capacity(1 << 16, file),
            path: path.to_owned(),
            n_records: 0,
        })
    }

    pub fn push(&mut self, record: &Record<N>) -> Result<(), DedupError> {
        self.n_records += 1;
        let mut numbers = record.iter().map(|number| self.file.write_all(&number.to_le_bytes()));
        numbers
            .try_for_each(|written| written)
            .map_err(|source| io_error("write", &self.path, source))
    }

    /// Gives it its name.
    pub fn finish(self) -> Result<(), DedupError> {
        let path = &self.path;
        let finish = || {
            let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.as_file().sync_all()?;
            file.persist(path)?;
            path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
        };
        finish().map_err(|source| io_error("write", path, source))
    }
}

/// Records of a range of a file, in order.
pub struct Reader<const N: usize> {
    file: BufReader<File>,
    path: PathBuf,
    left: u64,
}

impl<const N: usize> Reader<N> {
    /// The records from `start` to `end` of a file that has `n_records`.
    pub fn open(
        path: &Path,
        n_records: u64,
        (start, end): (u64, u64),
        buffer: usize,
    ) -> Result<Self, DedupError> {
        let size = N as u64 * 8;
        let open = || {
            let mut file = File::open(path)?;
            let len = file.metadata()?.len();
            file.seek(SeekFrom::Start(start.saturating_mul(size)))?;
            Ok((file, len))
        };
        let (file, len) = open().map_err(|source| io_error("open", path, source))?;
        if n_records.checked_mul(size) != Some(len) || start > end || end > n_records {
            let problem = format!("{len} bytes, where {n_records} records of {size} must be");
            return Err(damaged(path, problem));
        }
        let file = BufReader::with_capacity(buffer, file);
        Ok(Self { file, path: path.to_owned(), left: end - start })
    }

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

pub fn io_error(action: &'static str, path: &Path, source: io::Error) -> DedupError {
    DedupError::Io { action, path: path.to_owned(), source }
}

pub fn damaged(path: &Path, problem: String) -> DedupError {
    DedupError::Damaged { path: path.to_owned(), problem }
}
