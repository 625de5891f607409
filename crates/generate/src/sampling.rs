//! Drawing the next token.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How a token is drawn. Filters apply in the order of the fields.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// Tokens already in the context have positive logits divided by it, negative ones multiplied.
    /// Keskar et al., "CTRL", arXiv:1909.05858, section 4.1.
    pub repetition_penalty: f32,
    /// Logits are divided by it; 0 takes the most likely token.
    pub temperature: f32,
    /// Only so many of the most likely tokens.
    pub top_k: Option<usize>,
    /// Only the most likely tokens that together reach this probability. Holtzman et al., "The
    /// Curious Case of Neural Text Degeneration", arXiv:1904.09751, section 3.1.
    pub top_p: Option<f32>,
    /// Only tokens at least this likely relative to the most likely one.
    /// Nguyen et al., "Turning Up the Heat: Min-p Sampling", arXiv:2407.01082, algorithm 1.
    pub min_p: Option<f32>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { repetition_penalty: 1.0, temperature: 1.0, top_k: None, top_p: None, min_p: None }
    }
}

/// Why a setting is refused.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("`{field}` is {value}, expected {expected}")]
pub struct SamplingError {
    /// The setting.
    pub field: &'static str,
    /// What was given.
    pub value: String,
    /// What it may be.
    pub expected: &'static str,
}

impl Sampling {
    /// The most likely token, always.
    pub const GREEDY: Self =
        Self { repetition_penalty: 1.0, temperature: 0.0, top_k: None, top_p: None, min_p: None };

    /// Refuses what no drawing can follow.
    ///
    /// # Errors
    /// With the first setting that is out of range.
    pub fn check(self) -> Result<Self, SamplingError> {
        let refuse = |field, value: String, expected| Err(SamplingError { field, value, expected });
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            let value = self.temperature.to_string();
            return refuse("temperature", value, "a finite number of at least 0");
        }
        if !(self.repetition_penalty > 0.0 && self.repetition_penalty.is_finite()) {
            let value = self.repetition_penalty.to_string();
            return refuse("repetition_penalty", value, "a finite number above 0");
        }
        if self.top_k == Some(0) {
            return refuse("top_k", "0".into(), "at least 1");
        }
        for (field, p) in [("top_p", self.top_p), ("min_p", self.min_p)] {
            if let Some(p) = p.filter(|p| !(*p > 0.0 && *p <= 1.0)) {
                return refuse(field, p.to_string(), "a probability in (0, 1]");
            }
        }
        Ok(self)
    }

    /// Draws one token from `logits` `[V]`, which `seen` tokens are penalised in; `u` is uniform in
    /// `[0, 1)`, and goes over the tokens that the filters leave in the order of their ids. Pure:
    /// equal inputs, equal token. Of equal logits the lower id is the likelier one.
    ///
    /// # Panics
    /// When there are no logits.
    pub fn draw(&self, logits: &mut [f32], seen: &[u32], u: f32) -> u32 {
        assert!(!logits.is_empty(), "draw: no logits");
        penalise(logits, seen, self.repetition_penalty);
        let best = argmax(logits);
        if self.temperature == 0.0 || self.top_k == Some(1) {
            return best;
        }
        let top = logits[best as usize];
        let weight = |&id: &u32| f64::from((logits[id as usize] - top) / self.temperature).exp();
        let ids = self.filter(logits, weight);
        let weights: Vec<f64> = ids.iter().map(weight).collect();
        let mut left = f64::from(u) * weights.iter().sum::<f64>();
        for (id, w) in ids.into_iter().zip(weights) {
            left -= w;
            if left < 0.0 {
                return id;
            }
        }
        // Where a penalty made it infinite; else the sum is exact to more digits than `u` has.
        best
    }

    /// The tokens that may be drawn, by id; `weight` is how likely one is, the best having 1.
    fn filter(&self, logits: &[f32], weight: impl Fn(&u32) -> f64) -> Vec<u32> {
        let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
        let likelier = |a: &u32, b: &u32| {
            let (x, y) = (logits[*a as usize], logits[*b as usize]);
            y.total_cmp(&x).then(a.cmp(b))
        };
        if let Some(k) = self.top_k.filter(|&k| k < ids.len()) {
            ids.select_nth_unstable_by(k - 1, likelier);
            ids.truncate(k);
        }
        if let Some(p) = self.top_p {
            ids.sort_unstable_by(likelier);
            let mut left = f64::from(p) * ids.iter().map(&weight).sum::<f64>();
            let reached = ids.iter().position(|id| {
                left -= weight(id);
                left <= 0.0
            });
            ids.truncate(reached.map_or(ids.len(), |at| at + 1));
        }
        if let Some(p) = self.min_p {
            ids.retain(|id| weight(id) >= f64::from(p));
        }
        if self.top_k.is_some() || self.top_p.is_some() {
            ids.sort_unstable();
        }
        ids
    }
}

