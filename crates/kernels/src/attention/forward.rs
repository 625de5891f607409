//! Forward by blocks of keys and strips of queries, with an online softmax.
//!
//! ```text
//! for keys of a block:                        packed once for all queries of the work item
//!     for queries of a strip:                 as many as the micro-kernel has rows
//!         scores = q k^T                      [rows, KEY_BLOCK], stays in the L1 cache
//!         p = exp(scale * scores - max)       the maximum so far; earlier sums are rescaled
//!         acc = rescale * acc + p v
//! out = acc / sum p
//! ```
//!
//! Dao, "FlashAttention-2", arXiv:2307.08691, alg. 1. The blocks lie at fixed keys and a row's sums
//! run over its keys in order, so a row has the same bits whatever is computed beside it.

use std::cell::Cell;
use std::ops::Range;

use rayon::prelude::*;

use super::MAX_ROWS;
use super::mask::AttnSpec;
use super::output::{HeadsMut, store_rows};
use super::spec::Qkv;
use super::strip::{RowBuffers, RowState, Strip, softmax};
use super::tiles::{Job, Lhs, Rhs};
use crate::gemm::Multiply;
use crate::gemm::kernel::Kernel;
use crate::gemm::scratch::Buffer;
use crate::{Element, Isa};

/// Keys a block: a strip of scores fits the L1 cache beside the packed probabilities.
const KEY_BLOCK: usize = 512;

/// From row to row of the scores: an odd number of cache lines, which spreads the rows over the
/// sets of the L1 cache.
const STRIDE: usize = KEY_BLOCK + 16;

/// Queries a work item aims at, over all heads that share its keys.
const QUERIES: usize = 384;

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// Where results go.
pub(super) struct Out<'a, T> {
    /// `[B, T, N, H]`.
    pub out: HeadsMut<'a, T>,
    /// `[B, N, T]`.
    pub lse: HeadsMut<'a, f32>,
}

/// Queries of a work item: a short call is one item a head, a long one is cut, by size alone.
fn chunk_len(kernel: Kernel, spec: &AttnSpec<'_>) -> usize {
    let target = (QUERIES / spec.shape.group()).max(64).next_multiple_of(kernel.rows());
    // One piece of up to twice the target is better than two that pack the keys twice.
    if spec.shape.q_len <= 2 * target { spec.shape.q_len.max(1) } else { target }
}

/// Computes every row of a call.
pub(super) fn run<T: Element>(
    isa: Isa,
    multiply: Multiply,
    out: &Out<'_, T>,
    qkv: Qkv<'_, T>,
    spec: &AttnSpec<'_>,
) {
    let kernel = Kernel::new(isa, multiply);
    let chunk = chunk_len(kernel, spec);
    let chunks = spec.shape.q_len.div_ceil(chunk);
    let items = spec.shape.batch * spec.shape.n_kv_heads * chunks;
    (0..items).into_par_iter().with_max_len(1).for_each(|item| {
        // The last queries first: under a causal mask they are the longest work.
        let start = (chunks - 1 - item % chunks) * chunk;
        let head = item / chunks;
        let queries = start..(start + chunk).min(spec.shape.q_len);
        let (b, kv) = (head / spec.shape.n_kv_heads, head % spec.shape.n_kv_heads);
        let mut scratch = SCRATCH.take().unwrap_or_default();
        let item = Item { isa, kernel, qkv, spec, b, kv, queries };
        item.run(out, &mut scratch);
        SCRATCH.set(Some(scratch));
    });
}

/// Buffers of one thread; all bounded by the sizes of a block and of an item.
#[derive(Default)]
struct Scratch {
    k: Rhs,
    v: Rhs,
    lhs: Lhs,
    /// `[rows of a strip, STRIDE]`.
    scores: Buffer,
    /// `[rows of all strips, d_head rounded up]`.
    acc: Buffer,
    /// One a row of `acc`.
    states: Vec<RowState>,
    rows: RowBuffers,
}

/// One work item: `queries` of the heads that share key/value head `kv` of row `b`.
struct Item<'a, T> {
    isa: Isa,
    kernel: Kernel,
    qkv: Qkv<'a, T>,
    spec: &'a AttnSpec<'a>,
    b: usize,
    kv: usize,
    queries: Range<usize>,
}

/// One strip of an item.
struct StripAt {
    /// Query head.
    n: usize,
    queries: Range<usize>,
    /// Row in `acc` and `states`.
    row: usize,
}

