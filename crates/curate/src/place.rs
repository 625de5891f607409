//! Files and folders by their address: what is read, and where it is written to.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use remote::{Client, Keys, Settings, is_remote};
use serde::{Deserialize, Serialize};
use tempfile::{Builder, NamedTempFile};

/// Which servers are asked, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Whether those may be asked whose address is not public, such as one in the own network.
    pub allow_private: bool,
    /// How often a request is made again that failed for a moment.
    pub n_retries: u32,
    /// The server of `s3://`, such as `http://127.0.0.1:9000`; without one, Amazon's of the region.
    pub s3_endpoint: Option<String>,
    /// Its region.
    pub s3_region: String,
}

impl Default for ServerConfig {
    fn default() -> Self {
        let Settings { allow_private, n_retries, s3_endpoint, s3_region, .. } = Settings::default();
        Self { allow_private, n_retries, s3_endpoint, s3_region }
    }
}

/// Where addresses are looked up: paths here, `http://` and `https://` to read, `s3://`.
#[derive(Debug)]
pub struct Places {
    client: Client,
}

/// A file that is being written; dropped before it is finished, it goes.
#[derive(Debug)]
pub(crate) struct Draft {
    file: NamedTempFile,
    target: String,
    /// Who takes it, where it goes to a server.
    client: Option<Client>,
}

impl Places {
    /// Connects to nothing yet. `keys` are those of S3.
    pub fn new(config: &ServerConfig, keys: Option<Keys>) -> Self {
        let ServerConfig { allow_private, n_retries, s3_endpoint, s3_region } = config.clone();
        let settings = Settings {
            allow_private,
            n_retries,
            s3_endpoint,
            s3_region,
            s3_keys: keys,
            ..Settings::default()
        };
        Self { client: Client::new(settings) }
    }

    /// The bytes of a file, from `from` on.
    pub(crate) fn open(&self, address: &str, from: u64) -> io::Result<Box<dyn Read + Send>> {
        if is_remote(address) {
            return Ok(Box::new(self.client.open(address, from)?));
        }
        let mut file = File::open(address)?;
        file.seek(SeekFrom::Start(from))?;
        Ok(Box::new(file))
    }

    /// The size of a file in bytes, the largest number where nobody says; `None` where it is a
    /// folder.
    pub(crate) fn size(&self, address: &str) -> io::Result<Option<u64>> {
        if is_remote(address) {
            let is_folder = address.ends_with('/');
            let size = if is_folder { None } else { Some(self.client.size(address)?) };
            return Ok(size.map(|size| size.unwrap_or(u64::MAX)));
        }
        let metadata = fs::metadata(address)?;
        Ok(metadata.is_file().then_some(metadata.len()))
    }

    /// All files below a folder with their sizes, by name.
    pub(crate) fn list(&self, address: &str) -> io::Result<Vec<(String, u64)>> {
        if is_remote(address) {
            return Ok(self.client.list(&join(address, ""))?);
        }
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
        let target = address.to_owned();
        if is_remote(address) {
            let client = Some(self.client.clone());
            return Ok(Draft { file: NamedTempFile::new()?, target, client });
        }
        let path = Path::new(address);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let partial = format!(".{name}.partial");
        fs::create_dir_all(parent(path))?;
        let file = Builder::new()
            .prefix(&partial)
            .rand_bytes(0)
            .make_in(parent(path), |path| File::create(path))?;
        Ok(Draft { file, target, client: None })
    }
}

impl Draft {
    /// Syncs the file and gives it its name.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        if let Some(client) = &self.client {
            return Ok(client.put(&self.target, self.file.as_file_mut())?);
        }
        self.file.as_file().sync_all()?;
        self.file.persist(&self.target)?;
        File::open(parent(Path::new(&self.target)))?.sync_all()
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
