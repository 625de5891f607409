//! Bytes of which a reader gets so many at a time, for formats whose pieces have no length.

use std::io::{self, Read};

use super::bytes::Bytes;
use crate::DataError;

/// A row, a page: a longer one is none, but a quote or an element that nobody closed.
pub(super) const PIECE_BYTES_MAX: usize = 64 << 20;

/// Bytes that end with an error where a piece is too long.
pub(super) struct Bounded {
    bytes: Bytes,
    max: usize,
    left: usize,
}

impl Bounded {
    pub fn new(bytes: Bytes, max: usize) -> Self {
        Self { bytes, max, left: max }
    }

    pub fn file(&self) -> &str {
        &self.bytes.file
    }

    /// A piece begins.
    pub fn begin(&mut self) {
        self.left = self.max;
    }

    /// What an error of reading means; `None` where a piece is too long.
    pub fn failed(&self, error: io::Error) -> Option<DataError> {
        (self.left > 0).then(|| self.bytes.failed(error))
    }
}

impl Read for Bounded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = into.len().min(self.left);
        if len == 0 && !into.is_empty() {
            return Err(io::Error::other("longer than any"));
        }
        let n = self.bytes.read(&mut into[..len])?;
        self.left -= n;
        Ok(n)
    }
}
