//! Which answers are good, learned from how likely a model thinks them, without rewards in between.
//!
//! ```text
//! r = beta (log p(answer) - log p0(answer)),  p0 where learning began;  m = log p / tokens
//! dpo    loss = -(1 - s) log sigmoid(r+ - r-) - s log sigmoid(r- - r+)
//! ipo    loss = (m+ - m- - (m0+ - m0-) - 1 / (2 beta))^2
//! orpo   loss = -m+ - beta log sigmoid(o+ - o-),    o = m - log(1 - e^m)
//! simpo  loss = -log sigmoid(beta (m+ - m-) - margin)
//! kto    loss = w+ (1 - sigmoid(r - z)) of a good answer, w- (1 - sigmoid(z - r)) of a bad one
//! ```
//!
//! `+` is the better of two answers. `z` is `beta` times the mean of `log p - log p0` over answers
//! to other prompts, at least 0: an estimate of the divergence from `p0`. As in `trl`, through
//! it no gradient flows, and it is one of what is shown at once; of `ipo` means are compared, as
//! its authors did. Losses and slopes are computed in f64, and by hand.

use models::Model;
use tensor::{Loss, Tape};

use crate::example::Label;
use crate::log_probs::learn;
use crate::losses::{Losses, Part, logistic};
use crate::micro_batch::MicroBatch;
use crate::objective::Objective;

/// The loss. An example has two texts, whose targets are the answers: the better one and the
/// other; for `Kto` the answer, whose label is a class, 1 for a good one, and the prompt with the
/// answer of another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Preference {
    /// Rafailov et al., "Direct Preference Optimization", arXiv:2305.18290, eq. 7.
    Dpo {
        /// How firmly `p0` is held on to.
        beta: f64,
        /// The share of pairs that may be the wrong way round, below 1/2; Mitchell, "A note on DPO
        /// with noisy preferences", 2023, eq. 3.
        smoothing: f64,
    },
    /// Azar et al., "A General Theoretical Paradigm to Understand Learning from Human Preferences",
    /// arXiv:2310.12036, eq. 17.
    Ipo {
        /// Its tau: how firmly `p0` is held on to.
        beta: f64,
    },
    /// Hong et al., "ORPO", arXiv:2403.07691, eq. 6. Needs no `p0`.
    Orpo {
        /// Its lambda: the weight of the odds.
        beta: f64,
    },
    /// Meng et al., "Simple Preference Optimization with a Reference-Free Reward",
    /// arXiv:2405.14734, eq. 6. Needs no `p0`.
    Simpo {
        /// The scale of rewards.
        beta: f64,
        /// Its gamma: how far apart rewards ought to be.
        margin: f64,
    },
    /// Ethayarajh et al., "KTO", arXiv:2402.01306, eq. 8.
    Kto {
        /// How firmly `p0` is held on to.
        beta: f64,
        /// What good answers and bad ones are worth.
        weights: [f64; 2],
    },
}

/// The answer of a text: sums of log-probabilities, of the model and where learning began.
#[derive(Clone, Copy, Debug)]
struct Answer {
    log_p: f64,
    reference: f64,
    n_tokens: f64,
}

/// What a loss makes of a pair: slopes are those for `log_p`.
struct Pair {
    loss: f64,
    slopes: [f64; 2],
    rewards: [f64; 2],
}

/// A mean log-probability has to be below 0 for odds.
const LARGEST_MEAN: f64 = -1e-6;

impl Answer {
    fn of(log_p: &[f32], batch: &MicroBatch, text: usize) -> Self {
        let rows = batch.texts[text].clone();
        let sum = |values: &[f32]| values[rows.clone()].iter().map(|p| f64::from(*p)).sum();
        let n_tokens = batch.targets[rows.clone()].iter().filter(|t| **t != data::IGNORED).count();
        let (log_p, reference) = (sum(log_p), sum(&batch.reference));
        Self { log_p, reference, n_tokens: n_tokens.max(1) as f64 }
    }

    /// `log p - log p0`.
    fn gain(self) -> f64 {
        self.log_p - self.reference
    }
}

