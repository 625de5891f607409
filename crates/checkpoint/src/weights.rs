//! Weights in safetensors files: read in place with every claim checked, written as a stream.
//!
//! `header` judges one file, `write` writes one or several with an index.

mod header;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use mapped::{MappedFile, cast_or_copy};
use safetensors::Dtype;
use serde::Deserialize;

use self::header::Info;
use crate::{CheckpointError, atomic};

pub use self::write::{Entry, MAX_SHARD_BYTES, Values, save, save_file};

/// The name of a model's weights in its directory, where there is one file.
pub const FILE_NAME: &str = "model.safetensors";
/// The name of the index of several: which file of the same directory holds which tensor.
const INDEX_NAME: &str = "model.safetensors.index.json";
const MAX_INDEX_BYTES: u64 = 100_000_000;

/// The tensors of one file or of a sharded model, by name; mapped, so opening costs no memory.
#[derive(Debug, Default)]
pub struct Weights {
    files: Vec<(PathBuf, Bytes)>,
    /// By name: the index of the file, and what is where in it.
    tensors: Tensors,
}

type Tensors = BTreeMap<String, (usize, Info)>;

#[derive(Deserialize)]
struct Index {
    /// Tensor name to file name.
    weight_map: BTreeMap<String, String>,
}

/// One stored tensor.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    /// How an element is stored.
    pub dtype: Dtype,
    /// Row-major.
    pub shape: &'a [usize],
    /// Little-endian elements, perhaps misaligned.
    pub bytes: &'a [u8],
}

impl Weights {
    /// Opens a safetensors file, or a directory with `model.safetensors`, or with an index and its
    /// shards.
    ///
    /// # Errors
    /// Nothing is there, a header is false, a shard is missing or lies outside the directory.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let (single, index) = (path.join(FILE_NAME), path.join(INDEX_NAME));
        let mut weights = Self::default();
        if !path.is_dir() {
            weights.tensors = weights.map(path)?;
        } else if single.exists() {
            weights.tensors = weights.map(&single)?;
        } else if index.exists() {
            weights.map_shards(path, &index)?;
        } else {
            let pickled = path.join("pytorch_model.bin").exists();
            return Err(CheckpointError::NoWeights { dir: path.to_owned(), pickled });
        }
        Ok(weights)
    }

    /// Maps one more file; what it holds is not yet to be found by name.
    fn map(&mut self, path: &Path) -> Result<Tensors, CheckpointError> {
        let map = MappedFile::open(path).map_err(CheckpointError::read(path))?;
        let path = path.to_owned();
        match header::parse(&map) {
            Ok(infos) => {
                let file = self.files.len();
                self.files.push((path, Bytes::from_owner(map)));
                Ok(infos.into_iter().map(|(name, info)| (name, (file, info))).collect())
            }
            Err(problem) => Err(CheckpointError::Header { path, problem }),
        }
    }

    fn map_shards(&mut self, dir: &Path, index: &Path) -> Result<(), CheckpointError> {
        let mut mapped = BTreeMap::new();
        for (tensor, shard) in read_index(index)? {
            let path = dir.join(&shard);
            if !mapped.contains_key(&shard) {
                if !path.exists() {
                    let dir = dir.to_owned();
                    return Err(CheckpointError::MissingShard { dir, shard, tensor });
                }
                mapped.insert(shard.clone(), self.map(&path)?);
            }
            let Some(info) = mapped.get_mut(&shard).and_then(|infos| infos.remove(&tensor)) else {
                return Err(CheckpointError::MissingTensor { path, name: tensor });
            };
            self.tensors.insert(tensor, info);
        }
        Ok(())
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The tensor of this name.
    ///
    /// # Errors
    /// [`CheckpointError::MissingTensor`].
    pub fn get(&self, name: &str) -> Result<TensorView<'_>, CheckpointError> {
        let Some((file, Info { dtype, shape, bytes })) = self.tensors.get(name) else {
            return Err(CheckpointError::MissingTensor {
                path: self.place(),
                name: name.to_owned(),
            });
        };
        Ok(TensorView { dtype: *dtype, shape, bytes: &self.files[*file].1[bytes.clone()] })
    }

    /// The bytes of a tensor, which keep the file mapped.
    ///
    /// # Errors
    /// [`CheckpointError::MissingTensor`].
    pub fn share(&self, name: &str) -> Result<Bytes, CheckpointError> {
        let view = self.get(name)?;
        let (file, _) = self.tensors[name];
        Ok(self.files[file].1.slice_ref(view.bytes))
    }

    /// A floating-point tensor as f32: F32, F16, BF16 exactly, F64 rounded.
    ///
    /// # Errors
    /// It is missing, or no floating-point tensor of these.
    pub fn to_f32(&self, name: &str) -> Result<Vec<f32>, CheckpointError> {
        let view = self.get(name)?;
        let mut values = vec![0.0; view.shape.iter().product()];
        view.copy_f32(name, &mut values)?;
        Ok(values)
    }

    /// As [`Self::to_f32`], into a slice, with the shape it must have.
    ///
    /// # Errors
    /// As [`Self::to_f32`], and [`CheckpointError::Shape`].
    ///
    /// # Panics
    /// When `into` is not as long as `shape` says.
    pub fn read_f32(
        &self,
        name: &str,
        shape: &[usize],
        into: &mut [f32],
    ) -> Result<(), CheckpointError> {
        assert_eq!(into.len(), shape.iter().product::<usize>(), "read_f32: `{name}` is {shape:?}");
        let view = self.get(name)?;
        if view.shape != shape {
            let (name, expected, found) = (name.to_owned(), shape.to_vec(), view.shape.to_vec());
            return Err(CheckpointError::Shape { name, expected, found });
        }
        view.copy_f32(name, into)
    }

    /// An integer tensor (of up to 64 bits, or BOOL as 0 and 1) as i64.
    ///
    /// # Errors
    /// It is missing, or no integer tensor of these.
    pub fn to_i64(&self, name: &str) -> Result<Vec<i64>, CheckpointError> {
        let view = self.get(name)?;
        let bytes = view.bytes;
        Ok(match view.dtype {
            Dtype::BOOL => bytes.iter().map(|&x| i64::from(x != 0)).collect(),
            Dtype::U8 => bytes.iter().map(|&x| x.into()).collect(),
            Dtype::I8 => cast_or_copy::<i8>(bytes).iter().map(|&x| x.into()).collect(),
            Dtype::I16 => cast_or_copy::<i16>(bytes).iter().map(|&x| x.into()).collect(),
            Dtype::U16 => cast_or_copy::<u16>(bytes).iter().map(|&x| x.into()).collect(),
            Dtype::I32 => cast_or_copy::<i32>(bytes).iter().map(|&x| x.into()).collect(),
            Dtype::U32 => cast_or_copy::<u32>(bytes).iter().map(|&x| x.into()).collect(),
            Dtype::I64 => cast_or_copy::<i64>(bytes).into_owned(),
            found => return Err(wrong_dtype(name, "an integer type", found)),
        })
    }

    /// The file, or the directory of the shards, for messages.
    fn place(&self) -> PathBuf {
        match &self.files[..] {
            [(path, _)] => path.clone(),
            files => {
                files.iter().find_map(|(path, _)| path.parent()).unwrap_or(Path::new("")).into()
            }
        }
    }
}

