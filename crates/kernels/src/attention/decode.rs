//! One query a sequence against many keys: bound by reading `k` and `v` once.
//!
//! Cut by row of the batch and chunk of keys. The chunks lie at fixed keys and are merged in order,
//! so the result depends on neither the batch nor the threads. Inside a chunk a few keys are taken
//! for all heads before the next few, so memory is read about in its own order whether a cache is
//! `[S, K, H]` or `[K, S, H]`. Products are f32 throughout.
//!
//! Dao et al., "Flash-Decoding for long-context inference" (2023): the chunks and their merge.

use std::cell::Cell;
use std::ops::Range;

use rayon::prelude::*;

use super::mask::AttnSpec;
use super::spec::{Heads, Qkv};
use super::strip::{RowBuffers, RowState, Strip, softmax_body};
use crate::gemm::product::prefetch;
use crate::simd::{Block, LANES, Simd, Whole, for_blocks, simd_fn};
use crate::{Element, Isa};

/// Keys a chunk.
const CHUNK: usize = 256;

/// Keys taken for all heads before the next ones, which are asked for from memory meanwhile.
const KEYS: usize = 16;

/// Multiplications a task is worth starting for.
const TASK: usize = 1 << 16;

thread_local! {
    static PARTIALS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    static BUFFERS: Cell<Buffers> = const { Cell::new(Buffers::EMPTY) };
}

/// Buffers of one thread.
#[derive(Default)]
struct Buffers {
    /// The queries of the row, `[N, H]`.
    q: Vec<f32>,
    /// `[N, CHUNK]`.
    scores: Vec<f32>,
    rows: RowBuffers,
}

impl Buffers {
    const EMPTY: Self = Self { q: Vec::new(), scores: Vec::new(), rows: RowBuffers::EMPTY };
}

/// One chunk of keys of one row of the batch.
struct Item<'a, T> {
    qkv: Qkv<'a, T>,
    spec: &'a AttnSpec<'a>,
    b: usize,
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
    let chunks = shape.k_len.div_ceil(CHUNK).max(1);
    // A partial result of a head: the weighted sum of values, the maximum, the sum.
    let partial = shape.n_heads * (shape.d_head + 2);
    let mut partials = PARTIALS.take();
    let len = shape.batch * chunks * partial;
    if partials.len() < len {
        partials.resize(len, 0.0);
    }
    let min_items = (TASK / (CHUNK.min(shape.k_len + 1) * partial)).max(1);
    let items = partials[..len].par_chunks_exact_mut(partial).enumerate();
    items.with_min_len(min_items).for_each(|(i, partial)| {
        let (b, start) = (i / chunks, i % chunks * CHUNK);
        let keys = start..(start + CHUNK).min(shape.k_len);
        let mut buffers = BUFFERS.take();
        chunk(isa, &Item { qkv, spec, b, keys }, partial, &mut buffers);
        BUFFERS.set(buffers);
    });
    let rows = out.par_chunks_exact_mut(shape.n_heads * shape.d_head);
    rows.zip(lse.par_chunks_exact_mut(shape.n_heads))
        .zip(partials[..len].par_chunks_exact_mut(chunks * partial))
        .with_min_len((TASK / (chunks * partial)).max(1))
        .for_each(|((out, lse), parts)| merge(out, lse, parts));
    PARTIALS.set(partials);
}

