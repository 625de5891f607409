//! One query a sequence against many keys: bound by reading `k` and `v` once.
//!
//! Cut by row of the batch, key/value head and chunk of keys; the chunks lie at fixed keys and are
//! merged in order, so the result depends on neither the batch nor the threads. Products are f32
//! throughout.
//!
//! Dao et al., "Flash-Decoding for long-context inference" (2023): the chunks and their merge.

use std::cell::Cell;
use std::ops::Range;

use rayon::prelude::*;

use super::mask::AttnSpec;
use super::spec::Qkv;
use super::strip::{RowBuffers, RowState, Strip, softmax_body};
use crate::simd::{Block, LANES, Simd, Whole, for_blocks, simd_fn};
use crate::{Element, Isa};

/// Keys a chunk.
const CHUNK: usize = 512;

/// Multiplications a task is worth starting for.
const TASK: usize = 1 << 16;

thread_local! {
    static PARTIALS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    static BUFFERS: Cell<Buffers> = const { Cell::new(Buffers::EMPTY) };
}

/// Buffers of one thread.
#[derive(Default)]
struct Buffers {
    scores: Vec<f32>,
    rows: RowBuffers,
}

impl Buffers {
    const EMPTY: Self = Self { scores: Vec::new(), rows: RowBuffers::EMPTY };
}

/// One chunk of keys of one key/value head.
struct Item<'a, T> {
    qkv: Qkv<'a, T>,
    spec: &'a AttnSpec<'a>,
    b: usize,
    kv: usize,
    keys: Range<usize>,
}

/// Computes every row of a call with `q_len == 1`.
pub(super) fn run<T: Element>(
    isa: Isa,
    out: &mut [T],
    lse: &mut [f32],
    qkv: Qkv<'_, T>,
    spec: &AttnSpec<'_>,
) {
    let shape = &spec.shape;
    let (group, h) = (shape.group(), shape.d_head);
    let chunks = shape.k_len.div_ceil(CHUNK).max(1);
    // A partial result: the weighted sum of values, the maximum, the sum.
    let partial = group * (h + 2);
    let mut partials = PARTIALS.take();
    let len = shape.batch * shape.n_kv_heads * chunks * partial;
    if partials.len() < len {
        partials.resize(len, 0.0);
    }
    let min_items = (TASK / (CHUNK.min(shape.k_len).max(1) * group * h)).max(1);
    let items = partials[..len].par_chunks_exact_mut(partial).enumerate();
    items.with_min_len(min_items).for_each(|(i, partial)| {
        let (head, start) = (i / chunks, i % chunks * CHUNK);
        let (b, kv) = (head / shape.n_kv_heads, head % shape.n_kv_heads);
        let keys = start..(start + CHUNK).min(shape.k_len);
        let mut buffers = BUFFERS.take();
        chunk(isa, &Item { qkv, spec, b, kv, keys }, partial, &mut buffers);
        BUFFERS.set(buffers);
    });
    let heads = out.par_chunks_exact_mut(group * h).zip(lse.par_chunks_exact_mut(group));
    heads
        .zip(partials[..len].par_chunks_exact(chunks * partial))
        .with_min_len(TASK / partial)
        .for_each(|((out, lse), parts)| merge(out, lse, parts));
    PARTIALS.set(partials);
}

