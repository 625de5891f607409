//! Several stores, and how much is read of each.

use std::sync::Arc;

use crate::permutation::mix;
use crate::{DataError, Store};

/// One store of a mixture.
#[derive(Clone, Debug)]
pub struct Ingredient {
    /// What is read.
    pub store: Arc<Store>,
    /// How often it is read, at most; as often as it is wanted where nothing is said.
    pub max_epochs: Option<f64>,
}

/// Shares from a step on.
#[derive(Clone, Debug, PartialEq)]
pub struct Shares {
    /// The first step, from 0, that they hold for.
    pub from_step: u64,
    /// One a store, in any unit; 0 leaves it out.
    pub weights: Vec<f64>,
}

/// Several stores, and how much is read of each.
#[derive(Clone, Debug)]
pub struct Mixture {
    /// What is read; 256 at most.
    pub ingredients: Vec<Ingredient>,
    /// By the step they begin with, of which the first is 0.
    pub shares: Vec<Shares>,
}

impl From<Arc<Store>> for Mixture {
    fn from(store: Arc<Store>) -> Self {
        let ingredients = vec![Ingredient { store, max_epochs: None }];
        Self { ingredients, shares: vec![Shares { from_step: 0, weights: vec![1.0] }] }
    }
}

impl Mixture {
    /// Everything that can be wrong with it.
    pub(super) fn check(&self) -> Result<(), DataError> {
        let refused =
            |field, value: String, problem| Err(DataError::Config { field, value, problem });
        let n = self.ingredients.len();
        if !(1..=256).contains(&n) {
            return refused("sources", n.to_string(), "there must be 1 to 256");
        }
        if self.shares.first().is_none_or(|shares| shares.from_step != 0) {
            return refused("schedule", "[]".into(), "its first part begins at step 0");
        }
        if self.shares.windows(2).any(|pair| pair[0].from_step >= pair[1].from_step) {
            let steps: Vec<u64> = self.shares.iter().map(|shares| shares.from_step).collect();
            return refused("schedule", format!("{steps:?}"), "its steps must ascend");
        }
        for Shares { weights, .. } in &self.shares {
            let fits = |w: &f64| (0.0..f64::MAX).contains(w);
            if weights.len() != n || !weights.iter().all(fits) || weights.iter().sum::<f64>() <= 0.0
            {
                let problem = "there must be one a source, none below 0, one above";
                return refused("weights", format!("{weights:?}"), problem);
            }
        }
        Ok(())
    }

    /// The shares of a step.
    fn at(&self, step: u64) -> &[f64] {
        let held = self.shares.iter().rev().find(|shares| shares.from_step <= step);
        &held.expect("the first holds from step 0").weights
    }

    /// [`Batches::last_until`](super::Batches::last_until), of stores with so many windows `left`.
    pub(super) fn last_until(
        &self,
        mut left: Vec<f64>,
        (n_steps, n_rows): (u64, usize),
    ) -> Option<u64> {
        let mut n_read = 0.0;
        for (i, Shares { from_step, weights }) in self.shares.iter().enumerate() {
            let until = self.shares.get(i + 1).map_or(n_steps, |next| next.from_step.min(n_steps));
            let mut wanted = until.saturating_sub(*from_step) as f64 * n_rows as f64;
            while wanted >= 1.0 {
                let wants = |i: &usize| weights[*i] > 0.0 && left[*i] >= 1.0;
                let active: Vec<usize> = (0..weights.len()).filter(wants).collect();
                let total: f64 = active.iter().map(|&i| weights[i]).sum();
                let lasts = active.iter().map(|&i| left[i] * total / weights[i]);
                let Some(n) = lasts.reduce(f64::min) else { return Some(n_read as u64) };
                let n = n.min(wanted);
                for &i in &active {
                    left[i] -= n * weights[i] / total;
                }

                (wanted, n_read) = (wanted - n, n_read + n);
            }
        }
        None
    }

