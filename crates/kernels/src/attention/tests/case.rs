//! One call with random operands, run fast and by the reference.

use crate::attention::{AttnShape, AttnSpec, BRANCH_SHIFT, Pattern, Qkv, QkvGrads, Saved};
use crate::dropout::Dropout;
use crate::gemm::Multiply;
use crate::philox::Key;
use crate::reference::attention as reference;
use crate::{Element, Isa};

/// Which keys are padding, and how documents are packed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Segments {
    None,
    Left,
    Right,
    Holes,
    Packed,
    /// Documents of which two branches go on from a trunk.
    Branches,
    AllPadding,
    /// Padding of keys alone, as in cross-attention.
    Memory,
}

impl Segments {
    /// What is left of it where queries have no segments.
    pub fn keys_only(self) -> Self {
        if self == Self::None { self } else { Self::Memory }
    }

    /// The segment of position `i` of `len` in row `b`.
    fn id(self, b: usize, i: usize, len: usize) -> u32 {
        let padding = (b + 1) * len / 5;
        match self {
            Self::None => 1,
            Self::Left => u32::from(i >= padding),
            Self::Right => u32::from(i + padding < len),
            Self::Holes | Self::Memory => u32::from(!(i * 7 + b).is_multiple_of(3)),
            Self::Branches => {
                let part = (i * 9 / len.max(1)) as u32;
                (part / 3 + 1) | ((part % 3) << BRANCH_SHIFT)
            }
            Self::Packed => (i * (b + 2) / len.max(1)) as u32 + 1,
            Self::AllPadding => u32::from(b == 1),
        }
    }

    fn ids(self, batch: usize, len: usize) -> Vec<u32> {
        (0..batch * len).map(|i| self.id(i / len, i % len, len)).collect()
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// `[B, T, S, N, K, H]`.
    pub shape: [usize; 6],
    pub pattern: Pattern,
    pub q_start: usize,
    pub segments: Segments,
    pub bias: bool,
    pub dropout: f32,
}

/// Numbers of about unit size, the same for the same seed.
pub fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..len).map(|_| 2.0 * (next() + next())).collect()
}

pub fn wide<T: Element>(x: &[T]) -> Vec<f64> {
    x.iter().map(|x| f64::from(x.to_f32())).collect()
}

/// A case with its operands: `q` `[B, T, N, H]` and `kv` `[B, S, 2, K, H]`.
pub struct Inputs<T> {
    pub case: Case,
    pub q: Vec<T>,
    pub kv: Vec<T>,
    pub d_out: Vec<T>,
    pub bias: Vec<f32>,
    pub segments: [Vec<u32>; 2],
}

/// Everything a call gives.
#[derive(Debug, PartialEq)]
pub struct Results<T> {
    pub out: Vec<T>,
    pub lse: Vec<f32>,
    pub dq: Vec<T>,
    pub dkv: Vec<T>,
    pub dbias: Vec<f32>,
}

impl Case {
    pub fn shape(&self) -> AttnShape {
        let [batch, q_len, k_len, n_heads, n_kv_heads, d_head] = self.shape;
        AttnShape { batch, q_len, k_len, n_heads, n_kv_heads, d_head }
    }

    pub fn inputs<T: Element>(&self) -> Inputs<T> {
        let shape = self.shape();
        let kv_len = shape.batch * shape.k_len * 2 * shape.n_kv_heads * shape.d_head;
        // With bf16 products an f32 operand is rounded as well; here it is exact in bf16.
        let exact = |len, seed| -> Vec<T> {
            random(len, seed)
                .iter()
                .map(|&x| T::from_f32(half::bf16::from_f32(x).to_f32()))
                .collect()
        };
        Inputs {
            case: *self,
            q: exact(shape.out_len(), 1),
            kv: exact(kv_len, 2),
            d_out: exact(shape.out_len(), 3),
            bias: random(shape.bias_len(), 4),
            segments: [shape.q_len, shape.k_len].map(|len| self.segments.ids(shape.batch, len)),
        }
    }

    /// Compares forward and backward with the reference.
    #[track_caller]
    pub fn compare<T: Element>(&self, isa: Isa, multiply: Multiply, bounds: [f64; 2], what: &str) {
        let inputs = self.inputs::<T>();
        let fast = inputs.run(isa, multiply);
        let slow = inputs.reference();
        close(&wide(&fast.out), &slow.out, bounds[0], &format!("out: {what}"));
        let lse: Vec<f64> = fast.lse.iter().map(|&x| f64::from(x)).collect();
        close(&lse, &slow.lse, bounds[0].min(1e-5), &format!("lse: {what}"));
        close(&wide(&fast.dq), &slow.dq, bounds[1], &format!("dq: {what}"));
        close(&wide(&fast.dkv), &slow.dkv, bounds[1], &format!("dkv: {what}"));
        let dbias: Vec<f64> = fast.dbias.iter().map(|&x| f64::from(x)).collect();
        close(&dbias, &slow.dbias, bounds[1], &format!("dbias: {what}"));
    }
}

