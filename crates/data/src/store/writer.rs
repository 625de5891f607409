//! Writing a token store as tokens arrive.

use std::io::{Cursor, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use tokenize::Tokenizer;

use super::header::{HEADER_BYTES, Header};
use crate::{DataError, atomic, marks};

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
    /// Whether every token has [`marks`].
    pub has_marks: bool,
}

impl StoreMeta {
    /// What `tokenizer` says of itself.
    pub fn of(tokenizer: &Tokenizer) -> Self {
        let hash = blake3::Hash::from_hex(tokenizer.hash()).expect("a hash is hexadecimal");
        Self {
            vocab_size: tokenizer.vocab_size(),
            end_of_text: tokenizer.end_of_text(),
            tokenizer_hash: *hash.as_bytes(),
            has_marks: false,
        }
    }
}

/// Writes a store under another name; [`StoreWriter::finish`] gives it its own. Dropped before
/// that, it leaves nothing behind.
///
/// Memory holds a buffer and 8 bytes a document.
#[derive(Debug)]
pub struct StoreWriter<W = NamedTempFile> {
    file: W,
    path: PathBuf,
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

impl StoreWriter {
    /// Begins a store that will be at `path`. What an interrupted run left there is overwritten.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(path: &Path, meta: &StoreMeta) -> Result<Self, DataError> {
        let file = atomic::begin(path).map_err(DataError::io("write", path))?;
        Self::new(file, path, meta)
    }

    /// Writes the rest, syncs, and gives the file its name.
    ///
    /// # Errors
    /// When the file cannot be written; the name then holds what it held before.
    pub fn finish(mut self) -> Result<(), DataError> {
        self.complete()?;
        atomic::finish(self.file, &self.path).map_err(DataError::io("write", &self.path))
    }
}

/// The bytes of a store of `documents`.
pub(super) fn in_memory(
    documents: &[(Vec<u32>, Vec<u8>)],
    meta: &StoreMeta,
) -> Result<Vec<u8>, DataError> {
    let mut out = StoreWriter::new(Cursor::new(Vec::new()), Path::new("memory"), meta)?;
    for (ids, marks) in documents {
        out.push_marked(ids, marks, 0)?;
        out.end_document()?;
    }
    out.complete()?;
    Ok(out.file.into_inner())
}

impl<W: Write + Seek> StoreWriter<W> {
    /// The header is zeros until the end, so that a file cut short is no store.
    fn new(file: W, path: &Path, meta: &StoreMeta) -> Result<Self, DataError> {
        let mut writer = Self {
            file,
            path: path.to_owned(),
            meta: meta.clone(),
            width: if meta.vocab_size <= 1 << 16 { 2 } else { 4 } + usize::from(meta.has_marks),
            buffer: Vec::with_capacity(BUFFER_BYTES + 8),
            hasher: blake3::Hasher::new(),
            starts: Vec::new(),
            is_open: false,
            n_tokens: 0,
            n_text_bytes: 0,
        };
        writer.write_at_start(&[0; HEADER_BYTES])?;
        Ok(writer)
    }

    /// Appends tokens of the present document, which stand for `n_text_bytes` of text.
    ///
    /// # Panics
    /// When an id is not in the vocabulary.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn push(&mut self, ids: &[u32], n_text_bytes: u64) -> Result<(), DataError> {
        self.push_marked(ids, &[], n_text_bytes)
    }

    /// The same with the marks of each token, which a store with marks has to be given.
    ///
    /// # Panics
    /// Also when there is not one a token, or the store has none.
    ///
    /// # Errors
    /// As [`StoreWriter::push`].
    pub fn push_marked(
        &mut self,
        ids: &[u32],
        marks: &[u8],
        n_text_bytes: u64,
    ) -> Result<(), DataError> {
        let n_marks = if self.meta.has_marks { ids.len() } else { 0 };
        assert_eq!(marks.len(), n_marks, "store: marks");
        self.n_text_bytes += n_text_bytes;
        if !self.is_open && !ids.is_empty() {
            self.starts.push(self.n_tokens);
            self.is_open = true;
        }
        let id_width = self.width / 2 * 2;
        for (i, &id) in ids.iter().enumerate() {
            let vocab_size = self.meta.vocab_size;
            assert!((id as usize) < vocab_size, "store: id {id} in a vocabulary of {vocab_size}");
            self.write(&id.to_le_bytes()[..id_width])?;
            self.write(marks.get(i).map_or(&[], std::slice::from_ref))?;
        }
        self.n_tokens += ids.len() as u64;
        Ok(())
    }

    /// Ends the present document; one without tokens is none.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn end_document(&mut self) -> Result<(), DataError> {
        if self.is_open {
            let end = self.meta.end_of_text;
            let marks = end.filter(|_| self.meta.has_marks).map(|_| marks::ALONE);
            self.push_marked(end.as_slice(), marks.as_slice(), 0)?;
            self.is_open = false;
        }
        Ok(())
    }

    /// Tokens so far.
    pub fn n_tokens(&self) -> u64 {
        self.n_tokens
    }

    fn complete(&mut self) -> Result<(), DataError> {
        self.end_document()?;
        let n_bytes = self.n_tokens as usize * self.width;
        self.write(&[0; 8][..n_bytes.next_multiple_of(8) - n_bytes])?;
        let starts = std::mem::take(&mut self.starts);
        starts.iter().try_for_each(|start| self.write(&start.to_le_bytes()))?;
        self.flush()?;
        let header = Header {
            width: self.width as u32,
            vocab_size: self.meta.vocab_size as u32,
            end_of_text: self.meta.end_of_text,
            n_tokens: self.n_tokens,
            n_documents: starts.len() as u64,
            n_text_bytes: self.n_text_bytes,
            tokenizer_hash: self.meta.tokenizer_hash,
            payload_hash: *self.hasher.finalize().as_bytes(),
        };
        self.write_at_start(&header.to_bytes())
    }

    fn write_at_start(&mut self, header: &[u8]) -> Result<(), DataError> {
        let written = self.file.seek(SeekFrom::Start(0)).and_then(|_| self.file.write_all(header));
        written.map_err(DataError::io("write", &self.path))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), DataError> {
        self.hasher.update_rayon(&self.buffer);
        self.file.write_all(&self.buffer).map_err(DataError::io("write", &self.path))?;
        self.buffer.clear();
        Ok(())
    }
}
