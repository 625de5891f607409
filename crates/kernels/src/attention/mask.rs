//! What an attention call is told beyond its operands: scale, mask, bias and dropout.

use std::ops::Range;

use super::spec::{AttnShape, Pattern};
use crate::dropout::Dropout;
use crate::philox::{GROUP, Key, group};

/// How far in a segment's number the branch stands: below are its document's bits.
pub const BRANCH_SHIFT: u32 = 20;

/// The document of a segment, which is that of its trunk.
#[inline]
fn document(segment: u32) -> u32 {
    segment & ((1 << BRANCH_SHIFT) - 1)
}

/// One attention call: sizes, scale, mask, bias, dropout.
#[derive(Clone, Copy, Debug)]
pub struct AttnSpec<'a> {
    /// Sizes.
    pub shape: AttnShape,
    /// Multiplies `q . k`; positive.
    pub scale: f32,
    /// Which keys a query sees by position.
    pub pattern: Pattern,
    /// Position of query 0 among the keys: what a cache already held.
    pub q_start: usize,
    /// Segment of every query, `[B, T]`, 0 for padding; needs `k_segments`.
    pub q_segments: Option<&'a [u32]>,
    /// Segment of every key, `[B, S]`, 0 for padding. With `q_segments` a query sees the keys of
    /// its own segment; without, every key that is not padding. A segment `document | branch <<
    /// BRANCH_SHIFT` sees those of its document's trunk (branch 0), too, but not those of other
    /// branches: several texts go on from one beginning.
    pub k_segments: Option<&'a [u32]>,
    /// Added to the scaled score, `[N, T + S - 1]`: head `n`, query `t` (of this call) and key `k`
    /// read column `k - t + T - 1`, so column 0 is the distance `-(q_start + T - 1)`.
    pub bias: Option<&'a [f32]>,
    /// Dropout on probabilities. Its offset is the row of the whole batch that row 0 of this call
    /// is; the numbers depend on (row of the whole batch, head, query position, key), so
    /// recomputation, backward, a micro-batch and a cached prompt see the same ones.
    pub dropout: Option<Dropout>,
    /// Where the row of this call begins in one that dropout numbers go through: those of query 0
    /// are of this position.
    pub drop_from: u64,
    /// The same of key 0.
    pub drop_keys_from: u64,
}

impl<'a> AttnSpec<'a> {
    /// Scale `1 / sqrt(H)`, no segments, no bias, no dropout, queries from position 0.
    pub fn new(shape: AttnShape, pattern: Pattern) -> Self {
        Self {
            shape,
            scale: (shape.d_head as f32).sqrt().recip(),
            pattern,
            q_start: 0,
            q_segments: None,
            k_segments: None,
            bias: None,
            dropout: None,
            drop_from: 0,
            drop_keys_from: 0,
        }
    }

    /// Whether query `t` (of this call) of row `b` sees key `k`. The law; the fast paths narrow it
    /// to intervals first.
    pub fn sees(&self, b: usize, t: usize, k: usize) -> bool {
        let AttnShape { q_len, k_len, .. } = self.shape;
        let by_position = self.pattern.visible(self.q_start + t, k_len).contains(&k);
        let by_segment = self.k_segments.is_none_or(|segments| {
            let key = segments[b * k_len + k];
            Self::admits(self.q_segments.map(|segments| segments[b * q_len + t]), key)
        });
        by_position && by_segment
    }

    /// What dropout multiplies the probability at `[b, n, t, k]` with: `0` or `1 / (1 - p)`, and 1
    /// without dropout. The law; the fast paths fill whole rows.
    pub fn multiplier(&self, [b, n, t, k]: [usize; 4]) -> f32 {
        let Some(dropout) = self.dropout else { return 1.0 };
        let row = Dropout { key: self.row_key(dropout, [b, n, t]), offset: 0, ..dropout };
        if row.keep(self.drop_keys_from + k as u64) { dropout.scale() } else { 0.0 }
    }

    /// The random numbers of one row, one a key.
    fn row_key(&self, dropout: Dropout, [b, n, t]: [usize; 3]) -> Key {
        let position = self.drop_from + (self.q_start + t) as u64;
        dropout.key.fold(dropout.offset + b as u64).fold((n as u64) << 32 | position)
    }

    /// The multipliers of row `[b, n, t]` for the keys from `first`.
    #[inline(always)]
    pub(super) fn fill_multipliers(
        &self,
        dropout: Dropout,
        row: [usize; 3],
        first: usize,
        out: &mut [f32],
    ) {
        let key = self.row_key(dropout, row);
        let (threshold, scale) = (dropout.threshold(), dropout.scale());
        let first = first + self.drop_keys_from as usize;
        let end = first + out.len();
        let mut at = first;
        while at < end {
            let words = group(key, (at / GROUP) as u64);
            let next = (at / GROUP + 1) * GROUP;
            let words = &words[at % GROUP..];
            for (out, &word) in out[at - first..].iter_mut().zip(words) {
                *out = if word < threshold { 0.0 } else { scale };
            }
            at = next;
        }
    }

