//! One stored tensor: how its elements are stored, where they lie, and how they become numbers.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use mapped::cast_or_copy;
use safetensors::Dtype;

use crate::CheckpointError;
use crate::gguf::Block;

/// How the elements of a tensor are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Each by itself, little-endian.
    Plain(Dtype),
    /// Quantised, a block of a row at a time.
    Blocks(Block),
}

/// What an index knows of one tensor.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Info {
    pub dtype: Stored,
    pub shape: Vec<usize>,
    pub place: Place,
}

/// The tensors of one file by name.
pub(super) type Infos = BTreeMap<String, Info>;

/// Where the elements lie in their file, in bytes; checked when the file was indexed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place {
    /// Row-major, one after another.
    Dense(Range<usize>),
    /// Row-major, in pieces one after another.
    Pieces(Vec<Range<usize>>),
    /// From `bytes.start`, a step along an axis being so many bytes.
    Strided { bytes: Range<usize>, strides: Vec<usize> },
}

/// One stored tensor.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    /// How an element is stored.
    pub dtype: Stored,
    /// Row-major.
    pub shape: &'a [usize],
    pub(super) file: &'a [u8],
    pub(super) place: &'a Place,
}

impl Stored {
    /// Whether the elements are `dtype`, each by itself.
    pub fn is(self, dtype: Dtype) -> bool {
        self == Self::Plain(dtype)
    }

    /// The bytes of a tensor; `None` where that overflows or a row does not fill its blocks.
    pub(super) fn n_bytes(self, shape: &[usize]) -> Option<usize> {
        let n_values = shape.iter().try_fold(1_usize, |n, &dim| n.checked_mul(dim))?;
        let (row, (of_values, n_bits)) = match self {
            Self::Plain(dtype) => (n_values, (1, dtype.bitsize())),
            Self::Blocks(block) => (*shape.last()?, (block.n_values(), 8 * block.n_bytes())),
        };
        let n_bits = (n_values / of_values).checked_mul(n_bits)?;
        (row.is_multiple_of(of_values) && n_bits.is_multiple_of(8)).then_some(n_bits / 8)
    }
}

impl From<Dtype> for Stored {
    fn from(dtype: Dtype) -> Self {
        Self::Plain(dtype)
    }
}

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Plain(dtype) => dtype.fmt(f),
            Self::Blocks(block) => block.fmt(f),
        }
    }
}

impl<'a> TensorView<'a> {
    /// The elements row-major, little-endian, perhaps misaligned: as they lie in the file, or
    /// gathered where they lie otherwise.
    pub fn bytes(&self) -> Cow<'a, [u8]> {
        match self.place {
            Place::Dense(bytes) => Cow::Borrowed(&self.file[bytes.clone()]),
            Place::Pieces(pieces) => {
                let pieces: Vec<_> = pieces.iter().map(|piece| &self.file[piece.clone()]).collect();
                Cow::Owned(pieces.concat())
            }
            Place::Strided { bytes, strides } => {
                Cow::Owned(self.gather(&self.file[bytes.clone()], strides))
            }
        }
    }

    fn gather(&self, source: &[u8], strides: &[usize]) -> Vec<u8> {
        let n_bytes = self.dtype.n_bytes(self.shape).expect("checked by the index");
        let n_values: usize = self.shape.iter().product();
        let size = n_bytes / n_values;
        let (mut gathered, mut idx, mut from) =
            (Vec::with_capacity(n_bytes), vec![0; strides.len()], 0);
        for _ in 0..n_values {
            gathered.extend_from_slice(&source[from..from + size]);
            for (axis, &dim) in self.shape.iter().enumerate().rev() {
                idx[axis] += 1;
                from += strides[axis];
                if idx[axis] < dim {
                    break;
                }
                idx[axis] = 0;
                from -= strides[axis] * dim;
            }
        }
        gathered
    }

    pub(super) fn copy_f32(&self, name: &str, into: &mut [f32]) -> Result<(), CheckpointError> {
        let bytes = self.bytes();
        match self.dtype {
            Stored::Plain(Dtype::F32) => bytemuck::cast_slice_mut(into).copy_from_slice(&bytes),
            Stored::Plain(Dtype::BF16) => cast_or_copy::<bf16>(&bytes).convert_to_f32_slice(into),
            Stored::Plain(Dtype::F16) => cast_or_copy::<f16>(&bytes).convert_to_f32_slice(into),
            Stored::Plain(Dtype::F64) => {
                let wide = cast_or_copy::<f64>(&bytes);
                into.iter_mut().zip(&*wide).for_each(|(x, &wide)| *x = wide as f32);
            }
            Stored::Blocks(block) => block.dequantise(&bytes, into),
            Stored::Plain(_) => return Err(self.is_not(name, "F32, F16, BF16 or F64")),
        }
        Ok(())
    }

    pub(super) fn to_i64(self, name: &str) -> Result<Vec<i64>, CheckpointError> {
        let bytes = &self.bytes();
        let Stored::Plain(dtype) = self.dtype else {
            return Err(self.is_not(name, "an integer type"));
        };
        Ok(match dtype {
            Dtype::BOOL => bytes.iter().map(|&x| i64::from(x != 0)).collect(),
            Dtype::U8 => bytes.iter().map(|&x| x.into()).collect(),
            Dtype::I8 => cast_or_copy::<i8>(bytes).iter().map(|&x| x.into()).collect(),
            Dtype::I16 => cast_or_copy::<i16>(bytes).iter().map(|&x| x.into()).collect(),
            Dtype::U16 => cast_or_copy::<u16>(bytes).iter().map(|&x| x.into()).collect(),
            Dtype::I32 => cast_or_copy::<i32>(bytes).iter().map(|&x| x.into()).collect(),
            Dtype::U32 => cast_or_copy::<u32>(bytes).iter().map(|&x| x.into()).collect(),
            Dtype::I64 => cast_or_copy::<i64>(bytes).into_owned(),
            _ => return Err(self.is_not(name, "an integer type")),
        })
    }

    fn is_not(&self, name: &str, expected: &'static str) -> CheckpointError {
        CheckpointError::Dtype { name: name.to_owned(), expected, found: self.dtype }
    }
}
