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
    /// Runs of parameters that are alike, in order: the padding between them is zero and stays so.
    groups: Vec<(Range<usize>, bool)>,
}

impl AdamW {
    /// Moments of zero for `params`.
    pub fn new(params: &Params, config: AdamWConfig) -> Self {
        let len = params.values().len();
        let mut groups: Vec<(Range<usize>, bool)> = vec![];
        for entry in params.trained() {
            let decay = decays(&entry.name, entry.param.shape());
            let start = entry.param.range().start;
            match groups.last_mut() {
                Some((_, last)) if *last == decay => {}
                Some((range, _)) => {
                    range.end = start;
                    groups.push((start..len, decay));
                }
                None => groups.push((start..len, decay)),
            }
        }
        Self { config, first: Arena::zeros(len), second: Arena::zeros(len), groups }
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
        for (range, decay) in &self.groups {
            let weight_decay = if *decay { weight_decay } else { 0.0 };
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
