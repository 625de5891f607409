//! What `flax.serialization` writes: msgpack, maps of maps of arrays.
//!
//! ```text
//! {"params": {"dense": {"kernel": ext 1}}}    ext 1: [[dims], "float32", bytes], row-major
//! {"__msgpack_chunked_array__": true, "shape": {"0": dim, ..}, "chunks": {"0": ext 1, ..}}
//! ```
//!
//! A tensor's name is its path with dots. The second form is an array above a gigabyte, in pieces.
//!
//! Source: msgpack, `spec.md`; flax, `flax/serialization.py`.

#[cfg(test)]
mod tests;

use std::ops::Range;

use safetensors::Dtype;

use super::cursor::Cursor;
use super::view::{Info, Infos, Place, Stored};

const CHUNKED: &str = "__msgpack_chunked_array__";
/// Types of an extension: an array, and a number as one.
const ARRAY: u8 = 1;
const SCALAR: u8 = 3;
/// Bounds of what a name repeats of the names above it.
const MAX_DEPTH: usize = 64;
const MAX_NAME_BYTES: usize = 512;
const MAX_DIMS: u64 = 8;

/// One item of msgpack; a map and a list are followed by theirs.
enum Item<'a> {
    Map(u64),
    List(u64),
    Text(&'a str),
    Number(u64),
    Bytes(Range<usize>),
    Extension(u8, Range<usize>),
    Other,
}

/// A map that is open: how many entries are to come, and how long its own name is.
struct Open {
    n_left: u64,
    name_len: usize,
}

/// Indexes a file: one map, and nothing behind it.
pub(super) fn index(file: &[u8]) -> Result<Infos, String> {
    let mut cursor = Cursor::new(file);
    let Item::Map(n_left) = item(&mut cursor)? else { return Err("no map of arrays".to_owned()) };
    let (mut infos, mut name) = (Infos::new(), String::new());
    let mut open = vec![Open { n_left, name_len: 0 }];
    while let Some(map) = open.last_mut() {
        if map.n_left == 0 {
            open.pop();
            continue;
        }
        map.n_left -= 1;
        name.truncate(map.name_len);
        push_name(&mut name, text(&mut cursor)?)?;
        let at = cursor.at;
        let info = match item(&mut cursor)? {
            Item::Map(3) if is_chunked(&cursor) => chunked(file, &mut cursor)?,
            Item::Map(n_left) if open.len() < MAX_DEPTH => {
                open.push(Open { n_left, name_len: name.len() });
                continue;
            }
            Item::Map(_) => return Err(format!("maps in more than {MAX_DEPTH} others")),
            Item::Extension(ARRAY | SCALAR, payload) => array(file, &payload)?,
            // A number or a text beside the arrays.
            Item::List(_) => return Err(format!("a list at byte {at}")),
            _ => continue,
        };
        if infos.insert(name.clone(), info).is_some() {
            return Err(format!("tensor `{name}` is there twice"));
        }
    }
    if cursor.is_at_end() { Ok(infos) } else { Err("bytes after the last array".to_owned()) }
}

fn push_name(name: &mut String, key: &str) -> Result<(), String> {
    if name.len() + key.len() >= MAX_NAME_BYTES {
        return Err(format!("a name of more than {MAX_NAME_BYTES} bytes"));
    }
    if !name.is_empty() {
        name.push('.');
    }
    name.push_str(key);
    Ok(())
}

/// Whether the map that was just opened is an array in pieces.
fn is_chunked(cursor: &Cursor) -> bool {
    matches!(item(&mut cursor.clone()), Ok(Item::Text(CHUNKED)))
}

/// The rest of an array in pieces, once its map is open.
fn chunked(file: &[u8], cursor: &mut Cursor) -> Result<Info, String> {
    let unlike = || "an array in pieces, but not as Flax has them".to_owned();
    let (mut shape, mut pieces, mut dtype, mut n_bytes) = (vec![], vec![], None, 0);
    let (_marker, _true) = (text(cursor)?, item(cursor)?);
    let ("shape", Item::Map(n_dims)) = (text(cursor)?, item(cursor)?) else { return Err(unlike()) };
    for _ in 0..bounded(n_dims)? {
        let (_idx, Item::Number(dim)) = (text(cursor)?, item(cursor)?) else {
            return Err(unlike());
        };
        shape.push(dim as usize);
    }
    let ("chunks", Item::Map(n)) = (text(cursor)?, item(cursor)?) else { return Err(unlike()) };
    for _ in 0..n {
        let (_idx, Item::Extension(ARRAY, payload)) = (text(cursor)?, item(cursor)?) else {
            return Err(unlike());
        };
        let (of, _shape, bytes) = payload_of(file, &payload)?;
        n_bytes += bytes.len();
        pieces.push(bytes);
        if dtype.replace(of).is_some_and(|before| before != of) {
            return Err(unlike());
        }
    }
    let dtype = dtype.filter(|dtype| dtype.n_bytes(&shape) == Some(n_bytes)).ok_or_else(unlike)?;
    Ok(Info { dtype, shape, place: Place::Pieces(pieces) })
}

