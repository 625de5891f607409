//! Random numbers from a counter: the i-th number of a stream, computed without the ones before.
//!
//! A number depends on ([`Key`], index) alone, so recomputation, micro-batches, threads and ranks
//! see the same ones, and nothing has to be saved but the key.
//!
//! Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011
//! (Philox4x32-10; DOI 10.1145/2063384.2063405).
#![allow(clippy::inline_always)] // Called from code compiled for more than the baseline.

use crate::cut::PIECE;
use rayon::prelude::*;
use std::array;
use std::f64::consts::TAU;

/// Names a stream of random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The seed of the run.
    pub seed: u64,
    /// Which stream of the seed: a hash of what the numbers are for.
    pub stream: u64,
}

impl Key {
    /// The first stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, stream: 0 }
    }

    /// A stream of its own for `part` (a step, a layer, a purpose) of what this one is for.
    ///
    /// The finalizer of `SplitMix64` over both: Steele, Lea, Flood, "Fast Splittable Pseudorandom
    /// Number Generators", OOPSLA 2014.
    #[must_use]
    pub fn fold(self, part: u64) -> Self {
        let mix = |mut z: u64| {
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        let next = |z: u64| mix(z.wrapping_add(0x9e37_79b9_7f4a_7c15));
        // Rotated, so that the two do not trade places.
        let both = next(self.stream).rotate_left(32).wrapping_add(next(part));
        Self { stream: next(both), ..self }
    }

    /// Four words, the `block`-th of the stream.
    #[inline(always)]
    pub fn words(self, block: u64) -> [u32; 4] {
        let (seed, stream) = (halves(self.seed), halves(self.stream));
        let block = halves(block);
        philox4x32([block[0], block[1], stream[0], stream[1]], seed)
    }
}

/// The low and the high half.
#[inline(always)]
fn halves(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

const MULTIPLIERS: [u32; 2] = [0xd251_1f53, 0xcd9e_8d57];
const WEYL: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];
const ROUNDS: u32 = 10;

