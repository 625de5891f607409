//! What an attention call is told: sizes, where the heads lie, who sees whom.

use std::ops::Range;

use crate::gemm::Mat;

/// Sizes of one attention call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttnShape {
    /// `B`, sequences.
    pub batch: usize,
    /// `T`, queries a sequence.
    pub q_len: usize,
    /// `S`, keys a sequence.
    pub k_len: usize,
    /// `N`, query heads.
    pub n_heads: usize,
    /// `K`, key/value heads; divides `n_heads`. Query head `n` reads key/value head `n / (N / K)`.
    pub n_kv_heads: usize,
    /// `H`, width of a head.
    pub d_head: usize,
}

impl AttnShape {
    /// Query heads that share one key/value head.
    pub fn group(&self) -> usize {
        self.n_heads / self.n_kv_heads
    }

    /// Entries of a contiguous `[B, T, N, H]`.
    pub fn out_len(&self) -> usize {
        self.batch * self.q_len * self.n_heads * self.d_head
    }

    /// Entries of a contiguous `[B, N, T]`.
    pub fn lse_len(&self) -> usize {
        self.batch * self.n_heads * self.q_len
    }

    /// Entries of a contiguous `[N, T + S - 1]`, the bias by distance.
    pub fn bias_len(&self) -> usize {
        self.n_heads * self.bias_width()
    }

    /// Distances a call can meet, `T + S - 1`.
    pub fn bias_width(&self) -> usize {
        (self.q_len + self.k_len).saturating_sub(1)
    }
}

/// Heads inside a larger buffer: element `h` of head `n` of row `t` of sequence `b` lies at
/// `offset + b * batch_stride + t * row_stride + n * head_stride + h`.
///
/// One type for a packed projection, a cache with spare room, a head-major cache and an encoder's
/// memory.
#[derive(Clone, Copy, Debug)]
pub struct Heads<'a, T> {
    /// The buffer.
    pub data: &'a [T],
    /// Where sequence 0, row 0, head 0 starts.
    pub offset: usize,
    /// From one sequence to the next.
    pub batch_stride: usize,
    /// From one row to the next.
    pub row_stride: usize,
    /// From one head to the next.
    pub head_stride: usize,
}

impl<'a, T> Heads<'a, T> {
    /// Heads side by side in rows of `row_stride`, `len` rows a sequence, sequences one after
    /// another: a part of a packed projection.
    pub fn rows(
        data: &'a [T],
        offset: usize,
        row_stride: usize,
        len: usize,
        d_head: usize,
    ) -> Self {
        Self { data, offset, batch_stride: len * row_stride, row_stride, head_stride: d_head }
    }

    /// Sequence `b` and those behind it.
    #[must_use]
    pub fn from(self, b: usize) -> Self {
        Self { offset: self.offset + b * self.batch_stride, ..self }
    }

    /// Where row `t` of head `n` of sequence `b` starts.
    #[inline]
    pub fn start(&self, b: usize, t: usize, n: usize) -> usize {
        self.offset + b * self.batch_stride + t * self.row_stride + n * self.head_stride
    }

    /// Row `t` of head `n` of sequence `b`.
    #[inline]
    pub fn row(&self, b: usize, t: usize, n: usize, d_head: usize) -> &'a [T] {
        &self.data[self.start(b, t, n)..][..d_head]
    }

    /// The `rows` of one head, `[rows, d_head]`.
    #[inline]
    pub(super) fn mat(&self, b: usize, rows: Range<usize>, n: usize, d_head: usize) -> Mat<'a, T> {
        let data = &self.data[self.start(b, rows.start, n)..];
        Mat::new(data, rows.len(), d_head).with_stride(self.row_stride)
    }

    /// Panics unless every row of `[batch, len, n]` heads of `d_head` lies inside the buffer.
    #[track_caller]
    pub(crate) fn check(&self, name: &str, [batch, len, n, d_head]: [usize; 4]) {
        if batch * len * n * d_head == 0 {
            return;
        }
        let end = self.start(batch - 1, len - 1, n - 1) + d_head;
        assert!(
            end <= self.data.len(),
            "attention: {name} ends at {end} for [B, len, heads, H] = {:?} of a buffer of {}",
            [batch, len, n, d_head],
            self.data.len()
        );
    }
}

/// The three operands.
#[derive(Clone, Copy, Debug)]
pub struct Qkv<'a, T> {
    /// Queries, `[B, T, N, H]`.
    pub q: Heads<'a, T>,
    /// Keys, `[B, S, K, H]`.
    pub k: Heads<'a, T>,
    /// Values, `[B, S, K, H]`.
    pub v: Heads<'a, T>,
}

impl<'a, T> Qkv<'a, T> {
    /// Self-attention on one packed projection `[B, T, (N + 2K) * H]`, `q | k | v` in a row.
    pub fn packed(data: &'a [T], shape: &AttnShape) -> Self {
        let AttnShape { q_len, n_heads, n_kv_heads, d_head, .. } = *shape;
        let stride = (n_heads + 2 * n_kv_heads) * d_head;
        let part = |offset| Heads::rows(data, offset, stride, q_len, d_head);
        Self { q: part(0), k: part(n_heads * d_head), v: part((n_heads + n_kv_heads) * d_head) }
    }

    /// Queries `[B, T, N * H]` apart from keys and values `[B, S, 2K * H]`, `k | v` in a row.
    pub fn split(q: &'a [T], kv: &'a [T], shape: &AttnShape) -> Self {
        let AttnShape { q_len, k_len, n_heads, n_kv_heads, d_head, .. } = *shape;
        let part = |offset| Heads::rows(kv, offset, 2 * n_kv_heads * d_head, k_len, d_head);
        Self {
            q: Heads::rows(q, 0, n_heads * d_head, q_len, d_head),
            k: part(0),
            v: part(n_kv_heads * d_head),
        }
    }

    #[track_caller]
    pub(crate) fn check(&self, shape: &AttnShape) {
        let AttnShape { batch, q_len, k_len, n_heads, n_kv_heads, d_head } = *shape;
        assert!(
            n_kv_heads > 0 && n_heads.is_multiple_of(n_kv_heads) && n_heads > 0 && d_head > 0,
            "attention: n_kv_heads must divide n_heads and d_head be positive: {shape:?}"
        );
        self.q.check("q", [batch, q_len, n_heads, d_head]);
        self.k.check("k", [batch, k_len, n_kv_heads, d_head]);
        self.v.check("v", [batch, k_len, n_kv_heads, d_head]);
    }
}

/// Which keys a query may see, from positions alone. Always an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// Every key (encoders, cross-attention).
    Full,
    /// Keys at or before the query (decoders).
    Causal,
    /// `Full` inside the first `len` positions, `Causal` after them (prefix-LM).
    Prefix {
        /// Positions every query sees.
        len: usize,
    },
    /// The last `size` keys, the query's own included.
    Window {
        /// Keys seen; at least 1.
        size: usize,
    },
}

impl Pattern {
    /// The keys, of `k_len`, that the query at position `q_pos` sees.
    #[inline]
    pub fn visible(self, q_pos: usize, k_len: usize) -> Range<usize> {
        let end = match self {
            Self::Full => k_len,
            Self::Causal | Self::Window { .. } => k_len.min(q_pos + 1),
            Self::Prefix { len } => k_len.min(len.max(q_pos + 1)),
        };
        let start = match self {
            Self::Window { size } => (q_pos + 1).saturating_sub(size),
            _ => 0,
        };
        start.min(end)..end
    }
}
