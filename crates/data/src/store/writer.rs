//! Writing a token store as tokens arrive.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tokenize::Tokenizer;

use super::header::{HEADER_BYTES, Header};
use crate::DataError;

const BUFFER_BYTES: usize = 1 << 20;

/// What a store has to know of the tokenizer.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreMeta {
    /// One more than the largest id.
    pub vocab_size: usize,
    /// The id that ends a document.
    pub end_of_text: Option<u32>,
    /// BLAKE3 of the tokenizer.
    pub tokenizer_hash: [u8; 32],
}

impl StoreMeta {
    /// What `tokenizer` says of itself.
    pub fn of(tokenizer: &Tokenizer) -> Self {
        let hash = blake3::Hash::from_hex(tokenizer.hash()).expect("a hash is hexadecimal");
        Self {
            vocab_size: tokenizer.vocab_size(),
            end_of_text: tokenizer.end_of_text(),
            tokenizer_hash: *hash.as_bytes(),
        }
    }
}

/// What a finished store holds.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreSummary {
    /// The file.
    pub path: PathBuf,
    /// Tokens, the ends of documents included.
    pub n_tokens: u64,
    /// Documents.
    pub n_documents: u64,
    /// Bytes of their text.
    pub n_text_bytes: u64,
}

/// Writes a store under another name; [`StoreWriter::finish`] gives it its own. Dropped before
/// that, it leaves nothing behind.
///
/// Memory holds a buffer and 8 bytes a document.
#[derive(Debug)]
pub struct StoreWriter {
    out: Payload<File>,
    path: PathBuf,
    partial: PathBuf,
    is_finished: bool,
}

impl StoreWriter {
    /// Begins a store that will be at `path`. What an interrupted run left there is overwritten.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(path: &Path, meta: &StoreMeta) -> Result<Self, DataError> {
        let partial = partial_path(path);
        let out = File::create(&partial).and_then(|file| Payload::new(file, meta));
        let out = out.map_err(|source| failed(path, source))?;
        Ok(Self { out, path: path.to_owned(), partial, is_finished: false })
    }

    /// Appends tokens of the present document, which stand for `n_text_bytes` of text.
    ///
    /// # Panics
    /// When an id is not in the vocabulary.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn push(&mut self, ids: &[u32], n_text_bytes: u64) -> Result<(), DataError> {
        self.out.push(ids, n_text_bytes).map_err(|source| failed(&self.path, source))
    }

    /// Ends the present document; one without tokens is none.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn end_document(&mut self) -> Result<(), DataError> {
        self.out.end_document().map_err(|source| failed(&self.path, source))
    }

    /// Tokens written.
    pub fn n_tokens(&self) -> u64 {
        self.out.n_tokens
    }

    /// Writes the rest, syncs, and gives the file its name.
    ///
    /// # Errors
    /// When the file cannot be written; the name then holds what it held before.
    pub fn finish(mut self) -> Result<StoreSummary, DataError> {
        let mut finish = || {
            self.out.finish()?;
            self.out.file.sync_all()?;
            fs::rename(&self.partial, &self.path)?;
            let parent = self.path.parent().filter(|dir| !dir.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
        };
        finish().map_err(|source| failed(&self.path, source))?;
        self.is_finished = true;
        Ok(StoreSummary {
            path: self.path.clone(),
            n_tokens: self.out.n_tokens,
            n_documents: self.out.starts.len() as u64,
            n_text_bytes: self.out.n_text_bytes,
        })
    }
}

impl Drop for StoreWriter {
    fn drop(&mut self) {
        if !self.is_finished {
            let _ = fs::remove_file(&self.partial);
        }
    }
}

/// The name a file has until it is whole: hidden, beside its own.
pub(crate) fn partial_path(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.partial"))
}

/// The bytes of a store of `documents`.
pub(super) fn in_memory(documents: &[Vec<u32>], meta: &StoreMeta) -> Vec<u8> {
    let write = || {
        let mut out = Payload::new(io::Cursor::new(Vec::new()), meta)?;
        for document in documents {
            out.push(document, 0)?;
            out.end_document()?;
        }
        out.finish()?;
        Ok::<_, io::Error>(out.file.into_inner())
    };
    write().expect("memory does not fail")
}

/// The format itself, on anything that can be written and rewound.
#[derive(Debug)]
struct Payload<W> {
    file: W,
    meta: StoreMeta,
    width: usize,
    buffer: Vec<u8>,
    hasher: blake3::Hasher,
    starts: Vec<u64>,
    /// A document has begun and not ended.
    is_open: bool,
    n_tokens: u64,
    n_text_bytes: u64,
}

impl<W: Write + Seek> Payload<W> {
    /// The header is zeros until the end, so that a file cut short is no store.
    fn new(mut file: W, meta: &StoreMeta) -> io::Result<Self> {
        file.write_all(&[0; HEADER_BYTES])?;
        Ok(Self {
            file,
            meta: meta.clone(),
            width: if meta.vocab_size <= 1 << 16 { 2 } else { 4 },
            buffer: Vec::with_capacity(BUFFER_BYTES + 8),
            hasher: blake3::Hasher::new(),
            starts: Vec::new(),
            is_open: false,
            n_tokens: 0,
            n_text_bytes: 0,
        })
    }

    fn push(&mut self, ids: &[u32], n_text_bytes: u64) -> io::Result<()> {
        self.n_text_bytes += n_text_bytes;
        if !self.is_open && !ids.is_empty() {
            self.starts.push(self.n_tokens);
            self.is_open = true;
        }
        for &id in ids {
            let vocab_size = self.meta.vocab_size;
            assert!((id as usize) < vocab_size, "store: id {id} in a vocabulary of {vocab_size}");
            self.write(&id.to_le_bytes()[..self.width])?;
        }
        self.n_tokens += ids.len() as u64;
        Ok(())
    }

    fn end_document(&mut self) -> io::Result<()> {
        if self.is_open {
            if let Some(id) = self.meta.end_of_text {
                self.push(&[id], 0)?;
            }
            self.is_open = false;
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.end_document()?;
        let padding = (self.n_tokens as usize * self.width).next_multiple_of(8)
            - self.n_tokens as usize * self.width;
        self.write(&[0; 8][..padding])?;
        for start in std::mem::take(&mut self.starts) {
            self.write(&start.to_le_bytes())?;
            self.starts.push(start);
        }
        self.flush()?;
        let header = Header {
            width: self.width as u32,
            vocab_size: self.meta.vocab_size as u32,
            end_of_text: self.meta.end_of_text,
            n_tokens: self.n_tokens,
            n_documents: self.starts.len() as u64,
            n_text_bytes: self.n_text_bytes,
            tokenizer_hash: self.meta.tokenizer_hash,
            payload_hash: *self.hasher.finalize().as_bytes(),
        };
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header.to_bytes())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hasher.update_rayon(&self.buffer);
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

fn failed(path: &Path, source: io::Error) -> DataError {
    DataError::Io { action: "write", path: path.to_owned(), source }
}
