//! [`Tensor`]: contiguous, typed at run time, reference-counted; [`Device`]: where it computes.

use std::mem;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytemuck::Pod;
use kernels::gemm::PackedB;
use kernels::{Element, Isa};

use crate::dtype::{DType, by_dtype};
use crate::pool::{Line, Pool};

/// Where tensors live and which instructions compute on them.
#[derive(Clone)]
pub struct Device {
    /// The instruction set that every kernel call uses.
    pub isa: Isa,
    pool: Pool,
    /// Panels of a loss's projection: as large as the projection, and wanted by every micro-batch.
    panels: Arc<Mutex<PackedB>>,
}

impl Device {
    /// The CPU, on the path `isa`.
    pub fn cpu(isa: Isa) -> Self {
        Self { isa, pool: Pool::default(), panels: Arc::default() }
    }

    /// The allocator's books.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// A tensor whose content is unspecified (but initialised): for results that are written in
    /// full.
    pub fn empty(&self, shape: &[usize], dtype: DType) -> Tensor {
        let n: usize = shape.iter().product();
        let lines = self.pool.take(n * dtype.bytes());
        let buffer = Arc::new(Buffer { lines, pool: self.pool.clone() });
        Tensor { shape: shape.to_vec(), dtype, buffer }
    }

    /// A tensor of zeros.
    pub fn zeros(&self, shape: &[usize], dtype: DType) -> Tensor {
        let mut out = self.empty(shape, dtype);
        out.bytes_mut().fill(0);
        out
    }

    /// A tensor with a copy of `values`.
    ///
    /// # Panics
    /// When `values` does not fill `shape`.
    #[track_caller]
    pub fn tensor(&self, shape: &[usize], values: &[f32]) -> Tensor {
        let mut out = self.empty(shape, DType::F32);
        out.as_mut_slice::<f32>().copy_from_slice(values);
        out
    }

    /// The same elements in storage that nobody else holds, to be written: a copy where `x` is
    /// shared.
    #[must_use]
    pub fn unshared(&self, x: Tensor) -> Tensor {
        if x.is_unshared() {
            return x;
        }
        let mut copy = self.empty(&x.shape, x.dtype);
        by_dtype!(x.dtype, T => copy.as_mut_slice::<T>().copy_from_slice(x.as_slice::<T>()));
        copy
    }

    /// The panels that were kept, or none: taken out, so that nobody waits for them.
    pub(crate) fn take_panels(&self) -> PackedB {
        mem::take(&mut *self.panels.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps panels for the next who takes some.
    pub(crate) fn keep_panels(&self, panels: PackedB) {
        *self.panels.lock().unwrap_or_else(PoisonError::into_inner) = panels;
    }
}

struct Buffer {
    lines: Vec<Line>,
    pool: Pool,
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.pool.give(mem::take(&mut self.lines));
    }
}

/// A contiguous, row-major array. Cloning shares the storage; only an unshared tensor can be
/// written.
#[derive(Clone)]
pub struct Tensor {
    shape: Vec<usize>,
    dtype: DType,
    buffer: Arc<Buffer>,
}

impl Tensor {
    /// Length of every axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How elements are stored.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// How many elements there are.
    pub fn n_elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// `(rows, width)`: all axes but the last, and the last.
    ///
    /// # Panics
    /// For a scalar.
    #[track_caller]
    pub fn rows(&self) -> (usize, usize) {
        let (width, rest) = self.shape.split_last().expect("rows: rank 0");
        (rest.iter().product(), *width)
    }

    /// The same elements under another shape.
    ///
    /// # Panics
    /// When the number of elements differs.
    #[must_use]
    #[track_caller]
    pub fn reshape(mut self, shape: &[usize]) -> Self {
        let n: usize = shape.iter().product();
        assert_eq!(n, self.n_elements(), "reshape: {:?} to {shape:?}", self.shape);
        self.shape = shape.to_vec();
        self
    }

    /// The elements.
    ///
    /// # Panics
    /// When `T` is not the stored type.
    #[track_caller]
    pub fn as_slice<T: Element + Pod>(&self) -> &[T] {
        self.check::<T>();
        &bytemuck::cast_slice(&self.buffer.lines)[..self.n_elements()]
    }

    /// The elements, writable.
    ///
    /// # Panics
    /// When `T` is not the stored type, or the storage is shared.
    #[track_caller]
    pub fn as_mut_slice<T: Element + Pod>(&mut self) -> &mut [T] {
        self.check::<T>();
        let n = self.n_elements();
        let buffer = Arc::get_mut(&mut self.buffer).expect("as_mut_slice: the tensor is shared");
        &mut bytemuck::cast_slice_mut(&mut buffer.lines)[..n]
    }

    /// Copies the elements `range` of `from` to `at` and on.
    ///
    /// # Panics
    /// When they are of another type or not there, or this storage is shared.
    #[track_caller]
    pub fn copy_range(&mut self, at: usize, from: &Self, range: Range<usize>) {
        by_dtype!(self.dtype, T => {
            let to = &mut self.as_mut_slice::<T>()[at..at + range.len()];
            to.copy_from_slice(&from.as_slice::<T>()[range]);
        });
    }

    /// Copies the elements `range` of itself to `at` and on.
    ///
    /// # Panics
    /// When they are not there, or this storage is shared.
    #[track_caller]
    pub fn copy_within(&mut self, at: usize, range: Range<usize>) {
        by_dtype!(self.dtype, T => self.as_mut_slice::<T>().copy_within(range, at));
    }

    /// Whether nobody else holds this storage.
    pub fn is_unshared(&self) -> bool {
        Arc::strong_count(&self.buffer) == 1
    }

    /// A copy in f32.
    pub fn to_vec(&self) -> Vec<f32> {
        by_dtype!(self.dtype, T => self.as_slice::<T>().iter().map(|x| x.to_f32()).collect())
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        let buffer = Arc::get_mut(&mut self.buffer).expect("bytes_mut: the tensor is shared");
        bytemuck::cast_slice_mut(&mut buffer.lines)
    }

    #[track_caller]
    fn check<T: Element>(&self) {
        let stored = by_dtype!(self.dtype, S => S::NAME);
        assert_eq!(T::NAME, stored, "a tensor {:?} of {stored} read as {}", self.shape, T::NAME);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reshape_keeps_the_elements() {
        let x = Device::cpu(Isa::detect()).tensor(&[2, 3], &[1., 2., 3., 4., 5., 6.]);
        let y = x.clone().reshape(&[3, 2]);
        assert_eq!((y.shape(), y.rows()), (&[3, 2][..], (3, 2)));
        assert_eq!(y.to_vec(), x.to_vec());
        assert!(!y.is_unshared());
    }

    #[test]
    fn what_is_shared_is_copied_to_be_written() {
        let device = Device::cpu(Isa::detect());
        let x = device.tensor(&[3], &[1., 2., 3.]);
        let mut y = device.unshared(x.clone());
        y.as_mut_slice::<f32>()[0] = 9.0;
        assert_eq!((x.to_vec(), y.to_vec()), (vec![1., 2., 3.], vec![9., 2., 3.]));
        let at = y.as_slice::<f32>().as_ptr();
        assert_eq!(device.unshared(y).as_slice::<f32>().as_ptr(), at);
    }

    #[test]
    #[should_panic(expected = "shared")]
    fn a_shared_tensor_is_not_written() {
        let mut x = Device::cpu(Isa::detect()).zeros(&[4], DType::Bf16);
        let _y = x.clone();
        x.as_mut_slice::<kernels::bf16>();
    }
}
