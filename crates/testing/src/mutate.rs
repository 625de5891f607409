//! Files that were damaged on purpose, the same in every run.

/// Bytes that mean something in one format or another.
const BYTES: &[u8] = b"\x00\x01\x7f\x80\xff\"\\[]{}:,-\n.%";
/// Sizes, counts and offsets at which arithmetic goes wrong.
const NUMBERS: [u64; 12] = [
    0,
    1,
    255,
    65_536,
    0x7fff_ffff,
    0xffff_ffff,
    1 << 32,
    1 << 40,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 7,
    u64::MAX,
];

/// Damages files, each time in another way; equal seeds, equal damage.
pub struct Mutator(u64);

impl Mutator {
    /// Begins.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// `file` with one to four edits; some take a piece out of `other`.
    pub fn damage(&mut self, file: &[u8], other: &[u8]) -> Vec<u8> {
        let mut file = file.to_vec();
        for _ in 0..=self.below(4) {
            self.edit(&mut file, other);
        }
        file
    }

    fn edit(&mut self, file: &mut Vec<u8>, other: &[u8]) {
        let [start, end] = self.range(file.len(), 64);
        match self.below(9) {
            0 => file.truncate(start),
            1 => drop(file.drain(start..end)),
            2 => {
                let piece = file[start..end].repeat(1 << self.below(9));
                drop(file.splice(start..start, piece));
            }
            3 => {
                let [first, last] = self.range(other.len(), 256);
                drop(file.splice(start..end, other[first..last].iter().copied()));
            }
            4 => {
                let number = self.number().to_le_bytes();
                let n = [1, 2, 4, 8][self.below(4)].min(file.len() - start);
                file[start..start + n].copy_from_slice(&number[..n]);
            }
            5 => {
                let is_digit = |i: &usize| file[*i].is_ascii_digit();
                let Some(first) = (start..file.len()).find(is_digit) else { return };
                let n = file[first..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                let number = match self.below(3) {
                    0 => format!("-{}", self.number()),
                    1 => format!("{}e{}", self.below(10), self.number() % 400),
                    _ => self.number().to_string(),
                };
                drop(file.splice(first..first + n, number.bytes()));
            }
            6 => {
                let byte = BYTES[self.below(BYTES.len())];
                drop(file.splice(start..start, vec![byte; 1 << self.below(12)]));
            }
            7 if start < file.len() => file[start] = BYTES[self.below(BYTES.len())],
            _ if start < file.len() => file[start] ^= 1 << self.below(8),
            _ => {}
        }
    }

    /// A range of a file of that length, of at most `most` bytes.
    fn range(&mut self, len: usize, most: usize) -> [usize; 2] {
        let start = self.below(len + 1);
        [start, (start + self.below(most + 1)).min(len)]
    }

    fn number(&mut self) -> u64 {
        NUMBERS[self.below(NUMBERS.len())].wrapping_add(self.below(3) as u64).wrapping_sub(1)
    }

    /// A number below `n`.
    fn below(&mut self, n: usize) -> usize {
        // Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_differs_and_can_be_done_again() {
        let file: Vec<u8> = (0..200).collect();
        let damaged = |seed| {
            let mut mutator = Mutator::new(seed);
            (0..500).map(|_| mutator.damage(&file, b"other")).collect::<Vec<_>>()
        };
        assert_eq!(damaged(1), damaged(1));
        assert_ne!(damaged(1), damaged(2));
        let n_same = damaged(3).iter().filter(|other| **other == file).count();
        assert!(n_same < 50, "{n_same}");
        Mutator::new(0).damage(b"", b"");
    }
}
