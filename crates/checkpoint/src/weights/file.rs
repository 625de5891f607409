//! One safetensors file, mapped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mapped::MappedFile;

use super::TensorView;
use super::header::{self, Info, Problem};
use crate::CheckpointError;

/// One safetensors file: its tensors by name, their bytes in the page cache.
#[derive(Debug)]
pub(super) struct TensorFile {
    pub path: PathBuf,
    map: MappedFile,
    infos: BTreeMap<String, Info>,
}

impl TensorFile {
    pub(super) fn open(path: &Path) -> Result<Self, CheckpointError> {
        let map = MappedFile::open(path).map_err(CheckpointError::read(path))?;
        let path = path.to_owned();
        match header::parse(&map) {
            Ok(infos) => Ok(Self { path, map, infos }),
            Err(Problem::File(problem)) => Err(CheckpointError::Header { path, problem }),
            Err(Problem::Tensor { name, problem }) => {
                Err(CheckpointError::Tensor { path, name, problem })
            }
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.infos.keys().map(String::as_str)
    }

    pub(super) fn get(&self, name: &str) -> Option<TensorView<'_>> {
        let info = self.infos.get(name)?;
        let bytes = &self.map[info.bytes.clone()];
        Some(TensorView { dtype: info.dtype, shape: &info.shape, bytes })
    }
}
