//! What is in a store or in files: how much, how long, how often; some of it; what two differ in.

use std::collections::HashMap;
use std::ops::Range;

use rayon::prelude::*;
use tokenize::Tokenizer;

use crate::{DataError, Source, Store};

/// Documents that are looked at together.
const DOCUMENTS_AT_ONCE: u64 = 1 << 12;
/// Tokens that are read at once.
const TOKENS_AT_ONCE: u64 = 1 << 20;

/// Where documents are.
#[derive(Debug)]
pub enum Origin {
    /// In a token store.
    Store(Box<Store>),
    /// In files that [`Source`] reads.
    Text(Source),
}

/// How long the documents of an [`Origin`] are, in one unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lengths(Vec<u64>);

/// What there is of documents, counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Survey {
    /// Documents.
    pub n_documents: u64,
    /// Their lengths in bytes of text, where that is known.
    pub n_bytes: Option<Lengths>,
    /// Their lengths in tokens, where that is known; as a store has them, so the token that ends a
    /// document is one of its own.
    pub n_tokens: Option<Lengths>,
    /// How often each token comes, by id; empty where there are none.
    pub counts: Vec<u64>,
}

/// What two origins differ in, in numbers of documents, from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Documents in both.
    pub n_same: u64,
    /// In the second where the first has another one: both numbers.
    pub changed: Vec<(u64, u64)>,
    /// In the first alone.
    pub removed: Vec<u64>,
    /// In the second alone.
    pub added: Vec<u64>,
}

impl Lengths {
    /// Of any order.
    pub fn new(mut lengths: Vec<u64>) -> Self {
        lengths.sort_unstable();
        Self(lengths)
    }

    /// All together.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The length that a share of the documents does not exceed: 0 the shortest, 1 the longest.
    /// 0 where there are none.
    pub fn quantile(&self, share: f64) -> u64 {
        let last = self.0.len().saturating_sub(1);
        let at = (share * last as f64).round() as usize;
        self.0.get(at.min(last)).copied().unwrap_or(0)
    }

    /// Lengths from 2^k to below 2^(k+1) and how many documents have one, the shortest first; an
    /// empty document is with those of length 1. No range is left out between two that are there.
    pub fn histogram(&self) -> Vec<(Range<u64>, u64)> {
        let class = |length: u64| length.max(1).ilog2();
        let (Some(&first), Some(&last)) = (self.0.first(), self.0.last()) else { return vec![] };
        let of = |k: u32| {
            let n = self.0.iter().filter(|&&length| class(length) == k).count();
            (1 << k..(1_u64 << k).saturating_mul(2), n as u64)
        };
        (class(first)..=class(last)).map(of).collect()
    }
}

impl Survey {
    /// The tokens that come most often with how often, at most `n`; of equals the smaller id.
    pub fn most_frequent(&self, n: usize) -> Vec<(u32, u64)> {
        let mut tokens: Vec<(u32, u64)> =
            (0..).zip(self.counts.iter().copied()).filter(|(_, count)| *count > 0).collect();
        tokens.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        tokens.truncate(n);
        tokens
    }
}

impl Origin {
    /// Counts everything. With a tokenizer a store knows bytes too, and text tokens.
    ///
    /// # Errors
    /// When something cannot be read, or is damaged.
    pub fn survey(&self, tokenizer: Option<&Tokenizer>) -> Result<Survey, DataError> {
        match self {
            Self::Store(store) => survey_store(store, tokenizer),
            Self::Text(source) => survey_text(source, tokenizer),
        }
    }

    /// The documents of these numbers, which ascend, as text of at most `max_bytes` each; tokens
    /// where there is no tokenizer to decode them.
    ///
    /// # Errors
    /// When something cannot be read, or is damaged.
    pub fn documents(
        &self,
        numbers: &[u64],
        max_bytes: usize,
        tokenizer: Option<&Tokenizer>,
    ) -> Result<Vec<(u64, String)>, DataError> {
        match self {
            Self::Store(store) => {
                numbers.iter().map(|&i| Ok((i, decoded(store, i, max_bytes, tokenizer)?))).collect()
            }
            Self::Text(source) => some_texts(source, numbers, max_bytes),
        }
    }

    /// How many documents there are; files are read for it.
    ///
    /// # Errors
    /// When something cannot be read.
    pub fn n_documents(&self) -> Result<u64, DataError> {
        match self {
            Self::Store(store) => Ok(store.n_documents()),
            Self::Text(source) => {
                let ends = |document: crate::Document| u64::from(document.ends);
                source.open()?.map(|document| document.map(ends)).sum()
            }
        }
    }

