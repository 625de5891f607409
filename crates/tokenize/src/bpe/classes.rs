//! What kind of character it is, as the patterns of pre-tokenisation ask.

use std::sync::LazyLock;

use regex_syntax::hir::{Class, HirKind};

/// `\p{L}`.
pub(super) const LETTER: u8 = 1;
/// `\p{N}`.
pub(super) const NUMBER: u8 = 2;
/// `\s`.
pub(super) const BLANK: u8 = 4;
/// `[^\s\p{L}\p{N}]`.
pub(super) const OTHER: u8 = 8;
/// `\p{M}`.
pub(super) const MARK: u8 = 16;
/// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`.
pub(super) const UPPER: u8 = 32;
/// `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`.
pub(super) const LOWER: u8 = 64;
/// `[^\s\p{L}\p{M}\p{N}]`.
pub(super) const SIGN: u8 = 128;

const N_CODES: usize = 0x11_0000;

/// By code point, of the same tables as the regular expressions of the `tokenizers` crate: a newer
/// Unicode moves both. A flat table (1.1 MB, of which a text touches its own scripts).
static CLASSES: LazyLock<Box<[u8; N_CODES]>> = LazyLock::new(|| {
    let mut classes = vec![0_u8; N_CODES];
    for (pattern, class) in [
        (r"\p{L}", LETTER),
        (r"\p{N}", NUMBER),
        (r"\s", BLANK),
        (r"[^\s\p{L}\p{N}]", OTHER),
        (r"\p{M}", MARK),
        (r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", UPPER),
        (r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]", LOWER),
        (r"[^\s\p{L}\p{M}\p{N}]", SIGN),
    ] {
        let parsed = regex_syntax::parse(pattern).expect("a constant");
        let HirKind::Class(Class::Unicode(ranges)) = parsed.kind() else {
            unreachable!("`{pattern}` is a class")
        };
        for range in ranges.iter() {
            for code in range.start()..=range.end() {
                classes[code as usize] |= class;
            }
        }
    }
    classes.into_boxed_slice().try_into().expect("of that length")
});

/// A text as bytes, with the classes of its characters.
#[derive(Clone, Copy)]
pub(super) struct Classified<'a> {
    pub(super) bytes: &'a [u8],
    classes: &'static [u8; N_CODES],
}

impl<'a> Classified<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { bytes: text.as_bytes(), classes: &CLASSES }
    }

    /// The classes of the character that begins at `at`, and its length in bytes; no class and no
    /// length at the end of the text.
    #[inline]
    pub(super) fn at(&self, at: usize) -> (u8, usize) {
        match self.bytes.get(at) {
            None => (0, 0),
            Some(&byte) if byte < 0x80 => (self.classes[usize::from(byte)], 1),
            Some(&byte) => self.wide(at, byte),
        }
    }

    fn wide(&self, at: usize, first: u8) -> (u8, usize) {
        let tail =
            |idx: usize| self.bytes.get(at + idx).map_or(0, |&byte| usize::from(byte & 0x3F));
        let first = usize::from(first);
        let (code, len) = match first {
            0..0xE0 => ((first & 0x1F) << 6 | tail(1), 2),
            0xE0..0xF0 => ((first & 0xF) << 12 | tail(1) << 6 | tail(2), 3),
            _ => ((first & 7) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3), 4),
        };
        (self.classes.get(code).copied().unwrap_or(OTHER), len)
    }

    /// The end of the run of characters of any class in `mask` that begins at `at`.
    #[inline]
    pub(super) fn run(&self, mut at: usize, mask: u8) -> usize {
        loop {
            let (class, len) = self.at(at);
            if class & mask == 0 {
                return at;
            }
            at += len;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_is_in_its_classes() {
        for c in '\0'..=char::MAX {
            let text = c.to_string();
            let (class, len) = Classified::new(&text).at(0);
            assert_eq!(len, c.len_utf8(), "{c:?}");
            let kinds = [LETTER, NUMBER, BLANK, OTHER].map(|kind| u32::from(class & kind != 0));
            assert_eq!(kinds.iter().sum::<u32>(), 1, "{c:?} {class:b}");
            assert_eq!(class & BLANK != 0, c.is_whitespace(), "{c:?}");
            let cased = class & (UPPER | LOWER) != 0;
            assert_eq!(cased, class & (LETTER | MARK) != 0, "{c:?}");
        }
        assert_eq!(Classified::new("").at(0), (0, 0));
    }
}
