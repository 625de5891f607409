//! Counts of n-grams.

use std::collections::HashMap;
use std::hash::Hash;

/// How often each run of `n` items is there.
pub(crate) type Ngrams<'a, T> = HashMap<&'a [T], u64>;

pub(crate) fn ngrams<T: Eq + Hash>(items: &[T], n: usize) -> Ngrams<'_, T> {
    let mut counts = HashMap::new();
    for ngram in items.windows(n) {
        *counts.entry(ngram).or_default() += 1;
    }
    counts
}

/// How many `n`-grams there are of `len` items.
pub(crate) fn n_ngrams(len: usize, n: usize) -> u64 {
    (len + 1).saturating_sub(n) as u64
}

/// How many the two have in common, each as often as in the one that has fewer of it.
pub(crate) fn shared<T: Eq + Hash>(left: &Ngrams<T>, right: &Ngrams<T>) -> u64 {
    left.iter().map(|(ngram, count)| right.get(ngram).map_or(0, |other| *other.min(count))).sum()
}
