//! Attention over heads, by tiles: nothing of size `T x S` is stored.
//!
//! ```text
//! p[t, s] = softmax over s of (scale q[t] . k[s]) where the mask lets t see s
//! y[t] = sum over s of p[t, s] v[s]
//! ```
//!
//! Shapes: packed `[B, T, (N + 2K) H]` as `q | k | v`; a memory `[B, S, 2K H]` as `k | v` beside
//! queries `[B, T, N H]`; `y` `[B, T, N H]`; a cache holds keys and values `[B, K, S, H]`. Vaswani
//! et al., "Attention Is All You Need", arXiv:1706.03762, eq. 1; tiling after Dao,
//! "FlashAttention-2", arXiv:2307.08691.

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
    /// Of queries on a memory, what they see of it; none is all that is not padding.
    pub reads: Option<Reads>,
    /// `[N, T + S - 1]` in f32, added to the scaled products by distance: column 0 is the first key
    /// seen from the last query.
    pub bias: Option<Var>,
    /// Dropout on the probabilities.
    pub dropout: Option<DropSite>,
}

/// What queries see of a memory in which several texts lie side by side.
#[derive(Clone)]
pub struct Reads {
    /// `[B, T]`: of each query the segment whose keys it sees.
    pub segments: Arc<[u32]>,
    /// Keys of the whole batch that come before the first: dropout knows a key by its place in it.
    pub first_key: u64,
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
    /// Queries `[B, T, N H]` on the keys and values of a memory, `[B, S, 2K H]`.
    Memory(&'c Var, &'c Var),
}

/// Queries and keys with values: one projection, or two.
#[derive(Clone)]
enum Source {
    Packed(Var),
    Split(Var, Var),
}

impl Source {
    fn queries(&self) -> &Tensor {
        match self {
            Self::Packed(packed) => &packed.value,
            Self::Split(query, _) => &query.value,
        }
    }

    fn flows(&self) -> bool {
        match self {
            Self::Packed(packed) => packed.flows(),
            Self::Split(query, memory) => query.flows() || memory.flows(),
        }
    }