impl<T: Element> Inputs<T> {
    pub fn spec(&self) -> AttnSpec<'_> {
        let case = &self.case;
        let mut spec = AttnSpec::new(case.shape(), case.pattern);
        spec.q_start = case.q_start;
        spec.bias = case.bias.then_some(&self.bias[..]);
        if case.dropout > 0.0 {
            spec.dropout = Some(Dropout { p: case.dropout, key: Key::new(7).fold(9), offset: 3 });
        }
        if case.segments != Segments::None {
            spec.k_segments = Some(&self.segments[1]);
            // Cached keys and the queries end together.
            let queries = case.segments != Segments::Memory && case.shape[1] == case.shape[2];
            spec.q_segments = queries.then_some(&self.segments[0][..]);
        }
        spec
    }

    pub fn run(&self, isa: Isa, multiply: Multiply) -> Results<T> {
        let spec = self.spec();
        let shape = spec.shape;
        let qkv = Qkv::split(&self.q, &self.kv, &shape);
        // Filled with NaN: every entry must be written.
        let nan = |len| vec![T::from_f32(f32::NAN); len];
        let (mut out, mut lse) = (nan(shape.out_len()), vec![f32::NAN; shape.lse_len()]);
        crate::attention::forward(isa, multiply, &mut out, &mut lse, qkv, &spec);
        let (mut dq, mut dkv) = (nan(self.q.len()), nan(self.kv.len()));
        let mut dbias = vec![0.0; if self.case.bias { shape.bias_len() } else { 0 }];
        let grads = QkvGrads::Split { q: &mut dq, kv: &mut dkv };
        let into = self.case.bias.then_some(&mut dbias[..]);
        let saved = Saved { out: &out, lse: &lse, d_out: &self.d_out };
        crate::attention::backward(isa, multiply, grads, into, saved, qkv, &spec);
        Results { out, lse, dq, dkv, dbias }
    }

    pub fn reference(&self) -> Reference {
        let spec = self.spec();
        let shape = spec.shape;
        let (q, kv, d_out) = (wide(&self.q), wide(&self.kv), wide(&self.d_out));
        let bias: Vec<f64> = self.bias.iter().map(|&x| f64::from(x)).collect();
        let problem = reference::Problem {
            spec: &spec,
            qkv: Qkv::split(&q, &kv, &shape),
            bias: self.case.bias.then_some(&bias[..]),
        };
        let (mut out, mut lse) = (vec![0.0; q.len()], vec![0.0; shape.lse_len()]);
        reference::forward(&mut out, &mut lse, &problem);
        let mut dq = vec![0.0; q.len()];
        let (mut dk, mut dv) = (vec![0.0; kv.len() / 2], vec![0.0; kv.len() / 2]);
        let mut dbias = vec![0.0; if self.case.bias { bias.len() } else { 0 }];
        let mut grads = reference::Grads {
            dq: &mut dq,
            dk: &mut dk,
            dv: &mut dv,
            dbias: self.case.bias.then_some(&mut dbias[..]),
        };
        reference::backward(&mut grads, &d_out, &problem);
        let row = shape.n_kv_heads * shape.d_head;
        let pairs = dk.chunks(row).zip(dv.chunks(row));
        let dkv = pairs.flat_map(|(k, v)| k.iter().chain(v).copied()).collect();
        Reference { out, lse, dq, dkv, dbias }
    }
}

/// What the reference gives.
pub struct Reference {
    pub out: Vec<f64>,
    pub lse: Vec<f64>,
    pub dq: Vec<f64>,
    pub dkv: Vec<f64>,
    pub dbias: Vec<f64>,
}

/// Panics where an entry differs by more than `bound` of the largest one (at least 0.1: gradients
/// that cancel to nothing are not asked for digits).
#[track_caller]
pub fn close(fast: &[f64], slow: &[f64], bound: f64, what: &str) {
    assert_eq!(fast.len(), slow.len(), "{what}");
    let finite = slow.iter().filter(|x| x.is_finite());
    let size = finite.fold(0.1_f64, |size, x| size.max(x.abs()));
    for (i, (fast, slow)) in fast.iter().zip(slow).enumerate() {
        let same = fast == slow || (fast - slow).abs() <= bound * size;
        assert!(same, "{what}\nentry {i}: {fast} instead of {slow}, largest {size}");
    }
}
