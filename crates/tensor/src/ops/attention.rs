//! Attention over heads, by tiles: nothing of size `T x S` is stored.
//!
//! ```text
//! p[t, s] = softmax over s of (scale q[t] . k[s]) where the mask lets t see s
//! y[t] = sum over s of p[t, s] v[s]
//! ```
//!
//! Shapes: packed `[B, T, (N + 2K) H]` as `q | k | v`; `y` `[B, T, N H]`; a cache holds keys and
//! values `[B, K, S, H]`. Vaswani et al., "Attention Is All You Need", arXiv:1706.03762, eq. 1;
//! tiling after Dao, "FlashAttention-2", arXiv:2307.08691.

use std::sync::Arc;

use kernels::attention::{self, AttnShape, AttnSpec, Heads, Pattern, Qkv, QkvGrads, Saved};

use kernels::reference::attention::{self as reference, Problem};

use super::dropout::DropSite;
use crate::dtype::{DType, by_dtype};
use crate::tape::{Tape, Var};
use crate::value::Tensor;

/// Heads, mask and dropout of one attention.
#[derive(Clone)]
pub struct AttentionArgs {
    /// `N`.
    pub n_heads: usize,
    /// `K`.
    pub n_kv_heads: usize,
    /// `H`.
    pub d_head: usize,
    /// Multiplies `q . k`.
    pub scale: f32,
    /// Who sees whom, by position.
    pub pattern: Pattern,
    /// `[B, S]`: 0 for padding, else the document.
    pub segments: Option<Arc<[u32]>>,
    /// Segments hide padded keys alone: a padded query sees what any other at its place would.
    pub keys_only: bool,
    /// Dropout on the probabilities.
    pub dropout: Option<DropSite>,
}

/// One layer's cache: `[B, K, capacity, H]`, of which `held` positions are filled.
pub struct KeyValues<'c> {
    /// Keys.
    pub key: &'c mut Tensor,
    /// Values.
    pub value: &'c mut Tensor,
    /// Positions filled so far.
    pub held: usize,
}

/// Where queries, keys and values come from.
pub enum Projected<'c> {
    /// Self-attention on one packed projection `[B, T, (N + 2K) H]`.
    Packed(&'c Var),
    /// The same, whose keys and values join those of a cache; no gradient flows.
    Cached(&'c Var, KeyValues<'c>),
}

impl AttentionArgs {
    fn shape(&self, batch: usize, q_len: usize, k_len: usize) -> AttnShape {
        let Self { n_heads, n_kv_heads, d_head, .. } = *self;
        AttnShape { batch, q_len, k_len, n_heads, n_kv_heads, d_head }
    }

    /// `q_segments` are those of the queries, where there are segments.
    fn spec<'s>(
        &'s self,
        shape: AttnShape,
        q_start: usize,
        q_segments: Option<&'s [u32]>,
    ) -> AttnSpec<'s> {
        AttnSpec {
            scale: self.scale,
            q_start,
            q_segments: q_segments.filter(|_| !self.keys_only),
            k_segments: self.segments.as_deref(),
            dropout: self.dropout.map(DropSite::by_row),
            ..AttnSpec::new(shape, self.pattern)
        }
    }

    /// The segments of the last `T` of `S` positions: the queries that join a cache.
    fn fresh_segments(&self, shape: AttnShape) -> Option<Vec<u32>> {
        let AttnShape { q_len, k_len, .. } = shape;
        let rows = self.segments.as_deref()?.chunks_exact(k_len);
        Some(rows.flat_map(|row| &row[k_len - q_len..]).copied().collect())
    }
}

