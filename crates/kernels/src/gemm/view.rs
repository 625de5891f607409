//! Matrices as the callers hand them over: a slice, two sizes and a stride.

use std::ops::Range;

use super::product::prefetch;

/// Bytes that memory is read in.
pub const CACHE_LINE: usize = 64;

/// Which index of a matrix is contiguous in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Elements of a row are neighbours.
    RowMajor,
    /// Elements of a column are neighbours.
    ColMajor,
}

/// A matrix to read.
#[derive(Clone, Copy, Debug)]
pub struct Mat<'a, T> {
    data: &'a [T],
    rows: usize,
    cols: usize,
    stride: usize,
    layout: Layout,
}

/// A row-major matrix to write.
#[derive(Debug)]
pub struct MatMut<'a, T> {
    data: &'a mut [T],
    rows: usize,
    cols: usize,
    stride: usize,
}

/// Elements that `lines` lines of `len` span when they start `stride` apart; `None` where no slice
/// has so many.
fn span(lines: usize, len: usize, stride: usize) -> Option<usize> {
    if lines == 0 || len == 0 {
        return Some(0);
    }
    (lines - 1).checked_mul(stride)?.checked_add(len)
}

/// Whether a slice of `held` has room for that.
fn fits(held: usize, [lines, len, stride]: [usize; 3]) -> bool {
    span(lines, len, stride).is_some_and(|span| span <= held)
}

impl<'a, T> Mat<'a, T> {
    /// `[rows, cols]`, row-major; the rows follow each other without a gap.
    ///
    /// # Panics
    /// When `data` is too short.
    #[track_caller]
    pub fn new(data: &'a [T], rows: usize, cols: usize) -> Self {
        let len = data.len();
        assert!(fits(len, [rows, cols, cols]), "matrix: [{rows}, {cols}] in a slice of {len}");
        Self { data, rows, cols, stride: cols, layout: Layout::RowMajor }
    }

    /// The same with lines (rows; columns of a transposed view) that start `stride` apart.
    ///
    /// # Panics
    /// When lines would overlap or end outside the slice.
    #[must_use]
    #[track_caller]
    pub fn with_stride(mut self, stride: usize) -> Self {
        let (lines, line_len) = match self.layout {
            Layout::RowMajor => (self.rows, self.cols),
            Layout::ColMajor => (self.cols, self.rows),
        };
        let len = self.data.len();
        assert!(
            stride >= line_len && fits(len, [lines, line_len, stride]),
            "matrix: {lines} lines of {line_len}, {stride} apart, in a slice of {len}"
        );
        self.stride = stride;
        self
    }

    /// The transposed view: `[cols, rows]` of the same memory.
    #[must_use]
    pub fn t(self) -> Self {
        let layout = match self.layout {
            Layout::RowMajor => Layout::ColMajor,
            Layout::ColMajor => Layout::RowMajor,
        };
        Self { rows: self.cols, cols: self.rows, layout, ..self }
    }

    /// Rows and columns.
    pub fn dims(&self) -> [usize; 2] {
        [self.rows, self.cols]
    }

    /// The rows as lines of a packed panel: `k` runs along a row.
    pub(crate) fn row_lines(self) -> Lines<'a, T> {
        let Self { data, rows, cols, stride, layout } = self;
        Lines { data, count: rows, k: cols, stride, along_k: layout == Layout::RowMajor }
    }

    /// The columns as lines of a packed panel: `k` runs down a column.
    pub(crate) fn col_lines(self) -> Lines<'a, T> {
        self.t().row_lines()
    }
}

impl<'a, T> MatMut<'a, T> {
    /// `[rows, cols]`, row-major; the rows follow each other without a gap.
    ///
    /// # Panics
    /// When `data` is too short.
    #[track_caller]
    pub fn new(data: &'a mut [T], rows: usize, cols: usize) -> Self {
        let len = data.len();
        assert!(fits(len, [rows, cols, cols]), "matrix: [{rows}, {cols}] in a slice of {len}");
        Self { data, rows, cols, stride: cols }
    }

