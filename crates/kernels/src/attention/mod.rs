//! Scaled dot-product attention, forward and backward, in tiles.
//!
//! ```text
//! out = softmax(scale * q k^T + bias + mask) v
//! ```
//!
//! Shapes: `q`, `out` `[B, T, N, H]`; `k`, `v` `[B, S, K, H]`; `lse` `[B, N, T]`. The operands are
//! strided views ([`Heads`]) of a packed projection, a cache or a memory. Nothing of size `T * S`
//! is stored: forward keeps the logsumexp of a row, and backward computes the probabilities again.
//!
//! - `spec`: sizes, views, patterns. `mask`: segments, bias and dropout, the whole [`AttnSpec`].
//! - `strip`: softmax over a few rows of scores and its gradient.
//! - `forward`, `backward`: the blocks. `decode`: one query a sequence, bound by memory.
//!
//! Rows are independent: a row has the same bits whatever shares its batch, and forward computes it
//! alike wherever a prompt is split, as long as more than one query is computed. `decode` sums in
//! another order, so a single query agrees within rounding only.
//!
//! Masked keys have a probability of zero, but tiles multiply it: a value (`v`) that is not finite
//! may reach rows of its tile that do not see it, and so may `d_out` in backward. Keys do not.
//!
//! Dao et al., "`FlashAttention`", arXiv:2205.14135; Dao, "FlashAttention-2", arXiv:2307.08691.
#![allow(clippy::inline_always)] // As in `simd`: inlined into functions with the instructions.

mod backward;
mod decode;
mod forward;
mod mask;
mod output;
mod spec;
mod strip;
mod tiles;

#[cfg(test)]
mod tests;

pub use mask::{AttnSpec, BRANCH_SHIFT};
pub use spec::{AttnShape, Heads, Pattern, Qkv};

use crate::gemm::Multiply;
use crate::{Element, Isa};
use output::HeadsMut;

/// Most rows a micro-kernel has.
const MAX_ROWS: usize = 16;

/// Where backward writes the gradients of the operands.
#[derive(Debug)]
pub enum QkvGrads<'a, T> {
    /// Self-attention on one packed projection: `[B, T, (N + 2K) * H]`, `q | k | v` in a row.
    Packed(&'a mut [T]),
    /// Queries apart from keys and values.
    Split {
        /// `[B, T, N * H]`.
        q: &'a mut [T],
        /// `[B, S, 2K * H]`, `k | v` in a row.
        kv: &'a mut [T],
    },
}

/// What forward left for backward, and the gradient of its result.
#[derive(Clone, Copy, Debug)]
pub struct Saved<'a, T> {
    /// The result, `[B, T, N, H]`.
    pub out: &'a [T],
    /// The logsumexp of every row, `[B, N, T]`.
    pub lse: &'a [f32],
    /// The gradient of `out`, `[B, T, N, H]`.
    pub d_out: &'a [T],
}

/// Writes `out` `[B, T, N, H]` and the logsumexp of every row, `lse` `[B, N, T]`.
///
/// A row that sees no key gives zeros and `-inf`.
///
/// # Panics
/// When lengths and shape disagree, or this CPU cannot run `isa`.
#[track_caller]
pub fn forward<T: Element>(
    isa: Isa,
    multiply: Multiply,
    out: &mut [T],
    lse: &mut [f32],
    qkv: Qkv<'_, T>,
    spec: &AttnSpec<'_>,
) {
    let shape = &spec.shape;
    spec.check();
    qkv.check(shape);
    assert_eq!(out.len(), shape.out_len(), "attention: out, {shape:?}");
    assert_eq!(lse.len(), shape.lse_len(), "attention: lse, {shape:?}");
    isa.assert_supported();
    if shape.q_len == 1 {
        return decode::run(isa, out, lse, qkv, spec);
    }
    let out = HeadsMut::new(out, rows_of(shape), shape.d_head);
    let lse = HeadsMut::new(lse, [0, shape.n_heads * shape.q_len, 1, shape.q_len], 1);
    forward::run(isa, multiply, &forward::Out { out, lse }, qkv, spec);
}

/// Writes the gradients of `q`, `k` and `v`, and adds that of the bias into `dbias`
/// `[N, T + S - 1]`.
///
/// Work is cut by row of the batch and key/value head, so that no two threads add into one row.
///
/// # Panics
/// When lengths and shape disagree, or this CPU cannot run `isa`.
#[track_caller]
pub fn backward<T: Element>(
    isa: Isa,
    multiply: Multiply,
    grads: QkvGrads<'_, T>,
    dbias: Option<&mut [f32]>,
    saved: Saved<'_, T>,
    qkv: Qkv<'_, T>,
    spec: &AttnSpec<'_>,
) {
    let shape = &spec.shape;
    spec.check();
    qkv.check(shape);
    assert_eq!(saved.out.len(), shape.out_len(), "attention: out, {shape:?}");
    assert_eq!(saved.d_out.len(), shape.out_len(), "attention: d_out, {shape:?}");
    assert_eq!(saved.lse.len(), shape.lse_len(), "attention: lse, {shape:?}");
    let dbias_len = dbias.as_ref().map(|dbias| dbias.len());
    assert!(
        dbias_len.is_none_or(|n| n == shape.bias_len()),
        "attention: dbias of {dbias_len:?}, [N, T + S - 1] has {}, {shape:?}",
        shape.bias_len()
    );
    isa.assert_supported();
    let into = split_grads(grads, shape);
    backward::run(isa, multiply, &into, dbias, saved, qkv, spec);
}

/// Strides of a contiguous `[B, T, N, H]`.
fn rows_of(shape: &AttnShape) -> [usize; 4] {
    let row = shape.n_heads * shape.d_head;
    [0, shape.q_len * row, row, shape.d_head]
}

/// The rows of the three gradients.
fn split_grads<'a, T>(grads: QkvGrads<'a, T>, shape: &AttnShape) -> backward::GradsMut<'a, T> {
    let AttnShape { batch, q_len, k_len, n_heads, n_kv_heads, d_head } = *shape;
    let kv_width = n_kv_heads * d_head;
    match grads {
        QkvGrads::Packed(qkv) => {
            let row = n_heads * d_head + 2 * kv_width;
            assert!(q_len == k_len, "attention: packed gradients with {shape:?}");
            assert_eq!(qkv.len(), batch * q_len * row, "attention: dqkv, {shape:?}");
            let q = HeadsMut::new(qkv, [0, q_len * row, row, d_head], d_head);
            let k = q.shifted(n_heads * d_head);
            backward::GradsMut { q, v: k.shifted(kv_width), k }
        }
        QkvGrads::Split { q, kv } => {
            assert_eq!(q.len(), shape.out_len(), "attention: dq, {shape:?}");
            assert_eq!(kv.len(), batch * k_len * 2 * kv_width, "attention: dkv, {shape:?}");
            let q = HeadsMut::new(q, rows_of(shape), d_head);
            let k = HeadsMut::new(kv, [0, k_len * 2 * kv_width, 2 * kv_width, d_head], d_head);
            backward::GradsMut { q, v: k.shifted(kv_width), k }
        }
    }
}
