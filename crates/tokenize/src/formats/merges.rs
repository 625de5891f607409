//! Merges of a BPE recovered from its vocabulary.
//!
//! A vocabulary learned by merging has every token's parts in it, and its order is the order of the
//! merges. All cuts of a token in two tokens become merges with the token's rank, as
//! `generate_merges` of `transformers` has it; of those only the one that was learned is ever
//! reached first, the others change nothing.

use std::collections::HashMap;
use std::hash::Hash;

/// A merge as two ids.
pub(crate) type Merge = (u32, u32);

/// Which of the cuts of one token comes first. It matters where a token repeats itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Order {
    /// The one with the shorter first part: `SentencePiece`.
    Length,
    /// The one whose parts were learned first: `tiktoken`.
    Parts,
}

/// All merges of `tokens` in the order of `rank`, which is of a token's place; a token without a
/// rank is neither made nor a part. `cuts` gives the parts of a token.
pub(crate) fn recover<'a, T: ?Sized + Eq + Hash>(
    tokens: &[&'a T],
    order: Order,
    rank: impl Fn(usize) -> Option<u64>,
    cuts: impl Fn(&'a T) -> Vec<(&'a T, &'a T)>,
) -> Vec<Merge> {
    let known = tokens.iter().enumerate().filter(|(idx, _)| rank(*idx).is_some());
    let ids: HashMap<&T, u32> = known.map(|(idx, token)| (*token, idx as u32)).collect();
    let mut ranked = Vec::new();
    for (idx, token) in tokens.iter().enumerate() {
        let Some(rank) = rank(idx) else { continue };
        let found = cuts(token).into_iter().filter_map(|(a, b)| Some((*ids.get(a)?, *ids.get(b)?)));
        ranked.extend(found.enumerate().map(|(cut, merge)| match order {
            Order::Length => (rank, (cut as u32, 0), merge),
            Order::Parts => (rank, merge, merge),
        }));
    }
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, _, merge)| merge).collect()
}

/// Cuts at every character.
pub(crate) fn char_cuts(token: &str) -> Vec<(&str, &str)> {
    token.char_indices().skip(1).map(|(at, _)| token.split_at(at)).collect()
}

/// Cuts at every byte.
pub(crate) fn byte_cuts(token: &[u8]) -> Vec<(&[u8], &[u8])> {
    (1..token.len()).map(|at| token.split_at(at)).collect()
}
