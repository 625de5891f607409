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
use rayon::prelude::*;

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

/// One layer's cache, of which some rows are in work: `[R, K, capacity, H]`.
pub struct KeyValues<'c> {
    /// Keys.
    pub key: &'c mut Tensor,
    /// Values.
    pub value: &'c mut Tensor,
    /// The first row in work.
    pub first: usize,
    /// `[B]`: positions filled so far, of that and those behind it.
    pub held: &'c [usize],
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

    /// A row that holds less than the longest, with its part of the bias: that is by distance, so
    /// its last columns.
    fn part_of(&self, shape: AttnShape) -> (AttnShape, Option<Vec<f32>>) {
        let bias = self.bias.as_ref().map(|bias| {
            let bias = bias.value.as_slice::<f32>();
            let heads = bias.chunks_exact(bias.len() / self.n_heads);
            heads.flat_map(|row| &row[row.len() - shape.bias_width()..]).copied().collect()
        });
        (shape, bias)
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
        let (first, held) = (cache.first, cache.held);
        let most = held.iter().copied().max().unwrap_or(0);
        assert!(
            batch == held.len() && first + batch <= rows && most + len <= capacity,
            "attention: a cache of {rows} rows x {capacity}, asked for {batch} from {first} on x \
             {most} + {len}"
        );
        let is_even = held.iter().all(|n| *n == most);
        assert!(is_even || args.segments.is_none(), "attention: segments over rows of {held:?}");
        let shape = args.shape(batch, len, most + len);
        let q_segments = args.fresh_segments(shape);
        let mut y = device.empty(&[batch, len, args.n_heads * args.d_head], packed.value.dtype());
        let mut lse = device.empty(&[batch, args.n_heads, len], DType::F32);
        by_dtype!(packed.value.dtype(), T => {
            let fresh = packed.value.as_slice::<T>();
            let at = args.n_heads * args.d_head;
            let width = args.n_kv_heads * args.d_head;
            let heads = |b: usize| (first + b) * args.n_kv_heads;
            let to = |b: usize, k: usize| ((heads(b) + k) * capacity + held[b]) * args.d_head;
            append(cache.key.as_mut_slice::<T>(), fresh, at, &shape, to);
            append(cache.value.as_mut_slice::<T>(), fresh, at + width, &shape, to);
            let qkv = Qkv {
                q: Qkv::packed(fresh, &args.shape(batch, len, len)).q,
                k: in_cache(cache.key.as_slice::<T>(), capacity, args).from(first),
                v: in_cache(cache.value.as_slice::<T>(), capacity, args).from(first),
            };
            let (y, lse) = (y.as_mut_slice::<T>(), lse.as_mut_slice::<f32>());
            if is_even {
                let spec = args.spec(shape, most, q_segments.as_deref());
                attention::forward(device.isa, multiply, y, lse, qkv, &spec);
            } else {
                let part = |held| args.part_of(args.shape(1, len, held + len));
                let parts: Vec<_> = held.iter().map(part).collect();
                let specs = parts.iter().zip(held).map(|((shape, bias), held)| {
                    let bias = bias.as_deref();
                    AttnSpec { bias, ..args.spec(*shape, *held, None) }
                });
                let specs: Vec<AttnSpec> = specs.collect();
                let rows = y.par_chunks_exact_mut(len * at);
                let rows = rows.zip(lse.par_chunks_exact_mut(args.n_heads * len)).zip(&specs);
                rows.enumerate().for_each(|(b, ((y, lse), spec))| {
                    let qkv = Qkv { q: qkv.q.from(b), k: qkv.k.from(b), v: qkv.v.from(b) };
                    attention::forward(device.isa, multiply, y, lse, qkv, spec);
                });
            }
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

/// Copies the new rows of one part of a packed projection to where `to` says that they go, by row
/// and head.
fn append<T: Copy>(
    cache: &mut [T],
    packed: &[T],
    at: usize,
    shape: &AttnShape,
    to: impl Fn(usize, usize) -> usize,
) {
    let AttnShape { batch, q_len, n_heads, n_kv_heads, d_head, .. } = *shape;
    let width = (n_heads + 2 * n_kv_heads) * d_head;
    for b in 0..batch {
        for k in 0..n_kv_heads {
            let cache = &mut cache[to(b, k)..][..q_len * d_head];
            for (t, cache) in cache.chunks_exact_mut(d_head).enumerate() {
                cache.copy_from_slice(
                    &packed[(b * q_len + t) * width + at + k * d_head..][..d_head],
                );
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
    fn rows_of_a_cache_are_as_each_alone() {
        let fixture = Fixture::new(&[], &[&[3, 7, 24]]);
        let tape = Tape::new(&fixture.device, &fixture.params, Precision::F32);
        let x = fixture.inputs[0].to_vec();
        let rows = |rows: &[usize], at: usize, len: usize| {
            let part = |row: &usize| x[(row * 7 + at) * 24..(row * 7 + at + len) * 24].to_vec();
            let part: Vec<f32> = rows.iter().flat_map(part).collect();
            Var::constant(fixture.device.tensor(&[rows.len(), len, 24], &part))
        };
        let room = |n| fixture.device.zeros(&[n, 2, 9, 3], DType::F32);
        let read = |key: &mut Tensor, value: &mut Tensor, first, held: &[usize], x: &Var| {
            let at = KeyValues { key, value, first, held };
            let args = args(Pattern::Window { size: 4 });
            tape.attention(Projected::Cached(x, at), args).value().to_vec()
        };
        let held = [5, 0, 2];
        for len in [1, 2] {
            let (mut key, mut value) = (room(3), room(3));
            let mut expected = Vec::new();
            for (row, &held) in held.iter().enumerate() {
                let (mut own_key, mut own_value) = (room(1), room(1));
                if held > 0 {
                    let before = rows(&[row], 0, held);
                    let y = read(&mut key, &mut value, row, &[0], &before);
                    assert_eq!(y, read(&mut own_key, &mut own_value, 0, &[0], &before));
                }
                let x = rows(&[row], 5, len);
                expected.extend(read(&mut own_key, &mut own_value, 0, &[held], &x));
            }
            let found = read(&mut key, &mut value, 0, &held, &rows(&[0, 1, 2], 5, len));
            assert_eq!(found, expected);
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
                let held = &[range.start; 2];
                let cache = KeyValues { key: &mut key, value: &mut value, first: 0, held };
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
