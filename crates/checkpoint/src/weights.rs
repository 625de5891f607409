//! Weights in files: ours and those of others, read in place with every claim checked.
//!
//! Each format has a reader that indexes a mapped file: which tensor lies where, of what type and
//! shape. None copies a tensor, and none runs anything.
//!
//! ```text
//! find    which file of a directory, and what a file is by its first bytes
//! view    a stored tensor, and how it becomes numbers
//! header  safetensors;  write  the same as a stream, in one file or several with an index
//! pickle  what `torch.save` writes, by a stack machine that knows tensors and containers alone
//! gguf    GGUF with its metadata and its quantised blocks, read and written
//! flax    what `flax.serialization` writes in msgpack
//! ```

mod cursor;
mod find;
mod flax;
pub mod gguf;
mod header;
#[cfg(test)]
mod mutations;
mod pickle;
#[cfg(test)]
mod tests;
mod view;
mod write;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use mapped::MappedFile;

use self::find::Format;
use self::view::{Info, Infos};
use crate::error::{Problem, Unread};
use crate::{CheckpointError, atomic};

pub use self::find::FILE_NAME;
pub use self::view::{Stored, TensorView};
pub use self::write::{Entry, MAX_SHARD_BYTES, Values, save, save_file};

/// Whether a directory has weights in a format that is read.
pub fn are_in(dir: &Path) -> bool {
    find::in_dir(dir).is_ok()
}

/// What a file that begins so would be, where that is a format of weights.
pub fn format_of(start: &[u8]) -> Option<&'static str> {
    Format::known(start).map(Format::name)
}

/// The tensors of one file or of a sharded model, by name; mapped, so opening costs no memory.
#[derive(Debug, Default)]
pub struct Weights {
    files: Vec<(PathBuf, Bytes)>,
    /// By name: the index of the file, and what is where in it.
    tensors: Tensors,
    /// Of a GGUF file: the index of the file, and which value is where in it.
    metadata: Option<(usize, gguf::Places)>,
}

type Tensors = BTreeMap<String, (usize, Info)>;

impl Weights {
    /// Opens a file of weights (safetensors, `PyTorch`, GGUF, Flax msgpack; known by its content)
    /// or an index of several, or the first there is in a directory of: `model.safetensors`, its
    /// index, a single `*.gguf`, `pytorch_model.bin`, its index, `flax_model.msgpack`.
    ///
    /// # Errors
    /// Nothing is there, a file is not what it should be or asks for more than tensors, a shard is
    /// missing or lies outside the directory.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let path = if path.is_dir() { find::in_dir(path)? } else { path.to_owned() };
        let mut weights = Self::default();
        if find::is_index(&path) {
            weights.map_shards(atomic::parent(&path), &path)?;
        } else {
            weights.tensors = weights.map(&path)?;
        }
        Ok(weights)
    }

    /// Maps one more file; what it holds is not yet to be found by name.
    fn map(&mut self, path: &Path) -> Result<Tensors, CheckpointError> {
        let map = MappedFile::open(path).map_err(CheckpointError::read(path))?;
        let (file, format) = (self.files.len(), Format::of(&map));
        let infos = self.index(format, &map).map_err(|problem| {
            let path = path.to_owned();
            match problem {
                Problem::Malformed(problem) => {
                    CheckpointError::Header { path, format: format.name(), problem }
                }
                Problem::Refused { what, at } => CheckpointError::Refused { path, what, at },
                Problem::Unread(unread) => CheckpointError::NoWeights { path, unread },
            }
        })?;
        self.files.push((path.to_owned(), Bytes::from_owner(map)));
        Ok(infos.into_iter().map(|(name, info)| (name, (file, info))).collect())
    }

    fn index(&mut self, format: Format, map: &[u8]) -> Result<Infos, Problem> {
        Ok(match format {
            Format::Safetensors => header::parse(map)?,
            Format::TorchZip => pickle::index_zip(map)?,
            Format::TorchLegacy => pickle::index_legacy(map)?,
            Format::Gguf => {
                let (infos, places) = gguf::index(map)?;
                self.metadata = Some((self.files.len(), places));
                infos
            }
            Format::Flax => flax::index(map)?,
            Format::Hdf5 => return Err(Problem::Unread(Unread::Hdf5)),
        })
    }

    fn map_shards(&mut self, dir: &Path, index: &Path) -> Result<(), CheckpointError> {
        let mut mapped = BTreeMap::new();
        for (tensor, shard) in find::read_index(index)? {
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

    /// What a GGUF file says beside its tensors; `None` for other formats.
    pub fn metadata(&self) -> Option<gguf::Metadata<'_>> {
        let (file, places) = self.metadata.as_ref()?;
        Some(gguf::Metadata::new(&self.files[*file].1, places))
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
        let Some((file, Info { dtype, shape, place })) = self.tensors.get(name) else {
            return Err(CheckpointError::MissingTensor {
                path: self.place(),
                name: name.to_owned(),
            });
        };
        Ok(TensorView { dtype: *dtype, shape, file: &self.files[*file].1, place })
    }

    /// The bytes of a tensor, which keep the file mapped; gathered where they do not lie together.
    ///
    /// # Errors
    /// [`CheckpointError::MissingTensor`].
    pub fn share(&self, name: &str) -> Result<Bytes, CheckpointError> {
        let view = self.get(name)?;
        let (file, _) = self.tensors[name];
        Ok(match view.bytes() {
            Cow::Borrowed(bytes) => self.files[file].1.slice_ref(bytes),
            Cow::Owned(bytes) => bytes.into(),
        })
    }

    /// A floating-point tensor as f32: F32, F16, BF16 exactly, F64 rounded, blocks as
    /// GGML dequantises them.
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
        self.get(name)?.to_i64(name)
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
