//! A stretch of a source that is held in memory.

use std::io::{self, ErrorKind, Read};

/// What is read at once, in bytes.
const CHUNK: usize = 1 << 18;

/// The bytes of a source from some offset on, as far as somebody asked for them.
pub(super) struct Window<R> {
    source: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    offset: u64,
    is_done: bool,
}

impl<R: Read> Window<R> {
    /// Over a source whose next byte is that at `offset` of the file.
    pub fn new(source: R, offset: u64) -> Self {
        Self { source, buffer: Vec::new(), start: 0, end: 0, offset, is_done: false }
    }

    /// Where [`bytes`](Self::bytes) begin in the file.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What is there without reading.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// What is there without reading, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..self.end]
    }

    /// Leaves `n` bytes behind.
    pub fn consume(&mut self, n: usize) {
        assert!(n <= self.end - self.start, "window: {n} bytes are not there");
        self.start += n;
        self.offset += n as u64;
    }

    /// At least `n` bytes, or all up to the end of the source.
    pub fn fill(&mut self, n: usize) -> io::Result<&[u8]> {
        if self.end - self.start < n && !self.is_done {
            self.make_room(n);
            while self.end - self.start < n && !self.is_done {
                match self.source.read(&mut self.buffer[self.end..]) {
                    Ok(0) => self.is_done = true,
                    Ok(n_read) => self.end += n_read,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(self.bytes())
    }

    fn make_room(&mut self, n: usize) {
        if self.start + n.max(CHUNK / 4) > self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if n > self.buffer.len() || self.buffer.is_empty() {
                self.buffer.resize(n.next_multiple_of(CHUNK), 0);
            }
        }
    }
}
