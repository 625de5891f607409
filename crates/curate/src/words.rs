//! What a word is: to every filter, and to whatever compares documents.
//!
//! A word is a segment between two word boundaries of Unicode (UAX #29) that is not blank. Marks of
//! punctuation are words of their own, `don't` and `3.14` are one. Scripts without blanks between
//! words (Han, kana, Thai, Lao, Khmer, Burmese) have no dictionary here: a character is a word.

use unicode_segmentation::UnicodeSegmentation;

/// The words of `text`, punctuation included, in order.
///
/// Blanks are where a boundary always is, so pure ASCII between two of them, which is most of the
/// web, goes by bytes; only the rest needs the tables of Unicode.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_ascii_whitespace().flat_map(|chunk| {
        let (ascii, other) = if chunk.is_ascii() { (chunk, "") } else { ("", chunk) };
        let other = other.split_word_bounds().filter(|word| !is_blank(word));
        AsciiWords(ascii).chain(other)
    })
}

/// A blank that is not ASCII, or nothing but control characters.
fn is_blank(word: &str) -> bool {
    word.chars().all(char::is_whitespace)
}

/// The rules of UAX #29 that say anything about printable ASCII.
struct AsciiWords<'a>(&'a str);

impl<'a> Iterator for AsciiWords<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let bytes = self.0.as_bytes();
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let is_long = is_word(*bytes.first()?);
        let goes_on = |&at: &usize| is_long && (is_word(bytes[at]) || joins(bytes, at));
        let len = 1 + (1..bytes.len()).take_while(goes_on).count();
        let (word, rest) = self.0.split_at(len);
        self.0 = rest;
        Some(word)
    }
}

/// Whether what stands at `at` and is neither letter nor digit joins what is on both of its sides.
fn joins(bytes: &[u8], at: usize) -> bool {
    let (Some(&last), Some(&next)) = (bytes[..at].last(), bytes.get(at + 1)) else { return false };
    let letters = last.is_ascii_alphabetic() && next.is_ascii_alphabetic();
    let digits = last.is_ascii_digit() && next.is_ascii_digit();
    match bytes[at] {
        b'.' | b'\'' => letters || digits,
        b':' => letters,
        b',' | b';' => digits,
        _ => false,
    }
}

/// Whether `c` belongs to a script that puts no blanks between words.
pub fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        | '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// Whether `c` ends a sentence, in any script: the list of `datatrove`, which is that of spaCy.
pub fn ends_sentence(c: char) -> bool {
    matches!(c,
        '!' | '.' | '?' | '\u{589}' | '\u{61d}'..='\u{61f}' | '\u{6d4}' | '\u{700}'..='\u{702}'
        | '\u{7f9}' | '\u{837}' | '\u{839}' | '\u{83d}'..='\u{83e}' | '\u{964}'..='\u{965}'
        | '\u{104a}'..='\u{104b}' | '\u{1362}' | '\u{1367}'..='\u{1368}' | '\u{166e}'
        | '\u{1735}'..='\u{1736}' | '\u{17d4}'..='\u{17d6}' | '\u{17d9}'..='\u{17da}' | '\u{1803}'
        | '\u{1809}' | '\u{1944}'..='\u{1945}' | '\u{1aa8}'..='\u{1aab}' | '\u{1b5a}'..='\u{1b5b}'
        | '\u{1b5e}'..='\u{1b5f}' | '\u{1b7d}'..='\u{1b7e}' | '\u{1c3b}'..='\u{1c3c}'
        | '\u{1c7e}'..='\u{1c7f}' | '\u{203c}'..='\u{203d}' | '\u{2047}'..='\u{2049}' | '\u{2e2e}'
        | '\u{2e3c}' | '\u{2e53}'..='\u{2e54}' | '\u{3002}' | '\u{a4ff}' | '\u{a60e}'..='\u{a60f}'
        | '\u{a6f3}' | '\u{a6f7}' | '\u{a876}'..='\u{a877}' | '\u{a8ce}'..='\u{a8cf}' | '\u{a92f}'
        | '\u{a9c8}'..='\u{a9c9}' | '\u{aa5d}'..='\u{aa5f}' | '\u{aaf0}'..='\u{aaf1}' | '\u{abeb}'
        | '\u{fe52}' | '\u{fe56}'..='\u{fe57}' | '\u{ff01}' | '\u{ff0e}' | '\u{ff1f}' | '\u{ff61}'
        | '\u{10a56}'..='\u{10a57}' | '\u{10f55}'..='\u{10f59}' | '\u{10f86}'..='\u{10f89}'
        | '\u{11047}'..='\u{11048}' | '\u{110be}'..='\u{110c1}' | '\u{11141}'..='\u{11143}'
        | '\u{111c5}'..='\u{111c6}' | '\u{111cd}' | '\u{111de}'..='\u{111df}'
        | '\u{11238}'..='\u{11239}' | '\u{1123b}'..='\u{1123c}' | '\u{112a9}'
        | '\u{1144b}'..='\u{1144c}' | '\u{115c2}'..='\u{115c3}' | '\u{115c9}'..='\u{115d7}'
        | '\u{11641}'..='\u{11642}' | '\u{1173c}'..='\u{1173e}' | '\u{11944}' | '\u{11946}'
        | '\u{11a42}'..='\u{11a43}' | '\u{11a9b}'..='\u{11a9c}' | '\u{11c41}'..='\u{11c42}'
        | '\u{11ef7}'..='\u{11ef8}' | '\u{11f43}'..='\u{11f44}' | '\u{16a6e}'..='\u{16a6f}'
        | '\u{16af5}' | '\u{16b37}'..='\u{16b38}' | '\u{16b44}' | '\u{16e98}' | '\u{1bc9f}'
        | '\u{1da88}')
}

