//! Decompressed bytes, member by member, and where a member that begins a record begins.
//!
//! A *run* is a member (gzip) or frame (Zstandard) whose text begins with a record's head, with
//! those after it that do not. Whether a run begins at an offset depends on the bytes from there on
//! alone, so that readers of neighbouring slices agree without a word.

use std::io::{self, Read};
use std::ops::Range;

use libdeflater::{Decompressor, crc32};
use memchr::memmem;

use super::codec::{self, Codec, GZIP, GZIP_FOOTER, GZIP_HEADER_MAX};
use super::header::is_head;
use super::window::Window;
use super::{Format, Skip};
use crate::Tally;

/// As far as the end of a member is looked for, and as much of one as is kept to begin again inside
/// of it, in bytes.
const MEMBER_MAX: usize = 8 << 20;
/// A member that gives more is decompressed in pieces, in bytes.
const TEXT_MAX: usize = 16 << 20;
/// How much a piece gives, in bytes.
const PIECE: usize = 1 << 20;
/// A dictionary that is larger is refused, in bytes.
const DICTIONARY_MAX: usize = 16 << 20;
/// What a byte of a member can give at most, rounded up.
const RATIO_MAX: usize = 1040;

/// The decompressed bytes of a source.
pub(super) struct Members<R> {
    window: Window<R>,
    format: Format,
    /// A run that begins here or later is not read.
    end: u64,
    whole: Decompressor,
    codec: Codec,
    /// A member that is being decompressed in pieces.
    open: Option<Open>,
    text: Vec<u8>,
    text_start: usize,
    text_end: usize,
    /// Where in the text that of the member begins that was opened last.
    text_member: usize,
    /// Where in the text the next run begins.
    boundary: Option<usize>,
    /// Where the member that was opened last begins.
    member: u64,
    /// The run ended before its time, and where the next one begins is to be looked for.
    is_lost: bool,
    is_done: bool,
    /// What could not be read.
    pub tally: Tally,
}

struct Open {
    /// How much of the window was read.
    at: usize,
    /// Whether the window still begins where the member does.
    is_kept: bool,
    /// Whether all of it is decompressed.
    is_over: bool,
}

impl<R: Read> Members<R> {
    pub fn new(source: R, range: Range<u64>) -> io::Result<Self> {
        let mut window = Window::new(source, range.start);
        let is_inside = range.start > 0;
        let format = if is_inside { Format::Gzip } else { Format::of(window.fill(4)?) };
        let mut members = Self {
            window,
            format,
            end: range.end,
            whole: Decompressor::new(),
            codec: Codec::deflate(),
            open: None,
            text: Vec::new(),
            text_start: 0,
            text_end: 0,
            text_member: 0,
            boundary: None,
            member: range.start,
            is_lost: is_inside,
            is_done: range.is_empty(),
            tally: Tally::default(),
        };
        if format == Format::Zstd {
            let codec = members.dictionary()?.and_then(|dictionary| Codec::zstd(&dictionary));
            members.is_done |= codec.is_none();
            if codec.is_none() {
                members.tally.add(Skip::Dictionary.name(), 0);
            }
            members.codec = codec.unwrap_or(members.codec);
        }
        Ok(members)
    }

    /// Of the run: what is decompressed and not consumed.
    pub fn bytes(&self) -> &[u8] {
        match self.format {
            Format::Plain => self.window.bytes(),
            _ => &self.text[self.text_start..self.boundary.unwrap_or(self.text_end)],
        }
    }

