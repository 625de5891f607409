//! The bytes of one file, decompressed.

use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;

use super::noted::Tally;
use crate::DataError;

const CHUNK_BYTES: usize = 64 << 10;
/// What a packed file may unpack to: so many times what was read of it, as gzip can at most, and so
/// much at any rate. Beyond that it is no text but a bomb, small on the disk and hours to read.
const RATIO_MAX: u64 = 1040;
const UNPACKED_FREE: u64 = 64 << 20;
const HINT_BOMB: &str = "no text is packed so well; decompress it where it is meant to be read";
const GZIP: [u8; 2] = [0x1F, 0x8B];
const ZSTD: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
const BZIP2: [u8; 3] = *b"BZh";

/// A buffered stream of bytes that knows its name. Compression is found by the first bytes, so a
/// wrong file name does not matter; a name that promises compression must keep it.
pub(crate) struct Bytes {
    pub file: String,
    reader: BufReader<Unpacked>,
    compression: Option<&'static str>,
}

impl Bytes {
    /// Opens a file; what is read of it, as it lies on the disk, is added to the `tally`.
    pub fn open(path: &Path, tally: &Arc<Tally>) -> Result<Self, DataError> {
        let file = mapped::open_regular(path).map_err(DataError::io("open", path))?;
        let n_read = Arc::clone(&tally.n_read);
        Self::new(Counted { reader: file, n_read }, &path.to_string_lossy())
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
        let n_packed = Arc::new(AtomicU64::new(0));
        let whole = Cursor::new(head).chain(Counted { reader, n_read: Arc::clone(&n_packed) });
        let reader: Box<dyn Read + Send> = match compression {
            Some("gzip") => Box::new(MultiGzDecoder::new(whole)),
            Some("bzip2") => Box::new(MultiBzDecoder::new(whole)),
            Some(_) => Box::new(zstd::Decoder::new(whole).map_err(DataError::io("read", name))?),
            None => Box::new(whole),
        };
        let reader = Unpacked { reader, n_packed, n_bytes: 0, is_packed: compression.is_some() };
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
        if error.kind() == io::ErrorKind::FileTooLarge {
            let (file, byte) = (self.file.clone(), self.reader.get_ref().n_bytes);
            return DataError::Markup { file, byte, reason: error.to_string(), hint: HINT_BOMB };
        }
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

/// A reader of which is counted what is read.
struct Counted<R> {
    reader: R,
    n_read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(into)?;
        self.n_read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// What a decompressor gives, as long as it is not out of all proportion; or bytes as they are.
struct Unpacked {
    reader: Box<dyn Read + Send>,
    n_packed: Arc<AtomicU64>,
    n_bytes: u64,
    is_packed: bool,
}

impl Read for Unpacked {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(into)?;
        self.n_bytes += n as u64;
        let n_packed = self.n_packed.load(Ordering::Relaxed);
        if self.is_packed && self.n_bytes > UNPACKED_FREE.max(n_packed * RATIO_MAX) {
            let problem =
                format!("{n_packed} bytes of it give more than {RATIO_MAX} times as many");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
        }
        Ok(n)
    }
}
