//! The pages of a Parquet file, whose headers are looked at before the reader believes them.
//!
//! It takes them at their word: a few bytes can claim a page of two gigabytes, or, where they are
//! not of the kinds that they should be, lists in lists that are gone through for hours after the
//! end of the file. Counts inside of pages it believes too: with a delta encoding a damaged one may
//! ask for more memory than there is, which ends the process.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use bytes::Bytes;
use parquet::errors::Result;
use parquet::file::reader::{ChunkReader, Length};

/// A page has about a megabyte; long strings make larger ones, in a file of some size.
const PAGE_BYTES_MAX: u64 = 256 << 20;
/// In a larger file a page may be this many times its size.
const RATIO_MAX: u64 = 64;
/// Before each string of a dictionary is its length.
const STRING_BYTES_MIN: u64 = 4;
/// The header of a page holds at most the smallest and the largest string of it.
const HEADER_BYTES_MAX: usize = 64 << 10;

/// A file to read pages from.
pub(super) struct Pages(pub File);

impl Length for Pages {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl ChunkReader for Pages {
    type T = PageHeader;

    fn get_read(&self, start: u64) -> Result<PageHeader> {
        let file = self.0.get_read(start)?.into_inner();
        let reader = BufReader::with_capacity(HEADER_BYTES_MAX, file);
        let bytes_max = PAGE_BYTES_MAX.max(self.len().saturating_mul(RATIO_MAX));
        Ok(PageHeader { reader, bytes_max, is_checked: false })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        self.0.get_bytes(start, length)
    }
}

/// The header of a page; looked at when it is read, for now and then nobody does.
pub(super) struct PageHeader {
    reader: BufReader<File>,
    bytes_max: u64,
    is_checked: bool,
}

impl Read for PageHeader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !self.is_checked {
            let mut found = vec![];
            let whole = walk(&mut self.reader.fill_buf()?, PAGE_HEADER, 0, &mut found);
            let value = |place| found.iter().find(|(p, _)| *p == place).map_or(0, |(_, n)| n / 2);
            let (n_bytes, n_strings) = (value(N_BYTES), value(N_STRINGS));
            if whole.is_none() || n_bytes > self.bytes_max || n_strings > n_bytes / STRING_BYTES_MIN
            {
                let problem = "a page is damaged, or larger than can be read";
                return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
            }
            self.is_checked = true;
        }
        self.reader.read(into)
    }
}

/// What a field of a struct holds.
enum Field {
    Bool,
    Integer,
    Text,
    Struct(&'static [Self]),
}

use Field::{Bool, Integer, Struct, Text};

/// Where the integers are that decide how much memory is asked for: sixteen times the number of
/// the struct, and the number in it. Of a page, uncompressed, and of a dictionary.
const N_BYTES: usize = 2;
const N_STRINGS: usize = 16 * 7 + 1;

/// Fields by their numbers, from 1: `parquet.thrift` of the format.
const PAGE_HEADER: &[Field] = &[
    Integer,
    Integer,
    Integer,
    Integer,
    Struct(&[Integer, Integer, Integer, Integer, Struct(STATISTICS)]),
    Struct(&[]),
    Struct(&[Integer, Integer, Bool]),
    Struct(&[Integer, Integer, Integer, Integer, Integer, Integer, Bool, Struct(STATISTICS)]),
];
const STATISTICS: &[Field] = &[Text, Text, Integer, Integer, Text, Text, Bool, Bool, Integer];

/// Passes over a struct in Thrift's compact protocol: before each field a byte, the step to its
/// number and its kind. Integers are `found` with their places. None where it is not whole, or has
/// other fields, or one twice.
fn walk(
    bytes: &mut &[u8],
    fields: &[Field],
    above: usize,
    found: &mut Vec<(usize, u64)>,
) -> Option<()> {
    let mut number = 0;
    loop {
        let head = byte(bytes)?;
        if head == 0 {
            return Some(());
        }
        // A step of 0 would name a field by its number, and could name one twice.
        let step = usize::from(head >> 4).checked_sub(1)?;
        let field = fields.get(number + step)?;
        number += step + 1;
        match (field, head & 15) {
            // Its value is its kind.
            (Bool, 1 | 2) => {}
            (Integer, 4..=6) => found.push((16 * above + number, varint(bytes)?)),
            (Text, 8) => {
                let n_bytes = usize::try_from(varint(bytes)?).ok()?;
                bytes.split_off(..n_bytes)?;
            }
            (Struct(fields), 12) => walk(bytes, fields, number, found)?,
            _ => return None,
        }
    }
}

pub(super) fn byte(bytes: &mut &[u8]) -> Option<u8> {
    bytes.split_off_first().copied()
}

pub(super) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = byte(bytes)?;
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Reads `header` as that of a page.
    fn read(header: &[u8]) -> io::Result<Vec<u8>> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(header).unwrap();
        let mut bytes = vec![];
        Pages(file).get_read(0).unwrap().read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// A dictionary page: kind 2, `n` bytes plain and 4 packed, of 1 value in encoding 0; `more`.
    fn header(n: &[u8], more: &[u8]) -> Vec<u8> {
        [&[0x15, 4, 0x15], n, &[0x15, 8, 0x4C, 0x15, 2, 0x15, 0, 0], more, &[0]].concat()
    }

    #[test]
    fn a_header_that_is_cut_is_refused() {
        let whole = header(&[8], &[]);
        assert_eq!(read(&whole).unwrap(), whole);
        for len in 0..whole.len() {
            assert!(read(&whole[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn a_page_of_gigabytes_is_refused() {
        read(&header(&[0x80, 0x80, 0x80, 0x80, 0x02], &[])).expect("as many as may be");
        assert!(read(&header(&[0x82, 0x80, 0x80, 0x80, 0x02], &[])).is_err(), "one byte more");
        assert!(read(&header(&[0xFE, 0xFF, 0xFF, 0xFF, 0x0F], &[])).is_err(), "what fits an i32");
        assert!(read(&header(&[6], &[])).is_err(), "one string in three bytes");
        let again = [0x05, 4, 0xFE, 0xFF, 0xFF, 0xFF, 0x0F];
        assert!(read(&header(&[8], &again)).is_err(), "field 2 for the second time");
    }

    #[test]
    fn fields_of_another_kind_are_refused() {
        let whole = header(&[8], &[]);
        for kind in (0..16).filter(|kind| ![4, 5, 6].contains(kind)) {
            let changed = [&whole[..4], &[0x10 | kind], &whole[5..]].concat();
            assert!(read(&changed).is_err(), "{kind}");
        }
        // Two billion lists of two billion lists ..
        let lists = [0xF9, 0xFF, 0xFF, 0xFF, 0xFF, 0x07].repeat(12);
        assert!(read(&header(&[8], &[&[0x19][..], &lists].concat())).is_err());
        read(&header(&[8], &[0x1C, 0])).expect("a second kind of page, empty");
    }
}
