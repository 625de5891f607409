//! The bytes of one file, decompressed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;

use super::noted::Tally;
use crate::DataError;

const CHUNK_BYTES: usize = 64 << 10;
const GZIP: [u8; 2] = [0x1F, 0x8B];
const ZSTD: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
const BZIP2: [u8; 3] = *b"BZh";

/// A buffered stream of bytes that knows its name. Compression is found by the first bytes, so a
/// wrong file name does not matter; a name that promises compression must keep it.
pub(crate) struct Bytes {
    pub file: String,
    reader: BufReader<Box<dyn Read + Send>>,
    compression: Option<&'static str>,
}

impl Bytes {
    /// Opens a file; what is read of it, as it lies on the disk, is added to the `tally`.
    pub fn open(path: &Path, tally: &Arc<Tally>) -> Result<Self, DataError> {
        let file = File::open(path).map_err(DataError::io("open", path))?;
        Self::new(Counted { file, tally: Arc::clone(tally) }, &path.to_string_lossy())
    }

    /// Wraps any reader.
    pub fn new(mut reader: impl Read + Send + 'static, name: &str) -> Result<Self, DataError> {
        let mut head = Vec::with_capacity(ZSTD.len());
        let read = (&mut reader).take(ZSTD.len() as u64).read_to_end(&mut head);
        read.map_err(DataError::io("read", name))?;
        let begins = [
            (&GZIP[..], "gzip", ".gz"),
            (&ZSTD[..], "zstd", ".zst"),
            (&BZIP2[..], "bzip2", ".bz2"),
        ];
        let found = begins.iter().find(|(magic, ..)| head.starts_with(magic));
        let promised = begins.iter().find(|(.., end)| name.to_lowercase().ends_with(end));
        if let (None, Some((_, format, _))) = (found, promised) {
            let reason = format!("it does not begin as {format} does");
            return Err(DataError::Compressed { file: name.to_owned(), format, reason });
        }
        let compression = found.map(|(_, format, _)| *format);
        let whole = Cursor::new(head).chain(reader);
        let reader: Box<dyn Read + Send> = match compression {
            Some("gzip") => Box::new(MultiGzDecoder::new(whole)),
            Some("bzip2") => Box::new(MultiBzDecoder::new(whole)),
            Some(_) => Box::new(zstd::Decoder::new(whole).map_err(DataError::io("read", name))?),
            None => Box::new(whole),
        };
        let reader = BufReader::with_capacity(CHUNK_BYTES, reader);
        Ok(Self { file: name.to_owned(), reader, compression })
    }

    /// Appends some bytes to `into`; none at the end.
    pub fn read_chunk(&mut self, into: &mut Vec<u8>) -> Result<usize, DataError> {
        let read = (&mut self.reader).take(CHUNK_BYTES as u64).read_to_end(into);
        read.map_err(|error| self.failed(error))
    }

    /// Appends bytes to `into`, up to and with the next line feed, at most `limit`; none at the
    /// end.
    pub fn read_line(&mut self, limit: usize, into: &mut Vec<u8>) -> Result<usize, DataError> {
        let read = (&mut self.reader).take(limit as u64).read_until(b'\n', into);
        read.map_err(|error| self.failed(error))
    }

    /// What an error of reading means.
    pub fn failed(&self, error: io::Error) -> DataError {
        let Some(format) = self.compression else {
            return DataError::io("read", self.file.as_str())(error);
        };
        let reason = match error.kind() {
            io::ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
            _ => error.to_string(),
        };
        DataError::Compressed { file: self.file.clone(), format, reason }
    }
}

impl Read for Bytes {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.reader.read(into)
    }
}

/// A file of which is counted what is read.
struct Counted {
    file: File,
    tally: Arc<Tally>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(into)?;
        self.tally.n_read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}