    /// Which store the window number `n` of a run is of; none where what is wanted is used up.
    pub(super) fn choose(
        &self,
        (n, step): (u64, u64),
        seed: u64,
        is_left: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let weights = self.at(step);
        let left = |i: usize| if is_left(i) { weights[i] } else { 0.0 };
        let total: f64 = (0..weights.len()).map(left).sum();
        let draw = mix(mix(seed ^ 0x6d69_7874_7572_6573) ^ n) >> 11;
        let mut at = draw as f64 / (1_u64 << 53) as f64 * total;
        let wanted = (0..weights.len()).filter(|&i| left(i) > 0.0);
        let mut last = None;
        for i in wanted {
            last = Some(i);
            at -= left(i);
            if at < 0.0 {
                break;
            }
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreMeta;

    fn mixture(shares: &[(u64, &[f64])]) -> Mixture {
        let meta = StoreMeta {
            vocab_size: 9,
            end_of_text: None,
            tokenizer_hash: [0; 32],
            has_marks: false,
        };
        let store = Arc::new(Store::in_memory(&[vec![1, 2, 3]], &meta));
        let ingredient = Ingredient { store, max_epochs: None };
        let share =
            |&(from_step, weights): &(u64, &[f64])| Shares { from_step, weights: weights.to_vec() };
        let n = shares.first().map_or(0, |(_, weights)| weights.len());
        Mixture { ingredients: vec![ingredient; n], shares: shares.iter().map(share).collect() }
    }

    #[test]
    fn windows_are_chosen_by_their_shares() {
        let mixture = mixture(&[(0, &[1.0, 3.0, 0.0]), (1000, &[0.0, 1.0, 1.0])]);
        let count = |step, is_left: fn(usize) -> bool| {
            let mut counts = [0; 3];
            for n in 0..8000 {
                counts[mixture.choose((n, step), 5, is_left).unwrap()] += 1;
            }
            counts
        };
        let [a, b, c] = count(0, |_| true);
        // Six standard deviations of a binomial.
        assert!((a - 2000_i32).abs() < 233 && (b - 6000_i32).abs() < 233 && c == 0);
        let [a, b, c] = count(1000, |_| true);
        assert!(a == 0 && (b - 4000_i32).abs() < 270 && (c - 4000_i32).abs() < 270);
        // What is used up leaves its share to the others.
        assert_eq!(count(0, |i| i != 1), [8000, 0, 0]);
        assert_eq!(mixture.choose((0, 0), 5, |i| i == 2), None);
    }

    #[test]
    fn it_is_known_before_when_what_is_wanted_is_used_up() {
        let no_end = f64::INFINITY;
        let after = |shares: &[(u64, &[f64])], left: &[f64], steps| {
            mixture(shares).last_until(left.to_vec(), (steps, 4))
        };
        // A store without an end helps nobody who does not want it.
        assert_eq!(after(&[(0, &[1.0, 0.0])], &[30.0, no_end], 10), Some(30));
        assert_eq!(after(&[(0, &[1.0, 1.0])], &[30.0, no_end], 10), None);
        assert_eq!(after(&[(0, &[1.0, 3.0])], &[30.0, 9.0], 10), Some(39));
        assert_eq!(after(&[(0, &[1.0, 3.0])], &[30.0, 10.0], 10), None);
        let later: [(u64, &[f64]); 2] = [(0, &[1.0, 1.0]), (5, &[1.0, 0.0])];
        assert_eq!(after(&later, &[29.0, no_end], 10), Some(20 + 19));
        assert_eq!(after(&later, &[29.0, no_end], 9), None);
    }

    #[test]
    fn bad_mixtures_are_refused() {
        let bad: [&[(u64, &[f64])]; 7] = [
            &[],
            &[(1, &[1.0])],
            &[(0, &[1.0]), (0, &[1.0])],
            &[(0, &[0.0, 0.0])],
            &[(0, &[-1.0, 2.0])],
            &[(0, &[f64::NAN])],
            &[(0, &[1.0, 1.0]), (5, &[1.0])],
        ];
        for shares in bad {
            assert!(mixture(shares).check().is_err(), "{shares:?}");
        }
        assert!(mixture(&[(0, &[1.0, 0.0]), (9, &[0.0, 2.0])]).check().is_ok());
    }
}
