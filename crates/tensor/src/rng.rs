//! Randomness as an argument: a key, never a stream with a state.

/// What random decisions of one forward pass are keyed by.
///
/// Equal keys give equal draws, so recomputation and micro-batches see the same dropout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rng {
    /// The run's seed.
    pub seed: u64,
    /// The optimizer step.
    pub step: u64,
    /// Index of the first sample of this micro-batch within the step's batch.
    pub first_sample: u64,
    /// How many tokens of the step's batch come before this micro-batch, where they are all in one
    /// row, and `first_sample` is 0.
    pub first_token: u64,
}

impl Rng {
    /// The same in another layer: for blocks whose weights serve several.
    #[must_use]
    pub fn in_layer(self, layer: usize) -> Self {
        let parts = [self.seed.to_le_bytes(), (layer as u64).to_le_bytes()];
        Self { seed: hash(&[b"layer", &parts[0], &parts[1]]), ..self }
    }
}

/// FNV-1a with a final mix: stable across builds, for keys derived from names.
pub(crate) fn hash(parts: &[&[u8]]) -> u64 {
    let mut h = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for &byte in *part {
            h = (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        h = (h ^ 0xff).wrapping_mul(0x0100_0000_01b3);
    }
    // The finaliser of splitmix64: FNV alone leaves the high bits of short names alike.
    h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^ (h >> 31)
}

#[cfg(test)]
mod tests {
    use super::hash;

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
        assert_eq!(hash(&[b"blocks.0"]), hash(&[b"blocks.0"]));
    }
}
