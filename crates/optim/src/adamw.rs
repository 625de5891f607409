//! `AdamW` over the arenas.

use std::ops::Range;

use kernels::adamw::{self, AdamW as Update};
use serde::{Deserialize, Serialize};
use tensor::{Arena, Grads, Isa, Params};

use crate::decays;

/// Hyperparameters. The learning rate comes from the schedule at every step.
///
/// Loshchilov, Hutter, "Decoupled Weight Decay Regularization", arXiv:1711.05101, algorithm 2.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWConfig {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Decay of matrices (see [`decays`]), times the learning rate, at every step.
    pub weight_decay: f32,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 }
    }
}

/// Moments, and which ranges of the arenas decay.
pub struct AdamW {
    config: AdamWConfig,
    first: Arena,
    second: Arena,
    groups: Vec<Group>,
}

/// A run of parameters that are alike: the padding between them is zero and stays so.
struct Group {
    range: Range<usize>,
    decay: bool,
    /// What the learning rate is multiplied with.
    rate: f32,
}

impl AdamW {
    /// Moments of zero for `params`, which learn at one rate.
    pub fn new(params: &Params, config: AdamWConfig) -> Self {
        let len = params.values().len();
        let [first, second] = [Arena::zeros(len), Arena::zeros(len)];
        let mut all = Self { config, first, second, groups: Vec::new() };
        all.set_rates(params, |_| 1.0);
        all
    }

    /// Multiplies the learning rate of each of `params` with what `rate` says of its name.
    pub fn set_rates(&mut self, params: &Params, rate: impl Fn(&str) -> f32) {
        self.groups.clear();
        for entry in params.trained() {
            let (decay, rate) = (decays(&entry.name, entry.param.shape()), rate(&entry.name));
            let start = entry.param.range().start;
            if let Some(last) = self.groups.last_mut() {
                if last.decay == decay && last.rate.to_bits() == rate.to_bits() {
                    continue;
                }
                last.range.end = start;
            }
            self.groups.push(Group { range: start..params.values().len(), decay, rate });
        }
    }

    /// One update of every weight with `grads * grad_scale`; `step` counts from 1.
    pub fn step(
        &mut self,
        isa: Isa,
        (params, grads): (&mut Params, &Grads),
        (lr, grad_scale): (f32, f32),
        step: u64,
    ) {
        let AdamWConfig { beta1, beta2, eps, weight_decay } = self.config;
        for Group { range, decay, rate } in &self.groups {
            let weight_decay = if *decay { weight_decay } else { 0.0 };
            let lr = lr * rate;
            let update = Update { lr, beta1, beta2, eps, weight_decay, grad_scale, step };
            adamw::step(
                isa,
                &mut params.values_mut()[range.clone()],
                &grads.values()[range.clone()],
                &mut self.first.as_mut_slice()[range.clone()],
                &mut self.second.as_mut_slice()[range.clone()],
                update,
            );
        }
    }

    /// First and second moment, laid out as the weights.
    pub fn moments(&self) -> [&[f32]; 2] {
        [self.first.as_slice(), self.second.as_slice()]
    }

    /// The same, writable: for a checkpoint that is loaded.
    pub fn moments_mut(&mut self) -> [&mut [f32]; 2] {
        [self.first.as_mut_slice(), self.second.as_mut_slice()]
    }
}
