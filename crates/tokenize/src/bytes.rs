//! GPT-2's printable stand-ins for bytes, and UTF-8 that arrives in pieces.
//!
//! Radford et al., "Language Models are Unsupervised Multitask Learners" (2019), section 2.2, and
//! its published encoder: a byte that prints stands for itself, the 68 others for U+0100 onwards.

use std::array;
use std::collections::HashMap;
use std::sync::LazyLock;

/// The byte by the character that stands for it.
static BYTES: LazyLock<HashMap<char, u8>> =
    LazyLock::new(|| chars().into_iter().zip(0..=255).collect());

/// The character that stands for each byte.
fn chars() -> [char; 256] {
    let mut unprinted = '\u{100}'..;
    array::from_fn(|code| match code as u8 {
        byte @ (b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF) => char::from(byte),
        _ => unprinted.next().expect("68 characters follow"),
    })
}

/// How a byte-level vocabulary spells these bytes.
pub(crate) fn spell(bytes: &[u8]) -> String {
    static CHARS: LazyLock<[char; 256]> = LazyLock::new(chars);
    bytes.iter().map(|&byte| CHARS[usize::from(byte)]).collect()
}

/// Whether a byte-level vocabulary could spell a token so.
pub(crate) fn is_spelled(token: &str) -> bool {
    token.chars().all(|c| BYTES.contains_key(&c))
}

/// The bytes of a token of a byte-level vocabulary; an added token is its own text.
pub(crate) fn token_bytes(token: &str) -> Vec<u8> {
    let mapped: Option<Vec<u8>> = token.chars().map(|c| BYTES.get(&c).copied()).collect();
    mapped.unwrap_or_else(|| token.as_bytes().to_vec())
}

/// Bytes in, whole characters out; what is not UTF-8 becomes U+FFFD, as
/// [`String::from_utf8_lossy`] would have it for all bytes at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Utf8Stream {
    /// The first bytes of a character whose last ones have not come; at most 3.
    held: Vec<u8>,
}

impl Utf8Stream {
    /// Takes `bytes` and gives every character that is now complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> String {
        self.held.extend_from_slice(bytes);
        let mut text = String::new();
        let mut rest = self.held.as_slice();
        let keep = loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    break 0;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    let Some(bad) = error.error_len() else { break after.len() };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = &after[bad..];
                }
            }
        };
        self.held.drain(..self.held.len() - keep);
        text
    }

    /// What is left when no more bytes come: nothing, or one U+FFFD.
    pub(crate) fn finish(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.held).into_owned();
        self.held.clear();
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_character_and_back() {
        let distinct: std::collections::BTreeSet<char> = chars().into_iter().collect();
        assert_eq!(distinct.len(), 256);
        for (byte, c) in (0..=255).zip(chars()) {
            assert_eq!(token_bytes(&c.to_string()), [byte]);
        }
        assert_eq!(chars()[usize::from(b' ')], '\u{120}');
        assert_eq!(chars()[usize::from(b'\n')], '\u{10A}');
        assert_eq!(token_bytes("\u{6c34}"), "\u{6c34}".as_bytes());
    }

    #[test]
    fn pieces_give_what_the_whole_gives() {
        let cases: [&[u8]; 5] = [
            "a\u{e9}\u{6c34}\u{1f600}".as_bytes(),
            b"\xff\xfe\xe6\xb0",
            b"\xf0\x9f\x98",
            b"\xe6A\x80\xe6\xb0\xb4",
            b"",
        ];
        for bytes in cases {
            let mut stream = Utf8Stream::default();
            let mut text: String = bytes.iter().map(|&byte| stream.push(&[byte])).collect();
            text.push_str(&stream.finish());
            assert_eq!(text, String::from_utf8_lossy(bytes), "{bytes:x?}");
        }
    }
}
