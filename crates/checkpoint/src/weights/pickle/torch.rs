//! The tensors of a file that `torch.save` wrote: which values they are, and where they lie.
//!
//! ```text
//! since 1.6   zip: NAME/data.pkl, NAME/data/KEY (a storage each), NAME/byteorder
//! before      pickles of a magic number, a version, the system, the object and the list of keys;
//!             then (u64 elements, elements) a storage, in the order of the list
//! ```

use std::collections::BTreeMap;
use std::ops::Range;

use super::super::cursor::Cursor;
use super::super::view::{Info, Infos, Place, Stored};
use super::machine::{Global, Object, Value, load};
use super::zip;
use crate::error::Problem;

/// `torch.serialization.MAGIC_NUMBER`, 0x1950a86a20f9469cfc6c.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// More than any weight has; it bounds what a shape that many tensors share takes.
const MAX_DIMS: usize = 8;
const BIG_ENDIAN: &str = "is big-endian";

/// Where each storage's bytes are in the file, by its key.
type Storages<'a> = BTreeMap<&'a str, Range<usize>>;

/// Indexes a file in the format since `PyTorch` 1.6.
pub(in super::super) fn index_zip(file: &[u8]) -> Result<Infos, Problem> {
    let members = zip::members(file)?;
    let is_pickle = |name: &&str| name.ends_with("/data.pkl") && name.matches('/').count() == 1;
    let pickle = members.keys().copied().find(is_pickle).ok_or("an archive without `data.pkl`")?;
    let root = pickle.strip_suffix("data.pkl").expect("found by its end");
    let little = |order: &Range<usize>| &file[order.clone()] == b"little";
    if !members.get(&*format!("{root}byteorder")).is_none_or(little) {
        return Err(BIG_ENDIAN.into());
    }
    let object = load(&mut Cursor::within(file, &members[pickle]))?;
    let data = format!("{root}data/");
    let storages = members.iter().filter_map(|(name, at)| Some((name.strip_prefix(&data)?, at)));
    let storages = storages.map(|(key, at)| (key, at.clone())).collect();
    Ok(object.infos(&storages, file.len())?)
}

/// Indexes a file in the format before `PyTorch` 1.6.
pub(in super::super) fn index_legacy(file: &[u8]) -> Result<Infos, Problem> {
    let mut cursor = Cursor::new(file);
    load(&mut cursor)?;
    if !file[..cursor.at].windows(MAGIC.len()).any(|bytes| bytes == MAGIC) {
        return Err("a pickle that `torch.save` did not write".into());
    }
    load(&mut cursor)?;
    let system = load(&mut cursor)?;
    if system.entries(system.root).any(|e| e == (Value::Str("little_endian"), Value::Bool(false))) {
        return Err(BIG_ENDIAN.into());
    }
    let object = load(&mut cursor)?;
    let sizes = object.storages.iter().map(|&id| object.storage(id).map(|s| (s.key, s.size())));
    let sizes: BTreeMap<_, _> = sizes.collect::<Result<_, _>>()?;
    let keys = load(&mut cursor)?;
    let Value::Seq(list) = keys.root else { return Err("no list of storages".into()) };
    let mut storages = Storages::new();
    for key in &keys.items[list] {
        let Value::Str(key) = key else { return Err("a storage without a name".into()) };
        let size = sizes.get(key).ok_or_else(|| format!("storage `{key}` is of no tensor"))?;
        let n_bytes = cursor.le(8)?.checked_mul(*size as u64).ok_or("a storage that overflows")?;
        storages.insert(key, cursor.skip(n_bytes)?);
    }
    Ok(object.infos(&storages, file.len())?)
}

/// What a persistent id says: `("storage", type, key, device, elements, ..)`.
struct Storage<'a> {
    dtype: Stored,
    key: &'a str,
    n_values: usize,
}

impl Storage<'_> {
    /// Bytes an element.
    fn size(&self) -> usize {
        self.dtype.n_bytes(&[1]).expect("whole bytes")
    }
}

impl<'a> Object<'a> {
    /// Keys and values, where the value is a dict.
    fn entries(&self, value: Value<'a>) -> impl Iterator<Item = (Value<'a>, Value<'a>)> {
        let items = if let Value::Dict(idx) = value { &self.items[idx][..] } else { &[] };
        items.chunks_exact(2).map(|pair| (pair[0], pair[1]))
    }

    fn infos(&self, storages: &Storages, file_len: usize) -> Result<Infos, String> {
        let mut infos = Infos::new();
        for (key, value) in self.entries(self.state_dict()?) {
            if let (Value::Str(name), Value::Tensor(args)) = (key, value) {
                let info = self.info(&self.items[args], storages, file_len);
                let info = info.map_err(|problem| format!("tensor `{name}` {problem}"))?;
                infos.insert(name.to_owned(), info);
            }
        }
        Ok(infos)
    }