impl Preference {
    /// What it is called in logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Dpo { .. } => "dpo",
            Self::Ipo { .. } => "ipo",
            Self::Orpo { .. } => "orpo",
            Self::Simpo { .. } => "simpo",
            Self::Kto { .. } => "kto",
        }
    }

    /// Whether it asks for [`Example::reference`](crate::Example).
    pub fn has_reference(&self) -> bool {
        !matches!(self, Self::Orpo { .. } | Self::Simpo { .. })
    }

    /// Of the better answer and the other.
    fn pair(self, answers: [Answer; 2]) -> Pair {
        let n = answers.map(|answer| answer.n_tokens);
        let means = answers.map(|answer| answer.log_p / answer.n_tokens);
        match self {
            Self::Dpo { beta, smoothing } => {
                let rewards = answers.map(|answer| beta * answer.gain());
                let apart = rewards[0] - rewards[1];
                let [(right, slope), (wrong, back)] = [logistic(apart), logistic(-apart)];
                let slope = beta * ((1.0 - smoothing) * slope - smoothing * back);
                let loss = (1.0 - smoothing) * right + smoothing * wrong;
                Pair { loss, slopes: [slope, -slope], rewards }
            }
            Self::Ipo { beta } => {
                let rewards = answers.map(|answer| beta * answer.gain() / answer.n_tokens);
                let apart = (rewards[0] - rewards[1] - 0.5) / beta;
                let slopes = [2.0 * apart / n[0], -2.0 * apart / n[1]];
                Pair { loss: apart * apart, slopes, rewards }
            }
            Self::Simpo { beta, margin } => {
                let rewards = means.map(|mean| beta * mean);
                let (loss, slope) = logistic(rewards[0] - rewards[1] - margin);
                let slopes = [beta * slope / n[0], -beta * slope / n[1]];
                Pair { loss, slopes, rewards }
            }
            Self::Orpo { beta } => {
                // 1 - e^m, the slope of the odds being one over it.
                let rest = means.map(|mean| -mean.min(LARGEST_MEAN).exp_m1());
                let odds = [0, 1].map(|i| means[i] - rest[i].ln());
                let (loss, slope) = logistic(odds[0] - odds[1]);
                let slopes =
                    [(beta * slope / rest[0] - 1.0) / n[0], -beta * slope / rest[1] / n[1]];
                let rewards = means.map(|mean| beta * mean);
                Pair { loss: beta * loss - means[0], slopes, rewards }
            }
            Self::Kto { .. } => unreachable!("kto: answers come alone"),
        }
    }

    fn pairs(self, log_p: &[f32], batch: &MicroBatch) -> (Losses, Vec<f64>) {
        let mut slopes = vec![0.0; log_p.len()];
        let mut loss = Loss::default();
        let mut sums = [0.0; 3];
        for texts in &batch.of_example {
            let both = [texts.start, texts.start + 1];
            let found = self.pair(both.map(|text| Answer::of(log_p, batch, text)));
            for (text, slope) in both.into_iter().zip(found.slopes) {
                slopes[batch.texts[text].clone()].fill(slope);
            }
            let [good, bad] = found.rewards;
            loss += Loss { sum: found.loss, n_targets: 1, n_right: u64::from(good > bad) };
            for (sum, value) in sums.iter_mut().zip([good, bad, good - bad]) {
                *sum += value;
            }
        }
        let n = loss.n_targets;
        let told = ["chosen", "rejected", "margin"].into_iter().zip(sums);
        let told = told.map(|(name, sum)| Part::told(name, sum, n));
        (Losses([self.part(loss)].into_iter().chain(told).collect()), slopes)
    }

    fn alone(
        self,
        (beta, weights): (f64, [f64; 2]),
        log_p: &[f32],
        batch: &MicroBatch,
    ) -> (Losses, Vec<f64>) {
        let mut slopes = vec![0.0; log_p.len()];
        let mut loss = Loss::default();
        let (mut rewards, mut counts) = ([0.0; 2], [0; 2]);
        let others = batch.of_example.iter().map(|texts| texts.start + 1);
        let gains = others.map(|text| Answer::of(log_p, batch, text).gain());
        let n = batch.of_example.len() as u64;
        let apart = (gains.sum::<f64>() / n.max(1) as f64).max(0.0);
        for (texts, label) in batch.of_example.iter().zip(&batch.labels) {
            let is_good = *label == Label::Class(1);
            let (side, sign) = if is_good { (0, 1.0) } else { (1, -1.0) };
            let gain = Answer::of(log_p, batch, texts.start).gain();
            let sigmoid = 1.0 / (1.0 + (-sign * beta * (gain - apart)).exp());
            let sum = weights[side] * (1.0 - sigmoid);
            let n_right = u64::from((gain > apart) == is_good);
            loss += Loss { sum, n_targets: 1, n_right };
            let slope = -sign * beta * weights[side] * sigmoid * (1.0 - sigmoid);
            slopes[batch.texts[texts.start].clone()].fill(slope);
            rewards[side] += beta * gain;
            counts[side] += 1;
        }
        let told = vec![
            self.part(loss),
            Part::told("chosen", rewards[0], counts[0]),
            Part::told("rejected", rewards[1], counts[1]),
            Part::told("kl", apart * n as f64, n),
        ];
        (Losses(told), slopes)
    }

    fn part(&self, loss: Loss) -> Part {
        Part { name: self.name(), weight: 1.0, loss }
    }
}

impl Objective for Preference {
    fn loss<'a>(&self, tape: &Tape<'a>, model: &'a Model, batch: &MicroBatch) -> Losses {
        learn(tape, model, (batch, 1.0), |log_p| match *self {
            Self::Kto { beta, weights } => self.alone((beta, weights), log_p, batch),
            _ => self.pairs(log_p, batch),
        })
    }
}
