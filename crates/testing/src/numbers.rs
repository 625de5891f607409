//! Reproducible pseudo-random inputs.

/// A stream of numbers that depends on the seed alone.
///
/// `SplitMix64`: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014.
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 uniform bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in `0..n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// `n` f32, uniform in `[low, high)`.
    pub fn uniform(&mut self, n: usize, low: f32, high: f32) -> Vec<f32> {
        (0..n).map(|_| low + (high - low) * self.unit() as f32).collect()
    }

    /// `n` f32 of the standard normal distribution (Box and Muller).
    pub fn normal(&mut self, n: usize) -> Vec<f32> {
        (0..n)
            .map(|_| {
                let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
                (radius * (std::f64::consts::TAU * self.unit()).cos()) as f32
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Numbers;

    #[test]
    fn a_seed_is_a_stream() {
        let mut known = Numbers::new(1_234_567);
        assert_eq!(known.bits(), 6_457_827_717_110_365_317);
        assert_eq!(Numbers::new(3).normal(5), Numbers::new(3).normal(5));
        assert_ne!(Numbers::new(3).normal(5), Numbers::new(4).normal(5));
    }

    #[test]
    fn normal_has_unit_variance() {
        let x = Numbers::new(1).normal(10_000);
        let variance = x.iter().map(|x| x * x).sum::<f32>() / 10_000.0;
        assert!((variance - 1.0).abs() < 0.05, "{variance}");
    }
}