    /// The dict of tensors: the top one, or the only one in it.
    fn state_dict(&self) -> Result<Value<'a>, String> {
        // Once a container, since one dict may be in many places.
        let is_tensor = |pair: &[Value]| matches!(pair, [Value::Str(_), Value::Tensor(_)]);
        let holds: Vec<bool> =
            self.items.iter().map(|items| items.chunks_exact(2).any(is_tensor)).collect();
        let holds = |value: &Value| matches!(value, Value::Dict(idx) if holds[*idx]);
        let nested = self.entries(self.root).map(|(_, value)| value).filter(holds);
        match (holds(&self.root), &nested.take(2).collect::<Vec<_>>()[..]) {
            (true, []) => Ok(self.root),
            (false, &[nested]) => Ok(nested),
            (false, []) => Err("holds no tensors by name".to_owned()),
            _ => Err("holds several dicts of tensors; save the one that is meant".to_owned()),
        }
    }

    /// From `(storage, offset, size, stride, ..)`, in elements of the storage.
    fn info(&self, args: &[Value<'a>], from: &Storages, file_len: usize) -> Result<Info, String> {
        let &[Value::Storage(id), Value::Int(offset), Value::Seq(size), Value::Seq(stride), ..] =
            args
        else {
            return Err("is rebuilt from other arguments than a tensor has".to_owned());
        };
        let storage = self.storage(id)?;
        let bytes = from.get(storage.key).ok_or_else(|| format!("has no `{}`", storage.key))?;
        if storage.n_values.checked_mul(storage.size()) != Some(bytes.len()) {
            let (n, found) = (storage.n_values, bytes.len());
            return Err(format!("has a storage of {n} {} in {found} bytes", storage.dtype));
        }
        let (shape, strides) = (self.dims(size)?, self.dims(stride)?);
        if shape.len() != strides.len() {
            return Err(format!("has shape {shape:?} and strides {strides:?}"));
        }
        let offset = dim(offset)?;
        let n_bytes = storage.dtype.n_bytes(&shape).filter(|&n_bytes| n_bytes <= file_len);
        let n_bytes = n_bytes.ok_or_else(|| format!("has shape {shape:?}, more than the file"))?;
        let place = place(bytes, storage.size(), (offset, n_bytes), (&shape, &strides))?;
        Ok(Info { dtype: storage.dtype, shape, place })
    }

    fn storage(&self, id: usize) -> Result<Storage<'a>, String> {
        match self.items[id][..] {
            [
                Value::Str("storage"),
                Value::Global(Global::Storage(dtype)),
                Value::Str(key),
                Value::Str(_device),
                Value::Int(n_values),
                ref view @ ..,
            ] if matches!(view, [] | [Value::Plain]) => {
                Ok(Storage { dtype: dtype.into(), key, n_values: dim(n_values)? })
            }
            _ => Err("a persistent id that names no storage".to_owned()),
        }
    }

    fn dims(&self, seq: usize) -> Result<Vec<usize>, String> {
        let items = &self.items[seq];
        if items.len() > MAX_DIMS {
            return Err(format!("has {} dimensions, at most {MAX_DIMS} are read", items.len()));
        }
        let dims = items.iter().map(|item| match item {
            &Value::Int(int) => dim(int),
            _ => Err("has a dimension that is no number".to_owned()),
        });
        dims.collect()
    }
}

fn dim(int: i64) -> Result<usize, String> {
    usize::try_from(int).map_err(|_| format!("has a negative size {int}"))
}

/// Where `n_bytes` of a shape lie in the `storage`, of elements of `size` bytes.
fn place(
    storage: &Range<usize>,
    size: usize,
    (offset, n_bytes): (usize, usize),
    (shape, strides): (&[usize], &[usize]),
) -> Result<Place, String> {
    let start = storage.start;
    if n_bytes == 0 {
        return Ok(Place::Dense(start..start));
    }
    // A step along an axis of one is never taken.
    let steps = shape.iter().zip(strides).map(|(&dim, &stride)| if dim == 1 { 0 } else { stride });
    let steps: Vec<usize> = steps.collect();
    let reach = shape
        .iter()
        .zip(&steps)
        .try_fold(offset, |reach, (&dim, &step)| (dim - 1).checked_mul(step)?.checked_add(reach));
    let n_values = storage.len() / size;
    let Some(reach) = reach.filter(|&reach| reach < n_values) else {
        return Err(format!(
            "of shape {shape:?}, strides {strides:?} and offset {offset} reaches out of the \
             {n_values} elements of its storage"
        ));
    };
    let bytes = start + offset * size..start + (reach + 1) * size;
    let mut dense = 1;
    let is_dense = shape.iter().zip(&steps).rev().all(|(&dim, &step)| {
        let expected = dense;
        dense *= dim;
        dim == 1 || step == expected
    });
    if is_dense {
        return Ok(Place::Dense(bytes));
    }
    Ok(Place::Strided { bytes, strides: steps.iter().map(|step| step * size).collect() })
}
