//! Rotary positions: how fast each pair of channels turns, and the sines and cosines of positions.
//!
//! Su et al., "`RoFormer`", arXiv:2104.09864, eq. 15; stretched for longer texts as in Chen et al.,
//! "Extending Context Window of Large Language Models via Positional Interpolation",
//! arXiv:2306.15595 (linear), Grattafiori et al., "The Llama 3 Herd of Models", arXiv:2407.21783,
//! section 3.4.2 (by wavelength), and Peng et al., "`YaRN`", arXiv:2309.00071, section 3.

use std::f64::consts::TAU;
use std::sync::{Arc, RwLock};

use tensor::{RopePairing, RopeTable};

use crate::config::ConfigError;

/// How queries and keys turn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RopeConfig {
    /// Base of the wavelengths.
    pub theta: f64,
    /// Channels of a head that turn, the first ones; even.
    pub d_rot: usize,
    /// How frequencies are stretched.
    pub scaling: RopeScaling,
}

/// How the frequencies of a model are stretched, to see further than it was trained to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum RopeScaling {
    /// They are not.
    #[default]
    None,
    /// All by a factor.
    Linear {
        /// By how much slower everything turns.
        factor: f64,
    },
    /// Not at all up to the old context, and by a larger base the longer a text is beyond it.
    Dynamic {
        /// How fast the base grows.
        factor: f64,
        /// The context it was trained with.
        old_len: f64,
    },
    /// Long waves by a factor, short ones not at all, those between by parts.
    ByWavelength {
        /// By how much slower long waves turn.
        factor: f64,
        /// Waves longer than the old context over this are long.
        low: f64,
        /// Waves shorter than the old context over this are short.
        high: f64,
        /// The context it was trained with.
        old_len: f64,
    },
    /// The same by how often a wave turns in the old context, and scores scaled.
    Yarn {
        /// By how much slower long waves turn.
        factor: f64,
        /// Waves that turn more often than this are short.
        fast: f64,
        /// Waves that turn less often than this are long.
        slow: f64,
        /// The context it was trained with.
        old_len: f64,
        /// What sines and cosines are multiplied with.
        attention_factor: f64,
        /// Whether the bounds are rounded to whole pairs.
        truncate: bool,
    },
}

impl RopeConfig {
    /// `d_rot` channels turn, unstretched.
    pub fn new(theta: f64, d_rot: usize) -> Self {
        Self { theta, d_rot, scaling: RopeScaling::None }
    }

    pub(crate) fn check(&self, d_head: usize) -> Result<(), ConfigError> {
        let d_rot = self.d_rot;
        if !d_rot.is_multiple_of(2) {
            let problem = format!("{d_rot} is odd, and rotary positions turn pairs");
            return Err(ConfigError::new("d_rot", problem));
        }
        if d_rot == 0 || d_rot > d_head {
            let problem = format!("{d_rot} channels turn in heads of {d_head}");
            return Err(ConfigError::new("d_rot", problem));
        }
        if !(self.theta > 1.0 && self.theta.is_finite()) {
            let problem = format!("{} is not a number above 1", self.theta);
            return Err(ConfigError::new("theta", problem));
        }
        let numbers: &[f64] = match &self.scaling {
            RopeScaling::None => &[],
            RopeScaling::Linear { factor } => &[*factor],
            RopeScaling::Dynamic { factor, old_len } => &[*factor, *old_len],
            RopeScaling::ByWavelength { factor, low, high, old_len } => {
                if low >= high {
                    let problem = format!("long from {low} and short from {high} on");
                    return Err(ConfigError::new("rope_scaling", problem));
                }
                &[*factor, *low, *high, *old_len]
            }
            RopeScaling::Yarn { factor, fast, slow, old_len, attention_factor, .. } => {
                &[*factor, *fast, *slow, *old_len, *attention_factor]
            }
        };
        match numbers.iter().find(|x| !(**x > 0.0 && x.is_finite())) {
            Some(x) => {
                Err(ConfigError::new("rope_scaling", format!("{x} is not a number above 0")))
            }
            None => Ok(()),
        }
    }

    /// Radians a position, one a pair, `[d_rot / 2]`, for a text of `len` positions.
    fn frequencies(&self, len: usize) -> Vec<f64> {
        let d_rot = self.d_rot as f64;
        let powers = |theta: f64, i: usize| theta.powf(-2.0 * i as f64 / d_rot);
        let plain = |i: usize| powers(self.theta, i);
        let half = self.d_rot / 2;
        match self.scaling {
            RopeScaling::None => (0..half).map(plain).collect(),
            RopeScaling::Dynamic { factor, old_len } => {
                let grown = (factor * (len as f64).max(old_len) / old_len) - (factor - 1.0);
                let theta = self.theta * grown.powf(d_rot / (d_rot - 2.0).max(1.0));
                (0..half).map(|i| powers(theta, i)).collect()
            }
            RopeScaling::Linear { factor } => (0..half).map(|i| plain(i) / factor).collect(),
            RopeScaling::ByWavelength { factor, low, high, old_len } => {
                let stretched = |i| {
                    let turns = old_len * plain(i) / TAU;
                    let short = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                    plain(i) * (short + (1.0 - short) / factor)
                };
                (0..half).map(stretched).collect()
            }
            RopeScaling::Yarn { factor, fast, slow, old_len, truncate, .. } => {
                // The pair that turns so often in the old context.
                let pair =
                    |turns: f64| half as f64 * (old_len / (turns * TAU)).ln() / self.theta.ln();
                let (mut first, mut last) = (pair(fast), pair(slow));
                if truncate {
                    (first, last) = (first.floor(), last.ceil());
                }
                let (first, last) = (first.max(0.0), last.min(d_rot - 1.0));
                let width = if first == last { 0.001 } else { last - first };
                let stretched = |i| {
                    let long = ((i as f64 - first) / width).clamp(0.0, 1.0);
                    plain(i) * (1.0 - long + long / factor)
                };
                (0..half).map(stretched).collect()
            }
        }
    }
}

/// Sines and cosines of the positions seen so far.
pub(crate) struct Rope {
    config: RopeConfig,
    table: RwLock<Arc<RopeTable>>,
}

/// Positions that the first table has.
const FIRST_LEN: usize = 512;

impl Rope {
    pub fn new(config: RopeConfig) -> Self {
        let table = RwLock::new(Arc::new(RopeTable::from_frequencies(0, &[], RopePairing::Halves)));
        Self { config, table }
    }

    /// A table of at least `len` positions; it grows by doubling.
    pub fn table(&self, len: usize) -> Arc<RopeTable> {
        if let RopeScaling::Dynamic { old_len, .. } = self.config.scaling
            && len as f64 > old_len
        {
            // Every length has angles of its own.
            return Arc::new(self.make(len, len));
        }
        let unpoisoned = "nothing panics while it is held";
        let known = self.table.read().expect(unpoisoned).clone();
        if known.max_len() >= len {
            return known;
        }
        let len = len.next_power_of_two().max(FIRST_LEN);
        let table = Arc::new(self.make(len, 0));
        *self.table.write().expect(unpoisoned) = table.clone();
        table
    }

    /// A table of `n` positions for texts of `len`.
    fn make(&self, n: usize, len: usize) -> RopeTable {
        let frequencies = self.config.frequencies(len);
        let mut table = RopeTable::from_frequencies(n, &frequencies, RopePairing::Halves);
        if let RopeScaling::Yarn { attention_factor, .. } = self.config.scaling {
            table.scale(attention_factor as f32);
        }
        table
    }
}
