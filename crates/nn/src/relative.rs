//! A bias on attention's scores by distance, in buckets that widen with it.
//!
//! Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text
//! Transformer", arXiv:1910.10683, section 2.1.

use tensor::{Param, Pattern, Tape, Var};

/// The table of a trunk, as one layer reads it.
#[derive(Clone)]
pub(crate) struct RelativeBias {
    /// `[n_buckets, N]`.
    pub table: Param,
    pub max_distance: usize,
    /// Whether keys after the query have buckets of their own.
    pub both_ways: bool,
}

impl RelativeBias {
    /// Whether a pattern lets queries see what comes after them.
    pub fn both_ways(pattern: Pattern) -> bool {
        !matches!(pattern, Pattern::Causal | Pattern::Window { .. })
    }

    /// `[N, T + S - 1]` for `T` queries behind `held` keys, `S = held + T`.
    pub fn forward(&self, tape: &Tape, q_len: usize, held: usize) -> Var {
        let width = (2 * q_len + held).saturating_sub(1);
        let distance = |column: usize| column as i64 - (q_len as i64 - 1) - held as i64;
        let buckets = (0..width).map(|column| self.bucket(distance(column))).collect();
        tape.relative_bias(&self.table, &buckets)
    }

    /// The bucket of a key `distance` after the query. In f32, with the roundings of the usual
    /// tensor code: a distance near a bound falls on the same side.
    fn bucket(&self, distance: i64) -> u32 {
        let n = self.table.shape()[0];
        let n = if self.both_ways { n / 2 } else { n };
        let first = if self.both_ways && distance > 0 { n } else { 0 };
        let far = if self.both_ways { distance.unsigned_abs() } else { (-distance).max(0) as u64 };
        let exact = n / 2;
        let bucket = if (far as usize) < exact {
            far as usize
        } else {
            let spread = (self.max_distance as f64 / exact as f64).ln() as f32;
            let log = (far as f32 / exact as f32).ln() / spread * (n - exact) as f32;
            (exact + log as usize).min(n - 1)
        };
        (first + bucket) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tensor::{Init, ParamsBuilder};

    #[test]
    fn near_distances_have_buckets_of_their_own_and_far_ones_share() {
        let table = ParamsBuilder::default().param("t", &[32, 1], Init::Zeros);
        let bias = RelativeBias { table, max_distance: 128, both_ways: true };
        let found = [0, -1, -7, -8, -11, -12, -200, 1, 200].map(|d| bias.bucket(d));
        assert_eq!(found, [0, 1, 7, 8, 8, 9, 15, 17, 31]);
        let bias = RelativeBias { both_ways: false, ..bias };
        assert_eq!([5, 0, -15, -16, -300].map(|d| bias.bucket(d)), [0, 0, 15, 16, 31]);
    }
}
