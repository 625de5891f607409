//! Files and folders by their address: what is read, and where it is written to.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

pub(crate) use remote::{ALL, Found};
use remote::{Client, Keys, Settings, is_remote};
use serde::{Deserialize, Serialize};
use tempfile::{Builder, TempPath};

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
#[derive(Clone, Debug)]
pub struct Places {
    client: Client,
}

/// A file that is being written; dropped before it is finished, it goes.
#[derive(Debug)]
pub(crate) struct Draft {
    file: File,
    target: String,
    way: Way,
}

/// How a draft gets to where it belongs.
#[derive(Debug)]
enum Way {
    /// It is beside it, under another name.
    Rename(TempPath),
    /// Whole, to a server.
    Put(Client),
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

    /// The bytes of a range of a file, as far as there are; with `tag`, of that file and no other.
    pub(crate) fn open(
        &self,
        address: &str,
        range: Range<u64>,
        tag: Option<&str>,
    ) -> io::Result<Box<dyn Read + Send>> {
        if is_remote(address) {
            return Ok(Box::new(self.client.open(address, range, tag)?));
        }
        let mut file = open_file(address)?;
        file.seek(SeekFrom::Start(range.start))?;
        Ok(Box::new(file.take(range.end - range.start)))
    }

    /// The bytes of a range of a file, at the front of a file here: that one itself, which goes on
    /// behind the range, or a copy, which goes when it is closed. And how large the whole is.
    pub(crate) fn fetch(&self, address: &str, range: Range<u64>) -> io::Result<(File, u64)> {
        if !is_remote(address) {
            let mut file = open_file(address)?;
            file.seek(SeekFrom::Start(range.start))?;
            let size = file.metadata()?.len();
            return Ok((file, size));
        }
        let mut body = self.client.open(address, range, None)?;
        let mut copy = tempfile::tempfile()?;
        io::copy(&mut body, &mut copy)?;
        copy.rewind()?;
        Ok((copy, body.size().unwrap_or(u64::MAX)))
    }

    /// What is known of a file; `None` where it is a folder.
    pub(crate) fn find(&self, address: &str) -> io::Result<Option<Found>> {
        if !is_remote(address) {
            let metadata = fs::metadata(local(address)?)?;
            if metadata.is_dir() {
                return Ok(None);
            }
            let size = file_size(&metadata)?;
            return Ok(Some(Found { url: address.to_owned(), size, tag: None }));
        }
        if address.ends_with('/') {
            return Ok(None);
        }
        let mut found = self.client.find(address)?;
        // Behind other names are many servers, each with tags of its own.
        found.tag.take_if(|_| !address.starts_with("s3://"));
        Ok(Some(found))
    }

