//! Writing GGUF as a stream.

use std::io::{self, Read, Write};
use std::path::Path;

use super::metadata::write_string;
use super::{ALIGNMENT, DEFAULT_ALIGNMENT, MAGIC, TYPES, VERSION, Value};
use crate::disk::Disk;
use crate::weights::Entry;
use crate::weights::write::assert_distinct;
use crate::{CheckpointError, atomic};

/// Writes one GGUF file, which appears whole or not at all; metadata and tensors in the order
/// given. `general.alignment`, where it is given, is kept to.
///
/// # Errors
/// [`CheckpointError::Write`].
///
/// # Panics
/// When a tensor is there twice, has more than four dimensions or is of a type GGUF has not, or the
/// alignment is no power of two.
pub fn save_file(
    disk: &dyn Disk,
    path: &Path,
    metadata: &[(&str, Value)],
    entries: &[Entry],
) -> Result<(), CheckpointError> {
    assert_distinct(entries);
    let alignment = metadata.iter().find(|(key, _)| *key == ALIGNMENT);
    let alignment = alignment.map_or(Some(DEFAULT_ALIGNMENT), |(_, value)| value.to_u64());
    let alignment = alignment.filter(|n| n.is_power_of_two()).expect("a power of two") as usize;
    let header = header(metadata, entries, alignment);
    atomic::write_file_with(disk, path, |out| {
        write_padded(out, header.len(), alignment, |out| out.write_all(&header))?;
        entries.iter().try_for_each(|entry| {
            write_padded(out, entry.n_bytes(), alignment, |out| (entry.write)(out))
        })
    })
}

fn header(metadata: &[(&str, Value)], entries: &[Entry], alignment: usize) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend(VERSION.to_le_bytes());
    out.extend((entries.len() as u64).to_le_bytes());
    out.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        write_string(key, &mut out);
        out.extend(value.kind().to_le_bytes());
        value.write(&mut out);
    }
    let mut offset = 0;
    for entry in entries {
        let Entry { name, dtype, shape, .. } = entry;
        assert!(shape.len() <= super::MAX_DIMS as usize, "gguf: `{name}` of {shape:?}");
        let number = TYPES.iter().find(|(_, of)| of == dtype).map(|(number, _)| *number as u32);
        write_string(name, &mut out);
        out.extend((shape.len() as u32).to_le_bytes());
        out.extend(shape.iter().rev().flat_map(|&dim| (dim as u64).to_le_bytes()));
        out.extend(number.expect("a type of GGUF").to_le_bytes());
        out.extend((offset as u64).to_le_bytes());
        offset += entry.n_bytes().next_multiple_of(alignment);
    }
    out
}

fn write_padded(
    out: &mut dyn Write,
    n_bytes: usize,
    alignment: usize,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    write(out)?;
    let padding = n_bytes.next_multiple_of(alignment) - n_bytes;
    io::copy(&mut io::repeat(0).take(padding as u64), out).map(drop)
}
