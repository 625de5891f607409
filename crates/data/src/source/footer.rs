//! What stands at the end of a Parquet file, looked at before the reader believes it.
//!
//! The reader passes over fields that it does not know, and takes no byte for an element of a list
//! of truth values: a few bytes that claim lists of two billion of them keep it busy for hours. The
//! format has no such list, and no map: they are refused. Every other element takes a byte at
//! least, so what is left is passed over in one go.

use std::fs::File;

use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

use super::pages::{byte, varint};

/// Behind the footer its length in four bytes, and a mark of four.
const END_BYTES: u64 = 8;
/// Structs and lists in each other, at most; the format has some ten.
const DEPTH_MAX: usize = 32;

/// Refuses a footer that the reader would not come to the end of. What else is wrong with a file,
/// the reader says.
pub(super) fn check(file: &File) -> Result<()> {
    let Some(start) = file.len().checked_sub(END_BYTES) else { return Ok(()) };
    let end = file.get_bytes(start, END_BYTES as usize)?;
    let &[a, b, c, d, ..] = &end[..] else { return Ok(()) };
    let n_bytes = u32::from_le_bytes([a, b, c, d]);
    let Some(start) = start.checked_sub(n_bytes.into()) else { return Ok(()) };
    let footer = file.get_bytes(start, n_bytes as usize)?;
    let wrong = || ParquetError::General("its footer is damaged".to_owned());
    pass_struct(&mut &footer[..], 0).ok_or_else(wrong)
}

/// Passes over a struct in Thrift's compact protocol; none where it is not whole.
fn pass_struct(bytes: &mut &[u8], depth: usize) -> Option<()> {
    loop {
        let head = byte(bytes)?;
        if head == 0 {
            return Some(());
        }
        // A step of 0 is followed by the number of the field.
        if head >> 4 == 0 {
            varint(bytes)?;
        }
        // A truth value is its kind.
        if !matches!(head & 15, 1 | 2) {
            pass(bytes, head & 15, depth + 1)?;
        }
    }
}

fn pass(bytes: &mut &[u8], kind: u8, depth: usize) -> Option<()> {
    if depth > DEPTH_MAX {
        return None;
    }
    let n_bytes = match kind {
        3 => 1,
        4..=6 => return varint(bytes).map(|_| ()),
        7 => 8,
        8 => usize::try_from(varint(bytes)?).ok()?,
        // Lists and sets: a byte with the number of elements, or 15 and the number behind it.
        9 | 10 => {
            let head = byte(bytes)?;
            let n = if head >> 4 == 15 { varint(bytes)? } else { u64::from(head >> 4) };
            if n > 0 && matches!(head & 15, 0..=2) {
                return None;
            }
            return (0..n).try_for_each(|_| pass(bytes, head & 15, depth + 1));
        }
        12 => return pass_struct(bytes, depth),
        13 => 16,
        _ => return None,
    };
    bytes.split_off(..n_bytes).map(|_| ())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::source::columns;

    fn file(footer: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let n_bytes = (footer.len() as u32).to_le_bytes();
        file.write_all(&[b"PAR1", footer, &n_bytes, b"PAR1"].concat()).unwrap();
        file
    }

    #[test]
    fn lists_without_end_are_refused_at_once() {
        // An unknown field: two billion lists of nine lists .. of truth values.
        let deep = [&[0xF9, 0xF9, 0xFF, 0xFF, 0xFF, 0xFF, 0x07][..], &[0x99; 9], &[0x92]].concat();
        let flat = [0xF9, 0xF2, 0xFF, 0xFF, 0xFF, 0xFF, 0x07, 0].to_vec();
        for footer in [deep, flat, [0xF9, 0x19].repeat(99)] {
            let error = columns::open(file(&footer).path()).expect_err("refused");
            assert!(error.to_string().contains("footer is damaged"), "{error}");
        }
    }

    #[test]
    fn what_has_an_end_is_passed_over() {
        let fields = [
            &[0x11, 0x12, 0x13, 7, 0x15, 0x80, 1, 0x17][..],
            &[0; 8],
            &[0x18, 2, 9, 9, 0x19, 0x25, 1, 2, 0x1A, 0x1C, 0, 0x1C, 0x08, 40, 0, 0, 0x1D],
            &[0; 16],
            &[0],
        ];
        let whole = fields.concat();
        assert!(pass_struct(&mut &whole[..], 0).is_some());
        for len in 0..whole.len() {
            assert!(pass_struct(&mut &whole[..len], 0).is_none(), "{len}");
        }
        let error = columns::open(file(&whole).path()).expect_err("no table").to_string();
        assert!(!error.contains("footer is damaged"), "{error}");
    }
}
