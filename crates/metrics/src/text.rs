//! Text as Python's `str` and `re` see it, which is how the scores of the field are defined.

use std::sync::LazyLock;

use regex_syntax::hir::{Class, HirKind};

/// Letters, numbers and the underscore: `\w` of Python, which has no marks in it.
pub(crate) static WORD: LazyLock<Chars> = LazyLock::new(|| Chars::new(r"[\p{L}\p{N}_]"));
pub(crate) static NUMBER: LazyLock<Chars> = LazyLock::new(|| Chars::new(r"\p{N}"));
pub(crate) static PUNCTUATION: LazyLock<Chars> = LazyLock::new(|| Chars::new(r"\p{P}"));
pub(crate) static SYMBOL: LazyLock<Chars> = LazyLock::new(|| Chars::new(r"\p{S}"));

/// A set of characters.
pub(crate) struct Chars(Vec<(char, char)>);

impl Chars {
    fn new(class: &str) -> Self {
        let parsed = regex_syntax::parse(class).expect("a constant");
        let HirKind::Class(Class::Unicode(ranges)) = parsed.kind() else {
            unreachable!("`{class}` is a class")
        };
        Self(ranges.iter().map(|range| (range.start(), range.end())).collect())
    }

    pub(crate) fn has(&self, c: char) -> bool {
        let after = self.0.partition_point(|(start, _)| *start <= c);
        after > 0 && c <= self.0[after - 1].1
    }
}

/// What `str.isspace` holds of: Unicode's white space, and four separators of ASCII.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// `str.split()`.
pub(crate) fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}