simd_fn! {
    /// Writes the partial results of one chunk, `[group, H + 2]`.
    fn chunk<T: Element>(item: &Item<'_, T>, partial: &mut [f32], buffers: &mut Buffers)
        = chunk_body;
}

#[inline(always)]
fn chunk_body<S: Simd, T: Element>(
    s: S,
    item: &Item<'_, T>,
    partial: &mut [f32],
    buffers: &mut Buffers,
) {
    let (spec, h) = (item.spec, item.spec.shape.d_head);
    let group = spec.shape.group();
    let seen = spec.visible_in(item.b, 0..1, item.keys.clone());
    let width = item.keys.len().next_multiple_of(LANES);
    buffers.rows.grow(width);
    if buffers.scores.len() < group * width {
        buffers.scores.resize(group * width, 0.0);
    }
    scores(s, item, seen.clone(), [width, group], &mut buffers.scores);
    for (g, partial) in partial.chunks_exact_mut(h + 2).enumerate() {
        let (sums, stats) = partial.split_at_mut(h);
        let strip = Strip {
            spec,
            b: item.b,
            n: item.kv * group + g,
            queries: 0..1,
            first_key: item.keys.start,
            width,
            stride: width,
        };
        let (mut state, p) = ([RowState::EMPTY], &mut buffers.scores[g * width..][..width]);
        if !seen.is_empty() {
            softmax_body(s, &strip, p, &mut state, &mut buffers.rows);
        }
        let p = &p[seen.start - item.keys.start..][..seen.len()];
        weighted_values(s, item, seen.start, p, sums);
        stats.copy_from_slice(&[state[0].max, state[0].sum]);
    }
}

/// `q . k` of the keys `seen` for every head of the group, into rows of `width`.
#[inline(always)]
fn scores<S: Simd, T: Element>(
    s: S,
    item: &Item<'_, T>,
    seen: Range<usize>,
    [width, group]: [usize; 2],
    scores: &mut [f32],
) {
    let h = item.spec.shape.d_head;
    for key in seen {
        let k = item.qkv.k.row(item.b, key, item.kv, h);
        for g in 0..group {
            let q = item.qkv.q.row(item.b, 0, item.kv * group + g, h);
            let mut sum = s.splat(0.0);
            for_blocks!(h, |at| {
                sum = s.fma(at.load(s, q), at.load(s, k), sum);
            });
            scores[g * width + key - item.keys.start] = s.reduce_add(sum);
        }
    }
}

/// `sums = sum_k p[k] v[k]` over the keys from `first`.
#[inline(always)]
fn weighted_values<S: Simd, T: Element>(
    s: S,
    item: &Item<'_, T>,
    first: usize,
    p: &[f32],
    sums: &mut [f32],
) {
    let (values, h) = (item.qkv.v, sums.len());
    let mut block = 0;
    // Four sums stay in registers while the keys go by.
    while block + 4 * LANES <= h {
        let mut acc = [s.splat(0.0); 4];
        for (i, &p) in p.iter().enumerate() {
            let v = &values.row(item.b, first + i, item.kv, h)[block..];
            let p = s.splat(p);
            for (j, acc) in acc.iter_mut().enumerate() {
                *acc = s.fma(p, Whole(j).load(s, v), *acc);
            }
        }
        for (j, acc) in acc.into_iter().enumerate() {
            Whole(j).store(s, &mut sums[block..], acc);
        }
        block += 4 * LANES;
    }
    for_blocks!(h - block, |at| {
        let mut acc = s.splat(0.0);
        for (i, &p) in p.iter().enumerate() {
            let v = &values.row(item.b, first + i, item.kv, h)[block..];
            acc = s.fma(s.splat(p), at.load(s, v), acc);
        }
        at.store(s, &mut sums[block..], acc);
    });
}

/// Merges the chunks `[chunks, group, H + 2]` of the heads of one group, in order.
fn merge<T: Element>(out: &mut [T], lse: &mut [f32], partials: &[f32]) {
    let (group, h) = (lse.len(), out.len() / lse.len());
    for (g, (out, lse)) in out.chunks_exact_mut(h).zip(lse.iter_mut()).enumerate() {
        let parts = || partials.chunks_exact(h + 2).skip(g).step_by(group).map(|p| p.split_at(h));
        let max = parts().map(|(_, stats)| stats[0]).fold(f32::NEG_INFINITY, f32::max);
        // A chunk without keys has the weight e^-inf, also where every chunk is one.
        let shift = if max == f32::NEG_INFINITY { 0.0 } else { max };
        let weight = |stats: &[f32]| (stats[0] - shift).exp();
        let sum: f32 = parts().map(|(_, stats)| weight(stats) * stats[1]).sum();
        *lse = max + sum.ln();
        for (i, out) in out.iter_mut().enumerate() {
            let total: f32 = parts().map(|(sums, stats)| weight(stats) * sums[i]).sum();
            *out = T::from_f32(if sum == 0.0 { 0.0 } else { total / sum });
        }
    }
}
