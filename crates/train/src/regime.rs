//! How weights are treated beyond what the optimizer does to all of them alike.

use std::collections::{BTreeMap, HashMap};

use kernels::philox::{Key, fill_uniform};
use models::{glob, some_names};
use optim::{decays, layer_rates};
use tensor::{Arena, Entry, Grads, Params};

use crate::error::TrainError;

/// How weights are treated beyond what the optimizer does to all of them alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Regime {
    /// What each block's learning rate is of that of the block above it: see [`layer_rates`].
    pub layer_decay: f32,
    /// What learning rates are multiplied with beside that, by patterns of own names in which `*`
    /// stands for anything; several that fit count together.
    pub rates: BTreeMap<String, f64>,
    /// Judges and stores a running mean of the weights that forgets so slowly, in `(0, 1)`: see
    /// [`optim::Average`]. None with 0.
    pub ema: f32,
    /// The probability that a weight is, for a step, what it was at the start. None with 0.
    ///
    /// ```text
    /// w' = (m w0 + (1 - m) w - p w0) / (1 - p),    m = 1 with probability p
    /// ```
    ///
    /// Lee, Cho, Kang, "Mixout", arXiv:1909.11299, eq. 5; of matrices below the heads, drawn once a
    /// step.
    pub mixout: f32,
}

impl Default for Regime {
    fn default() -> Self {
        Self { layer_decay: 1.0, rates: BTreeMap::new(), ema: 0.0, mixout: 0.0 }
    }
}

impl Regime {
    /// What the learning rate of each parameter is multiplied with.
    ///
    /// # Errors
    /// Where a pattern names nothing that learns.
    pub(crate) fn rates_of(&self, params: &Params) -> Result<HashMap<String, f32>, TrainError> {
        let names: Vec<&str> = params.trained().map(|entry| entry.name.as_str()).collect();
        let mut rates = layer_rates(names.iter().copied(), self.layer_decay);
        for (pattern, by) in &self.rates {
            let glob = glob(pattern);
            let mut is_used = false;
            for (rate, name) in rates.iter_mut().zip(&names) {
                if glob.is_match(name) {
                    *rate *= *by as f32;
                    is_used = true;
                }
            }
            if !is_used {
                let names = some_names(names.into_iter());
                return Err(TrainError::Rate { pattern: pattern.clone(), names });
            }
        }
        Ok(names.into_iter().map(str::to_owned).zip(rates).collect())
    }
}

/// Weights of the start, and which are mixed in.
pub(crate) struct Mixout {
    p: f32,
    start: Arena,
    /// Those of the step, meanwhile.
    held: Arena,
}

impl Mixout {
    /// The start is now.
    pub fn new(params: &Params, p: f32) -> Self {
        let len = params.values().len();
        let [mut start, held] = [Arena::zeros(len), Arena::zeros(len)];
        start.as_mut_slice().copy_from_slice(params.values());
        Self { p, start, held }
    }

    /// Whether weights of the start are mixed into a parameter.
    fn takes(entry: &Entry) -> bool {
        let is_of_head = entry.name.split('.').any(|part| part == "heads");
        let is_matrix = decays(&entry.name, entry.param.shape());
        is_matrix && !is_of_head && entry.name.ends_with(".weight")
    }

    /// Which values of a parameter are those of the start, for a seed and a step.
    fn mask(&self, entry: &Entry, [seed, step]: [u64; 2]) -> impl Iterator<Item = bool> {
        let range = entry.param.range();
        let (mut u, p) = (vec![0.0; range.len()], self.p);
        let key = Key::new(seed).fold(MIXOUT).fold(step).fold(range.start as u64);
        fill_uniform(&mut u, key, 0.0, 1.0);
        u.into_iter().map(move |u| u < p)
    }

    /// Puts the mixture in the place of the weights.
    pub fn mix(&mut self, params: &mut Params, key: [u64; 2]) {
        self.held.as_mut_slice().copy_from_slice(params.values());
        let entries: Vec<Entry> = params.trained().filter(|e| Self::takes(e)).cloned().collect();
        for entry in entries {
            let start = &self.start.as_slice()[entry.param.range()];
            let mask = self.mask(&entry, key);
            for ((w, w0), is_start) in params.get_mut(&entry.param).iter_mut().zip(start).zip(mask)
            {
                let mixed = if is_start { *w0 } else { *w };
                *w = (mixed - self.p * w0) / (1.0 - self.p);
            }
        }
    }

    /// Puts the weights back, and makes their gradients of those of the mixture.
    pub fn unmix(&mut self, (params, grads): (&mut Params, &mut Grads), key: [u64; 2]) {
        params.values_mut().copy_from_slice(self.held.as_slice());
        for entry in params.trained().filter(|e| Self::takes(e)) {
            let mask = self.mask(entry, key);
            let (slope, _) = grads.slot(&entry.param);
            for (g, is_start) in slope.iter_mut().zip(mask) {
                *g = if is_start { 0.0 } else { *g / (1.0 - self.p) };
            }
        }
    }
}

/// Names the stream that is drawn from.
const MIXOUT: u64 = 0x6d69_786f_7574;