simd_fn! {
    /// Writes the partial results of one chunk, `[N, H + 2]`.
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
    let (spec, shape) = (item.spec, &item.spec.shape);
    let h = shape.d_head;
    let Buffers { q, scores, rows } = buffers;
    rows.grow(CHUNK);
    scores.resize(shape.n_heads * CHUNK, 0.0);
    q.resize(shape.n_heads * h, 0.0);
    for (n, to) in q.chunks_exact_mut(h).enumerate() {
        let from = item.qkv.q.row(item.b, 0, n, h);
        for_blocks!(h, |at| {
            at.store(s, to, at.load(s, from));
        });
    }
    let seen = spec.visible_in(item.b, 0..1, item.keys.clone());
    for first in seen.clone().step_by(KEYS) {
        let keys = first..(first + KEYS).min(seen.end);
        for kv in 0..shape.n_kv_heads {
            prefetch_rows(&item.qkv.k, [item.b, first + KEYS, kv, h]);
            score_keys(s, item, q, kv, keys.clone(), scores);
        }
    }
    for (n, partial) in partial.chunks_exact_mut(h + 2).enumerate() {
        let strip = Strip {
            spec,
            b: item.b,
            n,
            queries: 0..1,
            first_key: item.keys.start,
            width: CHUNK,
            stride: CHUNK,
        };
        let mut state = [RowState::EMPTY];
        if !seen.is_empty() {
            softmax_body(s, &strip, &mut scores[n * CHUNK..], &mut state, rows);
        }
        partial[..h].fill(0.0);
        partial[h..].copy_from_slice(&[state[0].max, state[0].sum]);
    }
    for first in seen.clone().step_by(KEYS) {
        let keys = first..(first + KEYS).min(seen.end);
        for kv in 0..shape.n_kv_heads {
            prefetch_rows(&item.qkv.v, [item.b, first + KEYS, kv, h]);
            add_values(s, item, kv, keys.clone(), scores, partial);
        }
    }
}

/// Asks for the memory of [`KEYS`] rows, which may lie past the end.
#[inline(always)]
fn prefetch_rows<T>(heads: &Heads<'_, T>, [b, first, n, d_head]: [usize; 4]) {
    for key in first..first + KEYS {
        let row = heads.data.as_ptr().wrapping_add(heads.start(b, key, n));
        for i in (0..d_head).step_by((64 / size_of::<T>()).max(1)) {
            prefetch(row.wrapping_add(i));
        }
    }
}

/// `q . k` of some keys for every head of the group of `kv`.
#[inline(always)]
fn score_keys<S: Simd, T: Element>(
    s: S,
    item: &Item<'_, T>,
    q: &[f32],
    kv: usize,
    keys: Range<usize>,
    scores: &mut [f32],
) {
    let (h, group) = (item.spec.shape.d_head, item.spec.shape.group());
    let q = &q[kv * group * h..][..group * h];
    for key in keys {
        let k = item.qkv.k.row(item.b, key, kv, h);
        let column = key - item.keys.start;
        let scores = &mut scores[kv * group * CHUNK + column..];
        let mut g = 0;
        while g + 4 <= group {
            dots::<S, T, 4>(s, &q[g * h..], k, &mut scores[g * CHUNK..]);
            g += 4;
        }
        while g < group {
            dots::<S, T, 1>(s, &q[g * h..], k, &mut scores[g * CHUNK..]);
            g += 1;
        }
    }
}

/// `q . k` for `G` heads, which share what is loaded of `k`, written `CHUNK` apart.
#[inline(always)]
fn dots<S: Simd, T: Element, const G: usize>(s: S, q: &[f32], k: &[T], scores: &mut [f32]) {
    let mut sums = [s.splat(0.0); G];
    for_blocks!(k.len(), |at| {
        let k_block = at.load(s, k);
        for (g, sum) in sums.iter_mut().enumerate() {
            *sum = s.fma(at.load(s, &q[g * k.len()..][..k.len()]), k_block, *sum);
        }
    });
    for (g, sum) in sums.into_iter().enumerate() {
        scores[g * CHUNK] = s.reduce_add(sum);
    }
}