/// Philox4x32-10: four random words for a counter and a key.
#[inline(always)]
pub fn philox4x32(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for round in 0..ROUNDS {
        if round > 0 {
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        let [low0, high0] = halves(u64::from(MULTIPLIERS[0]) * u64::from(counter[0]));
        let [low1, high1] = halves(u64::from(MULTIPLIERS[1]) * u64::from(counter[2]));
        counter = [high1 ^ counter[1] ^ key[0], low1, high0 ^ counter[3] ^ key[1], low0];
    }
    counter
}

/// How many words [`group`] makes.
pub(crate) const GROUP: usize = 64;

/// The `index`-th group of 64 words: [`Key::words`] of blocks `16 * index ..`, all first words,
/// then all second ones, and so on: sixteen counters go through the rounds side by side.
#[inline(always)]
pub(crate) fn group(key: Key, index: u64) -> [u32; GROUP] {
    let (seed, stream) = (halves(key.seed), halves(key.stream));
    // Nothing is carried: the lowest four bits of the first block are zero.
    let [low, high] = halves(16 * index);
    let low = array::from_fn(|b| low + b as u32);
    let mut lanes = [low, [high; 16], [stream[0]; 16], [stream[1]; 16]];
    let mut key = seed;
    for round in 0..ROUNDS {
        if round > 0 {
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        let first = lanes[0].map(|c| u64::from(MULTIPLIERS[0]) * u64::from(c));
        let second = lanes[2].map(|c| u64::from(MULTIPLIERS[1]) * u64::from(c));
        lanes = [
            array::from_fn(|b| (second[b] >> 32) as u32 ^ lanes[1][b] ^ key[0]),
            second.map(|p| p as u32),
            array::from_fn(|b| (first[b] >> 32) as u32 ^ lanes[3][b] ^ key[1]),
            first.map(|p| p as u32),
        ];
    }
    bytemuck::cast(lanes)
}

/// Uniform in `[0, 1)`, of 24 bits.
pub fn unit_f32(word: u32) -> f32 {
    (word >> 8) as f32 / (1_u32 << 24) as f32
}

/// Two independent numbers of the standard normal distribution from two words.
///
/// Box, Muller, "A Note on the Generation of Random Normal Deviates", 1958.
pub fn normal_pair(words: [u32; 2]) -> [f64; 2] {
    // In (0, 1]: the logarithm is finite.
    let radius = (-2.0 * ((f64::from(words[0]) + 1.0) / 4_294_967_296.0).ln()).sqrt();
    let (sin, cos) = (TAU * f64::from(words[1]) / 4_294_967_296.0).sin_cos();
    [radius * cos, radius * sin]
}

/// Fills `out` from the four words of each block of four numbers.
fn fill(out: &mut [f32], key: Key, four: impl Fn([u32; 4]) -> [f32; 4] + Sync) {
    out.par_chunks_mut(PIECE).enumerate().for_each(|(piece, out)| {
        let first = (piece * PIECE / 4) as u64;
        for (block, out) in out.chunks_mut(4).enumerate() {
            let numbers = four(key.words(first + block as u64));
            out.copy_from_slice(&numbers[..out.len()]);
        }
    });
}

/// Independent normal numbers.
pub fn fill_normal(out: &mut [f32], key: Key, mean: f32, std: f32) {
    let (mean, std) = (f64::from(mean), f64::from(std));
    fill(out, key, |[a, b, c, d]| {
        let (first, second) = (normal_pair([a, b]), normal_pair([c, d]));
        [first[0], first[1], second[0], second[1]].map(|x| (mean + std * x) as f32)
    });
}

/// Independent numbers, uniform in `[low, high)`.
pub fn fill_uniform(out: &mut [f32], key: Key, low: f32, high: f32) {
    fill(out, key, |words| words.map(|word| low + (high - low) * unit_f32(word)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use testing::same_for_any_threads;

    #[test]
    fn known_answers_of_random123() {
        // `philox4x32 10` of tests/kat_vectors in Random123, the authors' library.
        let cases = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([!0; 4], [!0; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, expected) in cases {
            assert_eq!(philox4x32(counter, key), expected);
        }
    }

    #[test]
    fn a_group_is_sixteen_blocks() {
        let key = Key { seed: 0x0123_4567_89ab_cdef, stream: u64::MAX - 5 };
        for index in [0, 1, u64::MAX / 16] {
            let words = group(key, index);
            for b in 0..16 {
                let expected = key.words(16 * index + b as u64);
                assert_eq!([0, 16, 32, 48].map(|w| words[w + b]), expected);
            }
        }
    }

    #[test]
    fn normal_numbers_have_their_moments() {
        let mut x = vec![0.0; 100_001];
        fill_normal(&mut x, Key::new(1), 3.0, 0.5);
        let n = x.len() as f64;
        let moment = |k| x.iter().map(|&x| ((f64::from(x) - 3.0) / 0.5).powi(k)).sum::<f64>() / n;
        let expected = [0.0, 1.0, 0.0, 3.0];
        for (k, expected) in (1..).zip(expected) {
            assert!((moment(k) - expected).abs() < 0.05, "moment {k}: {}", moment(k));
        }
    }

    #[test]
    fn uniform_numbers_stay_in_range() {
        let mut x = vec![0.0; 10_001];
        fill_uniform(&mut x, Key::new(1), -1.0, 2.0);
        assert!(x.iter().all(|x| (-1.0..2.0).contains(x)));
        let mean = x.iter().sum::<f32>() / 10_001.0;
        assert!((mean - 0.5).abs() < 0.03, "{mean}");
    }

    #[test]
    fn numbers_depend_on_key_and_place_alone() {
        let make = |key, n| {
            let mut x = vec![0.0; n];
            fill_normal(&mut x, key, 0.0, 1.0);
            x
        };
        let key = Key::new(1);
        let long = same_for_any_threads(|| make(key, 40_003));
        assert_eq!(make(key, 17), long[..17]);
        for other in [Key::new(2), key.fold(0), key.fold(1), key.fold(0).fold(0)] {
            assert_ne!(make(other, 17), long[..17]);
        }
    }
}
