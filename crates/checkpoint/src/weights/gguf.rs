//! GGUF: one little-endian file with a model's metadata, its vocabulary and its weights.
//!
//! ```text
//! "GGUF", u32 version, u64 tensors, u64 values
//! (key, u32 type, value)*
//! (name, u32 dims, u64 ne[dims], u32 type, u64 offset)*    ne[0] lies closest: a shape reversed
//! padding to the alignment, data; each tensor at a multiple of the alignment
//! ```
//!
//! `metadata` has the values, `blocks` the quantised types, `write` the other direction.
//!
//! Source: ggml, `docs/gguf.md` and `ggml/src/gguf.cpp`; versions 2 and 3.

mod blocks;
mod metadata;
#[cfg(test)]
mod tests;
mod write;

use safetensors::Dtype;

use super::cursor::Cursor;
use super::view::{Info, Infos, Place, Stored};

pub use self::blocks::{Block, to_q8_0};
pub(super) use self::metadata::Places;
pub use self::metadata::{Array, Metadata, Value};
pub use self::write::save_file;

const MAGIC: &[u8; 4] = b"GGUF";
const VERSION: u32 = 3;
/// The key of the alignment, and what it is where there is none.
const ALIGNMENT: &str = "general.alignment";
const DEFAULT_ALIGNMENT: u64 = 32;
/// `GGML_MAX_DIMS`.
const MAX_DIMS: u64 = 4;

/// The types that are read, by their numbers in `enum ggml_type`.
const TYPES: [(u64, Stored); 16] = [
    (0, Stored::Plain(Dtype::F32)),
    (1, Stored::Plain(Dtype::F16)),
    (2, Stored::Blocks(Block::Q4_0)),
    (3, Stored::Blocks(Block::Q4_1)),
    (6, Stored::Blocks(Block::Q5_0)),
    (7, Stored::Blocks(Block::Q5_1)),
    (8, Stored::Blocks(Block::Q8_0)),
    (12, Stored::Blocks(Block::Q4_K)),
    (13, Stored::Blocks(Block::Q5_K)),
    (14, Stored::Blocks(Block::Q6_K)),
    (24, Stored::Plain(Dtype::I8)),
    (25, Stored::Plain(Dtype::I16)),
    (26, Stored::Plain(Dtype::I32)),
    (27, Stored::Plain(Dtype::I64)),
    (28, Stored::Plain(Dtype::F64)),
    (30, Stored::Plain(Dtype::BF16)),
];

/// Indexes a file: its tensors, and where its metadata lies.
pub(super) fn index(file: &[u8]) -> Result<(Infos, Places), String> {
    let mut cursor = Cursor::new(file);
    cursor.skip(MAGIC.len() as u64)?;
    match cursor.le(4)? {
        2 | 3 => {}
        version => return Err(format!("its version is {version}; 2 and 3 are read")),
    }
    let (n_tensors, n_values) = (cursor.le(8)?, cursor.le(8)?);
    let places = metadata::index(&mut cursor, n_values)?;
    let claims = claims(&mut cursor, n_tensors)?;
    let alignment = Metadata::new(file, &places).get(ALIGNMENT);
    let alignment = alignment.map_or(Some(DEFAULT_ALIGNMENT), |value| value.to_u64());
    let Some(alignment) = alignment.filter(|alignment| alignment.is_power_of_two()) else {
        return Err(format!("`{ALIGNMENT}` is no power of two"));
    };
    let padding = (cursor.at as u64).wrapping_neg() % alignment;
    if !claims.is_empty() {
        cursor.skip(padding)?;
    }
    Ok((place(claims, &cursor, alignment)?, places))
}

/// What the file says of one tensor.
struct Claim<'a> {
    name: &'a str,
    dtype: Stored,
    shape: Vec<usize>,
    n_bytes: u64,
    /// From the start of the data.
    offset: u64,
}

fn claims<'a>(cursor: &mut Cursor<'a>, n_tensors: u64) -> Result<Vec<Claim<'a>>, String> {
    let mut claims = vec![];
    for _ in 0..n_tensors {
        let name = metadata::string(cursor)?;
        let claim = claim(name, cursor).map_err(|problem| format!("tensor `{name}` {problem}"))?;
        claims.push(claim);
    }
    Ok(claims)
}

fn claim<'a>(name: &'a str, cursor: &mut Cursor<'a>) -> Result<Claim<'a>, String> {
    let n_dims = cursor.le(4)?;
    if n_dims > MAX_DIMS {
        return Err(format!("has {n_dims} dimensions, at most {MAX_DIMS} are allowed"));
    }
    let mut shape = vec![];
    for _ in 0..n_dims {
        shape.insert(0, cursor.le(8)? as usize);
    }
    let (number, offset) = (cursor.le(4)?, cursor.le(8)?);
    let dtype = TYPES.iter().find(|(of, _)| *of == number).map(|(_, dtype)| *dtype);
    let dtype = dtype.ok_or_else(|| format!("is of type {number} of GGML, which is not read"))?;
    let n_bytes = dtype.n_bytes(&shape);
    let n_bytes = n_bytes.ok_or_else(|| format!("has shape {shape:?}, which {dtype} cannot be"))?;
    Ok(Claim { name, dtype, shape, n_bytes: n_bytes as u64, offset })
}

/// Holds the claims against the data, which starts at the cursor: none shares a byte with another.
fn place(mut claims: Vec<Claim>, data: &Cursor, alignment: u64) -> Result<Infos, String> {
    claims.sort_by_key(|claim| (claim.offset, claim.n_bytes));
    let (mut infos, mut covered) = (Infos::new(), 0);
    for Claim { name, dtype, shape, n_bytes, offset } in claims {
        let wrong = |problem: &str| format!("tensor `{name}` at offset {offset} {problem}");
        if !offset.is_multiple_of(alignment) {
            return Err(wrong("is not aligned"));
        }
        if offset < covered {
            return Err(wrong("overlaps the tensor before it"));
        }
        let mut cursor = data.clone();
        let bytes = cursor.skip(offset).and_then(|_| cursor.skip(n_bytes));
        let bytes = bytes.map_err(|problem| wrong(&format!("is {problem}")))?;
        covered = offset + n_bytes;
        let info = Info { dtype, shape, place: Place::Dense(bytes) };
        if infos.insert(name.to_owned(), info).is_some() {
            return Err(wrong("is there twice"));
        }
    }
    Ok(infos)
}