    /// Whether there is such a file.
    pub(crate) fn exists(&self, address: &str) -> io::Result<bool> {
        match self.find(address) {
            Ok(found) => Ok(found.is_some()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// All files below a folder whose names are wanted, in their order, and how many others there
    /// are. What has such a name and is no file is an error, which says its name. A store of S3 has
    /// a folder where it has a file in it: one that it has not is empty there, and not found here.
    pub(crate) fn list(
        &self,
        address: &str,
        is_wanted: fn(&str) -> bool,
    ) -> io::Result<(Vec<Found>, usize)> {
        if is_remote(address) {
            let mut found = self.client.list(&join(address, ""))?;
            let n_all = found.len();
            found.retain(|found| is_wanted(&found.url));
            let n_others = n_all - found.len();
            return Ok((found, n_others));
        }
        let (mut found, mut n_others) = (Vec::new(), 0);
        let mut folders = vec![PathBuf::from(address)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(|error| named(&folder, &error))? {
                let path = entry?.path();
                let metadata = fs::metadata(&path);
                if metadata.as_ref().is_ok_and(fs::Metadata::is_dir) {
                    folders.push(path);
                } else if !is_wanted(&path.to_string_lossy()) {
                    n_others += 1;
                } else if let Some(url) = path.to_str().map(str::to_owned) {
                    let size = metadata.and_then(|metadata| file_size(&metadata));
                    let size = size.map_err(|error| named(&path, &error))?;
                    found.push(Found { url, size, tag: None });
                } else {
                    let error = io::Error::new(ErrorKind::InvalidFilename, "it is no UTF-8");
                    return Err(named(&path, &error));
                }
            }
        }
        found.sort();
        Ok((found, n_others))
    }

    /// The numbers of the pieces of work whose description is in a folder; see [`number`].
    pub(crate) fn numbers(&self, folder: &str) -> io::Result<BTreeSet<usize>> {
        let names = if is_remote(folder) {
            self.client.list(&join(folder, ""))?.into_iter().map(|found| found.url).collect()
        } else {
            let entries = match fs::read_dir(folder) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
                entries => entries?,
            };
            let name =
                |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().display().to_string());
            entries.map(name).collect::<io::Result<Vec<_>>>()?
        };
        Ok(names.iter().filter_map(|name| number(name)).collect())
    }

    /// A small file; `None` where there is none.
    pub(crate) fn read(&self, address: &str, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        let file = match self.open(address, ALL, None) {
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

    /// Writes a file that is there whole or not at all.
    ///
    /// # Errors
    /// Where the system or the server refuses.
    pub fn write(&self, address: &str, bytes: &[u8]) -> io::Result<()> {
        let mut draft = self.begin(address)?;
        draft.write_all(bytes)?;
        draft.finish()
    }

    /// Begins a file that is there whole or not at all.
    pub(crate) fn begin(&self, address: &str) -> io::Result<Draft> {
        let target = address.to_owned();
        if is_remote(address) {
            return Ok(Draft {
                file: tempfile::tempfile()?,
                target,
                way: Way::Put(self.client.clone()),
            });
        }
        let path = local(address)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let partial = format!(".{name}.partial");
        fs::create_dir_all(parent(path))?;
        // What an interrupted run left there is overwritten.
        let file = Builder::new()
            .prefix(&partial)
            .rand_bytes(0)
            .make_in(parent(path), |path| File::create(path))?;
        let (file, path) = file.into_parts();
        Ok(Draft { file, target, way: Way::Rename(path) })
    }
}

impl Draft {
    /// Syncs the file and gives it its name.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        match self.way {
            Way::Put(client) => Ok(client.put(&self.target, &mut self.file)?),
            Way::Rename(path) => {
                self.file.sync_all()?;
                path.persist(&self.target)?;
                File::open(parent(Path::new(&self.target)))?.sync_all()
            }
        }
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

/// A file for what is needed for a while, which goes when it is closed: near the folder, or
/// where such files belong on this machine (`TMPDIR`).
pub(crate) fn scratch(folder: &str) -> io::Result<File> {
    if is_remote(folder) {
        return tempfile::tempfile();
    }
    fs::create_dir_all(folder)?;
    tempfile::tempfile_in(folder)
}

/// The address of something in a folder, or beside it (`../`).
pub fn join(folder: &str, name: &str) -> String {
    let folder = folder.trim_end_matches('/');
    // A store of S3 has names and no folders: there is no way up.
    match (name.strip_prefix("../"), folder.rsplit_once('/')) {
        (Some(name), Some((parent, _))) => join(parent, name),
        _ => format!("{folder}/{}", name.trim_start_matches('/')),
    }
}

/// The number of the piece of work that a description is of, by its name: of
/// `shards/part-000012.json`, 12; `None` where it is something else.
pub(crate) fn number(address: &str) -> Option<usize> {
    let name = address.rsplit('/').next()?.strip_suffix(".json")?;
    name.strip_prefix("part-").unwrap_or(name).parse().ok()
}

/// The path that an address is which is none of a server.
fn local(address: &str) -> io::Result<&Path> {
    if address.contains("://") {
        let problem = "servers are asked at `http://`, `https://` and `s3://` alone";
        return Err(io::Error::new(ErrorKind::Unsupported, problem));
    }
    Ok(Path::new(address))
}

/// Opens a file, and nothing that may keep its reader waiting, such as a pipe.
fn open_file(address: &str) -> io::Result<File> {
    let path = local(address)?;
    file_size(&fs::metadata(path)?)?;
    File::open(path)
}

/// BLAKE3 of a file here; `None` where it is on a server, which looks after its own.
pub(crate) fn hash(address: &str) -> io::Result<Option<String>> {
    if is_remote(address) {
        return Ok(None);
    }
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut open_file(address)?, &mut hasher)?;
    Ok(Some(hasher.finalize().to_hex().to_string()))
}

fn file_size(metadata: &fs::Metadata) -> io::Result<u64> {
    match (metadata.is_file(), metadata.is_dir()) {
        (true, _) => Ok(metadata.len()),
        (_, true) => Err(ErrorKind::IsADirectory.into()),
        _ => Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file")),
    }
}

/// An error that says of what it is.
fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("`{}`: {error}", path.display()))
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_joined_without_ways_up() {
        assert_eq!(join("s3://b/a/manifests/", "../final/x"), "s3://b/a/final/x");
        assert_eq!(join("/a/manifests", "../final/x"), "/a/final/x");
        assert_eq!(join("a", "../x"), "a/../x");
        assert_eq!(join("s3://b", "/x"), "s3://b/x");
        assert_eq!(join("s3://b/a", ""), "s3://b/a/");
    }

    #[test]
    fn descriptions_are_known_by_their_names() {
        assert_eq!(number("s3://b/shards/part-000012.json"), Some(12));
        assert_eq!(number("00007.json"), Some(7));
        for other in ["part-000012.jsonl.zst", ".part-000001.json.partial", "report.json", "7"] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