impl Tape<'_> {
    /// `[B, T, (N + 2K) H] -> [B, T, N H]`.
    ///
    /// # Panics
    /// When the width is not `(N + 2K) H`, or a cache has no room.
    #[track_caller]
    pub fn attention(&self, projected: Projected, args: AttentionArgs) -> Var {
        match projected {
            Projected::Packed(packed) => self.attention_packed(packed, args),
            Projected::Cached(packed, mut cache) => {
                self.attention_cached(packed, &mut cache, &args)
            }
        }
    }

    #[track_caller]
    fn attention_packed(&self, packed: &Var, args: AttentionArgs) -> Var {
        let (batch, len) = check(packed, &args);
        let (device, multiply) = (self.device(), self.precision().multiply());
        let shape = args.shape(batch, len, len);
        let mut y = device.empty(&[batch, len, args.n_heads * args.d_head], packed.value.dtype());
        let mut lse = device.empty(&[batch, args.n_heads, len], DType::F32);
        by_dtype!(packed.value.dtype(), T => {
            let qkv = Qkv::packed(packed.value.as_slice::<T>(), &shape);
            let (y, lse) = (y.as_mut_slice::<T>(), lse.as_mut_slice::<f32>());
            let spec = args.spec(shape, 0, args.segments.as_deref());
            attention::forward(device.isa, multiply, y, lse, qkv, &spec);
        });
        self.capture_probabilities(&packed.value, shape, &args);
        let (packed, out) = (packed.clone(), y.clone());
        self.finish("attention", y, move |sweep, dy| {
            let device = sweep.device();
            let mut d_packed = device.empty(packed.value.shape(), packed.value.dtype());
            by_dtype!(packed.value.dtype(), T => {
                let qkv = Qkv::packed(packed.value.as_slice::<T>(), &shape);
                let saved = Saved {
                    out: out.as_slice::<T>(),
                    lse: lse.as_slice::<f32>(),
                    d_out: dy.as_slice::<T>(),
                };
                let grads = QkvGrads::Packed(d_packed.as_mut_slice::<T>());
                let spec = args.spec(shape, 0, args.segments.as_deref());
                attention::backward(device.isa, multiply, grads, None, saved, qkv, &spec);
            });
            sweep.give(packed.slot, d_packed);
        })
    }

    #[track_caller]
    fn attention_cached(&self, packed: &Var, cache: &mut KeyValues, args: &AttentionArgs) -> Var {
        assert!(!self.is_recording(), "attention: a cache is for inference");
        let (batch, len) = check(packed, args);
        let (device, multiply) = (self.device(), self.precision().multiply());
        let &[rows, _, capacity, _] = cache.key.shape() else { panic!("attention: cache rank") };
        let k_len = cache.held + len;
        assert!(
            rows == batch && k_len <= capacity,
            "attention: a cache of {rows} rows x {capacity} positions, asked for {batch} x {k_len}"
        );
        let shape = args.shape(batch, len, k_len);
        let q_segments = args.fresh_segments(shape);
        let mut y = device.empty(&[batch, len, args.n_heads * args.d_head], packed.value.dtype());
        let mut lse = device.empty(&[batch, args.n_heads, len], DType::F32);
        by_dtype!(packed.value.dtype(), T => {
            let fresh = packed.value.as_slice::<T>();
            let at = args.n_heads * args.d_head;
            let width = args.n_kv_heads * args.d_head;
            append(cache.key.as_mut_slice::<T>(), fresh, at, &shape, capacity);
            append(cache.value.as_mut_slice::<T>(), fresh, at + width, &shape, capacity);
            let qkv = Qkv {
                q: Qkv::packed(fresh, &args.shape(batch, len, len)).q,
                k: in_cache(cache.key.as_slice::<T>(), capacity, args),
                v: in_cache(cache.value.as_slice::<T>(), capacity, args),
            };
            let (y, lse) = (y.as_mut_slice::<T>(), lse.as_mut_slice::<f32>());
            let spec = args.spec(shape, cache.held, q_segments.as_deref());
            attention::forward(device.isa, multiply, y, lse, qkv, &spec);
        });
        self.finish("attention", y, |_, _| ())
    }

    /// Offers `attentions` `[B, N, T, S]` to a capture: computed naively, for people to look at.
    fn capture_probabilities(&self, packed: &Tensor, shape: AttnShape, args: &AttentionArgs) {
        if self.wants("attentions") {
            let AttnShape { batch, q_len, k_len, n_heads, .. } = shape;
            let qkv: Vec<f64> = packed.to_vec().into_iter().map(f64::from).collect();
            let (qkv, spec) =
                (Qkv::packed(&qkv, &shape), &args.spec(shape, 0, args.segments.as_deref()));
            let p: Vec<f32> = reference::probabilities(&Problem { spec, qkv, bias: None })
                .into_iter()
                .map(|p| p as f32)
                .collect();
            self.capture("attentions", &self.device().tensor(&[batch, n_heads, q_len, k_len], &p));
        }
    }
}

