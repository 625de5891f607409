//! Keys of a text.
//!
//! The signature is that of Dahlgaard, Knudsen, Thorup, "Fast Similarity Sketching",
//! arXiv:1704.04370: every shingle is thrown into one of the `K = bands * rows` places, which keeps
//! the least hash that fell into it, and is thrown again with another hash until no place is empty.
//! A place agrees between two texts with the probability of their Jaccard similarity, as in
//! `MinHash` with `K` permutations, for `O(n + K log K)` hashes in the place of `O(n K)`.

use twox_hash::XxHash3_128;

use super::DedupConfig;
use crate::filter::normal_url;
use crate::words::{hash_words, mix, rolling};

/// What makes two documents the same, by its strength; the lowest bits of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bond {
    Exact,
    Url,
    Near,
}

/// Makes keys; keeps its memory from text to text.
#[derive(Debug)]
pub struct Sketcher {
    config: DedupConfig,
    words: Vec<u64>,
    shingles: Vec<u64>,
    places: Vec<u64>,
    bytes: Vec<u8>,
}

impl Sketcher {
    /// For texts compared as the config says.
    pub fn new(config: &DedupConfig) -> Self {
        let places = vec![0; config.bands * config.rows];
        Self {
            config: config.clone(),
            words: Vec::new(),
            shingles: Vec::new(),
            places,
            bytes: Vec::new(),
        }
    }

    /// Gives `each` the keys of a document: two documents are the same when they share one. The
    /// lowest two bits say what sort of key it is.
    ///
    /// A text of fewer words than a shingle has, has one shingle; a text without any, none, and is
    /// compared by its bytes.
    pub fn keys(&mut self, text: &str, url: &str, mut each: impl FnMut(u128)) {
        self.words.clear();
        hash_words(text, |word| self.words.push(word));
        if self.config.exact {
            let seed = self.config.seed;
            let hash = if self.words.is_empty() {
                XxHash3_128::oneshot_with_seed(!seed, text.as_bytes())
            } else {
                hash_all(&mut self.bytes, seed, &self.words)
            };
            each(key(hash, Bond::Exact));
        }
        if self.config.url && !url.is_empty() {
            let hash = XxHash3_128::oneshot_with_seed(self.config.seed, normal_url(url).as_bytes());
            each(key(hash, Bond::Url));
        }
        if self.config.bands > 0 && !self.words.is_empty() {
            self.sketch();
            let bands = self.places.chunks_exact(self.config.rows);
            for (band, rows) in bands.enumerate() {
                let seed = mix(band as u64 + 1, self.config.seed);
                each(key(hash_all(&mut self.bytes, seed, rows), Bond::Near));
            }
        }
    }

    /// Fills the places from the words.
    fn sketch(&mut self) {
        let n_places = self.places.len() as u64;
        self.shingles.clear();
        self.shingles.extend(rolling(&self.words, self.config.shingle));
        self.places.fill(u64::MAX);
        for round in 0..2 * n_places {
            let seed = mix(round, self.config.seed);
            // A hash of a later round is larger, so that it never replaces one of an earlier one.
            let top = round << 48;
            for &shingle in &self.shingles {
                let hash = mix(shingle, seed);
                let thrown = (u128::from(hash) * u128::from(n_places)) >> 64;
                // The rounds after the first K go to one place each, so that an end is certain.
                let place = round.checked_sub(n_places).unwrap_or(thrown as u64) as usize;
                let least = &mut self.places[place];
                *least = (*least).min(top | mix(hash, 1) >> 16);
            }
            if !self.places.contains(&u64::MAX) {
                break;
            }
        }
    }
}

fn key(hash: u128, bond: Bond) -> u128 {
    hash & !3 | bond as u128
}

fn hash_all(bytes: &mut Vec<u8>, seed: u64, hashes: &[u64]) -> u128 {
    bytes.clear();
    bytes.extend(hashes.iter().flat_map(|hash| hash.to_le_bytes()));
    XxHash3_128::oneshot_with_seed(seed, bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn keys(config: &DedupConfig, text: &str) -> HashSet<u128> {
        let mut keys = HashSet::new();
        Sketcher::new(config).keys(text, "http://a.example/", |key| {
            keys.insert(key);
        });
        keys
    }

    #[test]
    fn every_text_has_its_keys() {
        let config = DedupConfig { url: true, ..DedupConfig::default() };
        for (text, n_keys) in [("", 2), ("?!", 2), ("one", 16), ("a b c d e f g", 16)] {
            assert_eq!(keys(&config, text).len(), n_keys, "{text:?}");
        }
        assert_eq!(keys(&config, "One, two!"), keys(&config, "one \u{2014} TWO"));
        assert_ne!(keys(&config, "?"), keys(&config, "!"));
    }

    /// Two texts of `n` words in shingles of one, of which the share `jaccard` is in both.
    fn pair(n: usize, jaccard: f64, seed: usize) -> [String; 2] {
        let n_shared = (2.0 * jaccard / (1.0 + jaccard) * n as f64).round() as usize;
        ["a", "b"].map(|own| {
            let word = |idx: usize| {
                let own = if idx < n_shared { "s" } else { own };
                format!("{own}{seed}x{idx} ")
            };
            (0..n).map(word).collect()
        })
    }

    #[test]
    fn bands_find_what_their_curve_says() {
        const N: usize = 400;
        let config = DedupConfig { shingle: 1, exact: false, ..DedupConfig::default() };
        // Few words are thrown again and again, many hardly once; both must follow the curve.
        for n_words in [30, 1000] {
            for jaccard in [0.5, 0.67, 0.75, 0.9] {
                let found = (0..N).filter(|&seed| {
                    let [a, b] = pair(n_words, jaccard, seed).map(|text| keys(&config, &text));
                    !a.is_disjoint(&b)
                });
                let found = found.count() as f64 / N as f64;
                let n_shared = (2.0 * jaccard / (1.0 + jaccard) * n_words as f64).round();
                let expected = config.probability(n_shared / (2.0 * n_words as f64 - n_shared));
                let error = (expected * (1.0 - expected) / N as f64).sqrt();
                assert!(
                    (found - expected).abs() < 4.0 * error + 0.01,
                    "{n_words} words, similarity {jaccard}: {found}, expected {expected}"
                );
            }
        }
    }
}
