//! The members of a zip archive, as `torch.save` writes it: stored one after another.
//!
//! ```text
//! (local header, bytes)*, (central header)*, [zip64 end, its locator], end
//! ```
//!
//! Source: PKWARE, "APPNOTE.TXT", 4.3.6 to 4.3.16 and 4.5.3.

use std::collections::BTreeMap;
use std::ops::Range;

use super::super::cursor::Cursor;

const END_BYTES: usize = 22;
const MAX_COMMENT_BYTES: usize = 0xffff;
const LOCATOR_BYTES: usize = 20;
/// In a field of 32 bits: the number is in the zip64 extra field.
const IN_EXTRA: u64 = 0xffff_ffff;

/// Where each member's bytes are in the file, by name.
pub(super) type Members<'a> = BTreeMap<&'a str, Range<usize>>;

/// Indexes an archive; no two members share a byte.
pub(super) fn members(file: &[u8]) -> Result<Members<'_>, String> {
    let (start, n_members) = directory(file)?;
    let mut cursor = Cursor::within(file, &(start..file.len()));
    let mut members = Members::new();
    for _ in 0..n_members {
        let (name, bytes) = member(file, &mut cursor)?;
        if members.insert(name, bytes).is_some() {
            return Err(format!("member `{name}` is there twice"));
        }
    }
    let mut ranges: Vec<_> = members.iter().collect();
    ranges.sort_by_key(|(_, bytes)| (bytes.start, bytes.end));
    match ranges.windows(2).find(|pair| pair[1].1.start < pair[0].1.end) {
        Some(pair) => Err(format!("members `{}` and `{}` overlap", pair[0].0, pair[1].0)),
        None => Ok(members),
    }
}

/// Where the central directory starts, and how many members it has.
fn directory(file: &[u8]) -> Result<(usize, u64), String> {
    let first = file.len().saturating_sub(END_BYTES + MAX_COMMENT_BYTES);
    let end = file[first..].windows(END_BYTES).rposition(|bytes| bytes.starts_with(b"PK\x05\x06"));
    let end = first + end.ok_or("cut short: an archive without its directory")?;
    let mut cursor = Cursor::within(file, &(end + 10..file.len()));
    let (n_members, _n_bytes, start) = (cursor.le(2)?, cursor.le(4)?, cursor.le(4)?);
    let locator =
        end.checked_sub(LOCATOR_BYTES).filter(|&at| file[at..].starts_with(b"PK\x06\x07"));
    let (n_members, start) = match locator {
        None => (n_members, start),
        Some(locator) => {
            let at = Cursor::within(file, &(locator + 8..file.len())).le(8)?;
            let mut wide = seek(file, at)?;
            if wide.take(4)? != b"PK\x06\x06" {
                return Err(format!("no zip64 directory at byte {at}"));
            }
            wide.skip(28)?;
            let (n_members, _n_bytes) = (wide.le(8)?, wide.le(8)?);
            (n_members, wide.le(8)?)
        }
    };
    Ok((seek(file, start)?.at, n_members))
}

fn seek(file: &[u8], at: u64) -> Result<Cursor<'_>, String> {
    let mut cursor = Cursor::new(file);
    cursor.skip(at)?;
    Ok(cursor)
}

/// Reads one header of the central directory; the name, and where the bytes are.
fn member<'a>(file: &'a [u8], cursor: &mut Cursor<'a>) -> Result<(&'a str, Range<usize>), String> {
    if cursor.take(4)? != b"PK\x01\x02" {
        return Err(format!("no member of an archive at byte {}", cursor.at - 4));
    }
    cursor.skip(4)?;
    let (flags, method) = (cursor.le(2)?, cursor.le(2)?);
    cursor.skip(8)?;
    let (packed, size) = (cursor.le(4)?, cursor.le(4)?);
    let (name_len, extra_len, comment_len) = (cursor.le(2)?, cursor.le(2)?, cursor.le(2)?);
    cursor.skip(8)?;
    let header = cursor.le(4)?;
    let name = cursor.text(name_len)?;
    let extra = cursor.take(extra_len)?;
    cursor.skip(comment_len)?;
    if method != 0 || flags & 1 != 0 {
        return Err(format!("member `{name}` is compressed or encrypted, PyTorch stores it plain"));
    }
    let [size, packed, header] = widen(extra, [size, packed, header])?;
    if size != packed {
        return Err(format!("member `{name}` has {size} bytes and {packed} stored"));
    }
    // The local header repeats the name, with an extra field of its own.
    let mut local = seek(file, header)?;
    if local.take(4)? != b"PK\x03\x04" {
        return Err(format!("member `{name}` is not at byte {header}"));
    }
    local.skip(22)?;
    let (name_len, extra_len) = (local.le(2)?, local.le(2)?);
    local.skip(name_len + extra_len)?;
    Ok((name, local.skip(size)?))
}

/// Takes the fields that are too narrow for their number from the zip64 extra field.
fn widen(extra: &[u8], mut fields: [u64; 3]) -> Result<[u64; 3], String> {
    let mut cursor = Cursor::new(extra);
    while !cursor.is_at_end() {
        let (id, len) = (cursor.le(2)?, cursor.le(2)?);
        let mut content = Cursor::new(cursor.take(len)?);
        if id == 1 {
            for field in fields.iter_mut().filter(|field| **field == IN_EXTRA) {
                *field = content.le(8)?;
            }
        }
    }
    Ok(fields)
}
