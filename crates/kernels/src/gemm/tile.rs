//! Writing one matrix from several threads: a matrix is handed out as disjoint rectangles.
#![allow(clippy::inline_always)] // Rows of tiles are taken in the code of micro-kernels.

use std::marker::PhantomData;
use std::ops::Range;

use super::view::MatMut;

/// A matrix of which threads take rectangles. The one place where "disjoint" is promised, not
/// checked: rectangles of a row-major matrix interleave in memory, so no slice can be one.
pub struct Disjoint<'a, T> {
    data: *mut T,
    rows: usize,
    cols: usize,
    stride: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: it is a `&mut [T]` cut up; the threads that share it write through disjoint tiles only,
// which `Disjoint::tile` demands of its callers.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}

/// A rectangle of a row-major matrix, borrowed for writing.
pub struct TileMut<'a, T> {
    data: *mut T,
    rows: usize,
    cols: usize,
    stride: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

impl<'a, T> Disjoint<'a, T> {
    /// The whole matrix, to be cut.
    pub fn new(mat: MatMut<'a, T>) -> Self {
        let [rows, cols] = mat.dims();
        let (data, stride) = mat.into_parts();
        Self { data: data.as_mut_ptr(), rows, cols, stride, lifetime: PhantomData }
    }

    /// All of a matrix of one row.
    ///
    /// # Safety
    /// No tile of it may live or be made any more.
    pub unsafe fn whole(&self) -> &[T] {
        assert_eq!(self.rows, 1, "tile: a slice of {} rows", self.rows);
        // SAFETY: the memory is borrowed for `'a`, and the caller vouches that nobody writes it.
        unsafe { std::slice::from_raw_parts(self.data, self.cols) }
    }

    /// One rectangle.
    ///
    /// # Safety
    /// While a tile lives, no other tile that shares an element with it may.
    pub unsafe fn tile(&self, rows: Range<usize>, cols: Range<usize>) -> TileMut<'_, T> {
        assert!(rows.start <= rows.end && rows.end <= self.rows, "tile: rows {rows:?}");
        assert!(cols.start <= cols.end && cols.end <= self.cols, "tile: columns {cols:?}");
        TileMut {
            // Wrapping, since an empty rectangle may start past the end.
            data: self.data.wrapping_add(rows.start * self.stride + cols.start),
            rows: rows.len(),
            cols: cols.len(),
            stride: self.stride,
            lifetime: PhantomData,
        }
    }
}

impl<'a, T> TileMut<'a, T> {
    /// A contiguous `[rows, cols]` at the start of a slice.
    #[inline(always)]
    pub fn new(data: &'a mut [T], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// `[rows, cols]` at the start of a slice, rows `stride` apart.
    #[inline(always)]
    pub fn strided(data: &'a mut [T], rows: usize, cols: usize, stride: usize) -> Self {
        let span = |rows: usize| rows.checked_mul(stride)?.checked_add(cols);
        let fits = rows == 0 || span(rows - 1).is_some_and(|span| span <= data.len());
        assert!(cols <= stride && fits, "tile: [{rows}, {cols}] in a slice of {}", data.len());
        Self { data: data.as_mut_ptr(), rows, cols, stride, lifetime: PhantomData }
    }

    /// Rows and columns.
    #[inline(always)]
    pub fn dims(&self) -> [usize; 2] {
        [self.rows, self.cols]
    }

    /// From row to row.
    #[inline(always)]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Where an element is, or would be: an address to ask for, not to read.
    #[inline(always)]
    pub fn address(&self, [row, col]: [usize; 2]) -> *const T {
        self.data.wrapping_add(row * self.stride + col)
    }

    /// The same rectangle, for a shorter time.
    #[inline(always)]
    pub fn reborrow(&mut self) -> TileMut<'_, T> {
        TileMut { lifetime: PhantomData, ..*self }
    }

    /// One row.
    #[inline(always)]
    pub fn row(&mut self, i: usize) -> &mut [T] {
        assert!(i < self.rows, "tile: row {i} of {}", self.rows);
        // SAFETY: row `i` of the rectangle lies in the memory borrowed for `'a`, and `&mut self`
        // keeps a second slice of this rectangle away.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(i * self.stride), self.cols) }
    }

    /// The part that starts at a row and column and is at most `rows` by `cols`.
    #[inline(always)]
    pub fn part(&mut self, [row, col]: [usize; 2], rows: usize, cols: usize) -> TileMut<'_, T> {
        assert!(row < self.rows && col < self.cols, "tile: part at [{row}, {col}]");
        TileMut {
            // SAFETY: `[row, col]` is an element of this rectangle.
            data: unsafe { self.data.add(row * self.stride + col) },
            rows: rows.min(self.rows - row),
            cols: cols.min(self.cols - col),
            stride: self.stride,
            lifetime: PhantomData,
        }
    }
}
