//! Matrices as the callers hand them over: a slice, two sizes and a stride.

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

/// Elements that `lines` lines of `len` span when they start `stride` apart.
fn span(lines: usize, len: usize, stride: usize) -> usize {
    if lines == 0 || len == 0 { 0 } else { (lines - 1) * stride + len }
}

impl<'a, T> Mat<'a, T> {
    /// `[rows, cols]`, row-major; the rows follow each other without a gap.
    ///
    /// # Panics
    /// When `data` is too short.
    #[track_caller]
    pub fn new(data: &'a [T], rows: usize, cols: usize) -> Self {
        let len = data.len();
        assert!(len >= rows * cols, "matrix: [{rows}, {cols}] in a slice of {len}");
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
            stride >= line_len && len >= span(lines, line_len, stride),
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

    /// Which index is contiguous.
    pub fn layout(&self) -> Layout {
        self.layout
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
        assert!(len >= rows * cols, "matrix: [{rows}, {cols}] in a slice of {len}");
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
            stride >= cols && len >= span(rows, cols, stride),
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