#[track_caller]
fn check(packed: &Var, args: &AttentionArgs) -> (usize, usize) {
    let width = (args.n_heads + 2 * args.n_kv_heads) * args.d_head;
    match *packed.value.shape() {
        [batch, len, w] if w == width => (batch, len),
        ref other => panic!("attention: packed {other:?}, expected [B, T, {width}]"),
    }
}

/// Copies the new rows of one part of a packed projection behind what the cache holds.
fn append<T: Copy>(cache: &mut [T], packed: &[T], at: usize, shape: &AttnShape, capacity: usize) {
    let AttnShape { batch, q_len, k_len, n_heads, n_kv_heads, d_head } = *shape;
    let width = (n_heads + 2 * n_kv_heads) * d_head;
    for b in 0..batch {
        for k in 0..n_kv_heads {
            for t in 0..q_len {
                let to = ((b * n_kv_heads + k) * capacity + k_len - q_len + t) * d_head;
                let from = (b * q_len + t) * width + at + k * d_head;
                cache[to..to + d_head].copy_from_slice(&packed[from..from + d_head]);
            }
        }
    }
}

fn in_cache<'c, T>(data: &'c [T], capacity: usize, args: &AttentionArgs) -> Heads<'c, T> {
    Heads {
        data,
        offset: 0,
        batch_stride: args.n_kv_heads * capacity * args.d_head,
        row_stride: args.d_head,
        head_stride: capacity * args.d_head,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Precision;
    use crate::ops::testing::{Fixture, check};

    fn args(pattern: Pattern) -> AttentionArgs {
        AttentionArgs {
            n_heads: 4,
            n_kv_heads: 2,
            d_head: 3,
            scale: 0.6,
            pattern,
            segments: None,
            keys_only: false,
            dropout: None,
        }
    }

    #[test]
    fn gradients() {
        let segments = [1, 1, 2, 2, 0, 3, 3, 3, 3, 3].into();
        for pattern in [Pattern::Causal, Pattern::Full] {
            let args = AttentionArgs { segments: Some(Arc::clone(&segments)), ..args(pattern) };
            check(&Fixture::new(&[], &[&[2, 5, 24]]), |tape, _, x| {
                tape.attention(Projected::Packed(&x[0]), args.clone())
            });
        }
    }

    #[test]
    fn a_cache_at_any_split_equals_the_full_pass() {
        let fixture = Fixture::new(&[], &[&[2, 7, 24]]);
        let tape = Tape::new(&fixture.device, &fixture.params, Precision::F32);
        let x = fixture.inputs[0].to_vec();
        let full = Var::constant(fixture.inputs[0].clone());
        let full = tape.attention(Projected::Packed(&full), args(Pattern::Causal));
        let full = full.value().to_vec();
        for split in 1..7 {
            let room = || fixture.device.zeros(&[2, 2, 9, 3], DType::F32);
            let (mut key, mut value) = (room(), room());
            for range in [0..split, split..7] {
                let part: Vec<f32> = (0..2)
                    .flat_map(|b| x[(b * 7 + range.start) * 24..(b * 7 + range.end) * 24].to_vec())
                    .collect();
                let part = fixture.device.tensor(&[2, range.len(), 24], &part);
                let cache = KeyValues { key: &mut key, value: &mut value, held: range.start };
                let part = Var::constant(part);
                let y = tape.attention(Projected::Cached(&part, cache), args(Pattern::Causal));
                let y = y.value().to_vec();
                for b in 0..2 {
                    let expected = &full[(b * 7 + range.start) * 12..(b * 7 + range.end) * 12];
                    let found = &y[b * range.len() * 12..][..range.len() * 12];
                    for (f, e) in found.iter().zip(expected) {
                        assert!((f - e).abs() < 1e-5, "split {split}: {f} {e}");
                    }
                }
            }
        }
    }
}
