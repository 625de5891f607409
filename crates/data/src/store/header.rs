//! The first 128 bytes of a token store.

/// Size of the header.
pub(super) const HEADER_BYTES: usize = 128;

const MAGIC: [u8; 8] = *b"LYCTOKEN";
const VERSION: u32 = 1;
/// Bytes that the header's own hash covers.
const HASHED: usize = HEADER_BYTES - 16;
/// Stands for no end-of-text id.
const NONE: u32 = u32::MAX;

/// What a store says of itself, in the order it is written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Header {
    /// Bytes a token: 2 or 4 of its id, and one of marks where the store has such.
    pub width: u32,
    pub vocab_size: u32,
    pub end_of_text: Option<u32>,
    pub n_tokens: u64,
    pub n_documents: u64,
    pub n_text_bytes: u64,
    pub tokenizer_hash: [u8; 32],
    pub payload_hash: [u8; 32],
}

impl Header {
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend(MAGIC);
        let end_of_text = self.end_of_text.unwrap_or(NONE);
        for field in [VERSION, self.width, self.vocab_size, end_of_text] {
            bytes.extend(field.to_le_bytes());
        }
        for field in [self.n_tokens, self.n_documents, self.n_text_bytes] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend(self.tokenizer_hash);
        bytes.extend(self.payload_hash);
        bytes.extend(&blake3::hash(&bytes).as_bytes()[..HEADER_BYTES - HASHED]);
        bytes.try_into().expect("the fields make 128 bytes")
    }

    /// Reads the header of a whole store, and holds the store's size against it.
    pub fn parse(store: &[u8]) -> Result<Self, String> {
        let Some(bytes) = store.first_chunk::<HEADER_BYTES>() else {
            return Err(format!("it has {} bytes, less than a header", store.len()));
        };
        if !bytes.starts_with(&MAGIC) {
            return Err("it is not a token store".to_owned());
        }
        let u32_at = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().expect("4 bytes"));
        let u64_at = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().expect("8 bytes"));
        let hash_at = |at: usize| *bytes[at..].first_chunk().expect("32 bytes");
        if u32_at(8) != VERSION {
            return Err(format!("its version is {}, this program reads {VERSION}", u32_at(8)));
        }
        if blake3::hash(&bytes[..HASHED]).as_bytes()[..HEADER_BYTES - HASHED] != bytes[HASHED..] {
            return Err("its header does not have the hash it should have".to_owned());
        }
        let header = Self {
            width: u32_at(12),
            vocab_size: u32_at(16),
            end_of_text: Some(u32_at(20)).filter(|&id| id != NONE),
            n_tokens: u64_at(24),
            n_documents: u64_at(32),
            n_text_bytes: u64_at(40),
            tokenizer_hash: hash_at(48),
            payload_hash: hash_at(80),
        };
        header.check(store.len() as u64)?;
        Ok(header)
    }

    fn check(&self, n_bytes: u64) -> Result<(), String> {
        if !matches!(self.width, 2..=5) {
            return Err(format!("its tokens have {} bytes", self.width));
        }
        if self.end_of_text.is_some_and(|id| id >= self.vocab_size) {
            return Err("its end-of-text id is not in the vocabulary".to_owned());
        }
        let expected = self.store_bytes().ok_or("its counts overflow")?;
        if n_bytes != expected {
            return Err(format!("it has {n_bytes} bytes, its header says {expected}"));
        }
        if self.n_documents > self.n_tokens || (self.n_documents == 0) != (self.n_tokens == 0) {
            let (tokens, documents) = (self.n_tokens, self.n_documents);
            return Err(format!("{tokens} tokens cannot be {documents} documents"));
        }
        Ok(())
    }

    /// Size of the whole store.
    fn store_bytes(&self) -> Option<u64> {
        let tokens = self.n_tokens.checked_mul(self.width.into())?.checked_next_multiple_of(8)?;
        self.n_documents.checked_mul(8)?.checked_add(tokens)?.checked_add(HEADER_BYTES as u64)
    }

    /// Whether every token has a byte of marks.
    pub fn has_marks(&self) -> bool {
        self.width % 2 == 1
    }

    /// Where the document starts are.
    pub fn starts_offset(&self) -> usize {
        HEADER_BYTES + (self.n_tokens as usize * self.width as usize).next_multiple_of(8)
    }
}
