//! The bytes of one file, decompressed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;

use crate::DataError;

const CHUNK_BYTES: usize = 64 << 10;
const GZIP: [u8; 2] = [0x1F, 0x8B];
const ZSTD: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];

/// A buffered stream of bytes that knows its name. Compression is found by the first bytes, so a
/// wrong file name does not matter; a name that promises compression must keep it.
pub(super) struct Bytes {
    pub file: Arc<str>,
    reader: Box<dyn BufRead + Send>,
    compression: Option<&'static str>,
}

impl Bytes {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(|source| DataError::Io {
            action: "open",
            path: path.to_owned(),
            source,
        })?;
        Self::new(file, &path.to_string_lossy())
    }

    /// Wraps any reader.
    pub fn new(mut reader: impl Read + Send + 'static, name: &str) -> Result<Self, DataError> {
        let mut head = Vec::with_capacity(ZSTD.len());
        let read = (&mut reader).take(ZSTD.len() as u64).read_to_end(&mut head);
        read.map_err(|source| DataError::Io { action: "read", path: name.into(), source })?;
        let whole = Cursor::new(head.clone()).chain(reader);
        let file = name.into();
        if head.starts_with(&GZIP) {
            let reader =
                Box::new(BufReader::with_capacity(CHUNK_BYTES, MultiGzDecoder::new(whole)));
            return Ok(Self { file, reader, compression: Some("gzip") });
        }
        if head.starts_with(&ZSTD) {
            let decoder = zstd::Decoder::new(whole).map_err(|source| compressed(name, &source))?;
            let reader = Box::new(BufReader::with_capacity(CHUNK_BYTES, decoder));
            return Ok(Self { file, reader, compression: Some("zstd") });
        }
        let promised = |end: &str| name.to_lowercase().ends_with(end);
        let format = if promised(".gz") { "gzip" } else { "zstd" };
        if promised(".gz") || promised(".zst") {
            let reason = format!("it does not begin as {format} does");
            return Err(DataError::Compressed { file: name.to_owned(), format, reason });
        }
        Ok(Self {
            file,
            reader: Box::new(BufReader::with_capacity(CHUNK_BYTES, whole)),
            compression: None,
        })
    }

    /// Some bytes; none at the end. [`Bytes::consume`] says how many were used.
    pub fn fill(&mut self) -> Result<&[u8], DataError> {
        // Filled twice because of the borrow: the second call only returns what is there.
        loop {
            match self.reader.fill_buf() {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        self.reader.fill_buf().map_err(|source| DataError::Io {
            action: "read",
            path: (&*self.file).into(),
            source,
        })
    }

    /// Marks bytes as used.
    pub fn consume(&mut self, n_bytes: usize) {
        self.reader.consume(n_bytes);
    }

    fn failed(&self, error: io::Error) -> DataError {
        match self.compression {
            Some(format) => DataError::Compressed {
                file: self.file.to_string(),
                format,
                reason: reason(&error),
            },
            None => DataError::Io { action: "read", path: (&*self.file).into(), source: error },
        }
    }
}

fn compressed(name: &str, error: &io::Error) -> DataError {
    DataError::Compressed { file: name.to_owned(), format: "zstd", reason: reason(error) }
}

fn reason(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        "it ends too early".to_owned()
    } else {
        error.to_string()
    }
}