/// Makes `seen` tokens less likely, by a penalty above 1.
pub(crate) fn penalise(logits: &mut [f32], seen: &[u32], penalty: f32) {
    if penalty == 1.0 {
        return;
    }
    let mut seen = seen.to_vec();
    seen.sort_unstable();
    seen.dedup();
    for id in seen {
        if let Some(z) = logits.get_mut(id as usize) {
            *z = if *z > 0.0 { *z / penalty } else { *z * penalty };
        }
    }
}

fn argmax(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (i, z) in logits.iter().enumerate() {
        if *z > logits[best] {
            best = i;
        }
    }
    best as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws() {
        #[derive(Debug)]
        struct Case {
            sampling: Sampling,
            u: f32,
            expected: u32,
        }
        let (greedy, hot) = (Sampling::GREEDY, Sampling::default());
        let cases = [
            Case { sampling: greedy, u: 0.99, expected: 2 },
            // The shares are 0.11, 0.04 and 0.84.
            Case { sampling: hot, u: 0.0, expected: 0 },
            Case { sampling: hot, u: 0.13, expected: 1 },
            Case { sampling: hot, u: 0.99, expected: 2 },
            Case { sampling: Sampling { top_k: Some(1), ..hot }, u: 0.0, expected: 2 },
            Case { sampling: Sampling { top_k: Some(2), ..hot }, u: 0.0, expected: 0 },
            Case { sampling: Sampling { top_k: Some(2), ..hot }, u: 0.13, expected: 2 },
            Case { sampling: Sampling { top_p: Some(0.5), ..hot }, u: 0.0, expected: 2 },
            Case { sampling: Sampling { top_p: Some(0.9), ..hot }, u: 0.13, expected: 2 },
            Case { sampling: Sampling { top_p: Some(1.0), ..hot }, u: 0.13, expected: 1 },
            Case { sampling: Sampling { min_p: Some(0.1), ..hot }, u: 0.13, expected: 2 },
            Case { sampling: Sampling { min_p: Some(1.0), ..hot }, u: 0.0, expected: 2 },
            Case { sampling: Sampling { repetition_penalty: 9.0, ..greedy }, u: 0.0, expected: 0 },
        ];
        for case in cases {
            let drawn = case.sampling.draw(&mut [1.0, 0.0, 3.0], &[2, 2], case.u);
            assert_eq!(drawn, case.expected, "{case:?}");
        }
    }

    #[test]
    fn shares_follow_the_probabilities() {
        let logits = [0.5_f32.ln(), 0.2_f32.ln(), 0.3_f32.ln()];
        let mut n = [0; 3];
        for i in 0..1000 {
            let u = (i as f32 + 0.5) / 1000.0;
            n[Sampling::default().draw(&mut logits.clone(), &[], u) as usize] += 1;
        }
        assert_eq!(n, [500, 200, 300]);
    }

    #[test]
    fn impossible_settings_are_named() {
        let bad = Sampling { top_p: Some(1.5), ..Sampling::default() };
        let message = bad.check().expect_err("refused").to_string();
        assert_eq!(message, "`top_p` is 1.5, expected a probability in (0, 1]");
        assert!(Sampling { temperature: f32::NAN, ..bad }.check().is_err());
    }
}
