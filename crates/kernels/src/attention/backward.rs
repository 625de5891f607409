//! Backward by blocks of keys and of queries; the probabilities are computed again.
//!
//! ```text
//! for keys of a block:
//!     for queries of a block, strip by strip:
//!         p  = exp(scale * q k^T - lse),  dp = d_out v^T
//!         ds = p * (dp - delta)           delta = d_out . out
//!         dq += ds k                      over all blocks of keys
//!     for keys of the block, panel by panel:
//!         dv += p^T d_out,  dk += ds^T q  over all blocks of queries
//! ```
//!
//! Dao, "FlashAttention-2", arXiv:2307.08691, alg. 2, with `dq` summed by one thread: the work is
//! cut by key/value head, so every sum has one order.

use std::cell::Cell;
use std::ops::Range;

use rayon::prelude::*;

use super::mask::AttnSpec;
use super::output::{HeadsMut, store_rows};
use super::spec::{AttnShape, Heads, Qkv};
use super::strip::{RowBuffers, RowGrad, Strip, gradient, row_grads};
use super::tiles::{Job, Lhs, LhsView, Rhs, clear_around, fill_across};
use super::{MAX_ROWS, Saved};
use crate::gemm::Multiply;
use crate::gemm::kernel::Kernel;
use crate::gemm::scratch::Buffer;
use crate::{Element, Isa};

/// Keys of a block.
const KEY_BLOCK: usize = 256;

/// From row to row of scores and of a block's units: room for a whole strip past the last key, and
/// an odd number of cache lines, which spreads the rows over the sets of the L1 cache.
const STRIDE: usize = KEY_BLOCK + 16;

/// Queries of a block aimed at: with the keys, two squares of units that fit half of the L2 cache.
const QUERY_BLOCK: usize = 256;

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
    static BIAS_PARTS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Where the gradients go.
pub(super) struct GradsMut<'a, T> {
    pub q: HeadsMut<'a, T>,
    pub k: HeadsMut<'a, T>,
    pub v: HeadsMut<'a, T>,
}

/// Computes every gradient of a call.
pub(super) fn run<T: Element>(
    isa: Isa,
    multiply: Multiply,
    into: &GradsMut<'_, T>,
    dbias: Option<&mut [f32]>,
    saved: Saved<'_, T>,
    qkv: Qkv<'_, T>,
    spec: &AttnSpec<'_>,
) {
    let shape = &spec.shape;
    let items = shape.batch * shape.n_kv_heads;
    let item = |i: usize, dbias: Option<&mut [f32]>| {
        let (b, kv) = (i / shape.n_kv_heads, i % shape.n_kv_heads);
        let kernel = Kernel::new(isa, multiply);
        let mut scratch = SCRATCH.take().unwrap_or_default();
        let item = Item { isa, kernel, qkv, saved, spec, b, kv };
        item.run(into, dbias, &mut scratch);
        SCRATCH.set(Some(scratch));
    };
    let Some(dbias) = dbias else {
        (0..items).into_par_iter().with_max_len(1).for_each(|i| item(i, None));
        return;
    };
    // One part a row of the batch, summed in order afterwards.
    let mut parts = BIAS_PARTS.take();
    parts.clear();
    parts.resize(shape.batch * dbias.len(), 0.0);
    let heads = shape.group() * shape.bias_width();
    let each = parts.par_chunks_exact_mut(heads).enumerate().with_max_len(1);
    each.for_each(|(i, part)| item(i, Some(part)));
    for part in parts.chunks_exact(dbias.len()) {
        dbias.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    BIAS_PARTS.set(parts);
}

/// Buffers of one thread.
#[derive(Default)]
struct Scratch {
    /// Keys as the right operand of `q k^T` and of `ds k`; values as that of `d_out v^T`.
    k: Rhs,
    k_down: Rhs,
    v: Rhs,
    /// Queries and output gradients as right operands of `ds^T q` and `p^T d_out`.
    q_down: Rhs,
    d_out_down: Rhs,
    lhs: Lhs,
    /// Scores and `dp` of one strip, `[rows, STRIDE]`.
    scores: Buffer,
    dp: Buffer,
    /// Probabilities and score gradients of one block, as units down the queries, `STRIDE` apart.
    p: Buffer,
    ds: Buffer,
    /// `[group * rows of all strips, d_head rounded up]`.
    dq: Buffer,
    /// `[KEY_BLOCK rounded up, d_head rounded up]`.
    dk: Buffer,
    dv: Buffer,
    /// Whether a strip of `dq` was written, and a panel of `dk` and `dv`.
    dq_written: Vec<bool>,
    dkv_written: Vec<bool>,
    /// Columns of `p` and `ds` that each strip of the block has.
    ranges: Vec<Range<usize>>,
    rows: RowBuffers,
}

/// The heads of row `b` that share key/value head `kv`.
struct Item<'a, T> {
    isa: Isa,
    kernel: Kernel,
    qkv: Qkv<'a, T>,
    saved: Saved<'a, T>,
    spec: &'a AttnSpec<'a>,
    b: usize,
    kv: usize,
}

