//! Texts that are hard to cut into tokens.

use crate::Numbers;

/// One pool of pieces a line: `41..5A` is any of these characters, `31+FE0F` these in a row, and
/// `'word` is a word. `golden/assets.py` reads it too.
const POOLS: &str = include_str!("odd.txt");

/// Ten thousand texts, the same in every run: a few runs of pieces out of a pool each, now and then
/// a very long one.
///
/// Scripts, marks, emoji, controls, blanks of every kind, characters that are none, and what is
/// spelled like special tokens. The same as `odd_texts` in `golden/assets.py`.
pub fn odd_texts() -> Vec<String> {
    let pools: Vec<Vec<&str>> = POOLS.lines().map(|line| line.split(' ').collect()).collect();
    let mut numbers = Numbers::new(1);
    (0..10_000).map(|_| text(&pools, &mut numbers)).collect()
}

/// What the ids of every 500 texts come to, in their order.
pub fn digests<T: IntoIterator<Item = u32>>(
    texts: &[String],
    ids: impl Fn(&str) -> T,
) -> Vec<String> {
    let block = |texts: &[String]| {
        let ids = texts.iter().flat_map(|text| ids(text).into_iter().chain([u32::MAX]));
        format!("{:016x}", ids.fold(0, digest))
    };
    texts.chunks(500).map(block).collect()
}

/// What a list of ids comes to with one id more; with none it is 0.
pub fn digest(so_far: u64, id: u32) -> u64 {
    so_far.wrapping_mul(1_000_003).wrapping_add(u64::from(id)).wrapping_add(1)
}

fn text(pools: &[Vec<&str>], numbers: &mut Numbers) -> String {
    let mut text = String::new();
    for _ in 0..=numbers.below(8) {
        let pool = &pools[numbers.below(pools.len())];
        let n = if numbers.below(50) == 0 { 400 } else { 1 + numbers.below(6) };
        let n_kinds = if numbers.below(4) == 0 { 1 } else { n };
        let kinds: Vec<String> = (0..n_kinds).map(|_| piece(pool, numbers)).collect();
        kinds.iter().cycle().take(n).for_each(|kind| text.push_str(kind));
    }
    text
}

fn piece(pool: &[&str], numbers: &mut Numbers) -> String {
    let said = pool[numbers.below(pool.len())];
    let code = |hex: &str| u32::from_str_radix(hex, 16).expect("hexadecimal");
    let character = |code| char::from_u32(code).expect("no surrogate");
    if let Some(word) = said.strip_prefix('\'') {
        return word.into();
    }
    if let Some((first, last)) = said.split_once("..") {
        let (first, last) = (code(first), code(last));
        return character(first + numbers.below((last - first + 1) as usize) as u32).into();
    }
    said.split('+').map(|hex| character(code(hex))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_odd_and_the_same_again() {
        let texts = odd_texts();
        assert_eq!(texts, odd_texts());
        let of = |has: &dyn Fn(&str) -> bool| texts.iter().filter(|text| has(text)).count();
        for piece in ["\0", "\u{200d}", "\u{10ffff}", "<|endoftext|>", "\u{a0}", "\u{17f}"] {
            assert!(of(&|text| text.contains(piece)) > 50, "{piece:?}");
        }
        assert!(of(&|text| text.chars().count() > 400) > 500);
    }

    #[test]
    fn digests_tell_where_ids_stand() {
        let texts = ["a", "b"].map(str::to_owned);
        let of =
            |[a, b]: [&[u32]; 2]| digests(&texts, |text| if text == "a" { a } else { b }.to_vec());
        let some: [[&[u32]; 2]; 4] = [[&[1, 2], &[]], [&[1], &[2]], [&[2, 1], &[]], [&[], &[1, 2]]];
        let different: std::collections::BTreeSet<_> = some.map(of).into();
        assert_eq!(different.len(), 4);
    }
}
