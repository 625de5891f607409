//! Answers that the model wrote itself, several to a prompt: those that were worth more than the
//! rest of their group become likelier.
//!
//! ```text
//! A = (reward - mean of the group) / (its deviation + 1e-4)
//! loss = -A + beta (e^d - d - 1) of each token,    d = log p0 - log p
//! d loss / d log p = -A - beta (e^d - 1)
//! ```
//!
//! Shao et al., "Pushing the Limits of Mathematical Reasoning in Open Language Models",
//! arXiv:2402.03300, eq. 3 and 4: with one update for what was written the ratio of probabilities
//! is 1, and nothing is clipped. `p` and `p0` are of the temperature at which answers were drawn,
//! as in `trl`. Every token counts the same (Yu et al.,
//! "DAPO", arXiv:2503.14476, eq. 12), which is what `trl` does unless told otherwise.

use models::Model;
use tensor::{Loss, Tape};

use crate::example::Label;
use crate::log_probs::learn;
use crate::losses::{Losses, Part};
use crate::micro_batch::MicroBatch;
use crate::objective::Objective;

/// Group relative policy optimisation. The label of an example is the advantage of its answer,
/// whose tokens are its targets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grouped {
    /// How firmly the model is held to where learning began; of 0 nothing is known of that.
    pub beta: f64,
    /// That at which answers were drawn.
    pub temperature: f32,
}

/// Keeps a group of equal rewards from being divided by nothing.
const LEAST_DEVIATION: f64 = 1e-4;

/// The mean of `rewards`, and their deviation: that of a sample.
pub fn spread(rewards: &[f64]) -> (f64, f64) {
    let n = rewards.len() as f64;
    let mean = rewards.iter().sum::<f64>() / n.max(1.0);
    let squares: f64 = rewards.iter().map(|r| (r - mean) * (r - mean)).sum();
    (mean, (squares / (n - 1.0).max(1.0)).sqrt())
}

/// How much better each of a group's `rewards` is than their mean, in deviations of theirs.
pub fn advantages(rewards: &[f64]) -> Vec<f64> {
    let (mean, deviation) = spread(rewards);
    rewards.iter().map(|r| (r - mean) / (deviation + LEAST_DEVIATION)).collect()
}

impl Objective for Grouped {
    fn loss<'a>(&self, tape: &Tape<'a>, model: &'a Model, batch: &MicroBatch) -> Losses {
        learn(tape, model, (batch, self.temperature), |log_p| {
            let mut slopes = vec![0.0; log_p.len()];
            let (mut loss, mut kl, mut entropy) = (0.0, 0.0, 0.0);
            let mut n = 0;
            for (texts, label) in batch.of_example.iter().zip(&batch.labels) {
                let Label::Value(advantage) = *label else { continue };
                let advantage = f64::from(advantage);
                for row in batch.texts[texts.start].clone() {
                    if batch.targets[row] == data::IGNORED {
                        continue;
                    }
                    let away = f64::from(batch.reference[row]) - f64::from(log_p[row]);
                    slopes[row] = -advantage;
                    loss -= advantage;
                    if self.beta > 0.0 {
                        slopes[row] -= self.beta * away.exp_m1();
                        kl += away.exp_m1() - away;
                    }
                    entropy -= f64::from(log_p[row]);
                    n += 1;
                }
            }
            let loss = Loss { sum: loss + self.beta * kl, n_targets: n, n_right: 0 };
            let mut parts = vec![
                Part { name: "policy", weight: 1.0, loss },
                // That of what was drawn: its mean is the entropy.
                Part::told("entropy", entropy, n),
            ];
            if self.beta > 0.0 {
                parts.push(Part::told("kl", kl, n));
            }
            (Losses(parts), slopes)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advantages_are_deviations_from_the_group() {
        let found = advantages(&[1.0, 0.0, 0.0, 1.0]);
        let expected = 0.5 / ((1.0f64 / 3.0).sqrt() + 1e-4);
        for (found, sign) in found.iter().zip([1.0, -1.0, -1.0, 1.0]) {
            assert!((found - sign * expected).abs() < 1e-12, "{found}");
        }
        assert_eq!(advantages(&[0.3; 5]).iter().map(|a| a.abs()).fold(0.0, f64::max), 0.0);
        assert_eq!(advantages(&[2.0]), [0.0]);
    }
}
