//! Files and folders by their address: what is read, and where it is written to.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

/// Where addresses are looked up.
#[derive(Debug, Default)]
pub struct Places {}

/// A file that is being written; dropped before it is finished, it goes.
#[derive(Debug)]
pub struct Draft {
    file: NamedTempFile,
    target: PathBuf,
}

impl Places {
    /// The bytes of a file, from `from` on.
    pub(crate) fn open(&self, address: &str, from: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut file = File::open(address)?;
        file.seek(SeekFrom::Start(from))?;
        Ok(Box::new(file))
    }

    /// The size of a file in bytes; `None` where it is a folder.
    pub(crate) fn size(&self, address: &str) -> io::Result<Option<u64>> {
        let metadata = fs::metadata(address)?;
        Ok(metadata.is_file().then_some(metadata.len()))
    }

    /// All files below a folder with their sizes, by name.
    pub(crate) fn list(&self, address: &str) -> io::Result<Vec<(String, u64)>> {
        let mut found = Vec::new();
        let mut folders = vec![PathBuf::from(address)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                let metadata = fs::metadata(&path)?;
                if metadata.is_dir() {
                    folders.push(path);
                } else if let Some(name) = path.to_str() {
                    found.push((name.to_owned(), metadata.len()));
                } else {
                    let problem = format!("`{}` is no UTF-8", path.display());
                    return Err(io::Error::new(ErrorKind::InvalidInput, problem));
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// A small file; `None` where there is none.
    pub(crate) fn read(&self, address: &str, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        let file = match self.open(address, 0) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(bytes_max + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > bytes_max {
            return Err(io::Error::new(ErrorKind::FileTooLarge, "it is too large"));
        }
        Ok(Some(bytes))
    }

    /// Begins a file that is there whole or not at all.
    pub(crate) fn begin(&self, address: &str) -> io::Result<Draft> {
        let target = PathBuf::from(address);
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let partial = format!(".{name}.partial");
        fs::create_dir_all(parent(&target))?;
        let file = Builder::new()
            .prefix(&partial)
            .rand_bytes(0)
            .make_in(parent(&target), |path| File::create(path))?;
        Ok(Draft { file, target })
    }
}

impl Draft {
    /// Syncs the file and gives it its name.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        self.file.persist(&self.target)?;
        File::open(parent(&self.target))?.sync_all()
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The address of something in a folder.
pub(crate) fn join(folder: &str, name: &str) -> String {
    format!("{}/{}", folder.trim_end_matches('/'), name.trim_start_matches('/'))
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
