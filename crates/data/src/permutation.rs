//! A shuffle without a table.

/// Feistel rounds. Four give a pseudo-random permutation in theory (Luby, Rackoff, "How to
/// Construct Pseudorandom Permutations from Pseudorandom Functions", 1988); two more are for a
/// weak round.
const N_ROUNDS: usize = 6;

/// A permutation of `0..n` that costs no memory: any place can be asked for at any time.
///
/// A Feistel network permutes the next power of four; a value outside `0..n` is fed in again
/// until it falls inside (cycle walking; Black, Rogaway, "Ciphers with Arbitrary Finite Domains",
/// 2002, section 4), which takes less than four steps on average.
#[derive(Clone, Copy, Debug)]
pub struct Permutation {
    n: u64,
    half_bits: u32,
    keys: [u64; N_ROUNDS],
}

impl Permutation {
    /// The permutation of `0..n` that belongs to `seed` and `epoch`.
    ///
    /// # Panics
    /// When `n` is above 2^62.
    pub fn new(n: u64, seed: u64, epoch: u64) -> Self {
        assert!(n <= 1 << 62, "permutation: {n} places");
        let n_bits = u64::BITS - n.saturating_sub(1).leading_zeros();
        let mut state = mix(mix(seed) ^ epoch);
        let keys = std::array::from_fn(|_| {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            mix(state)
        });
        Self { n, half_bits: n_bits.div_ceil(2).max(1), keys }
    }

    /// What stands at place `i`.
    ///
    /// # Panics
    /// When `i` is not below `n`.
    pub fn at(&self, i: u64) -> u64 {
        assert!(i < self.n, "permutation: place {i} of {}", self.n);
        let mut value = self.feistel(i);
        while value >= self.n {
            value = self.feistel(value);
        }
        value
    }

    fn feistel(&self, value: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (value >> self.half_bits, value & mask);
        for key in self.keys {
            (left, right) = (right, left ^ (mix(right ^ key) & mask));
        }
        left << self.half_bits | right
    }
}

/// The finalizer of `SplitMix64` (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number
/// Generators", 2014, figure 17).
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(n: u64, seed: u64, epoch: u64) -> Vec<u64> {
        let permutation = Permutation::new(n, seed, epoch);
        (0..n).map(|i| permutation.at(i)).collect()
    }

    proptest! {
        #[test]
        fn every_place_is_taken_once(n in 0u64..3000, seed: u64, epoch: u64) {
            let mut values = all(n, seed, epoch);
            values.sort_unstable();
            prop_assert!(values.into_iter().eq(0..n));
        }
    }

    #[test]
    fn large_domains_stay_inside() {
        for n in [1 << 40, (1 << 40) + 1, 1 << 62] {
            let permutation = Permutation::new(n, 1, 2);
            assert!([0, 1, n / 2, n - 1].into_iter().all(|i| permutation.at(i) < n));
        }
    }

    #[test]
    fn seeds_and_epochs_differ() {
        let first = all(100, 0, 0);
        assert_ne!(first, all(100, 1, 0));
        assert_ne!(first, all(100, 0, 1));
        assert_ne!(all(100, 1, 0), all(100, 0, 1));
        assert_ne!(first, (0..100).collect::<Vec<_>>());
        assert_eq!(first, all(100, 0, 0));
    }

    #[test]
    fn every_place_gets_every_value_about_as_often() {
        const N: u64 = 10;
        const N_SEEDS: u64 = 10_000;
        let mut counts = [[0u32; N as usize]; N as usize];
        for seed in 0..N_SEEDS {
            for (place, value) in all(N, seed, 0).into_iter().enumerate() {
                counts[place][value as usize] += 1;
            }
        }
        let expected = f64::from(N_SEEDS as u32) / N as f64;
        let deviates = |count: &u32| (f64::from(*count) - expected).abs() > 6.0 * expected.sqrt();
        assert!(!counts.iter().flatten().any(deviates), "{counts:?}");
    }
}