/// Adds `sum_k p[k] v[k]` of some keys for every head of the group of `kv`.
#[inline(always)]
fn add_values<S: Simd, T: Element>(
    s: S,
    item: &Item<'_, T>,
    kv: usize,
    keys: Range<usize>,
    p: &[f32],
    partial: &mut [f32],
) {
    let (h, group) = (item.spec.shape.d_head, item.spec.shape.group());
    let column = keys.start - item.keys.start;
    let v = item.qkv.v;
    let rows = v.start(item.b, keys.start, kv);
    let mut n = kv * group;
    while n < (kv + 1) * group {
        let several = n + 4 <= (kv + 1) * group;
        let (p, sums) = (&p[n * CHUNK + column..], &mut partial[n * (h + 2)..]);
        let v = (&v.data[rows..], v.row_stride);
        if several {
            weighted::<S, T, 4>(s, v, [h, keys.len()], p, sums);
        } else {
            weighted::<S, T, 1>(s, v, [h, keys.len()], p, sums);
        }
        n += if several { 4 } else { 1 };
    }
}

/// `sums[g] += sum_k p[g][k] v[k]` for `G` heads, which share what is loaded of `v`.
#[inline(always)]
fn weighted<S: Simd, T: Element, const G: usize>(
    s: S,
    (v, stride): (&[T], usize),
    [h, n_keys]: [usize; 2],
    p: &[f32],
    sums: &mut [f32],
) {
    let mut block = 0;
    // Two vectors of every head stay in registers while the keys go by.
    while block + 2 * LANES <= h {
        let mut acc = [[s.splat(0.0); 2]; G];
        for (g, acc) in acc.iter_mut().enumerate() {
            let from = &sums[g * (h + 2) + block..];
            *acc = [Whole(0).load(s, from), Whole(1).load(s, from)];
        }
        for key in 0..n_keys {
            let v = &v[key * stride + block..];
            let v = [Whole(0).load(s, v), Whole(1).load(s, v)];
            for (g, acc) in acc.iter_mut().enumerate() {
                let p = s.splat(p[g * CHUNK + key]);
                *acc = [s.fma(p, v[0], acc[0]), s.fma(p, v[1], acc[1])];
            }
        }
        for (g, acc) in acc.into_iter().enumerate() {
            let to = &mut sums[g * (h + 2) + block..];
            Whole(0).store(s, to, acc[0]);
            Whole(1).store(s, to, acc[1]);
        }
        block += 2 * LANES;
    }
    for g in 0..G {
        let sums = &mut sums[g * (h + 2) + block..][..h - block];
        for_blocks!(sums.len(), |at| {
            let mut acc = at.load(s, sums);
            for key in 0..n_keys {
                let v = &v[key * stride + block..][..h - block];
                acc = s.fma(s.splat(p[g * CHUNK + key]), at.load(s, v), acc);
            }
            at.store(s, sums, acc);
        });
    }
}

/// Merges the chunks `[chunks, N, H + 2]` of one row of the batch, in order, into the first.
fn merge<T: Element>(out: &mut [T], lse: &mut [f32], partials: &mut [f32]) {
    let (n_heads, h) = (lse.len(), out.len() / lse.len());
    let (first, rest) = partials.split_at_mut(n_heads * (h + 2));
    let heads = first.chunks_exact_mut(h + 2).zip(out.chunks_exact_mut(h)).zip(lse.iter_mut());
    for (n, ((first, out), lse)) in heads.enumerate() {
        let others = || rest.chunks_exact(h + 2).skip(n).step_by(n_heads);
        let max = others().map(|part| part[h]).fold(first[h], f32::max);
        // A chunk without keys has the weight e^-inf, also where every chunk is one.
        let shift = if max == f32::NEG_INFINITY { 0.0 } else { max };
        let weight = (first[h] - shift).exp();
        for x in first.iter_mut() {
            *x *= weight;
        }
        let mut sum = first[h + 1];
        for part in others() {
            let weight = (part[h] - shift).exp();
            for (total, x) in first[..h].iter_mut().zip(part) {
                *total += weight * x;
            }
            sum += weight * part[h + 1];
        }
        *lse = max + sum.ln();
        for (out, total) in out.iter_mut().zip(first) {
            *out = T::from_f32(if sum == 0.0 { 0.0 } else { *total / sum });
        }
    }
}
