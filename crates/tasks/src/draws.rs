//! Random decisions about a sample: a function of seed and sample, whatever the batch.

use kernels::philox::Key;

/// The draws of one sample, one after the other.
pub(crate) struct Draws {
    key: Key,
    block: u64,
    words: [u32; 4],
    left: usize,
}

impl Draws {
    /// Those of sample `sample_id` under `seed`.
    pub fn new(seed: u64, sample_id: u64) -> Self {
        // "objective", so that dropout does not draw the same.
        let key = Key::new(seed).fold(0x6f62_6a65_6374_6976).fold(sample_id);
        Self { key, block: 0, words: [0; 4], left: 0 }
    }

    fn word(&mut self) -> u32 {
        if self.left == 0 {
            (self.words, self.left) = (self.key.words(self.block), 4);
            self.block += 1;
        }
        self.left -= 1;
        self.words[self.left]
    }

    /// Uniform in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        f64::from(self.word()) / (f64::from(u32::MAX) + 1.0)
    }

    /// Uniform below `n`, which is below 2^32; its bias is below `n / 2^32`.
    ///
    /// # Panics
    /// When `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "draws: nothing to choose from");
        ((u64::from(self.word()) * n as u64) >> 32) as usize
    }

    /// Puts `items` in an order of its own: Fisher and Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }

    /// `total` in `n` parts of at least 1, each way equally likely.
    ///
    /// # Panics
    /// When there are fewer than `n`, or `n` is 0.
    pub fn parts(&mut self, total: usize, n: usize) -> Vec<usize> {
        assert!(n > 0 && n <= total, "draws: {total} in {n} parts");
        let mut cuts: Vec<usize> = (1..total).collect();
        // The first `n - 1` of a shuffle.
        for i in 0..n - 1 {
            let other = i + self.below(cuts.len() - i);
            cuts.swap(i, other);
        }
        cuts.truncate(n - 1);
        cuts.sort_unstable();
        cuts.push(total);
        let mut before = 0;
        cuts.iter().map(|&cut| cut - std::mem::replace(&mut before, cut)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_belong_to_seed_and_sample() {
        let some = |seed, id| (0..9).map(|_| ()).scan(Draws::new(seed, id), |d, ()| Some(d.word()));
        let some = |seed, id| some(seed, id).collect::<Vec<_>>();
        assert_eq!(some(1, 2), some(1, 2));
        assert!(some(1, 2) != some(1, 3) && some(1, 2) != some(2, 2));
    }

    #[test]
    fn parts_add_up() {
        let mut draws = Draws::new(1, 1);
        let mut seen = std::collections::HashSet::new();
        for _ in 0..200 {
            let parts = draws.parts(5, 3);
            assert!(parts.iter().sum::<usize>() == 5 && parts.iter().all(|&part| part > 0));
            seen.insert(parts);
        }
        assert_eq!(seen.len(), 6, "all ways to part 5 in 3");
        assert_eq!(draws.parts(4, 1), [4]);
    }

    #[test]
    fn a_shuffle_is_fair() {
        let mut draws = Draws::new(7, 0);
        let mut first = [0; 4];
        for _ in 0..4000 {
            let mut items = [0, 1, 2, 3];
            draws.shuffle(&mut items);
            first[items[0]] += 1;
        }
        // Six standard deviations of a binomial.
        assert!(first.iter().all(|&n| (n - 1000_i32).abs() < 165), "{first:?}");
    }
}