/// Reads an index; every file it names is a plain name.
fn read_index(path: &Path) -> Result<BTreeMap<String, String>, CheckpointError> {
    let problem = |problem| CheckpointError::Index { path: path.to_owned(), problem };
    let json = atomic::read_small(path, MAX_INDEX_BYTES)?;
    let Index { weight_map } =
        serde_json::from_slice(&json).map_err(|error| problem(error.to_string()))?;
    // A file of the same directory, on every system.
    let is_plain =
        |name: &str| !matches!(name, "" | "." | "..") && !name.contains(['/', '\\', ':', '\0']);
    match weight_map.iter().find(|(_, file)| !is_plain(file)) {
        Some((tensor, file)) => {
            Err(problem(format!("tensor `{tensor}` is in `{file}`, outside the directory")))
        }
        None => Ok(weight_map),
    }
}

impl TensorView<'_> {
    fn copy_f32(&self, name: &str, into: &mut [f32]) -> Result<(), CheckpointError> {
        match self.dtype {
            Dtype::F32 => bytemuck::cast_slice_mut(into).copy_from_slice(self.bytes),
            Dtype::BF16 => cast_or_copy::<bf16>(self.bytes).convert_to_f32_slice(into),
            Dtype::F16 => cast_or_copy::<f16>(self.bytes).convert_to_f32_slice(into),
            Dtype::F64 => {
                let wide = cast_or_copy::<f64>(self.bytes);
                into.iter_mut().zip(&*wide).for_each(|(x, &wide)| *x = wide as f32);
            }
            found => return Err(wrong_dtype(name, "F32, F16, BF16 or F64", found)),
        }
        Ok(())
    }
}

fn wrong_dtype(name: &str, expected: &'static str, found: Dtype) -> CheckpointError {
    CheckpointError::Dtype { name: name.to_owned(), expected, found }
}