/// A block of scores: queries of one head by keys.
struct Block {
    /// Head within the group.
    g: usize,
    queries: Range<usize>,
    keys: Range<usize>,
}

impl<T: Element> Item<'_, T> {
    fn run(&self, into: &GradsMut<'_, T>, mut dbias: Option<&mut [f32]>, scratch: &mut Scratch) {
        let shape = &self.spec.shape;
        let query_block = QUERY_BLOCK.next_multiple_of(self.kernel.rows());
        self.reset(scratch);
        for start in (0..shape.k_len).step_by(KEY_BLOCK) {
            let keys = start..(start + KEY_BLOCK).min(shape.k_len);
            self.pack_keys(keys.clone(), scratch);
            scratch.dkv_written.fill(false);
            for g in 0..shape.group() {
                let width = shape.bias_width();
                let mut dbias = dbias.as_deref_mut().map(|d| &mut d[g * width..][..width]);
                for start in (0..shape.q_len).step_by(query_block) {
                    let queries = start..(start + query_block).min(shape.q_len);
                    let block = Block { g, queries, keys: keys.clone() };
                    self.block(&block, dbias.as_deref_mut(), scratch);
                }
            }
            self.store_keys(keys, into, scratch);
        }
        self.store_queries(into, scratch);
    }

    /// Sizes the buffers; nothing of `dq` is written yet.
    fn reset(&self, scratch: &mut Scratch) {
        let (stride, rows) = (self.stride(), self.kernel.rows());
        let strips = self.spec.shape.group() * self.strips();
        scratch.p.sized::<u32>(self.units_len());
        scratch.ds.sized::<u32>(self.units_len());
        scratch.dq.sized::<f32>(strips * rows * stride);
        let panels = KEY_BLOCK.div_ceil(rows);
        scratch.dk.sized::<f32>(panels * rows * stride);
        scratch.dv.sized::<f32>(panels * rows * stride);
        scratch.dq_written.clear();
        scratch.dq_written.resize(strips, false);
        scratch.dkv_written.resize(panels, false);
        scratch.rows.grow(KEY_BLOCK);
    }

    /// Entries of a block of units.
    fn units_len(&self) -> usize {
        self.kernel.units(QUERY_BLOCK.next_multiple_of(self.kernel.rows())) * STRIDE
    }

    /// From row to row of `dq`, `dk` and `dv`.
    fn stride(&self) -> usize {
        self.spec.shape.d_head.next_multiple_of(self.kernel.cols())
    }

    /// Strips of one head.
    fn strips(&self) -> usize {
        self.spec.shape.q_len.div_ceil(self.kernel.rows())
    }

    fn n(&self, g: usize) -> usize {
        self.kv * self.spec.shape.group() + g
    }

    /// `out` or `d_out` as heads.
    fn heads<'a>(&self, data: &'a [T]) -> Heads<'a, T> {
        let AttnShape { q_len, n_heads, d_head, .. } = self.spec.shape;
        Heads::rows(data, 0, n_heads * d_head, q_len, d_head)
    }

    fn pack_keys(&self, keys: Range<usize>, scratch: &mut Scratch) {
        let h = self.spec.shape.d_head;
        let k = self.qkv.k.mat(self.b, keys.clone(), self.kv, h);
        let v = self.qkv.v.mat(self.b, keys, self.kv, h);
        scratch.k.pack(self.kernel, k.t());
        scratch.k_down.pack(self.kernel, k);
        scratch.v.pack(self.kernel, v.t());
    }

    /// Adds what one block of scores gives to `dq`, `dk`, `dv` and `dbias`, that of its head.
    fn block(&self, block: &Block, mut dbias: Option<&mut [f32]>, scratch: &mut Scratch) {
        let seen = self.spec.visible_in(self.b, block.queries.clone(), block.keys.clone());
        if seen.is_empty() {
            return;
        }
        let (n, h) = (self.n(block.g), self.spec.shape.d_head);
        let q = self.qkv.q.mat(self.b, block.queries.clone(), n, h);
        let d_out = self.heads(self.saved.d_out).mat(self.b, block.queries.clone(), n, h);
        scratch.q_down.pack(self.kernel, q);
        scratch.d_out_down.pack(self.kernel, d_out);
        scratch.ranges.clear();
        for start in block.queries.clone().step_by(self.kernel.rows()) {
            let end = (start + self.kernel.rows()).min(block.queries.end);
            let range = self.strip(block, start..end, dbias.as_deref_mut(), scratch);
            scratch.ranges.push(range);
        }
        let first = (seen.start - block.keys.start) / self.kernel.rows();
        let end = (seen.end - block.keys.start).div_ceil(self.kernel.rows());
        (first..end).for_each(|panel| self.key_panel(block, panel, scratch));
    }

    /// Computes `p` and `ds` of one strip and adds to its `dq`. Returns the columns it has.
    fn strip(
        &self,
        block: &Block,
        queries: Range<usize>,
        dbias: Option<&mut [f32]>,
        scratch: &mut Scratch,
    ) -> Range<usize> {
        let (kernel, keys) = (self.kernel, &block.keys);
        // Whole units: a strip has an even number of rows where a unit holds two.
        let start = kernel.units(queries.start - block.queries.start) * STRIDE;
        let place = start..start + kernel.units(queries.len()) * STRIDE;
        let seen = self.spec.visible_in(self.b, queries.clone(), keys.clone());
        if seen.is_empty() {
            scratch.p.sized::<u32>(self.units_len())[place.clone()].fill(0);
            scratch.ds.sized::<u32>(self.units_len())[place].fill(0);
            return 0..0;
        }
        let first = (seen.start - keys.start) / kernel.cols() * kernel.cols();
        let end = (seen.end - keys.start).next_multiple_of(kernel.cols());
        let strip = Strip {
            spec: self.spec,
            b: self.b,
            n: self.n(block.g),
            queries,
            first_key: keys.start + first,
            width: end - first,
            stride: STRIDE,
        };
        self.scores(&strip, first..end, scratch);
        self.gradient(&strip, dbias, scratch);
        self.keep(&strip, first..end, place, scratch);
        self.add_dq(&strip, [block.g, first, end.min(keys.len())], scratch);
        first..end
    }

    /// `q k^T` and `d_out v^T` for some columns of the block of keys.
    fn scores(&self, strip: &Strip<'_>, columns: Range<usize>, scratch: &mut Scratch) {
        let Scratch { k, v, lhs, scores, dp, .. } = scratch;
        let (rows, h) = (strip.queries.len(), self.spec.shape.d_head);
        let operands = [(self.qkv.q, &*k, scores), (self.heads(self.saved.d_out), &*v, dp)];
        for (left, rhs, out) in operands {
            let start = left.start(self.b, strip.queries.start, strip.n);
            lhs.fill(self.kernel, &left.data[start..], left.row_stride, [rows, h]);
            let lhs = lhs.view();
            let job = Job { lhs, rhs, rows, depth: 0, add: false, stride: STRIDE };
            let out = out.sized(self.kernel.rows() * STRIDE);
            job.run(self.kernel, columns.clone(), out);
        }
    }

    /// Turns scores and `dp` into `p` and `ds`.
    fn gradient(&self, strip: &Strip<'_>, dbias: Option<&mut [f32]>, scratch: &mut Scratch) {
        let shape = &self.spec.shape;
        let mut grads = [RowGrad::default(); MAX_ROWS];
        let grads = &mut grads[..strip.queries.len()];
        let lse = &self.saved.lse[(self.b * shape.n_heads + strip.n) * shape.q_len..];
        let outs = [self.heads(self.saved.out), self.heads(self.saved.d_out)];
        let at = [self.b, strip.queries.start, strip.n];
        row_grads(self.isa, outs, at, shape.d_head, &lse[strip.queries.clone()], grads);
        let len = self.kernel.rows() * STRIDE;
        let operands = [scratch.scores.sized(len), scratch.dp.sized(len)];
        gradient(self.isa, strip, operands, grads, dbias, &mut scratch.rows);
    }

    /// Keeps `p` and `ds` for the panels of keys, at `place` in the block.
    fn keep(
        &self,
        strip: &Strip<'_>,
        columns: Range<usize>,
        place: Range<usize>,
        scratch: &mut Scratch,
    ) {
        let Scratch { p, ds, scores, dp, .. } = scratch;
        let margin = if self.spec.k_segments.is_some() { KEY_BLOCK } else { self.kernel.rows() };
        let dims = [strip.queries.len(), strip.width];
        for (from, units) in [(scores, p), (dp, ds)] {
            let from = from.sized::<f32>(self.kernel.rows() * STRIDE);
            let units = &mut units.sized::<u32>(self.units_len())[place.clone()];
            clear_around(units, STRIDE, columns.clone(), margin);
            let units = &mut units[columns.start..];
            fill_across(self.kernel, from, STRIDE, dims, units, STRIDE);
        }
    }

    /// Adds `ds k` to the `dq` of a strip of head `g` of the group, for the columns `first..end`.
    fn add_dq(&self, strip: &Strip<'_>, [g, first, end]: [usize; 3], scratch: &mut Scratch) {
        let (kernel, stride, rows) = (self.kernel, self.stride(), strip.queries.len());
        let index = g * self.strips() + strip.queries.start / kernel.rows();
        let Scratch { lhs, dp, dq, dq_written, .. } = scratch;
        let ds = dp.sized::<f32>(kernel.rows() * STRIDE);
        lhs.fill(kernel, ds, STRIDE, [rows, end - first]);
        let dq = dq.sized::<f32>(dq_written.len() * kernel.rows() * stride);
        let add = std::mem::replace(&mut dq_written[index], true);
        let job = Job { lhs: lhs.view(), rhs: &scratch.k_down, rows, depth: first, add, stride };
        job.run(kernel, 0..self.spec.shape.d_head, &mut dq[index * kernel.rows() * stride..]);
    }

    /// Adds to `dk` and `dv` of one panel of keys.
    fn key_panel(&self, block: &Block, panel: usize, scratch: &mut Scratch) {
        let (kernel, stride) = (self.kernel, self.stride());
        let first = panel * kernel.rows();
        let rows = kernel.rows().min(block.keys.len() - first);
        let has = |r: &Range<usize>| r.start < first + rows && first < r.end;
        let Some(start) = scratch.ranges.iter().position(has) else { return };
        let end = scratch.ranges.iter().rposition(has).map_or(start, |last| last + 1);
        let queries = start * kernel.rows()..(end * kernel.rows()).min(block.queries.len());
        let units = kernel.units(queries.start)..kernel.units(queries.end);
        let out_len = scratch.dkv_written.len() * kernel.rows() * stride;
        let add = std::mem::replace(&mut scratch.dkv_written[panel], true);
        for (scores, rhs, out) in [
            (&scratch.p, &scratch.d_out_down, &mut scratch.dv),
            (&scratch.ds, &scratch.q_down, &mut scratch.dk),
        ] {
            let lhs = LhsView {
                units: &scores.units()[units.start * STRIDE + first..],
                n_units: units.len(),
                across: Some(STRIDE),
            };
            let job = Job { lhs, rhs, rows, depth: queries.start, add, stride };
            let out = &mut out.sized::<f32>(out_len)[first * stride..];
            job.run(kernel, 0..self.spec.shape.d_head, out);
        }
    }

    /// Writes the finished `dk` and `dv` of one block of keys.
    fn store_keys(&self, keys: Range<usize>, into: &GradsMut<'_, T>, scratch: &mut Scratch) {
        let (rows, stride) = (self.kernel.rows(), self.stride());
        let len = scratch.dkv_written.len() * rows * stride;
        let parts = [(&into.k, &mut scratch.dk, self.spec.scale), (&into.v, &mut scratch.dv, 1.0)];
        for (into, sums, by) in parts {
            let sums = sums.sized::<f32>(len).chunks_exact(rows * stride);
            for ((sums, written), first) in
                sums.zip(&scratch.dkv_written).zip(keys.clone().step_by(rows))
            {
                let by = [if *written { by } else { 0.0 }; MAX_ROWS];
                let by = &by[..rows.min(keys.end - first)];
                let at = [self.b, first, self.kv];
                // SAFETY: items share no key of a head, so these rows are only ours.
                unsafe { store_rows(self.isa, into, at, sums, stride, by) };
            }
        }
    }

    /// Writes the finished `dq`.
    fn store_queries(&self, into: &GradsMut<'_, T>, scratch: &mut Scratch) {
        let (rows, stride, q_len) = (self.kernel.rows(), self.stride(), self.spec.shape.q_len);
        let len = scratch.dq_written.len() * rows * stride;
        let sums = scratch.dq.sized::<f32>(len).chunks_exact(rows * stride);
        for (i, (sums, written)) in sums.zip(&scratch.dq_written).enumerate() {
            let (g, first) = (i / self.strips(), i % self.strips() * rows);
            let by = [if *written { self.spec.scale } else { 0.0 }; MAX_ROWS];
            let by = &by[..rows.min(q_len - first)];
            let at = [self.b, first, self.n(g)];
            // SAFETY: items share no head of queries, so these rows are only ours.
            unsafe { store_rows(self.isa, &into.q, at, sums, stride, by) };
        }
    }
}
