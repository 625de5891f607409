//! Where heads lie in the rows of a packed projection.

/// Some heads of every row of a buffer: row r starts at `r * row_stride`, its heads at `offset` in
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadRows {
    /// Elements from one row to the next.
    pub row_stride: usize,
    /// The first head within a row.
    pub offset: usize,
    /// Heads that follow one another.
    pub n_heads: usize,
    /// Channels of a head.
    pub d_head: usize,
}

impl HeadRows {
    /// Elements of a row's heads.
    pub fn width(&self) -> usize {
        self.n_heads * self.d_head
    }

    /// How many rows `len` elements are.
    #[track_caller]
    pub(crate) fn count(&self, op: &str, len: usize) -> usize {
        assert!(
            self.width() > 0 && self.offset + self.width() <= self.row_stride,
            "{op}: {self:?}"
        );
        assert!(len.is_multiple_of(self.row_stride), "{op}: {len} elements, {self:?}");
        len / self.row_stride
    }
}
