//! Short words that were met before, and their tokens.

/// Words in a cache: 2 MB, of which a text's common words are a small part.
const N_WORDS: usize = 1 << 16;

/// Longer words come too seldom to be kept.
const KEY_BYTES: usize = 15;

/// Tokens of a word that is kept.
const N_IDS: usize = 3;

/// A word, with its length in the last byte, and its tokens.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    key: u128,
    ids: [u32; N_IDS],
    n_ids: u32,
}

/// A word has one place; the last that came there has it.
#[derive(Debug)]
pub(super) struct Cache(Box<[Entry; N_WORDS]>);

impl Default for Cache {
    fn default() -> Self {
        let entries = vec![Entry::default(); N_WORDS].into_boxed_slice();
        Self(entries.try_into().expect("of that length"))
    }
}

impl Cache {
    /// Appends the tokens of `text[from..to]`: those that are known, else what `encode` appends.
    #[inline]
    pub(super) fn encode(
        &mut self,
        text: &[u8],
        (from, to): (usize, usize),
        ids: &mut Vec<u32>,
        encode: impl FnOnce(&[u8], &mut Vec<u32>),
    ) {
        let Some(key) = key(text, from, to) else {
            return encode(&text[from..to], ids);
        };
        let entry = &mut self.0[place(key)];
        if entry.key == key {
            // One is the common case, and needs no call to copy it.
            match entry.n_ids {
                1 => ids.push(entry.ids[0]),
                n => ids.extend_from_slice(&entry.ids[..n as usize]),
            }
            return;
        }
        let start = ids.len();
        encode(&text[from..to], ids);
        let found = &ids[start..];
        if let Some(kept) = entry.ids.get_mut(..found.len()) {
            kept.copy_from_slice(found);
            (entry.key, entry.n_ids) = (key, found.len() as u32);
        }
    }
}

/// The bytes of a word that is short enough, and its length.
#[inline]
fn key(text: &[u8], from: usize, to: usize) -> Option<u128> {
    let len = to - from;
    if len > KEY_BYTES {
        return None;
    }
    let bytes = match text.get(from..from + 16) {
        Some(bytes) => {
            let bytes = u128::from_le_bytes(bytes.try_into().expect("16 bytes"));
            bytes & ((1 << (8 * len)) - 1)
        }
        None => text[from..to].iter().rev().fold(0, |key, &byte| key << 8 | u128::from(byte)),
    };
    Some(bytes | (len as u128) << 120)
}

#[inline]
fn place(key: u128) -> usize {
    let (low, high) = (key as u64, (key >> 64) as u64);
    let mixed = (low ^ high.rotate_left(23).wrapping_mul(0xD6E8_FEB8_6659_FD93))
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> (u64::BITS - N_WORDS.ilog2())) as usize
}