    /// BLAKE3 of every document, in order: of its tokens, or of its text.
    ///
    /// # Errors
    /// When something cannot be read, or is damaged.
    pub fn hashes(&self) -> Result<Vec<blake3::Hash>, DataError> {
        match self {
            Self::Store(store) => {
                let hash = |i| {
                    let mut hasher = blake3::Hasher::new();
                    each_chunk(store, i, |ids| {
                        for id in ids {
                            hasher.update(&id.to_le_bytes());
                        }
                    })?;
                    Ok(hasher.finalize())
                };
                (0..store.n_documents()).into_par_iter().map(hash).collect()
            }
            Self::Text(source) => {
                let (mut hashes, mut hasher) = (Vec::new(), blake3::Hasher::new());
                for document in source.open()? {
                    let document = document?;
                    hasher.update(document.text.as_bytes());
                    if document.ends {
                        hashes.push(hasher.finalize());
                        hasher.reset();
                    }
                }
                Ok(hashes)
            }
        }
    }
}

impl Difference {
    /// Of documents by their hashes.
    ///
    /// A document is the same wherever it stands. Of the others, the first after a common one is
    /// taken to be a change of the first after it on the other side, the second of the second.
    pub fn between(a: &[blake3::Hash], b: &[blake3::Hash]) -> Self {
        let mut common: HashMap<blake3::Hash, [u64; 2]> = HashMap::new();
        for (side, hashes) in [a, b].into_iter().enumerate() {
            for hash in hashes {
                common.entry(*hash).or_default()[side] += 1;
            }
        }
        let n_same: u64 = common.values().map(|[a, b]| a.min(b)).sum();
        // What stands on one side alone, by the common document before it and its place after it.
        let alone = |hashes: &[blake3::Hash]| {
            let mut left: HashMap<_, u64> =
                common.iter().map(|(hash, [a, b])| (*hash, *a.min(b))).collect();
            let (mut before, mut place, mut alone) = (None, 0_u64, Vec::new());
            for (hash, number) in hashes.iter().zip(0_u64..) {
                let is_common = left.get_mut(hash).filter(|n| **n > 0);
                if let Some(n) = is_common {
                    *n -= 1;
                    (before, place) = (Some((*hash, *n)), 0);
                } else {
                    alone.push(((before, place), number));
                    place += 1;
                }
            }
            alone
        };
        let mut added: HashMap<_, u64> = alone(b).into_iter().collect();
        let mut difference = Self { n_same, ..Self::default() };
        for (place, number) in alone(a) {
            match added.remove(&place) {
                Some(other) => difference.changed.push((number, other)),
                None => difference.removed.push(number),
            }
        }
        difference.added = added.into_values().collect();
        difference.added.sort_unstable();
        difference
    }
}

/// Numbers below `n`, `k` of them or all, in order; the same for the same seed.
pub fn sample(n: u64, k: usize, seed: u64) -> Vec<u64> {
    // Vitter, "Random Sampling with a Reservoir" (1985), algorithm R.
    let mut chosen: Vec<u64> = Vec::with_capacity(k.min(n as usize));
    for i in 0..n {
        if chosen.len() < k {
            chosen.push(i);
        } else {
            let at = (u128::from(mix(seed ^ mix(i))) * u128::from(i + 1)) >> 64;
            if let Some(slot) = chosen.get_mut(at as usize) {
                *slot = i;
            }
        }
    }
    chosen.sort_unstable();
    chosen
}

/// A number of which every bit depends on every bit of another: `SplitMix64`, Steele, Lea, Flood,
/// "Fast Splittable Pseudorandom Number Generators" (2014).
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// Gives the tokens of document `i`, some at a time.
fn each_chunk(store: &Store, i: u64, mut f: impl FnMut(&[u32])) -> Result<(), DataError> {
    let Range { start, end } = store.document(i)?;
    let mut ids = vec![0; TOKENS_AT_ONCE.min(end - start) as usize];
    for at in (start..end).step_by(TOKENS_AT_ONCE as usize) {
        let ids = &mut ids[..TOKENS_AT_ONCE.min(end - at) as usize];
        store.read(at, ids)?;
        f(ids);
    }
    Ok(())
}

/// Lengths of some documents, and how often each token comes in them.
#[derive(Default)]
struct Part {
    n_tokens: Vec<u64>,
    n_bytes: Vec<u64>,
    counts: Vec<u64>,
}

