//! Heads of records: of WARC, of ARC, of HTTP.

use std::borrow::Cow;

use memchr::{memchr, memmem};

/// A longer head is none, in bytes.
pub(super) const HEAD_MAX: usize = 64 << 10;
/// A longer line of an ARC file is none, in bytes.
pub(super) const LINE_MAX: usize = 4096;

/// Named fields, as they stand in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers<'a>(pub(super) &'a [u8]);

impl<'a> Headers<'a> {
    /// Names and values, without the space around them.
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.0.split(|byte| *byte == b'\n').filter_map(|line| {
            let colon = memchr(b':', line)?;
            Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()))
        })
    }

    /// The first value of that name, whatever the case of its letters.
    pub fn get(self, name: &str) -> Option<&'a [u8]> {
        let name = name.as_bytes();
        self.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The same as text, with what is not UTF-8 replaced.
    pub fn text(self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name).map(String::from_utf8_lossy)
    }
}

/// The fields of the line that an ARC record begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ArcLine<'a> {
    pub uri: &'a [u8],
    /// `YYYYMMDDhhmmss`, or a part of it.
    pub date: &'a [u8],
    pub media_type: &'a [u8],
    /// Not always a number.
    pub length: &'a [u8],
}

/// Whether a record begins here.
pub(super) fn is_head(bytes: &[u8]) -> bool {
    bytes.starts_with(b"WARC/") || arc_line(bytes).is_some()
}

/// The line of an ARC record, version 1 (URL, address, date, type, length) or 2 (more fields before
/// the length). A URL may have spaces in it, so the date is what the others are found by.
pub(super) fn arc_line(bytes: &[u8]) -> Option<ArcLine<'_>> {
    let scheme = bytes.iter().take(16).position(|byte| !byte.is_ascii_alphanumeric())?;
    if scheme == 0 || bytes[scheme] != b':' {
        return None;
    }
    let line = bytes[..memchr(b'\n', &bytes[..bytes.len().min(LINE_MAX)])?].trim_ascii_end();
    let mut fields = line.rsplit(|byte| *byte == b' ');
    let length = fields.next()?;
    let mut media_type = fields.next()?;
    let mut before = line.len().checked_sub(length.len() + media_type.len() + 2)?;
    for field in fields {
        before = before.saturating_sub(field.len() + 1);
        if matches!(field.len(), 12..=18) && field.iter().all(u8::is_ascii_digit) {
            let address = &line[..before];
            let space = address.iter().rposition(|byte| *byte == b' ')?;
            return Some(ArcLine { uri: &address[..space], date: field, media_type, length });
        }
        media_type = field;
    }
    None
}

/// The length of a head with the empty line that ends it; `None` where it does not end in `bytes`.
pub(super) fn head_len(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr(b'\n', &bytes[at..])? + 1;
        // Some programs end lines with two carriage returns.
        let n_returns = bytes[at..].iter().take_while(|byte| **byte == b'\r').count();
        if bytes.get(at + n_returns) == Some(&b'\n') {
            return Some(at + n_returns + 1);
        }
    }
}

/// Makes values that go on in the next line one line each, in place.
pub(super) fn unfold(head: &mut [u8]) {
    let mut at = 0;
    while let Some(found) = memmem::find(&head[at..], b"\n") {
        at += found + 1;
        if matches!(head.get(at), Some(b' ' | b'\t')) {
            head[at - 1] = b' ';
            if at >= 2 && head[at - 2] == b'\r' {
                head[at - 2] = b' ';
            }
        }
    }
}

/// A head without its first line, and that line.
pub(super) fn split_head(head: &[u8]) -> (&[u8], Headers<'_>) {
    let end = memchr(b'\n', head).map_or(head.len(), |end| end + 1);
    (head[..end].trim_ascii_end(), Headers(&head[end..]))
}

/// A count of bytes.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}
