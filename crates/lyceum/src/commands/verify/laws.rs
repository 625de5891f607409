//! The laws: each trains in two ways that must not differ, or differ by rounding alone.

use tasks::Example;
use tensor::DType;
use train::{StepConfig, StepError, TrainError, Trainer};

use super::packing;
use super::setup::{Setup, Trace};
use crate::failure::{Context, Failure};

/// A law, and how it is held against a recipe.
pub struct Law {
    /// What it says.
    pub name: &'static str,
    /// What may differ.
    bound: Bound,
    /// Does the same in two ways.
    pub hold: fn(&mut Setup) -> Result<Found, Failure>,
}

/// How far apart two ways may be.
#[derive(Clone, Copy)]
enum Bound {
    /// Not at all.
    SameBits,
    /// The order of sums in f32.
    Sums,
    /// Roundings of activations.
    Activations,
}

/// How far apart two ways were, and what there is to say of it: of weights, losses and gradient
/// norms the largest difference; of gradients the length of the difference over the length.
pub type Found = (f64, Option<String>);

/// Every law, in the order they are held.
pub const LAWS: [Law; 6] = [
    Law { name: "every parameter has a gradient", bound: Bound::SameBits, hold: audit },
    Law { name: "saved and resumed", bound: Bound::SameBits, hold: resume },
    Law { name: "another number of threads", bound: Bound::SameBits, hold: threads },
    Law { name: "recomputed blocks", bound: Bound::SameBits, hold: recompute },
    Law { name: "micro-batches", bound: Bound::Sums, hold: micro_batches },
    Law { name: "packed documents", bound: Bound::Activations, hold: packing::hold },
];

impl Law {
    /// How far apart the two ways may be.
    pub fn bound(&self, setup: &Setup) -> f64 {
        match (self.bound, setup.step.precision.compute) {
            (Bound::SameBits, _) => 0.0,
            (Bound::Sums, _) | (Bound::Activations, DType::F32) => 1e-5,
            (Bound::Activations, DType::F16 | DType::Bf16) => 1e-3,
        }
    }
}

/// Backward writes every parameter; the step itself refuses to go on otherwise.
fn audit(setup: &mut Setup) -> Result<Found, Failure> {
    let batch = setup.first_batch()?;
    match setup.trainer(&setup.config, setup.step)?.step(&setup.examples(&batch)) {
        Err(StepError::Unwritten { names, .. }) => {
            Ok((names.len() as f64, Some(format!("none reaches {}", names.join(", ")))))
        }
        other => other.map(|_| (0.0, None)).map_err(|e| TrainError::from(e).into()),
    }
}

fn resume(setup: &mut Setup) -> Result<Found, Failure> {
    let found = setup.train_with_a_break()?;
    Ok((against_whole(setup, &found)?, None))
}

fn threads(setup: &mut Setup) -> Result<Found, Failure> {
    let n = if setup.env.n_threads == 1 { 2 } else { 1 };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build();
    let pool = pool.context("failed to start threads")?;
    let shared = &*setup;
    let found = pool.install(|| shared.train(shared.step))?;
    let note = format!("{n} against {}", setup.env.n_threads);
    Ok((against_whole(setup, &found)?, Some(note)))
}

fn recompute(setup: &mut Setup) -> Result<Found, Failure> {
    let step = setup.step;
    let found = setup.train(StepConfig { recompute: !step.recompute, ..step })?;
    Ok((against_whole(setup, &found)?, None))
}

fn micro_batches(setup: &mut Setup) -> Result<Found, Failure> {
    let (batch, n) = (setup.examples(&setup.first_batch()?), setup.batches.batch);
    let gradient = |micro_batch| {
        gradient(setup.trainer(&setup.config, StepConfig { micro_batch, ..setup.step })?, &batch)
    };
    let note = format!("gradients of {n} windows at once and of two halves");
    Ok((relative(&gradient(n)?, &gradient(n / 2)?), Some(note)))
}

/// The gradients of one step.
///
/// # Errors
/// Where it is refused.
pub fn gradient(mut trainer: Trainer, examples: &[Example]) -> Result<Vec<f32>, Failure> {
    trainer.step(examples).map_err(TrainError::from)?;
    Ok(trainer.grads().borrow().values().to_vec())
}

/// The length of the difference over the length.
pub fn relative(a: &[f32], b: &[f32]) -> f64 {
    let squares = |x: f64| x * x;
    let apart: f64 = a.iter().zip(b).map(|(a, b)| squares(f64::from(*a) - f64::from(*b))).sum();
    let length: f64 = a.iter().map(|a| squares(f64::from(*a))).sum();
    (apart / length).sqrt()
}

/// Holds a training against the uninterrupted one.
fn against_whole(setup: &mut Setup, found: &Trace) -> Result<f64, Failure> {
    let whole = match setup.whole.take() {
        Some(whole) => whole,
        None => setup.train(setup.step)?,
    };
    Ok(worst(setup.whole.insert(whole), found))
}

/// The largest difference of any number; 0 where all have the same bits.
fn worst(a: &Trace, b: &Trace) -> f64 {
    if a.steps.len() != b.steps.len() || a.weights.len() != b.weights.len() {
        return f64::INFINITY;
    }
    let steps = a.steps.as_flattened().iter().zip(b.steps.as_flattened());
    let steps = steps.map(|(a, b)| (*a, *b));
    let weights = a.weights.iter().zip(&b.weights).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    let apart = |(a, b): (f64, f64)| match (a - b).abs() {
        _ if a.to_bits() == b.to_bits() => 0.0,
        d if d.is_nan() => f64::INFINITY,
        d => d.max(f64::MIN_POSITIVE),
    };
    steps.chain(weights).map(apart).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_is_a_difference() {
        let a = Trace { steps: vec![[1.0, 2.0]], weights: vec![0.0, 0.5] };
        assert_eq!(worst(&a, &a.clone()), 0.0);
        let zero = Trace { weights: vec![-0.0, 0.5], ..a.clone() };
        assert!(worst(&a, &zero) > 0.0);
        let nan = Trace { steps: vec![[f64::NAN, 2.0]], ..a.clone() };
        assert_eq!(worst(&a, &nan), f64::INFINITY);
        assert_eq!(worst(&nan, &nan.clone()), 0.0);
        let more = Trace { steps: vec![], ..a.clone() };
        assert_eq!(worst(&a, &more), f64::INFINITY);
    }

    #[test]
    fn a_gradient_is_measured_against_its_length() {
        assert_eq!(relative(&[3.0, 4.0], &[3.0, 4.5]), 0.1);
        assert!(relative(&[0.0], &[1.0]) > 1e300);
        assert!(relative(&[f32::NAN], &[1.0]).is_nan());
    }
}
