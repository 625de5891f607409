//! What a GGUF file says beside its tensors: values by key, read where they lie.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use super::super::cursor::Cursor;

/// Arrays may hold arrays, so deep at most.
const MAX_DEPTH: usize = 4;
const ARRAY: u32 = 9;

/// Where each value is in its file, from its type on.
pub(crate) type Places = BTreeMap<String, Range<usize>>;

/// The values of a file by key, such as `general.architecture` or `tokenizer.ggml.tokens`.
#[derive(Clone, Copy, Debug)]
pub struct Metadata<'a> {
    file: &'a [u8],
    places: &'a Places,
}

/// One value, or an element of an array.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // Each is named by its type.
pub enum Value<'a> {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    Str(&'a str),
    Array(Array<'a>),
    U64(u64),
    I64(i64),
    F64(f64),
}

/// Values of one type, encoded: read one after another, so that a vocabulary takes no memory.
///
/// ```
/// use checkpoint::gguf::{Array, Value};
/// let array = Array::new([Value::Str("It"), Value::Str("was")]);
/// assert_eq!(array.len(), 2);
/// assert!(array.iter().eq([Value::Str("It"), Value::Str("was")]));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Array<'a> {
    kind: u32,
    len: u64,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Metadata<'a> {
    pub(in super::super) fn new(file: &'a [u8], places: &'a Places) -> Self {
        Self { file, places }
    }

    /// All keys, sorted.
    pub fn keys(self) -> impl Iterator<Item = &'a str> {
        self.places.keys().map(String::as_str)
    }

    /// The value of a key.
    pub fn get(self, key: &str) -> Option<Value<'a>> {
        let mut cursor = Cursor::within(self.file, self.places.get(key)?);
        // Checked when the file was indexed.
        Value::read(&mut cursor).ok()
    }
}

/// Goes over all values, each of which is checked.
pub(super) fn index(cursor: &mut Cursor, n_values: u64) -> Result<Places, String> {
    let mut places = Places::new();
    for _ in 0..n_values {
        let key = string(cursor)?;
        let start = cursor.at;
        Value::read(cursor).map_err(|problem| format!("value `{key}` is {problem}"))?;
        if places.insert(key.to_owned(), start..cursor.at).is_some() {
            return Err(format!("value `{key}` is there twice"));
        }
    }
    Ok(places)
}

pub(super) fn string<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, String> {
    let len = cursor.le(8)?;
    cursor.text(len)
}

