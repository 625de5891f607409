//! One pass through a model, as the laws look at it.

use std::cell::RefCell;
use std::sync::Arc;

use models::{Model, Stack};
use nn::{Call, Context, KvCache};
use tensor::{DType, Device, Grads, Isa, Loss, Precision, Rng, Tape};
use testing::Numbers;

pub fn device() -> Device {
    Device::cpu(Isa::detect())
}

/// Tokens of the model's vocabulary.
pub fn tokens(model: &Model, n: usize, seed: u64) -> Vec<u32> {
    let mut numbers = Numbers::new(seed);
    (0..n).map(|_| numbers.below(model.stack().config().tokens().vocab_size) as u32).collect()
}

/// The randomness of training, so that everything that can drop does.
pub const DROPPING: Rng = Rng { seed: 5, step: 2, first_sample: 0, first_token: 0 };

/// Tokens, and the call they are shown in.
#[derive(Clone)]
pub struct Input {
    pub ids: Vec<u32>,
    pub shape: [usize; 2],
    pub call: Call,
}

impl Input {
    /// Positions from 0, everything seen, nothing dropped.
    pub fn plain(ids: &[u32], batch: usize) -> Self {
        let shape = [batch, ids.len() / batch];
        Self { ids: ids.to_vec(), shape, call: Stack::plain_call(shape) }
    }

    pub fn with_rng(mut self, rng: Rng) -> Self {
        self.call.rng = Some(rng);
        self
    }

    pub fn with_segments(mut self, segments: &[u32], positions: &[u32]) -> Self {
        self.call.mask.segments = Some(segments.into());
        self.call.positions = positions.into();
        self
    }
}

/// The last hidden state `[B, T, D]`; with a cache, that of the new positions.
pub fn hidden_with(
    (model, device, precision): (&Model, &Device, Precision),
    input: &Input,
    cache: Option<&mut KvCache>,
) -> Vec<f32> {
    let tape = Tape::new(device, &model.params, precision);
    let mut ctx = Context { call: input.call.clone(), cache };
    let ids: Arc<[u32]> = input.ids.as_slice().into();
    model.stack().forward(&tape, &ids, input.shape, &mut ctx).value().to_vec()
}

/// The same in f32 and without a cache.
pub fn hidden(model: &Model, input: &Input) -> Vec<f32> {
    hidden_with((model, &device(), Precision::F32), input, None)
}

/// Scores `[B, T, V]`.
pub fn logits(at: (&Model, &Device, Precision), input: &Input) -> Vec<f32> {
    let (model, device, precision) = at;
    let tape = Tape::new(device, &model.params, precision);
    let mut ctx = Context { call: input.call.clone(), cache: None };
    let ids: Arc<[u32]> = input.ids.as_slice().into();
    let hidden = model.stack().forward(&tape, &ids, input.shape, &mut ctx);
    model
        .stack()
        .token_head()
        .expect("a head over the vocabulary")
        .logits(&tape, &hidden)
        .value()
        .to_vec()
}

/// A cache in f32.
pub fn cache(model: &Model, shape: [usize; 2]) -> KvCache {
    model.stack().cache(&device(), DType::F32, shape)
}

/// Gradients of the summed loss, gathered over some passes.
pub struct Learned {
    pub loss: Loss,
    pub grads: Grads,
}

impl Learned {
    pub fn values(&self) -> &[f32] {
        self.grads.values()
    }
}

/// Loss and gradients over `parts`, each an input with its targets.
pub fn learn_in(precision: Precision, model: &Model, parts: &[(Input, Vec<u32>)]) -> Learned {
    let device = device();
    let grads = RefCell::new(Grads::new(&model.params));
    let mut loss = Loss::default();
    for (input, targets) in parts {
        let tape = Tape::recording(&device, &model.params, precision, &grads);
        let mut ctx = Context { call: input.call.clone(), cache: None };
        let ids: Arc<[u32]> = input.ids.as_slice().into();
        let hidden = model.stack().forward(&tape, &ids, input.shape, &mut ctx);
        let head = model.stack().token_head().expect("a head over the vocabulary");
        let hidden = head.hidden(&tape, &hidden);
        loss += tape.linear_cross_entropy(&hidden, head.cross_entropy(targets));
        tape.backward();
    }
    Learned { loss, grads: grads.into_inner() }
}

/// The same in f32.
pub fn learn(model: &Model, parts: &[(Input, Vec<u32>)]) -> Learned {
    learn_in(Precision::F32, model, parts)
}

/// Moves every weight by `lr` against its gradient; the mean loss before that.
pub fn step_by_sign(model: &mut Model, lr: f32, learn: impl Fn(&Model) -> Learned) -> f64 {
    let learned = learn(model);
    for entry in model.params.entries().to_vec() {
        let gradient = learned.grads.get(&entry.param).unwrap_or_default();
        let weights = model.params.get_mut(&entry.param).iter_mut();
        weights.zip(gradient).for_each(|(w, g)| *w -= lr * g.signum());
    }
    learned.loss.mean().unwrap()
}

/// The length of a vector.
pub fn norm(x: &[f32]) -> f64 {
    x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt()
}

/// How far two vectors are apart, relative to the length of the second.
pub fn distance(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len(), "distance");
    let between: Vec<f32> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    norm(&between) / norm(b)
}

/// The largest difference between two vectors.
pub fn max_error(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "max_error");
    // Not `max`, which passes over NaN.
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, |m, e| if e > m || e.is_nan() { e } else { m })
}