fn array(file: &[u8], payload: &Range<usize>) -> Result<Info, String> {
    let (dtype, shape, bytes) = payload_of(file, payload)?;
    if dtype.n_bytes(&shape) != Some(bytes.len()) {
        return Err(format!(
            "an array of {} bytes, which is not {shape:?} of {dtype}",
            bytes.len()
        ));
    }
    Ok(Info { dtype, shape, place: Place::Dense(bytes) })
}

/// Type, shape and bytes of an array's extension.
fn payload_of(
    file: &[u8],
    payload: &Range<usize>,
) -> Result<(Stored, Vec<usize>, Range<usize>), String> {
    let unlike = || format!("no array at byte {}", payload.start);
    let mut cursor = Cursor::within(file, payload);
    let (Item::List(3), Item::List(n_dims)) = (item(&mut cursor)?, item(&mut cursor)?) else {
        return Err(unlike());
    };
    let mut shape = vec![];
    for _ in 0..bounded(n_dims)? {
        let Item::Number(dim) = item(&mut cursor)? else { return Err(unlike()) };
        shape.push(dim as usize);
    }
    let dtype = text(&mut cursor)?;
    match item(&mut cursor)? {
        Item::Bytes(bytes) if cursor.is_at_end() => Ok((dtype_of(dtype)?.into(), shape, bytes)),
        _ => Err(unlike()),
    }
}

fn bounded(n_dims: u64) -> Result<u64, String> {
    match n_dims {
        0..=MAX_DIMS => Ok(n_dims),
        _ => Err(format!("an array of {n_dims} dimensions, at most {MAX_DIMS} are read")),
    }
}

/// `NumPy`'s names.
fn dtype_of(name: &str) -> Result<Dtype, String> {
    Ok(match name {
        "float64" => Dtype::F64,
        "float32" => Dtype::F32,
        "float16" => Dtype::F16,
        "bfloat16" => Dtype::BF16,
        "int64" => Dtype::I64,
        "int32" => Dtype::I32,
        "int16" => Dtype::I16,
        "int8" => Dtype::I8,
        "uint64" => Dtype::U64,
        "uint32" => Dtype::U32,
        "uint16" => Dtype::U16,
        "uint8" => Dtype::U8,
        "bool" => Dtype::BOOL,
        _ => return Err(format!("an array of unknown type {name:?}")),
    })
}

fn text<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, String> {
    let at = cursor.at;
    match item(cursor)? {
        Item::Text(text) => Ok(text),
        _ => Err(format!("no name at byte {at}")),
    }
}

fn item<'a>(cursor: &mut Cursor<'a>) -> Result<Item<'a>, String> {
    let [marker] = cursor.array()?;
    let low = u64::from(marker & 15);
    // Markers of one kind follow one another, each with a number twice as wide.
    let wide = |cursor: &mut Cursor, first: u8, n: u64| cursor.be(n << (marker - first));
    Ok(match marker {
        0x00..=0x7f => Item::Number(marker.into()),
        0x80..=0x8f => Item::Map(low),
        0x90..=0x9f => Item::List(low),
        0xa0..=0xbf => Item::Text(cursor.text(u64::from(marker & 31))?),
        0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => Item::Other,
        0xc1 => return Err(format!("no item at byte {}", cursor.at - 1)),
        0xc4..=0xc6 => {
            let n_bytes = wide(cursor, 0xc4, 1)?;
            Item::Bytes(cursor.skip(n_bytes)?)
        }
        0xc7..=0xc9 => {
            let n_bytes = wide(cursor, 0xc7, 1)?;
            extension(cursor, n_bytes)?
        }
        0xca | 0xcb => other(cursor, 4 << (marker - 0xca))?,
        0xcc..=0xcf => Item::Number(wide(cursor, 0xcc, 1)?),
        0xd0..=0xd3 => other(cursor, 1 << (marker - 0xd0))?,
        0xd4..=0xd8 => extension(cursor, 1 << (marker - 0xd4))?,
        0xd9..=0xdb => {
            let n_bytes = wide(cursor, 0xd9, 1)?;
            Item::Text(cursor.text(n_bytes)?)
        }
        0xdc | 0xdd => Item::List(wide(cursor, 0xdc, 2)?),
        0xde | 0xdf => Item::Map(wide(cursor, 0xde, 2)?),
    })
}

fn extension<'a>(cursor: &mut Cursor<'a>, n_bytes: u64) -> Result<Item<'a>, String> {
    let [kind] = cursor.array()?;
    Ok(Item::Extension(kind, cursor.skip(n_bytes)?))
}

fn other<'a>(cursor: &mut Cursor<'a>, n_bytes: u64) -> Result<Item<'a>, String> {
    cursor.skip(n_bytes)?;
    Ok(Item::Other)
}
