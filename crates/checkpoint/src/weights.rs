//! Weights in safetensors files: read in place with every claim checked, written as a stream.
//!
//! `header` and `file` read one file, `index` finds the shards of a model, `write` writes either.

mod file;
mod header;
mod index;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;
use std::path::Path;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use mapped::cast_or_copy;
use safetensors::Dtype;

use self::file::TensorFile;
use self::index::Index;
use crate::CheckpointError;

pub use self::write::{Entry, MAX_SHARD_BYTES, Values, save, save_file};

/// The name of a model's weights in its directory, where there is one file.
pub const FILE_NAME: &str = "model.safetensors";

/// The tensors of one file or of a sharded model, by name; mapped, so opening costs no memory.
#[derive(Debug)]
pub struct Weights {
    files: Vec<TensorFile>,
    /// Tensor name to the index of its file.
    places: BTreeMap<String, usize>,
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
        if !path.is_dir() {
            return Self::open_file(path);
        }
        let (single, index) = (path.join(FILE_NAME), path.join(index::FILE_NAME));
        if single.exists() {
            Self::open_file(&single)
        } else if index.exists() {
            Self::open_shards(path, &index)
        } else {
            let pickled = path.join("pytorch_model.bin").exists();
            Err(CheckpointError::NoWeights { dir: path.to_owned(), pickled })
        }
    }

    fn open_file(path: &Path) -> Result<Self, CheckpointError> {
        let file = TensorFile::open(path)?;
        let places = file.names().map(|name| (name.to_owned(), 0)).collect();
        Ok(Self { files: vec![file], places })
    }

    fn open_shards(dir: &Path, index: &Path) -> Result<Self, CheckpointError> {
        let weight_map = Index::load(index)?.weight_map;
        let (mut files, mut opened) = (vec![], BTreeMap::new());
        let mut places = BTreeMap::new();
        for (tensor, shard) in weight_map {
            let place = match opened.get(&shard) {
                Some(&place) => place,
                None if !dir.join(&shard).exists() => {
                    let dir = dir.to_owned();
                    return Err(CheckpointError::MissingShard { dir, shard, tensor });
                }
                None => {
                    files.push(TensorFile::open(&dir.join(&shard))?);
                    opened.insert(shard, files.len() - 1);
                    files.len() - 1
                }
            };
            if files[place].get(&tensor).is_none() {
                let path = files[place].path.clone();
                return Err(CheckpointError::MissingTensor { path, name: tensor });
            }
            places.insert(tensor, place);
        }
        Ok(Self { files, places })
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// The tensor of this name.
    ///
    /// # Errors
    /// [`CheckpointError::MissingTensor`].
    pub fn get(&self, name: &str) -> Result<TensorView<'_>, CheckpointError> {
        let found = self.places.get(name).and_then(|&place| self.files[place].get(name));
        found.ok_or_else(|| CheckpointError::MissingTensor {
            path: self.place(),
            name: name.to_owned(),
        })
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
    fn place(&self) -> std::path::PathBuf {
        match &self.files[..] {
            [file] => file.path.clone(),
            files => files.iter().find_map(|f| f.path.parent()).unwrap_or(Path::new("")).into(),
        }
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