    fn view<T: kernels::Element>(&self, shape: &AttnShape) -> Qkv<'_, T> {
        match self {
            Self::Packed(packed) => Qkv::packed(packed.value.as_slice::<T>(), shape),
            Self::Split(q, kv) => {
                Qkv::split(q.value.as_slice::<T>(), kv.value.as_slice::<T>(), shape)
            }
        }
    }
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
            bias: self.bias.as_ref().map(|bias| bias.value.as_slice::<f32>()),
            dropout: self.dropout.map(DropSite::by_row),
            drop_from: self.dropout.map_or(0, |site| site.rng.first_token),
            drop_keys_from: match &self.reads {
                Some(reads) => reads.first_key,
                None => self.dropout.map_or(0, |site| site.rng.first_token),
            },
            ..AttnSpec::new(shape, self.pattern)
        }
    }

    /// The segments of the queries: those of the keys, unless keys are a memory's.
    fn q_segments(&self, source: &Source) -> Option<&[u32]> {
        match source {
            Source::Packed(_) => self.segments.as_deref(),
            Source::Split(..) => self.reads.as_ref().map(|reads| &*reads.segments),
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
            Projected::Packed(packed) => {
                let (batch, len) = check(packed, args.n_heads + 2 * args.n_kv_heads, &args);
                let shape = args.shape(batch, len, len);
                self.attention_over(Source::Packed(packed.clone()), shape, args)
            }
            Projected::Memory(query, memory) => {
                let (batch, q_len) = check(query, args.n_heads, &args);
                let (rows, k_len) = check(memory, 2 * args.n_kv_heads, &args);
                assert_eq!(batch, rows, "attention: {batch} queries on a memory of {rows}");
                let shape = args.shape(batch, q_len, k_len);
                self.attention_over(Source::Split(query.clone(), memory.clone()), shape, args)
            }
            Projected::Cached(packed, mut cache) => {
                self.attention_cached(packed, &mut cache, &args)
            }
        }
    }

    fn attention_over(&self, source: Source, shape: AttnShape, args: AttentionArgs) -> Var {
        let (device, multiply) = (self.device(), self.precision().multiply());
        let AttnShape { batch, q_len, n_heads, .. } = shape;
        let dtype = source.queries().dtype();
        let mut y = device.empty(&[batch, q_len, n_heads * args.d_head], dtype);
        let mut lse = device.empty(&[batch, n_heads, q_len], DType::F32);
        by_dtype!(dtype, T => {
            let (y, lse) = (y.as_mut_slice::<T>(), lse.as_mut_slice::<f32>());
            let spec = args.spec(shape, 0, args.q_segments(&source));
            attention::forward(device.isa, multiply, y, lse, source.view::<T>(&shape), &spec);
        });
        self.capture_probabilities(&source, shape, &args);
        let out = y.clone();
        let biased = args.bias.as_ref().is_some_and(Var::flows);
        self.finish("attention", biased || source.flows(), y, move |sweep, dy| {
            let device = sweep.device();
            let mut d_bias = args.bias.as_ref().map(|b| device.zeros(b.value.shape(), DType::F32));
            let (mut dq, mut d_kv) = match &source {
                Source::Packed(packed) => (device.empty(packed.value.shape(), dtype), None),
                Source::Split(q, kv) => {
                    let d_kv = device.empty(kv.value.shape(), dtype);
                    (device.empty(q.value.shape(), dtype), Some(d_kv))
                }
            };
            by_dtype!(dtype, T => {
                let saved = Saved {
                    out: out.as_slice::<T>(),
                    lse: lse.as_slice::<f32>(),
                    d_out: dy.as_slice::<T>(),
                };
                let grads = match &mut d_kv {
                    None => QkvGrads::Packed(dq.as_mut_slice::<T>()),
                    Some(kv) => {
                        QkvGrads::Split { q: dq.as_mut_slice::<T>(), kv: kv.as_mut_slice::<T>() }
                    }
                };
                let spec = args.spec(shape, 0, args.q_segments(&source));
                let d_bias = d_bias.as_mut().map(|b| b.as_mut_slice::<f32>());
                let qkv = source.view::<T>(&shape);
                attention::backward(device.isa, multiply, grads, d_bias, saved, qkv, &spec);
            });
            if let (Some(bias), Some(grad)) = (&args.bias, d_bias) {
                sweep.give(bias.slot, grad);
            }
            match source {
                Source::Packed(packed) => sweep.give(packed.slot, dq),
                Source::Split(query, memory) => {
                    sweep.give(query.slot, dq);
                    sweep.give(memory.slot, d_kv.expect("made above"));
                }
            }
        })
    }

    #[track_caller]
    fn attention_cached(&self, packed: &Var, cache: &mut KeyValues, args: &AttentionArgs) -> Var {
        assert!(!self.is_recording(), "attention: a cache is for inference");
        let (batch, len) = check(packed, args.n_heads + 2 * args.n_kv_heads, args);
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
        self.finish("attention", false, y, |_, _| ())
    }

    /// Offers `attentions` `[B, N, T, S]` to a capture: computed naively, for people to look at.
    fn capture_probabilities(&self, source: &Source, shape: AttnShape, args: &AttentionArgs) {
        if self.wants("attentions") {
            let AttnShape { batch, q_len, k_len, n_heads, .. } = shape;
            let wide = |x: &Var| x.value.to_vec().into_iter().map(f64::from).collect::<Vec<f64>>();
            let (first, second) = match source {
                Source::Packed(packed) => (wide(packed), None),
                Source::Split(query, memory) => (wide(query), Some(wide(memory))),
            };
            let qkv = match &second {
                None => Qkv::packed(&first, &shape),
                Some(memory) => Qkv::split(&first, memory, &shape),
            };
            let spec = &args.spec(shape, 0, args.q_segments(source));
            let bias = args.bias.as_ref().map(wide);
            let bias = bias.as_deref();
            let p: Vec<f32> = reference::probabilities(&Problem { spec, qkv, bias })
                .into_iter()
                .map(|p| p as f32)
                .collect();
            self.capture("attentions", &self.device().tensor(&[batch, n_heads, q_len, k_len], &p));
        }
    }
}

#[track_caller]
fn check(x: &Var, n_heads: usize, args: &AttentionArgs) -> (usize, usize) {
    let width = n_heads * args.d_head;
    match *x.value.shape() {
        [batch, len, w] if w == width => (batch, len),
        ref other => panic!("attention: projected {other:?}, expected [B, T, {width}]"),
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
            reads: None,
            bias: None,
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
    fn gradients_of_a_memory_and_a_bias() {
        let segments = [1, 1, 0, 1, 1, 1].into();
        let args = AttentionArgs { segments: Some(segments), ..args(Pattern::Full) };
        let inputs: [&[usize]; 3] = [&[2, 5, 12], &[2, 3, 12], &[4, 7]];
        check(&Fixture::new(&[], &inputs), |tape, _, x| {
            let args = AttentionArgs { bias: Some(x[2].clone()), ..args.clone() };
            tape.attention(Projected::Memory(&x[0], &x[1]), args)
        });
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