    /// The same, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        match self.format {
            Format::Plain => self.window.bytes_mut(),
            _ => &mut self.text[self.text_start..self.boundary.unwrap_or(self.text_end)],
        }
    }

    /// Leaves `n` bytes behind.
    pub fn consume(&mut self, n: usize) {
        match self.format {
            Format::Plain => self.window.consume(n),
            _ => self.text_start += n,
        }
    }

    /// Where the bytes are in the file: of compressed ones, where their member begins.
    pub fn offset(&self) -> u64 {
        if self.format == Format::Plain { self.window.offset() } else { self.member }
    }

    /// Whether the run ends because of damage that was counted.
    pub fn is_damaged(&self) -> bool {
        self.is_lost && self.boundary.is_none()
    }

    /// Whether `n` bytes are all there are before the next member, as far as was read.
    pub fn is_end(&self, n: usize) -> bool {
        let is_closed = self.open.is_none() || self.boundary.is_some();
        self.format != Format::Plain && is_closed && self.bytes().len() == n
    }

    /// Decompresses until there are `n` bytes of the run, or all of them; gives how many there are.
    pub fn want(&mut self, n: usize) -> io::Result<usize> {
        if self.format == Format::Plain {
            return Ok(self.window.fill(n)?.len());
        }
        while self.bytes().len() < n && self.boundary.is_none() && !self.is_lost && !self.is_done {
            self.pull(true)?;
        }
        Ok(self.bytes().len())
    }

    /// Goes on to the next byte there is, of this run or another; `false` at the end.
    pub fn begin(&mut self) -> io::Result<bool> {
        if self.format == Format::Plain {
            return Ok(!self.is_done && !self.window.fill(1)?.is_empty());
        }
        while self.bytes().is_empty() {
            if self.boundary.take().is_none() {
                if self.is_done {
                    return Ok(false);
                }
                self.pull(false)?;
            }
        }
        Ok(true)
    }

    /// Decompresses some more. Inside of a record, where another run begins is a boundary.
    fn pull(&mut self, is_inside: bool) -> io::Result<()> {
        self.make_room();
        if self.open.is_some() {
            let result = self.decompress()?;
            self.leave(result);
            return Ok(());
        }
        if self.is_lost {
            return self.find();
        }
        let from = self.text_end;
        if self.window.fill(1)?.is_empty() {
            self.stop(from);
            return Ok(());
        }
        let result = self.open_member()?;
        let is_head = is_head(&self.text[from..self.text_end]);
        if is_head && self.member >= self.end {
            self.stop(from);
            return Ok(());
        }
        self.boundary = (is_head && is_inside).then_some(from);
        self.leave(result);
        Ok(())
    }

    /// Looks for where a run begins, and opens its first member.
    fn find(&mut self) -> io::Result<()> {
        let from = self.text_end;
        loop {
            if !self.seek_magic()? {
                self.stop(from);
                return Ok(());
            }
            let result = self.open_member()?;
            if is_head(&self.text[from..self.text_end]) {
                self.is_lost = false;
                self.leave(result);
                return Ok(());
            }
            (self.text_end, self.open) = (from, None);
            self.window.consume(1);
        }
    }

    fn stop(&mut self, text_end: usize) {
        (self.text_end, self.is_done, self.open) = (text_end, true, None);
    }

    /// Goes past what was decompressed, or counts why it could not be.
    fn leave(&mut self, result: Result<(), Skip>) {
        let open = self.open.take();
        match (result, open) {
            (Ok(()), None) => {}
            (Ok(()), Some(open)) if open.is_over => self.window.consume(open.at),
            (Ok(()), Some(open)) if open.at > MEMBER_MAX => {
                self.window.consume(open.at);
                self.open = Some(Open { at: 0, is_kept: false, is_over: false });
            }
            (Ok(()), open) => self.open = open,
            (Err(skip), open) => {
                self.tally.add(skip.name(), self.member);
                // Where another one seems to begin, the end is missing and not the rest of the
                // file: then what was taken for text may be that one's bytes.
                let rest = self.window.bytes().get(1..).unwrap_or_default();
                if skip != Skip::Truncated || memmem::find(rest, self.magic()).is_some() {
                    self.text_end = self.text_member.max(self.text_start);
                }
                self.window.consume(open.filter(|open| !open.is_kept).map_or(1, |open| open.at));
                self.is_lost = true;
            }
        }
    }

    fn magic(&self) -> &'static [u8] {
        if self.format == Format::Gzip { &GZIP } else { &codec::ZSTD }
    }

    /// Begins with the member at the window's start, which stays there.
    fn open_member(&mut self) -> io::Result<Result<(), Skip>> {
        (self.member, self.text_member) = (self.window.offset(), self.text_end);
        if self.format == Format::Gzip
            && let Some(at) = self.decompress_whole()?
        {
            self.open = Some(Open { at, is_kept: true, is_over: true });
            return Ok(Ok(()));
        }
        let bytes = self.window.fill(GZIP_HEADER_MAX)?;
        let header = match self.format {
            Format::Gzip => codec::gzip_header(bytes),
            _ => codec::is_zstd(bytes).then_some(0),
        };
        let Some(at) = header else { return Ok(Err(Skip::Garbage)) };
        if self.codec.restart().is_err() {
            return Ok(Err(Skip::Corrupt));
        }
        self.open = Some(Open { at, is_kept: true, is_over: false });
        self.decompress()
    }

    /// Decompresses all of the member at the window's start; gives its length where that is easy.
    ///
    /// The bytes up to the next ones that look like a member are tried: the last ones say how much
    /// it gives. Whether it ends there, and not before bytes that are others, the checksum says.
    fn decompress_whole(&mut self) -> io::Result<Option<usize>> {
        let Some(len) = self.next_magic(GZIP_FOOTER + 1)? else { return Ok(None) };
        let bytes = &self.window.bytes()[..len];
        let Some((_, footer)) = bytes.split_last_chunk::<GZIP_FOOTER>() else { return Ok(None) };
        let size = u32::from_le_bytes([footer[4], footer[5], footer[6], footer[7]]) as usize;
        if !bytes.starts_with(&GZIP) || size > TEXT_MAX.min(len * RATIO_MAX) {
            return Ok(None);
        }
        let text_end = self.text_end + size;
        if self.text.len() < text_end {
            self.text.resize(text_end.next_multiple_of(PIECE), 0);
        }
        let text = &mut self.text[self.text_end..text_end];
        let is_whole = self.whole.gzip_decompress(bytes, text).is_ok_and(|n| n == size)
            && crc32(text).to_le_bytes() == footer[..4]
            && memmem::find(bytes, footer) == Some(len - GZIP_FOOTER);
        if !is_whole {
            return Ok(None);
        }
        self.text_end = text_end;
        Ok(Some(len))
    }

    /// How far it is to the next bytes, `from` on, that look like a member, or to the end; `None`
    /// where that is far.
    fn next_magic(&mut self, from: usize) -> io::Result<Option<usize>> {
        let mut seen = from;
        loop {
            let bytes = self.window.bytes();
            let len = bytes.len();
            if let Some(found) = bytes.get(seen..).and_then(|bytes| memmem::find(bytes, &GZIP)) {
                return Ok(Some(seen + found));
            }
            seen = seen.max((len + 1).saturating_sub(GZIP.len()));
            if len >= MEMBER_MAX {
                return Ok(None);
            }
            if self.window.fill(len + 1)?.len() == len {
                return Ok((from <= len).then_some(len));
            }
        }
    }

    /// Goes to the next bytes that look like a member, if they are this reader's.
    fn seek_magic(&mut self) -> io::Result<bool> {
        let magic = self.magic();
        while self.window.offset() < self.end {
            let bytes = self.window.fill(magic.len())?;
            if bytes.len() < magic.len() {
                return Ok(false);
            }
            let found = memmem::find(bytes, magic);
            let n = found.unwrap_or(bytes.len() + 1 - magic.len());
            self.window.consume(n);
            if found.is_some() {
                return Ok(self.window.offset() < self.end);
            }
        }
        Ok(false)
    }

    /// Decompresses a piece of the open member.
    fn decompress(&mut self) -> io::Result<Result<(), Skip>> {
        let Some(open) = &mut self.open else { return Ok(Ok(())) };
        let limit = self.text_end + PIECE;
        if self.text.len() < limit {
            self.text.resize(limit.next_multiple_of(PIECE), 0);
        }
        while self.text_end < limit {
            let input = &self.window.fill(open.at + 1)?[open.at..];
            if input.is_empty() {
                return Ok(Err(Skip::Truncated));
            }
            let step = self.codec.step(input, &mut self.text[self.text_end..limit]);
            let Ok(step) = step else { return Ok(Err(Skip::Corrupt)) };
            open.at += step.n_read;
            self.text_end += step.n_written;
            if step.is_end {
                let end = open.at + self.codec.footer_len();
                let bytes = self.window.fill(end)?;
                let Some(footer) = bytes.get(open.at..end) else {
                    return Ok(Err(Skip::Truncated));
                };
                (open.at, open.is_over) = (end, true);
                let is_right = self.codec.is_footer(footer);
                return Ok(if is_right { Ok(()) } else { Err(Skip::Corrupt) });
            }
            if step.n_read == 0 && step.n_written == 0 {
                return Ok(Err(Skip::Corrupt));
            }
        }
        Ok(Ok(()))
    }

    fn make_room(&mut self) {
        if self.text_start > 0 && self.text_end + PIECE > self.text.len()
            || self.text_start == self.text_end
        {
            self.text.copy_within(self.text_start..self.text_end, 0);
            self.text_member = self.text_member.saturating_sub(self.text_start);
            (self.text_start, self.text_end) = (0, self.text_end - self.text_start);
        }
    }

    /// The dictionary in front of the frames, which may be compressed itself: "Zstandard
    /// compression for WARC files" of the IIPC, section 2. Empty where there is none, and `None`
    /// where it cannot be read.
    fn dictionary(&mut self) -> io::Result<Option<Vec<u8>>> {
        let head = self.window.fill(8)?;
        let Some((&[0x5d, 0x2a, 0x4d, 0x18, size @ ..], _)) = head.split_first_chunk::<8>() else {
            return Ok(Some(Vec::new()));
        };
        let size = u32::from_le_bytes(size) as usize;
        if size > DICTIONARY_MAX {
            return Ok(None);
        }
        let Some(frame) = self.window.fill(8 + size)?.get(8..8 + size) else { return Ok(None) };
        let dictionary = if frame.starts_with(&codec::ZSTD) {
            zstd::bulk::decompress(frame, DICTIONARY_MAX).ok()
        } else {
            Some(frame.to_vec())
        };
        self.window.consume(8 + size);
        Ok(dictionary)
    }
}
