//! Matrices that are not trained: outside the arenas, as they are stored, usually in a mapped file.

use bytes::Bytes;
use kernels::{bf16, f16};

use crate::dtype::DType;

/// The values of a frozen matrix: its rows in parts that follow one another, each where it lies.
/// Files keep queries, keys and values apart that are one matrix here.
#[derive(Clone, Debug, Default)]
pub struct Frozen {
    parts: Vec<(DType, Bytes)>,
}

/// Some rows of a matrix.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'p> {
    /// The first of them.
    pub first: usize,
    /// How many.
    pub n: usize,
    /// Row-major.
    pub values: Values<'p>,
}

/// Numbers as they are stored.
#[derive(Clone, Copy, Debug)]
pub enum Values<'p> {
    /// 32-bit.
    F32(&'p [f32]),
    /// Brain floats.
    Bf16(&'p [bf16]),
    /// Half precision.
    F16(&'p [f16]),
}

impl Frozen {
    /// All rows as plain numbers.
    pub fn owned(values: Vec<f32>) -> Self {
        struct Owned(Vec<f32>);
        impl AsRef<[u8]> for Owned {
            fn as_ref(&self) -> &[u8] {
                bytemuck::cast_slice(&self.0)
            }
        }
        Self { parts: vec![(DType::F32, Bytes::from_owner(Owned(values)))] }
    }

    /// Adds rows below those that are there.
    ///
    /// # Panics
    /// When the bytes are not aligned for the type, or no whole number of it: copy them first.
    #[track_caller]
    pub fn push(&mut self, dtype: DType, bytes: Bytes) {
        values(dtype, &bytes);
        self.parts.push((dtype, bytes));
    }

    /// Whether `bytes` can be read in place as numbers of that type.
    pub fn is_aligned(dtype: DType, bytes: &[u8]) -> bool {
        bytes.as_ptr().addr().is_multiple_of(dtype.bytes())
    }

    pub(crate) fn n_bytes(&self) -> usize {
        self.parts.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    #[track_caller]
    pub(crate) fn check(&self, shape: &[usize]) {
        let [rows, cols] = *shape else { panic!("frozen: {shape:?} is no matrix") };
        let whole = self.parts.iter().all(|(t, b)| b.len().is_multiple_of(cols * t.bytes()));
        let n: usize = self.parts.iter().map(|(t, b)| b.len() / t.bytes()).sum();
        assert!(whole && n == rows * cols, "frozen: {n} values of [{rows}, {cols}]");
    }

    pub(crate) fn rows(&self, shape: &[usize]) -> impl Iterator<Item = Rows<'_>> {
        let cols = shape.last().copied().unwrap_or(1).max(1);
        self.parts.iter().scan(0, move |next, (dtype, bytes)| {
            let (first, n) = (*next, bytes.len() / dtype.bytes() / cols);
            *next += n;
            Some(Rows { first, n, values: values(*dtype, bytes) })
        })
    }
}

impl<'p> Rows<'p> {
    pub(crate) fn in_arena(shape: &[usize], values: &'p [f32]) -> Self {
        Self { first: 0, n: shape[0], values: Values::F32(values) }
    }
}

#[track_caller]
fn values(dtype: DType, bytes: &[u8]) -> Values<'_> {
    match dtype {
        DType::F32 => Values::F32(bytemuck::cast_slice(bytes)),
        DType::Bf16 => Values::Bf16(bytemuck::cast_slice(bytes)),
        DType::F16 => Values::F16(bytemuck::cast_slice(bytes)),
    }
}

/// Runs `$body` with `$x` standing for the slice, whatever its numbers are.
macro_rules! by_values {
    ($values:expr, $x:ident => $body:expr) => {
        match $values {
            $crate::frozen::Values::F32($x) => $body,
            $crate::frozen::Values::Bf16($x) => $body,
            $crate::frozen::Values::F16($x) => $body,
        }
    };
}
pub(crate) use by_values;
