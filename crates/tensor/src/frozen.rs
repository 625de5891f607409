//! Matrices that are not trained: outside the arenas, as they are stored, usually in a mapped file.

use std::sync::Arc;

use bytes::Bytes;
use kernels::gemm::Multiply;
use kernels::{bf16, f16};
use rayon::prelude::*;

use crate::dtype::DType;
use crate::value::{Device, Tensor};

/// The values of a frozen matrix: its rows in parts that follow one another, each where it lies.
/// Files keep queries, keys and values apart that are one matrix here.
#[derive(Clone, Debug, Default)]
pub struct Frozen {
    parts: Vec<(Form, Bytes)>,
}

/// How the numbers of a part are stored.
#[derive(Clone, Debug)]
enum Form {
    Plain(DType),
    Coded(Arc<dyn Code>),
}

impl Form {
    /// Bytes of a row of so many numbers.
    fn row_bytes(&self, n: usize) -> usize {
        match self {
            Self::Plain(dtype) => n * dtype.bytes(),
            Self::Coded(code) => code.row_bytes(n),
        }
    }
}

/// A form in which rows of numbers are stored in fewer bits: a row by itself.
pub trait Code: std::fmt::Debug + Send + Sync {
    /// Bytes of a row of so many numbers.
    fn row_bytes(&self, n: usize) -> usize;

    /// A row as numbers.
    fn decode(&self, row: &[u8], into: &mut [f32]);
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
    /// In a form of their own, rows of so many numbers: see [`Values::plain`].
    Coded(&'p dyn Code, &'p [u8], usize),
}

impl<'p> Values<'p> {
    /// The same as plain numbers for a product: where they are coded, decoded into what is `held`
    /// meanwhile, and rounded already where the product rounds them.
    pub fn plain<'v>(
        self,
        device: &Device,
        multiply: Multiply,
        held: &'v mut Option<Tensor>,
    ) -> Values<'v>
    where
        'p: 'v,
    {
        let Self::Coded(code, bytes, cols) = self else { return self };
        let row_bytes = code.row_bytes(cols);
        let stored = bytes.par_chunks_exact(row_bytes).with_min_len(8);
        let shape = [bytes.len() / row_bytes, cols];
        if multiply == Multiply::F32 {
            let decoded = held.insert(device.empty(&shape, DType::F32));
            let rows = decoded.as_mut_slice::<f32>().par_chunks_exact_mut(cols);
            rows.zip(stored).for_each(|(to, row)| code.decode(row, to));
            return Values::F32(decoded.as_slice::<f32>());
        }
        let decoded = held.insert(device.empty(&shape, DType::Bf16));
        let rows = decoded.as_mut_slice::<bf16>().par_chunks_exact_mut(cols).zip(stored);
        rows.for_each_init(
            || vec![0.0; cols],
            |wide, (to, row)| {
                code.decode(row, wide);
                to.iter_mut().zip(wide).for_each(|(to, x)| *to = bf16::from_f32(*x));
            },
        );
        Values::Bf16(decoded.as_slice::<bf16>())
    }
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
        Self { parts: vec![(Form::Plain(DType::F32), Bytes::from_owner(Owned(values)))] }
    }

    /// Adds rows below those that are there.
    ///
    /// # Panics
    /// When the bytes are not aligned for the type, or no whole number of it: copy them first.
    #[track_caller]
    pub fn push(&mut self, dtype: DType, bytes: Bytes) {
        values(dtype, &bytes);
        self.parts.push((Form::Plain(dtype), bytes));
    }

    /// Whether `bytes` can be read in place as numbers of that type.
    pub fn is_aligned(dtype: DType, bytes: &[u8]) -> bool {
        bytes.as_ptr().addr().is_multiple_of(dtype.bytes())
    }

    /// The same with rows in a form of their own.
    pub fn push_coded(&mut self, code: Arc<dyn Code>, bytes: Bytes) {
        self.parts.push((Form::Coded(code), bytes));
    }

    pub(crate) fn n_bytes(&self) -> usize {
        self.parts.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    #[track_caller]
    pub(crate) fn check(&self, shape: &[usize]) {
        let [rows, cols] = *shape else { panic!("frozen: {shape:?} is no matrix") };
        let sizes = self.parts.iter().map(|(form, bytes)| (bytes.len(), form.row_bytes(cols)));
        let whole = sizes.clone().all(|(n, row)| n.is_multiple_of(row));
        let n: usize = sizes.map(|(n, row)| n / row.max(1)).sum();
        assert!(whole && n == rows, "frozen: {n} rows of [{rows}, {cols}]");
    }

    pub(crate) fn rows(&self, shape: &[usize]) -> impl Iterator<Item = Rows<'_>> {
        let cols = shape.last().copied().unwrap_or(1).max(1);
        self.parts.iter().scan(0, move |next, (form, bytes)| {
            let (first, n) = (*next, bytes.len() / form.row_bytes(cols));
            *next += n;
            let values = match form {
                Form::Plain(dtype) => values(*dtype, bytes),
                Form::Coded(code) => Values::Coded(&**code, bytes, cols),
            };
            Some(Rows { first, n, values })
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
            $crate::frozen::Values::Coded(..) => panic!("coded values are not read here"),
        }
    };
}
pub(crate) use by_values;
