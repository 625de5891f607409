//! Tables of short ASCII words, laid out while the program is compiled: a look-up is a
//! multiplication and, nearly always, one comparison.

/// A word of at most 16 bytes in lower case, as a number; 0 for one that is longer, or empty.
pub(super) const fn pack(word: &[u8]) -> u128 {
    let (mut packed, mut i) = (0, 0);
    if word.len() > 16 {
        return 0;
    }
    while i < word.len() {
        packed = packed << 8 | word[i].to_ascii_lowercase() as u128;
        i += 1;
    }
    packed
}

/// Words and what each stands for; `N` is a power of two, at least twice as many as there are.
pub(super) struct Table<T: 'static, const N: usize> {
    slots: [(u128, T); N],
}

impl<T: Copy, const N: usize> Table<T, N> {
    /// A table of words with one space between them, for each thing they stand for.
    ///
    /// # Panics
    /// At compile time, when a word cannot be packed, stands there twice, or they are too many.
    pub(super) const fn new(entries: &[(&str, T)], absent: T) -> Self {
        let (mut table, mut left) = (Self { slots: [(0, absent); N] }, N / 2);
        let mut i = 0;
        while i < entries.len() {
            let (mut words, value) = (entries[i].0.as_bytes(), entries[i].1);
            while !words.is_empty() {
                let mut end = 0;
                while end < words.len() && words[end] != b' ' {
                    end += 1;
                }
                let (word, rest) = words.split_at(end);
                assert!(left > 0 && pack(word) != 0);
                table.insert(pack(word), value);
                left -= 1;
                words = if rest.is_empty() { rest } else { rest.split_at(1).1 };
            }
            i += 1;
        }
        table
    }

    const fn insert(&mut self, key: u128, value: T) {
        let mut at = Self::slot(key);
        while self.slots[at].0 != 0 {
            assert!(self.slots[at].0 != key, "a word stands there twice");
            at = (at + 1) % N;
        }
        self.slots[at] = (key, value);
    }

    const fn slot(key: u128) -> usize {
        let mixed = (key as u64 ^ (key >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> (64 - N.trailing_zeros())) as usize
    }

    /// Where a packed word lies in the table, and what it stands for.
    pub(super) const fn get(&self, key: u128) -> Option<(usize, T)> {
        let mut at = Self::slot(key);
        while self.slots[at].0 != 0 {
            if self.slots[at].0 == key {
                return Some((at, self.slots[at].1));
            }
            at = (at + 1) % N;
        }
        None
    }
}
