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
    /// # Panics
    /// At compile time, when a word cannot be packed or stands there twice.
    pub(super) const fn new(entries: &[(&str, T)], absent: T) -> Self {
        assert!(N.is_power_of_two() && N >= 2 * entries.len());
        let (mut slots, mut i) = ([(0, absent); N], 0);
        while i < entries.len() {
            let key = pack(entries[i].0.as_bytes());
            assert!(key != 0);
            let mut at = Self::slot(key);
            while slots[at].0 != 0 {
                assert!(slots[at].0 != key, "a word stands there twice");
                at = (at + 1) % N;
            }
            slots[at] = (key, entries[i].1);
            i += 1;
        }
        Self { slots }
    }

    const fn slot(key: u128) -> usize {
        let mixed = (key as u64 ^ (key >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> (64 - N.trailing_zeros())) as usize
    }

    /// What a packed word stands for.
    pub(super) fn get(&self, key: u128) -> Option<T> {
        let mut at = Self::slot(key);
        while self.slots[at].0 != 0 {
            if self.slots[at].0 == key {
                return Some(self.slots[at].1);
            }
            at = (at + 1) % N;
        }
        None
    }
}