impl Part {
    fn add(mut self, other: Self) -> Self {
        self.n_tokens.extend(other.n_tokens);
        self.n_bytes.extend(other.n_bytes);
        self.counts.resize(self.counts.len().max(other.counts.len()), 0);
        self.counts.iter_mut().zip(other.counts).for_each(|(sum, n)| *sum += n);
        self
    }
}

fn survey_store(store: &Store, tokenizer: Option<&Tokenizer>) -> Result<Survey, DataError> {
    let lengths = tokenizer.and_then(Tokenizer::byte_lengths);
    let part = |first: u64| {
        let mut part = Part { counts: vec![0; store.vocab_size()], ..Part::default() };
        for i in first..store.n_documents().min(first + DOCUMENTS_AT_ONCE) {
            let (mut n_tokens, mut n_bytes) = (0, 0);
            each_chunk(store, i, |ids| {
                for &id in ids {
                    part.counts[id as usize] += 1;
                    n_tokens += 1;
                    n_bytes += lengths
                        .as_ref()
                        .map_or(0, |n| n.get(id as usize).map_or(0, |&n| u64::from(n)));
                }
            })?;
            part.n_tokens.push(n_tokens);
            part.n_bytes.push(n_bytes);
        }
        Ok(part)
    };
    let firsts: Vec<u64> = (0..store.n_documents()).step_by(DOCUMENTS_AT_ONCE as usize).collect();
    let sum = firsts.into_par_iter().map(part);
    let sum = sum.try_reduce(Part::default, |a, b| Ok::<_, DataError>(a.add(b)))?;
    Ok(Survey {
        n_documents: store.n_documents(),
        n_bytes: lengths.map(|_| Lengths::new(sum.n_bytes)),
        n_tokens: Some(Lengths::new(sum.n_tokens)),
        counts: sum.counts,
    })
}

fn survey_text(source: &Source, tokenizer: Option<&Tokenizer>) -> Result<Survey, DataError> {
    let (mut n_bytes, mut n_tokens) = (vec![], vec![]);
    let mut counts = vec![0_u64; tokenizer.map_or(0, Tokenizer::vocab_size)];
    let (mut bytes, mut tokens) = (0, 0);
    let end = tokenizer.and_then(Tokenizer::end_of_text);
    for document in source.open()? {
        let document = document?;
        bytes += document.text.len() as u64;
        if let Some(tokenizer) = tokenizer {
            let ids = tokenizer.encode(&document.text)?;
            tokens += ids.len() as u64;
            for id in ids {
                counts[id as usize] += 1;
            }
        }
        if document.ends {
            if let Some(end) = end.filter(|_| tokens > 0) {
                tokens += 1;
                counts[end as usize] += 1;
            }
            n_bytes.push(std::mem::take(&mut bytes));
            n_tokens.push(std::mem::take(&mut tokens));
        }
    }
    Ok(Survey {
        n_documents: n_bytes.len() as u64,
        n_bytes: Some(Lengths::new(n_bytes)),
        n_tokens: tokenizer.map(|_| Lengths::new(n_tokens)),
        counts,
    })
}

/// The beginning of a document of a store.
fn decoded(
    store: &Store,
    i: u64,
    max_bytes: usize,
    tokenizer: Option<&Tokenizer>,
) -> Result<String, DataError> {
    let Range { start, end } = store.document(i)?;
    // A token is a byte at least, but for special ones, or three of them a character.
    let mut ids = vec![0; (end - start).min(max_bytes as u64 + 1) as usize];
    store.read(start, &mut ids)?;
    let mut text = match tokenizer {
        Some(tokenizer) => tokenizer.decode(&ids)?,
        None => ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" "),
    };
    text.truncate(text.floor_char_boundary(max_bytes));
    Ok(text)
}

fn some_texts(
    source: &Source,
    numbers: &[u64],
    max_bytes: usize,
) -> Result<Vec<(u64, String)>, DataError> {
    let mut wanted = numbers.iter().peekable();
    let (mut number, mut text, mut found) = (0, String::new(), Vec::new());
    for document in source.open()? {
        let Some(&&next) = wanted.peek() else { break };
        let document = document?;
        if number == next {
            let left = max_bytes.saturating_sub(text.len());
            text.push_str(&document.text[..document.text.floor_char_boundary(left)]);
        }
        if document.ends {
            if number == next {
                found.push((number, std::mem::take(&mut text)));
                wanted.next();
            }
            number += 1;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