/// Calls `each` with a hash of every word that has a letter or a digit, lower case and without
/// what else is in it: `Don't`, `dont` and `DON\u{2019}T` are the same.
///
/// The hash is the same everywhere, so it may be kept on disk.
pub fn hash_words(text: &str, mut each: impl FnMut(u64)) {
    for chunk in text.split_ascii_whitespace() {
        let mut hash = Hash::default();
        if chunk.is_ascii() {
            let bytes = chunk.as_bytes();
            for (at, &byte) in bytes.iter().enumerate() {
                match LOWER[usize::from(byte)] {
                    0 if byte == b'_' || joins(bytes, at) => {}
                    0 => hash.end(&mut each),
                    lower => hash.push(lower),
                }
            }
            hash.end(&mut each);
        } else {
            for word in chunk.split_word_bounds() {
                let kept = word.chars().filter(|c| c.is_alphanumeric());
                kept.flat_map(char::to_lowercase).for_each(|c| {
                    c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| hash.push(byte));
                });
                hash.end(&mut each);
            }
        }
    }
}

/// Letters and digits of ASCII in lower case, 0 for all else.
const LOWER: [u8; 256] = {
    let mut lower = [0; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() {
            lower[byte as usize] = byte.to_ascii_lowercase();
        }
        byte += 1;
    }
    lower
};

/// A hash of bytes, eight at a time.
#[derive(Default)]
struct Hash {
    mixed: u64,
    waiting: u64,
    len: u64,
}

impl Hash {
    fn push(&mut self, byte: u8) {
        self.waiting = self.waiting << 8 | u64::from(byte);
        self.len += 1;
        if self.len.is_multiple_of(8) {
            self.mixed = mix(self.waiting, self.mixed);
            self.waiting = 0;
        }
    }

    /// Gives the hash of what there was, if there was anything, and begins anew.
    fn end(&mut self, each: &mut impl FnMut(u64)) {
        if self.len > 0 {
            each(mix(self.waiting, self.mixed ^ self.len));
            *self = Self::default();
        }
    }
}

/// Hashes of all runs of `n` things, from their own hashes, each in constant time.
///
/// ```text
/// h(i) = sum of hashes[i + j] * K^(n - 1 - j) mod 2^64, then mixed
/// ```
///
/// Fewer than `n` things, but some, are one run.
pub fn rolling(hashes: &[u64], n: usize) -> impl Iterator<Item = u64> {
    const K: u64 = 0x9e37_79b9_7f4a_7c15;
    let n = n.min(hashes.len()).max(1);
    let top = K.wrapping_pow(n as u32 - 1);
    let mut sum = 0_u64;
    hashes.iter().enumerate().filter_map(move |(idx, &hash)| {
        sum = sum.wrapping_mul(K).wrapping_add(hash);
        let first = (idx + 1).checked_sub(n)?;
        let run = mix(sum, 0);
        sum = sum.wrapping_sub(hashes[first].wrapping_mul(top));
        Some(run)
    })
}

/// A hash of `x` that depends on all of its bits, another for every `seed`: both halves of a
/// product of 128 bits.
pub fn mix(x: u64, seed: u64) -> u64 {
    let product = u128::from(x ^ seed ^ 0x2d35_8dcc_aa6c_78a5) * 0x8bb8_4b93_962e_acc9_u128;
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(text: &str) -> Vec<&str> {
        words(text).collect()
    }

    #[test]
    fn words_are_segments_that_are_not_blank() {
        assert_eq!(all("It's 3.14, \"a-b\"\n"), ["It's", "3.14", ",", "\"", "a", "-", "b", "\""]);
        assert_eq!(all("你好,world\u{3000}ok"), ["你", "好", ",", "world", "ok"]);
        assert_eq!(all(" \t\u{a0}\n"), [""; 0]);
    }

    proptest! {
        #[test]
        fn ascii_goes_the_way_of_the_tables(text in "[ -~\\n\\t]{0,60}") {
            let expected: Vec<&str> =
                text.split_word_bounds().filter(|word| !is_blank(word)).collect();
            prop_assert_eq!(all(&text), expected);
        }

        #[test]
        fn ascii_is_hashed_like_all_else(text in "[ -~\\n]{0,60}") {
            let (mut hashes, mut others) = (Vec::new(), Vec::new());
            hash_words(&text, |hash| hashes.push(hash));
            // Blanks that are not ASCII, and no letters: each word goes by the tables.
            for word in words(&text) {
                hash_words(&format!("\u{3000}{word}"), |hash| others.push(hash));
            }
            prop_assert_eq!(hashes, others);
        }

        #[test]
        fn a_run_depends_on_its_things_alone(hashes: Vec<u64>, n in 1_usize..7) {
            let runs: Vec<u64> = rolling(&hashes, n).collect();
            let alone: Vec<u64> = match hashes.len() {
                0 => Vec::new(),
                len if len < n => rolling(&hashes, len).collect(),
                _ => hashes.windows(n).map(|run| rolling(run, n).next().unwrap()).collect(),
            };
            prop_assert_eq!(runs, alone);
        }
    }

    #[test]
    fn case_and_punctuation_are_no_difference() {
        let hashes = |text: &str| {
            let mut hashes = Vec::new();
            hash_words(text, |hash| hashes.push(hash));
            hashes
        };
        assert_eq!(
            hashes("DON\u{2019}T -- stop, \u{c9}T\u{c9}!"),
            hashes("don't stop \u{e9}t\u{e9}")
        );
        assert_eq!(hashes("?!"), [0; 0]);
        assert_ne!(hashes("a b"), hashes("b a"));
    }
}
