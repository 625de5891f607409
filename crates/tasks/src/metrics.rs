//! Losses as people compare them.

use tensor::Loss;

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
        let loss = Loss { sum: 8.0 * std::f64::consts::LN_2, n_targets: 4 };
        assert_eq!(bits_per_byte(loss, 8), Some(1.0));
        assert_eq!(bits_per_byte(loss, 0), None);
    }
}
