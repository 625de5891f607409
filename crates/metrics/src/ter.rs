//! Translation edit rate, as `sacrebleu` computes it (Tercom's words, without its options).
//!
//! Snover et al., "A study of translation edit rate with targeted human annotation", 2006. An edit
//! is a word inserted, deleted or replaced, or a run of words moved. Which moves are tried, and how
//! far from the diagonal words are compared, are the limits of Tercom.

mod alignment;

use std::collections::HashMap;

use alignment::{Alignment, Distance};

use crate::error::{MetricError, Result};
use crate::text::split;

/// The longest run that is moved, in words.
const MAX_MOVED: usize = 10;
/// How far.
const MAX_DISTANCE: usize = 50;
/// How many moves are tried for a text.
const MAX_CANDIDATES: usize = 1000;

/// What TER is computed of. The sum over sentences is that of the corpus.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TerStats {
    /// Edits that make the hypothesis the nearest reference.
    pub edits: u64,
    /// Words of the references, on average.
    pub reference_len: f64,
}

/// A run of words that is elsewhere in the reference, moved.
struct Move {
    /// Edits it saves; then its length; then, negated, where it was and where it goes: the largest
    /// of all is the best.
    rank: (i64, usize, i64, i64),
    words: Vec<u32>,
}

/// Counts one sentence. Capitals are small letters.
///
/// # Errors
/// When there is no reference.
pub fn stats(hypothesis: &str, references: &[&str]) -> Result<TerStats> {
    let mut ids = HashMap::new();
    let mut read = |text: &str| -> Vec<u32> {
        let lower = text.to_lowercase();
        let mut id = |word: &str| {
            let next = ids.len() as u32;
            *ids.entry(word.to_owned()).or_insert(next)
        };
        split(&lower).map(&mut id).collect()
    };
    let hypothesis = read(hypothesis);
    let references: Vec<Vec<u32>> = references.iter().map(|text| read(text)).collect();
    let edits = references.iter().map(|reference| edits(hypothesis.clone(), reference)).min();
    let edits = edits.ok_or(MetricError::Empty { what: "references of a text" })?;
    let n_words: usize = references.iter().map(Vec::len).sum();
    Ok(TerStats { edits, reference_len: n_words as f64 / references.len() as f64 })
}

/// The rate of the sentences that were summed, per cent; it may be above 100. Without a word in the
/// references, 0 where there is none in the hypotheses either, else 100.
pub fn score(stats: &TerStats) -> f64 {
    if stats.reference_len > 0.0 {
        return 100.0 * stats.edits as f64 / stats.reference_len;
    }
    if stats.edits > 0 { 100.0 } else { 0.0 }
}

fn edits(mut words: Vec<u32>, reference: &[u32]) -> u64 {
    if reference.is_empty() {
        return words.len() as u64;
    }
    let mut distance = Distance::new(reference);
    let (mut n_moves, mut n_tried) = (0, 0);
    while let Some(best) = best_move(&words, reference, &mut distance, &mut n_tried) {
        if n_tried >= MAX_CANDIDATES || best.rank.0 <= 0 {
            break;
        }
        n_moves += 1;
        words = best.words;
    }
    n_moves + u64::from(distance.measure(&words))
}

fn best_move(
    words: &[u32],
    reference: &[u32],
    distance: &mut Distance,
    n_tried: &mut usize,
) -> Option<Move> {
    let before = i64::from(distance.measure(words));
    let Alignment { at, wrong_words, wrong_reference } = distance.alignment();
    let mut best: Option<Move> = None;
    for [start, target, len] in runs(words, reference) {
        let is_there = (start as i64..(start + len) as i64).contains(&at[target]);
        let is_right = |wrong: &[bool], from: usize| !wrong[from..from + len].contains(&true);
        if is_right(&wrong_words, start) || is_right(&wrong_reference, target) || is_there {
            continue;
        }
        // Before the run's place in the reference, and after each of its words.
        let first = target.checked_sub(1).map_or(0, |idx| (at[idx] + 1) as usize);
        let others = at[target..target + len].iter().map(|&place| (place + 1) as usize);
        let mut tried = None;
        for to in std::iter::once(first).chain(others) {
            if tried.replace(to) == Some(to) {
                continue;
            }
            let moved = moved(words, start, len, to);
            let saved = before - i64::from(distance.measure(&moved));
            let rank = (saved, len, -(start as i64), -(to as i64));
            *n_tried += 1;
            if best.as_ref().is_none_or(|best| rank > best.rank) {
                best = Some(Move { rank, words: moved });
            }
        }
        if *n_tried >= MAX_CANDIDATES {
            break;
        }
    }
    best
}

/// Runs of words that both have: where in either, and how long.
fn runs<'a>(words: &'a [u32], reference: &'a [u32]) -> impl Iterator<Item = [usize; 3]> + 'a {
    (0..words.len()).flat_map(move |start| {
        let targets =
            start.saturating_sub(MAX_DISTANCE)..reference.len().min(start + MAX_DISTANCE + 1);
        targets.flat_map(move |target| {
            let pairs = words[start..].iter().zip(&reference[target..]);
            let len = pairs.take(MAX_MOVED).take_while(|(a, b)| a == b).count();
            (1..=len).map(move |len| [start, target, len])
        })
    })
}

/// The words with a run of them taken out and put in before what was at `to`.
fn moved(words: &[u32], start: usize, len: usize, to: usize) -> Vec<u32> {
    let end = start + len;
    let run = &words[start..end];
    if to < start {
        return [&words[..to], run, &words[to..start], &words[end..]].concat();
    }
    // Inside of itself, it moves on by as much.
    let to = if to > end { to } else { (to + len).min(words.len()) };
    [&words[..start], &words[end..to], run, &words[to..]].concat()
}

impl std::ops::AddAssign for TerStats {
    fn add_assign(&mut self, other: Self) {
        self.edits += other.edits;
        self.reference_len += other.reference_len;
    }
}