    /// The segment of query `t`, `None` when it sees every segment.
    #[inline]
    pub(super) fn q_segment(&self, b: usize, t: usize) -> Option<u32> {
        self.q_segments.map(|segments| segments[b * self.shape.q_len + t])
    }

    /// Segments of the keys of one sequence.
    #[inline]
    pub(super) fn key_segments(&self, b: usize) -> Option<&'a [u32]> {
        let k_len = self.shape.k_len;
        self.k_segments.map(|segments| &segments[b * k_len..][..k_len])
    }

    /// Whether a query of segment `id` sees a key, so far as segments say.
    #[inline]
    pub(super) fn admits(id: Option<u32>, key: u32) -> bool {
        key != 0 && id.is_none_or(|id| key == id || key == document(id))
    }

    /// The bias of head `n` and query `t`, one entry a key.
    #[inline]
    pub(super) fn bias_row(&self, n: usize, t: usize) -> Option<&'a [f32]> {
        self.bias.map(|bias| &bias[self.bias_start(n, t)..][..self.shape.k_len])
    }

    /// Where the bias of head `n` and query `t` starts: the column of key 0.
    #[inline]
    pub(super) fn bias_start(&self, n: usize, t: usize) -> usize {
        n * self.shape.bias_width() + self.shape.q_len - 1 - t
    }

    /// Keys that any of `queries` may see, by position.
    pub(super) fn visible(&self, queries: Range<usize>) -> Range<usize> {
        if queries.is_empty() {
            return 0..0;
        }
        let of = |t: usize| self.pattern.visible(self.q_start + t, self.shape.k_len);
        of(queries.start).start..of(queries.end - 1).end
    }

    /// Keys of `keys` that any of `queries` may see: an interval that holds all of them, without
    /// those at both ends that no query's segment matches.
    pub(super) fn visible_in(
        &self,
        b: usize,
        queries: Range<usize>,
        keys: Range<usize>,
    ) -> Range<usize> {
        let by_position = self.visible(queries.clone());
        let start = by_position.start.clamp(keys.start, keys.end);
        let range = start..by_position.end.clamp(start, keys.end);
        let Some(segments) = self.key_segments(b) else { return range };
        let (low, high) = self.segment_bounds(b, queries);
        let matches = |id: &u32| *id != 0 && (low..=high).contains(&document(*id));
        let ids = &segments[range.clone()];
        match (ids.iter().position(matches), ids.iter().rposition(matches)) {
            (Some(first), Some(last)) => start + first..start + last + 1,
            _ => start..start,
        }
    }

    /// Smallest and largest document of `queries`, padding left out.
    fn segment_bounds(&self, b: usize, queries: Range<usize>) -> (u32, u32) {
        let mut bounds = (u32::MAX, 0);
        for t in queries {
            match self.q_segment(b, t) {
                None => return (1, u32::MAX),
                Some(0) => {}
                Some(id) => {
                    let id = document(id);
                    bounds = (bounds.0.min(id), bounds.1.max(id));
                }
            }
        }
        bounds
    }

    #[track_caller]
    pub(super) fn check(&self) {
        let shape = self.shape;
        let AttnShape { batch, q_len, k_len, .. } = shape;
        assert!(self.scale > 0.0, "attention: scale {} of {shape:?}", self.scale);
        assert!(
            self.pattern != Pattern::Window { size: 0 },
            "attention: a window of 0 keys, {shape:?}"
        );
        let len = |x: Option<&[u32]>| x.map(<[u32]>::len);
        assert!(
            len(self.q_segments).is_none_or(|n| n == batch * q_len && self.k_segments.is_some()),
            "attention: {:?} query segments, {:?} key segments, {shape:?}",
            len(self.q_segments),
            len(self.k_segments)
        );
        assert!(
            len(self.k_segments).is_none_or(|n| n == batch * k_len),
            "attention: {:?} key segments, {shape:?}",
            len(self.k_segments)
        );
        let bias_len = self.bias.map(<[f32]>::len);
        assert!(
            bias_len.is_none_or(|n| n == shape.bias_len()),
            "attention: bias of {bias_len:?}, [N, T + S - 1] has {}, {shape:?}",
            shape.bias_len()
        );
        assert!(
            self.dropout.is_none_or(|d| (0.0..1.0).contains(&d.p)),
            "attention: dropout {:?}",
            self.dropout
        );
    }
}