impl<T: Element> Item<'_, T> {
    fn run(&self, out: &Out<'_, T>, scratch: &mut Scratch) {
        let shape = &self.spec.shape;
        let strips = self.queries.len().div_ceil(self.kernel.rows());
        let rows = shape.group() * strips * self.kernel.rows();
        scratch.states.clear();
        scratch.states.resize(rows, RowState::EMPTY);
        scratch.acc.sized::<f32>(rows * self.acc_stride());
        scratch.rows.grow(KEY_BLOCK);
        let visible = self.spec.visible(self.queries.clone());
        for start in (visible.start / KEY_BLOCK * KEY_BLOCK..visible.end).step_by(KEY_BLOCK) {
            let keys = start..(start + KEY_BLOCK).min(shape.k_len);
            self.pack_keys(keys.clone(), scratch);
            self.strips().for_each(|at| self.strip(&at, keys.clone(), scratch));
        }
        self.strips().for_each(|at| self.store(&at, out, scratch));
    }

    fn acc_stride(&self) -> usize {
        self.spec.shape.d_head.next_multiple_of(self.kernel.cols())
    }

    fn strips(&self) -> impl Iterator<Item = StripAt> + use<T> {
        let (group, rows, queries) =
            (self.spec.shape.group(), self.kernel.rows(), self.queries.clone());
        let (first_head, strips) = (self.kv * group, queries.len().div_ceil(rows));
        (0..group * strips).map(move |i| {
            let start = queries.start + i % strips * rows;
            StripAt {
                n: first_head + i / strips,
                queries: start..(start + rows).min(queries.end),
                row: i * rows,
            }
        })
    }

    fn pack_keys(&self, keys: Range<usize>, scratch: &mut Scratch) {
        let h = self.spec.shape.d_head;
        let [k, v] = [self.qkv.k, self.qkv.v].map(|x| x.mat(self.b, keys.clone(), self.kv, h));
        scratch.k.pack(self.kernel, k.t());
        scratch.v.pack(self.kernel, v);
    }

    /// Takes the keys of one block into the rows of one strip.
    fn strip(&self, at: &StripAt, keys: Range<usize>, scratch: &mut Scratch) {
        let (spec, kernel, rows) = (self.spec, self.kernel, at.queries.len());
        let seen = spec.visible_in(self.b, at.queries.clone(), keys.clone());
        if seen.is_empty() {
            return;
        }
        // Whole panels of keys, counted from the start of the block.
        let first = (seen.start - keys.start) / kernel.cols() * kernel.cols();
        let width = (seen.end - keys.start - first).next_multiple_of(kernel.cols());
        let Scratch { k, v, lhs, states, .. } = scratch;
        let scores = scratch.scores.sized::<f32>(kernel.rows() * STRIDE);
        let (q, h) = (self.qkv.q, spec.shape.d_head);
        let start = q.start(self.b, at.queries.start, at.n);
        lhs.fill(kernel, &q.data[start..], q.row_stride, [rows, h]);
        let job = Job { lhs: lhs.view(), rhs: k, rows, depth: 0, add: false, stride: STRIDE };
        job.run(kernel, first..first + width, scores);
        let strip = Strip {
            spec,
            b: self.b,
            n: at.n,
            queries: at.queries.clone(),
            first_key: keys.start + first,
            width,
            stride: STRIDE,
        };
        let n_rows = states.len();
        let states = &mut states[at.row..][..rows];
        let fresh = states.iter().all(RowState::is_empty);
        softmax(self.isa, &strip, scores, states, &mut scratch.rows);
        // Columns past the last key are zero, and the packed values end before them.
        let depth = width.min(keys.len() - first);
        lhs.fill(kernel, scores, STRIDE, [rows, depth]);
        let stride = self.acc_stride();
        let acc = &mut scratch.acc.sized::<f32>(n_rows * stride)[at.row * stride..];
        if !fresh {
            rescale(acc, stride, states);
        }
        let job = Job { lhs: lhs.view(), rhs: v, rows, depth: first, add: !fresh, stride };
        job.run(kernel, 0..h, acc);
    }

    /// Writes the finished rows of one strip.
    fn store(&self, at: &StripAt, out: &Out<'_, T>, scratch: &mut Scratch) {
        let stride = self.acc_stride();
        let states = &scratch.states[at.row..][..at.queries.len()];
        let mut by = [0.0; MAX_ROWS];
        for (i, (state, by)) in states.iter().zip(&mut by).enumerate() {
            *by = state.normalizer();
            // SAFETY: items share no query of a head, so this row is only ours.
            let lse = unsafe { out.lse.row(self.b, at.queries.start + i, at.n) };
            lse[0] = state.log_sum_exp();
        }
        let rows = scratch.states.len();
        let acc = &scratch.acc.sized::<f32>(rows * stride)[at.row * stride..];
        let first = [self.b, at.queries.start, at.n];
        // SAFETY: items share no query of a head, so these rows are only ours.
        unsafe { store_rows(self.isa, &out.out, first, acc, stride, &by[..states.len()]) };
    }
}

/// Multiplies the rows of an accumulator with what their maxima ask for.
fn rescale(acc: &mut [f32], stride: usize, states: &[RowState]) {
    for (acc, state) in acc.chunks_exact_mut(stride).zip(states) {
        if state.rescale != 1.0 {
            for x in acc {
                *x *= state.rescale;
            }
        }
    }
}
