//! The token store: a memory-mapped file of token ids that knows its tokenizer.
//!
//! ```text
//! header    128 bytes, little-endian, see `header`
//! tokens    n_tokens x width bytes (2 where every id fits, else 4; one more with marks), padded
//!           with zeros to 8
//! starts    n_documents x u64: the first token of each document, ascending, the first one 0
//! ```
//!
//! A document is followed by the tokenizer's end-of-text id, which belongs to it. The file is
//! written under another name, synced and renamed, so a store that exists is whole.

mod header;
mod writer;

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use mapped::MappedFile;
use tokenize::Tokenizer;

use crate::{DataError, Marked};
use header::{HEADER_BYTES, Header};
pub use writer::{StoreMeta, StoreWriter};

/// Token ids of documents, ready to be cut into windows.
pub struct Store {
    bytes: Backing,
    header: Header,
    path: PathBuf,
}

enum Backing {
    Mapped(MappedFile),
    Owned(Vec<u8>),
}

impl Store {
    /// Opens a store; checks the header against its own hash and the file's size, not the tokens.
    ///
    /// # Errors
    /// When the file cannot be opened, is no store, or is cut short.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let mapped = MappedFile::open(path).map_err(DataError::io("open", path))?;
        Self::new(Backing::Mapped(mapped), path.to_owned())
    }

    /// [`Store::open`], and the store has to be `tokenizer`'s.
    ///
    /// # Errors
    /// As [`Store::open`], and when the store was made with another tokenizer.
    pub fn open_for(path: &Path, tokenizer: &Tokenizer) -> Result<Self, DataError> {
        let store = Self::open(path)?;
        let (found, expected) = (store.tokenizer_hash(), tokenizer.hash().to_owned());
        if found != expected {
            return Err(DataError::OtherTokenizer { path: path.to_owned(), expected, found });
        }
        let (found, expected) = (store.vocab_size(), tokenizer.vocab_size());
        if found != expected {
            return Err(store.damaged(format!("its vocabulary is {found}, of {expected} tokens")));
        }
        Ok(store)
    }

    /// A store without a file, of documents that are ids already; an end-of-text id is appended to
    /// each where there is one.
    ///
    /// # Panics
    /// When an id is not below `meta.vocab_size`.
    pub fn in_memory(documents: &[Vec<u32>], meta: &StoreMeta) -> Self {
        let unmarked: Vec<_> = documents.iter().map(|ids| (ids.clone(), Vec::new())).collect();
        Self::in_memory_marked(&unmarked, meta)
    }

    /// The same of ids and their marks.
    ///
    /// # Panics
    /// Also when there is not one mark an id in a store with such.
    pub fn in_memory_marked(documents: &[Marked], meta: &StoreMeta) -> Self {
        let bytes = writer::in_memory(documents, meta).expect("memory does not fail");
        Self::new(Backing::Owned(bytes), "memory".into()).expect("just written")
    }

    fn new(bytes: Backing, path: PathBuf) -> Result<Self, DataError> {
        match Header::parse(bytes.get()) {
            Ok(header) => Ok(Self { bytes, header, path }),
            Err(reason) => Err(DataError::Store { path, reason }),
        }
    }

    /// Reads everything: the hash of the payload, every id, every document's start.
    ///
    /// # Errors
    /// With the first thing that does not fit.
    pub fn verify(&self) -> Result<(), DataError> {
        let payload = &self.bytes.get()[HEADER_BYTES..];
        let hash = blake3::Hasher::new().update_rayon(payload).finalize();
        if *hash.as_bytes() != self.header.payload_hash {
            return Err(self.damaged("its content does not have the hash in its header"));
        }
        let mut ids = vec![0; 1 << 16];
        for start in (0..self.n_tokens()).step_by(ids.len()) {
            let n_ids = (self.n_tokens() - start).min(ids.len() as u64) as usize;
            self.read(start, &mut ids[..n_ids])?;
        }
        (0..self.n_documents()).try_for_each(|i| self.document(i).map(drop))
    }

    /// Copies the tokens from `start` on into `ids`.
    ///
    /// # Panics
    /// When the range is not inside the store.
    ///
    /// # Errors
    /// When an id is not in the vocabulary: the file is damaged.
    pub fn read(&self, start: u64, ids: &mut [u32]) -> Result<(), DataError> {
        let end = start + ids.len() as u64;
        assert!(end <= self.n_tokens(), "store: {start}..{end} of {}", self.n_tokens());
        let tokens = self.tokens(start, end).chunks_exact(self.header.width as usize);
        if self.header.width < 4 {
            ids.iter_mut()
                .zip(tokens)
                .for_each(|(id, t)| *id = u16::from_le_bytes([t[0], t[1]]).into());
        } else {
            let wide = tokens.map(|t| u32::from_le_bytes([t[0], t[1], t[2], t[3]]));
            ids.iter_mut().zip(wide).for_each(|(id, read)| *id = read);
        }
        match ids.iter().max() {
            Some(&max) if max >= self.header.vocab_size => Err(self.damaged(format!(
                "tokens {start} to {end} contain the id {max}, the vocabulary has {}",
                self.header.vocab_size
            ))),
            _ => Ok(()),
        }
    }

    /// Copies the marks of the tokens from `start` on into `marks`: see [`crate::marks`].
    ///
    /// # Panics
    /// When the range is not inside the store, or it has no marks.
    pub fn read_marks(&self, start: u64, marks: &mut [u8]) {
        assert!(self.has_marks(), "store: there are no marks");
        let end = start + marks.len() as u64;
        let tokens = self.tokens(start, end).chunks_exact(self.header.width as usize);
        marks.iter_mut().zip(tokens).for_each(|(mark, token)| *mark = token[token.len() - 1]);
    }

    fn tokens(&self, start: u64, end: u64) -> &[u8] {
        let width = self.header.width as usize;
        &self.bytes.get()[HEADER_BYTES..][start as usize * width..end as usize * width]
    }

    /// The tokens of document `i`, its end-of-text included.
    ///
    /// # Panics
    /// When there are not that many documents.
    ///
    /// # Errors
    /// When its start is out of order: the file is damaged.
    pub fn document(&self, i: u64) -> Result<Range<u64>, DataError> {
        assert!(i < self.n_documents(), "store: document {i} of {}", self.n_documents());
        let start = self.start(i);
        let end = if i + 1 < self.n_documents() { self.start(i + 1) } else { self.n_tokens() };
        if start >= end || end > self.n_tokens() || (i == 0 && start != 0) {
            return Err(self.damaged(format!("document {i} is at tokens {start} to {end}")));
        }
        Ok(start..end)
    }

    fn start(&self, i: u64) -> u64 {
        let at = self.header.starts_offset() + i as usize * 8;
        let bytes = self.bytes.get()[at..].first_chunk().expect("the size was checked");
        u64::from_le_bytes(*bytes)
    }

    /// Tokens, the ends of documents included.
    pub fn n_tokens(&self) -> u64 {
        self.header.n_tokens
    }

    /// Documents.
    pub fn n_documents(&self) -> u64 {
        self.header.n_documents
    }

    /// Bytes of the text the tokens stand for: what bits per byte are counted by.
    pub fn n_text_bytes(&self) -> u64 {
        self.header.n_text_bytes
    }

    /// One more than the largest id there can be.
    pub fn vocab_size(&self) -> usize {
        self.header.vocab_size as usize
    }

    /// The id after every document.
    pub fn end_of_text(&self) -> Option<u32> {
        self.header.end_of_text
    }

    /// Whether it says of every token what begins with it.
    pub fn has_marks(&self) -> bool {
        self.header.has_marks()
    }

    /// [`Tokenizer::hash`] of the tokenizer it was made with.
    pub fn tokenizer_hash(&self) -> String {
        blake3::Hash::from_bytes(self.header.tokenizer_hash).to_hex().to_string()
    }

    /// BLAKE3 of tokens and document starts, in hexadecimal.
    pub fn content_hash(&self) -> String {
        blake3::Hash::from_bytes(self.header.payload_hash).to_hex().to_string()
    }

    fn damaged(&self, reason: impl Into<String>) -> DataError {
        DataError::Store { path: self.path.clone(), reason: reason.into() }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { path, header, .. } = self;
        f.debug_struct("Store").field("path", path).field("header", header).finish()
    }
}

impl Backing {
    fn get(&self) -> &[u8] {
        match self {
            Self::Mapped(file) => file,
            Self::Owned(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests;
