//! A place in bytes from outside: what is read is there, or reading ends in an error.

use std::ops::Range;

/// Reads on from `at`, never past the end.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    /// The next byte to be read; at most the length.
    pub at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Over a part of a file, counting from the file's start.
    ///
    /// # Panics
    /// When the part is not inside the file.
    pub fn within(file: &'a [u8], part: &Range<usize>) -> Self {
        assert!(part.start <= part.end, "cursor: {part:?}");
        Self { bytes: &file[..part.end], at: part.start }
    }

    pub fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Goes over `n` bytes; where they are.
    pub fn skip(&mut self, n: u64) -> Result<Range<usize>, String> {
        let left = self.bytes.len() - self.at;
        if n > left as u64 {
            return Err(format!("cut short: {n} bytes expected at byte {}, {left} left", self.at));
        }
        let start = self.at;
        self.at += n as usize;
        Ok(start..self.at)
    }

    pub fn take(&mut self, n: u64) -> Result<&'a [u8], String> {
        let bytes = self.bytes;
        Ok(&bytes[self.skip(n)?])
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let bytes = self.take(N as u64)?;
        Ok(bytes.try_into().expect("as many as were asked for"))
    }

    /// A little-endian number of `n` bytes, at most eight.
    pub fn le(&mut self, n: u64) -> Result<u64, String> {
        Ok(self.take(n)?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// A big-endian number of `n` bytes, at most eight.
    pub fn be(&mut self, n: u64) -> Result<u64, String> {
        Ok(self.take(n)?.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// `n` bytes of UTF-8.
    pub fn text(&mut self, n: u64) -> Result<&'a str, String> {
        let at = self.at;
        str::from_utf8(self.take(n)?).map_err(|_| format!("text at byte {at} is not in UTF-8"))
    }

    /// Up to the end of a line, which is read and left out.
    pub fn line(&mut self) -> Result<&'a str, String> {
        let rest = &self.bytes[self.at..];
        let n = rest.iter().position(|&byte| byte == b'\n');
        let line = self.text(n.ok_or("cut short: a line without end")? as u64)?;
        self.at += 1;
        Ok(line)
    }
}
