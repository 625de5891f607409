//! What an objective found, as it must be added up, and as people compare it.

use std::ops::AddAssign;

use tensor::Loss;

/// A part of an objective.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// What it is called in logs.
    pub name: &'static str,
    /// What its mean counts in the whole.
    pub weight: f64,
    /// Its loss.
    pub loss: Loss,
}

impl Part {
    /// Something that is told beside a loss, and learned by nobody: `sum` over `n`.
    pub fn told(name: &'static str, sum: f64, n: u64) -> Self {
        Self { name, weight: 0.0, loss: Loss { sum, n_targets: n, n_right: 0 } }
    }
}

/// `-log sigmoid(z)`, and its slope.
pub(crate) fn logistic(z: f64) -> (f64, f64) {
    ((-z).max(0.0) + (-z.abs()).exp().ln_1p(), -1.0 / (1.0 + z.exp()))
}

/// The losses of an objective's parts. The first decides how many targets there are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Losses(pub Vec<Part>);

impl Losses {
    /// Of an objective of one part.
    pub fn one(name: &'static str, loss: Loss) -> Self {
        Self(vec![Part { name, weight: 1.0, loss }])
    }

    /// The first part's; nothing where nothing was added up yet.
    pub fn first(&self) -> Loss {
        self.0.first().map(|part| part.loss).unwrap_or_default()
    }

    /// The weighted sum of the means, in nats; none where the first part has no targets. A later
    /// part without any counts nothing.
    pub fn mean(&self) -> Option<f64> {
        self.first().mean()?;
        Some(self.0.iter().map(|p| p.weight * p.loss.mean().unwrap_or(0.0)).sum())
    }
}

impl AddAssign for Losses {
    fn add_assign(&mut self, other: Self) {
        if self.0.is_empty() {
            *self = other;
            return;
        }
        assert_eq!(self.0.len(), other.0.len(), "losses: of two objectives");
        for (sum, part) in self.0.iter_mut().zip(other.0) {
            sum.loss += part.loss;
        }
    }
}

/// Bits that the model needs for each byte of the text.
///
/// ```text
/// bpb = sum of nats / ln 2 / bytes
/// ```
///
/// Unlike nats a token it does not depend on the vocabulary. None where there are no bytes.
pub fn bits_per_byte(loss: Loss, n_bytes: u64) -> Option<f64> {
    (n_bytes > 0).then(|| loss.sum / std::f64::consts::LN_2 / n_bytes as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fair_coin_a_byte_is_one_bit() {
        let loss = Loss { sum: 8.0 * std::f64::consts::LN_2, n_targets: 4, n_right: 0 };
        assert_eq!(bits_per_byte(loss, 8), Some(1.0));
        assert_eq!(bits_per_byte(loss, 0), None);
    }

    #[test]
    fn parts_add_up_by_themselves() {
        let loss = |sum, n_targets| Loss { sum, n_targets, n_right: 1 };
        let losses = |a, b| {
            let part = |name, weight, loss| Part { name, weight, loss };
            Losses(vec![part("a", 1.0, a), part("b", 2.0, b)])
        };
        let mut sum = Losses::default();
        assert_eq!(sum.mean(), None);
        sum += losses(loss(3.0, 2), loss(1.0, 1));
        sum += losses(loss(5.0, 2), loss(0.0, 0));
        assert_eq!(sum.mean(), Some(2.0 + 2.0));
        assert_eq!(sum.first(), Loss { sum: 8.0, n_targets: 4, n_right: 2 });
    }
}