impl<'a> Value<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, String> {
        let kind = cursor.le(4)? as u32;
        Self::read_of(kind, cursor, 0)
    }

    fn read_of(kind: u32, cursor: &mut Cursor<'a>, depth: usize) -> Result<Self, String> {
        Ok(match kind {
            0 => Self::U8(u8::from_le_bytes(cursor.array()?)),
            1 => Self::I8(i8::from_le_bytes(cursor.array()?)),
            2 => Self::U16(u16::from_le_bytes(cursor.array()?)),
            3 => Self::I16(i16::from_le_bytes(cursor.array()?)),
            4 => Self::U32(u32::from_le_bytes(cursor.array()?)),
            5 => Self::I32(i32::from_le_bytes(cursor.array()?)),
            6 => Self::F32(f32::from_le_bytes(cursor.array()?)),
            7 => Self::Bool(cursor.le(1)? != 0),
            8 => Self::Str(string(cursor)?),
            ARRAY => Self::Array(Array::read(cursor, depth)?),
            10 => Self::U64(u64::from_le_bytes(cursor.array()?)),
            11 => Self::I64(i64::from_le_bytes(cursor.array()?)),
            12 => Self::F64(f64::from_le_bytes(cursor.array()?)),
            _ => return Err(format!("of unknown type {kind}")),
        })
    }

    pub(super) fn kind(&self) -> u32 {
        match self {
            Self::U8(_) => 0,
            Self::I8(_) => 1,
            Self::U16(_) => 2,
            Self::I16(_) => 3,
            Self::U32(_) => 4,
            Self::I32(_) => 5,
            Self::F32(_) => 6,
            Self::Bool(_) => 7,
            Self::Str(_) => 8,
            Self::Array(_) => ARRAY,
            Self::U64(_) => 10,
            Self::I64(_) => 11,
            Self::F64(_) => 12,
        }
    }

    /// Appends the value without its type.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::U8(x) => out.extend(x.to_le_bytes()),
            Self::I8(x) => out.extend(x.to_le_bytes()),
            Self::U16(x) => out.extend(x.to_le_bytes()),
            Self::I16(x) => out.extend(x.to_le_bytes()),
            Self::U32(x) => out.extend(x.to_le_bytes()),
            Self::I32(x) => out.extend(x.to_le_bytes()),
            Self::F32(x) => out.extend(x.to_le_bytes()),
            Self::Bool(x) => out.push(u8::from(*x)),
            Self::Str(x) => write_string(x, out),
            Self::Array(Array { kind, len, bytes }) => {
                out.extend(kind.to_le_bytes());
                out.extend(len.to_le_bytes());
                out.extend_from_slice(bytes);
            }
            Self::U64(x) => out.extend(x.to_le_bytes()),
            Self::I64(x) => out.extend(x.to_le_bytes()),
            Self::F64(x) => out.extend(x.to_le_bytes()),
        }
    }

    /// An integer of any width that is not negative.
    pub fn to_u64(&self) -> Option<u64> {
        match *self {
            Self::U8(x) => Some(x.into()),
            Self::U16(x) => Some(x.into()),
            Self::U32(x) => Some(x.into()),
            Self::U64(x) => Some(x),
            _ => self.to_i64()?.try_into().ok(),
        }
    }

    /// An integer of any width; `None` where it is beyond an `i64`.
    pub fn to_i64(&self) -> Option<i64> {
        match *self {
            Self::I8(x) => Some(x.into()),
            Self::I16(x) => Some(x.into()),
            Self::I32(x) => Some(x.into()),
            Self::I64(x) => Some(x),
            Self::U8(_) | Self::U16(_) | Self::U32(_) | Self::U64(_) => {
                self.to_u64()?.try_into().ok()
            }
            _ => None,
        }
    }

    /// A float of either width.
    pub fn to_f64(&self) -> Option<f64> {
        match *self {
            Self::F32(x) => Some(x.into()),
            Self::F64(x) => Some(x),
            _ => None,
        }
    }

    /// A truth value.
    pub fn to_bool(&self) -> Option<bool> {
        if let Self::Bool(x) = self { Some(*x) } else { None }
    }

    /// A text.
    pub fn as_str(&self) -> Option<&'a str> {
        if let Self::Str(x) = self { Some(x) } else { None }
    }

    /// An array.
    pub fn as_array(&self) -> Option<&Array<'a>> {
        if let Self::Array(x) = self { Some(x) } else { None }
    }
}

pub(super) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

impl<'a> Array<'a> {
    /// Encodes values; without any it is an empty array of U8.
    ///
    /// # Panics
    /// When the values are of several types.
    pub fn new<'v>(values: impl IntoIterator<Item = Value<'v>>) -> Self {
        let (mut kind, mut len, mut bytes) = (0, 0, vec![]);
        for value in values {
            assert!(len == 0 || kind == value.kind(), "array: values of several types");
            kind = value.kind();
            len += 1;
            value.write(&mut bytes);
        }
        Self { kind, len, bytes: bytes.into() }
    }

    fn read(cursor: &mut Cursor<'a>, depth: usize) -> Result<Self, String> {
        if depth == MAX_DEPTH {
            return Err(format!("an array in more than {MAX_DEPTH} others"));
        }
        let (kind, len) = (cursor.le(4)? as u32, cursor.le(8)?);
        let mut end = cursor.clone();
        match kind {
            8 | ARRAY => {
                for _ in 0..len {
                    Value::read_of(kind, &mut end, depth + 1)?;
                }
            }
            _ => {
                let size = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8].get(kind as usize);
                let size: &u64 = size.ok_or_else(|| format!("an array of unknown type {kind}"))?;
                end.skip(len.checked_mul(*size).ok_or("an array that overflows")?)?;
            }
        }
        let bytes = Cow::Borrowed(cursor.take((end.at - cursor.at) as u64)?);
        Ok(Self { kind, len, bytes })
    }

    /// How many values there are.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The values, in order.
    pub fn iter(&self) -> impl Iterator<Item = Value<'_>> {
        let mut cursor = Cursor::new(&self.bytes);
        (0..self.len).map_while(move |_| Value::read_of(self.kind, &mut cursor, 0).ok())
    }
}
