//! Writing safetensors as a stream: no second copy of a model in memory, shards above a size.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Write};
use std::path::Path;

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde_json::json;

use super::gguf::{Block, to_q8_0};
use super::view::Stored;
use crate::disk::Disk;
use crate::{CheckpointError, StagedDir, atomic};

/// Above this a model is cut into shards: what `transformers` does by default.
pub const MAX_SHARD_BYTES: u64 = 5_000_000_000;

/// Elements to be written.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // Each is named by its element.
pub enum Values<'a> {
    F32(&'a [f32]),
    Bf16(&'a [bf16]),
    F16(&'a [f16]),
    I64(&'a [i64]),
}

/// A tensor to be written: name, type and shape at once, elements when their turn comes.
pub struct Entry<'a> {
    pub(super) name: String,
    pub(super) dtype: Stored,
    pub(super) shape: Vec<usize>,
    pub(super) write: Box<WriteValues<'a>>,
}

type WriteValues<'a> = dyn Fn(&mut dyn Write) -> io::Result<()> + 'a;

impl<'a> Entry<'a> {
    /// A tensor that lies in memory as it is written.
    ///
    /// # Panics
    /// When the number of values is not that of the shape.
    pub fn new(name: impl Into<String>, shape: &[usize], values: Values<'a>) -> Self {
        let (dtype, bytes): (_, &[u8]) = match values {
            Values::F32(values) => (Dtype::F32, bytemuck::cast_slice(values)),
            Values::Bf16(values) => (Dtype::BF16, bytemuck::cast_slice(values)),
            Values::F16(values) => (Dtype::F16, bytemuck::cast_slice(values)),
            Values::I64(values) => (Dtype::I64, bytemuck::cast_slice(values)),
        };
        let write = Box::new(move |out: &mut dyn Write| out.write_all(bytes));
        let entry = Self { name: name.into(), dtype: dtype.into(), shape: shape.to_vec(), write };
        assert_eq!(bytes.len(), entry.n_bytes(), "entry: `{}` is {shape:?}", entry.name);
        entry
    }

    /// A tensor that must be made first (transposed, gathered): one at a time is in memory.
    pub fn made(
        name: impl Into<String>,
        shape: &[usize],
        make: impl Fn() -> Vec<f32> + 'a,
    ) -> Self {
        Self::made_as(Dtype::F32.into(), name, shape, make)
    }

    /// As [`Self::made`], rounded to F16, BF16 or `Q8_0` when it is written.
    ///
    /// # Panics
    /// For other types, and where rows are no whole number of blocks.
    pub fn made_as(
        dtype: Stored,
        name: impl Into<String>,
        shape: &[usize],
        make: impl Fn() -> Vec<f32> + 'a,
    ) -> Self {
        let n_values: usize = shape.iter().product();
        let write = Box::new(move |out: &mut dyn Write| {
            let values = make();
            assert_eq!(values.len(), n_values, "entry: what was made is of another shape");
            write_as(dtype, &values, out)
        });
        let (name, shape) = (name.into(), shape.to_vec());
        assert!(dtype.n_bytes(&shape).is_some(), "entry: `{name}` of {shape:?} as {dtype}");
        Self { name, dtype, shape, write }
    }

    pub(super) fn n_bytes(&self) -> usize {
        self.dtype.n_bytes(&self.shape).expect("a tensor that is in memory")
    }

    /// The type, for a format that has no blocks.
    fn plain(&self) -> Dtype {
        match self.dtype {
            Stored::Plain(dtype) => dtype,
            Stored::Blocks(block) => panic!("save: `{}` is {block}, which is GGUF's", self.name),
        }
    }
}

fn write_as(dtype: Stored, values: &[f32], out: &mut dyn Write) -> io::Result<()> {
    let halves = |out: &mut dyn Write, half: fn(f32) -> [u8; 2]| {
        values.chunks(1 << 16).try_for_each(|chunk| {
            out.write_all(&chunk.iter().flat_map(|&x| half(x)).collect::<Vec<_>>())
        })
    };
    match dtype {
        Stored::Plain(Dtype::F32) => out.write_all(bytemuck::cast_slice(values)),
        Stored::Plain(Dtype::F16) => halves(out, |x| f16::from_f32(x).to_le_bytes()),
        Stored::Plain(Dtype::BF16) => halves(out, |x| bf16::from_f32(x).to_le_bytes()),
        Stored::Blocks(Block::Q8_0) => {
            values.as_chunks().0.iter().try_for_each(|block| out.write_all(&to_q8_0(block)))
        }
        _ => panic!("entry: f32 is not written as {dtype}"),
    }
}

/// Writes `{stem}.safetensors` into a staged directory; above `max_shard_bytes` in shards with an
/// index, named as `transformers` names them (`stem` is `model`, or a path that ends so).
///
/// # Errors
/// [`CheckpointError::Write`].
///
/// # Panics
/// When a name is there twice, or an entry is of blocks.
pub fn save(
    staged: &mut StagedDir,
    stem: &str,
    entries: &[Entry],
    max_shard_bytes: u64,
) -> Result<(), CheckpointError> {
    assert_distinct(entries);
    let shards = cut(entries, max_shard_bytes);
    if let [all] = &shards[..] {
        return staged.write_with(&format!("{stem}.safetensors"), |out| write_tensors(all, out));
    }
    let (mut total_size, mut weight_map) = (0, BTreeMap::new());
    for (i, shard) in shards.iter().enumerate() {
        let name = format!("{stem}-{:05}-of-{:05}.safetensors", i + 1, shards.len());
        staged.write_with(&name, |out| write_tensors(shard, out))?;
        let file_name = name.rsplit('/').next().unwrap_or(&name);
        for entry in shard {
            total_size += entry.n_bytes();
            weight_map.insert(entry.name.clone(), file_name.to_owned());
        }
    }
    let index = json!({ "metadata": { "total_size": total_size }, "weight_map": weight_map });
    let name = format!("{stem}.safetensors.index.json");
    staged.write(&name, format!("{index:#}\n").as_bytes())
}

/// Writes one safetensors file, which appears whole or not at all.
///
/// # Errors
/// [`CheckpointError::Write`].
///
/// # Panics
/// When a name is there twice, or an entry is of blocks.
pub fn save_file(disk: &dyn Disk, path: &Path, entries: &[Entry]) -> Result<(), CheckpointError> {
    assert_distinct(entries);
    let all: Vec<_> = entries.iter().collect();
    atomic::write_file_with(disk, path, |out| write_tensors(&all, out))
}

pub(super) fn assert_distinct(entries: &[Entry]) {
    let mut names = HashSet::new();
    for Entry { name, .. } in entries {
        assert!(names.insert(name), "save: tensor `{name}` is there twice");
    }
}

/// In the order given, a new shard where the next tensor would not fit; at least one shard.
fn cut<'e, 'a>(entries: &'e [Entry<'a>], max_shard_bytes: u64) -> Vec<Vec<&'e Entry<'a>>> {
    let (mut shards, mut filled) = (vec![vec![]], 0);
    for entry in entries {
        let n_bytes = entry.n_bytes() as u64;
        if filled > 0 && filled + n_bytes > max_shard_bytes {
            shards.push(vec![]);
            filled = 0;
        }
        filled += n_bytes;
        shards.last_mut().expect("at least one").push(entry);
    }
    shards
}

fn write_tensors(entries: &[&Entry], out: &mut dyn Write) -> io::Result<()> {
    // Wide types first, so that every tensor is aligned in the file; else in the order given.
    let mut entries = entries.to_vec();
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.plain().bitsize()));
    out.write_all(&header(&entries)?)?;
    entries.iter().try_for_each(|entry| (entry.write)(out))
}

fn header(entries: &[&Entry]) -> io::Result<Vec<u8>> {
    let mut end = 0;
    let infos = entries.iter().map(|entry| {
        let begin = end;
        end += entry.n_bytes();
        let (dtype, shape) = (entry.plain(), entry.shape.clone());
        (entry.name.clone(), TensorInfo { dtype, shape, data_offsets: (begin, end) })
    });
    let infos = infos.collect();
    // `transformers` refuses a file that does not say so.
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let metadata = Metadata::new(Some(format), infos).map_err(io::Error::other)?;
    let mut json = serde_json::to_vec(&metadata)?;
    json.resize(json.len().next_multiple_of(8), b' ');
    Ok([&(json.len() as u64).to_le_bytes(), &json[..]].concat())
}
