//! Writing safetensors as a stream: no second copy of a model in memory, shards above a size.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Write};
use std::path::Path;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::index::{self, Index};
use crate::disk::Disk;
use crate::{CheckpointError, StagedDir, atomic};

/// Above this a model is cut into shards: what `transformers` does by default.
pub const MAX_SHARD_BYTES: u64 = 5_000_000_000;
/// How many elements are converted at a time.
const CHUNK: usize = 1 << 16;

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
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    source: Source<'a>,
}

enum Source<'a> {
    Stored(Values<'a>),
    Made(Box<dyn Fn() -> Vec<f32> + 'a>),
}

impl<'a> Entry<'a> {
    /// A tensor that lies in memory as it is written.
    ///
    /// # Panics
    /// When the number of values is not that of the shape.
    pub fn new(name: impl Into<String>, shape: &[usize], values: Values<'a>) -> Self {
        let (name, shape, dtype) = (name.into(), shape.to_vec(), values.dtype());
        assert_eq!(values.len(), shape.iter().product::<usize>(), "entry: `{name}` is {shape:?}");
        Self { name, dtype, shape, source: Source::Stored(values) }
    }

    /// A tensor that must be made first (transposed, gathered): one at a time is in memory.
    pub fn made(
        name: impl Into<String>,
        shape: &[usize],
        make: impl Fn() -> Vec<f32> + 'a,
    ) -> Self {
        let source = Source::Made(Box::new(make));
        Self { name: name.into(), dtype: Dtype::F32, shape: shape.to_vec(), source }
    }

    /// Rounds f32 values to F16 or BF16 as they are written.
    ///
    /// # Panics
    /// When the values are not f32, or the type is not one of F32, F16, BF16.
    #[must_use]
    pub fn stored_as(mut self, dtype: Dtype) -> Self {
        let found = self.dtype;
        assert!(
            found == dtype || (found == Dtype::F32 && matches!(dtype, Dtype::F16 | Dtype::BF16)),
            "entry: `{}` is {found}, and cannot be stored as {dtype}",
            self.name
        );
        self.dtype = dtype;
        self
    }

    fn n_bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.bitsize() / 8
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        match &self.source {
            Source::Stored(values) => values.write(self.dtype, out),
            Source::Made(make) => {
                let (values, Self { name, shape, .. }) = (make(), self);
                assert_eq!(
                    values.len(),
                    shape.iter().product::<usize>(),
                    "entry: `{name}` is {shape:?}"
                );
                Values::F32(&values).write(self.dtype, out)
            }
        }
    }
}

impl Values<'_> {
    fn dtype(&self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::F32,
            Self::Bf16(_) => Dtype::BF16,
            Self::F16(_) => Dtype::F16,
            Self::I64(_) => Dtype::I64,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::Bf16(values) => values.len(),
            Self::F16(values) => values.len(),
            Self::I64(values) => values.len(),
        }
    }

    fn write(&self, dtype: Dtype, out: &mut dyn Write) -> io::Result<()> {
        match (self, dtype) {
            (Self::F32(values), Dtype::BF16) => values.chunks(CHUNK).try_for_each(|chunk| {
                let mut rounded = vec![bf16::ZERO; chunk.len()];
                rounded.convert_from_f32_slice(chunk);
                out.write_all(bytemuck::cast_slice(&rounded))
            }),
            (Self::F32(values), Dtype::F16) => values.chunks(CHUNK).try_for_each(|chunk| {
                let mut rounded = vec![f16::ZERO; chunk.len()];
                rounded.convert_from_f32_slice(chunk);
                out.write_all(bytemuck::cast_slice(&rounded))
            }),
            (Self::F32(values), _) => out.write_all(bytemuck::cast_slice(values)),
            (Self::Bf16(values), _) => out.write_all(bytemuck::cast_slice(values)),
            (Self::F16(values), _) => out.write_all(bytemuck::cast_slice(values)),
            (Self::I64(values), _) => out.write_all(bytemuck::cast_slice(values)),
        }
    }
}

/// Writes `{stem}.safetensors` into a staged directory; above `max_shard_bytes` in shards with an
/// index, named as `transformers` names them (`stem` is `model`, or a path that ends so).
///
/// # Errors
/// [`CheckpointError::Write`].
///
/// # Panics
/// When a name is there twice.
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
    let mut index = Index { metadata: index::Metadata::default(), weight_map: BTreeMap::new() };
    for (i, shard) in shards.iter().enumerate() {
        let name = format!("{stem}-{:05}-of-{:05}.safetensors", i + 1, shards.len());
        staged.write_with(&name, |out| write_tensors(shard, out))?;
        let file_name = name.rsplit('/').next().unwrap_or(&name);
        for entry in shard {
            index.metadata.total_size += entry.n_bytes() as u64;
            index.weight_map.insert(entry.name.clone(), file_name.to_owned());
        }
    }
    let mut json = serde_json::to_string_pretty(&index).expect("strings and numbers only");
    json.push('\n');
    staged.write(&format!("{stem}.safetensors.index.json"), json.as_bytes())
}

/// Writes one safetensors file, which appears whole or not at all.
///
/// # Errors
/// [`CheckpointError::Write`].
///
/// # Panics
/// When a name is there twice.
pub fn save_file(disk: &dyn Disk, path: &Path, entries: &[Entry]) -> Result<(), CheckpointError> {
    assert_distinct(entries);
    let all: Vec<_> = entries.iter().collect();
    atomic::write_file_with(disk, path, |out| write_tensors(&all, out))
}

fn assert_distinct(entries: &[Entry]) {
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
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.dtype.bitsize()));
    out.write_all(&header(&entries)?)?;
    entries.iter().try_for_each(|entry| entry.write(out))
}

fn header(entries: &[&Entry]) -> io::Result<Vec<u8>> {
    let mut end = 0;
    let infos = entries.iter().map(|entry| {
        let begin = end;
        end += entry.n_bytes();
        let (dtype, shape) = (entry.dtype, entry.shape.clone());
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