    /// The same with rows that start `stride` apart.
    ///
    /// # Panics
    /// When rows would overlap or end outside the slice.
    #[must_use]
    #[track_caller]
    pub fn with_stride(mut self, stride: usize) -> Self {
        let (rows, cols, len) = (self.rows, self.cols, self.data.len());
        assert!(
            stride >= cols && fits(len, [rows, cols, stride]),
            "matrix: {rows} rows of {cols}, {stride} apart, in a slice of {len}"
        );
        self.stride = stride;
        self
    }

    /// Rows and columns.
    pub fn dims(&self) -> [usize; 2] {
        [self.rows, self.cols]
    }

    /// The pieces: data and stride.
    pub(super) fn into_parts(self) -> (&'a mut [T], usize) {
        (self.data, self.stride)
    }
}

/// One operand seen as `count` lines of `k` elements: the rows of the left one, the columns of the
/// right one. `along_k` says that a line is contiguous; otherwise the lines lie side by side.
#[derive(Clone, Copy, Debug)]
pub struct Lines<'a, T> {
    data: &'a [T],
    /// How many lines.
    pub count: usize,
    /// Elements a line.
    pub k: usize,
    stride: usize,
    /// Whether a line is contiguous in memory.
    pub along_k: bool,
}

impl<'a, T> Lines<'a, T> {
    /// Elements `k0..k1` of line `i`, or nothing past the last line. Needs `along_k`.
    #[inline]
    pub fn line(&self, i: usize, k0: usize, k1: usize) -> &'a [T] {
        debug_assert!(self.along_k);
        if i < self.count { &self.data[i * self.stride + k0..i * self.stride + k1] } else { &[] }
    }

    /// Elements from one line to the next, or, where lines lie side by side, from one `k` on.
    #[inline]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Element `k` of the lines `i0..i1`, or nothing past the end of `k`. Needs `!along_k`.
    #[inline]
    pub fn across(&self, k: usize, i0: usize, i1: usize) -> &'a [T] {
        debug_assert!(!self.along_k);
        if k < self.k { &self.data[k * self.stride + i0..k * self.stride + i1] } else { &[] }
    }
}

/// Cache lines that will be read soon, asked for a few at a time.
pub struct Soon {
    /// Where the first row of memory starts, and from row to row.
    start: *const u8,
    stride: usize,
    /// Cache lines of a row, and rows.
    row_lines: usize,
    n_rows: usize,
    /// The next one.
    at: [usize; 2],
    at_once: usize,
}

impl<T> Lines<'_, T> {
    /// The memory of some elements `ks` of some lines, to be asked for in so many turns.
    pub fn ask_for(&self, lines: Range<usize>, ks: Range<usize>, n_turns: usize) -> Soon {
        let [rows, cols] = if self.along_k { [lines, ks] } else { [ks, lines] };
        let start = self.data.as_ptr().wrapping_add(rows.start * self.stride + cols.start);
        // A row may begin in the middle of a cache line.
        let row_lines = (cols.len() * size_of::<T>()).div_ceil(CACHE_LINE) + 1;
        let at_once = (rows.len() * row_lines).div_ceil(n_turns.max(1));
        let stride = self.stride * size_of::<T>();
        Soon { start: start.cast(), stride, row_lines, n_rows: rows.len(), at: [0, 0], at_once }
    }
}

impl Soon {
    /// Asks for the lines of one turn.
    pub fn go_on(&mut self) {
        for _ in 0..self.at_once {
            let [row, line] = self.at;
            if row == self.n_rows {
                return;
            }
            prefetch(self.start.wrapping_add(row * self.stride + line * CACHE_LINE));
            self.at = if line + 1 < self.row_lines { [row, line + 1] } else { [row + 1, 0] };
        }
    }
}
