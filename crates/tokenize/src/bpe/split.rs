//! The known patterns of pre-tokenisation, by hand.
//!
//! Each is a regular expression of `formats::patterns` that matches everywhere, so the end of a
//! match is all there is to find. An expression is a list of alternatives, the first that matches
//! wins; the comments give the one that a line stands for. A text is looked at once: what
//! backtracks in the expression is arithmetic here.

use super::classes::{BLANK, Classified, LETTER, LOWER, MARK, NUMBER, OTHER, SIGN, UPPER};
use crate::formats::patterns::{CL100K, O200K, QWEN2, QWEN35, Split, TEKKEN};

/// How a text is cut into words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cut {
    Gpt2,
    /// Every number a word of its own, what is between by GPT-2's pattern.
    DigitsGpt2,
    /// One class of letters, and so many digits in a word at most.
    Plain {
        marks: bool,
        n_digits: usize,
    },
    /// A word goes from upper to lower case.
    Cased {
        contractions: bool,
        n_digits: usize,
    },
}

impl Cut {
    /// All that are known, as they stand in files.
    pub(super) const KNOWN: [(Split, Self); 7] = [
        (Split::Gpt2, Self::Gpt2),
        (Split::DigitsGpt2, Self::DigitsGpt2),
        (CL100K, Self::Plain { marks: false, n_digits: 3 }),
        (QWEN2, Self::Plain { marks: false, n_digits: 1 }),
        (QWEN35, Self::Plain { marks: true, n_digits: 1 }),
        (O200K, Self::Cased { contractions: true, n_digits: 3 }),
        (TEKKEN, Self::Cased { contractions: false, n_digits: 1 }),
    ];

    /// Gives every word of `text` to `word`, as bytes from and to.
    pub(super) fn words(self, text: &str, mut word: impl FnMut(&[u8], usize, usize)) {
        let all = Classified::new(text);
        match self {
            Self::Gpt2 => each(all, gpt2, word),
            Self::DigitsGpt2 => {
                let mut rest = text;
                while let Some(at) = rest.find(char::is_numeric) {
                    each(Classified::new(&rest[..at]), gpt2, &mut word);
                    let end = rest.ceil_char_boundary(at + 1);
                    word(rest.as_bytes(), at, end);
                    rest = &rest[end..];
                }
                each(Classified::new(rest), gpt2, word);
            }
            Self::Plain { marks: false, n_digits } => {
                each(all, |t, at| plain(t, at, LETTER, OTHER, n_digits), word);
            }
            Self::Plain { marks: true, n_digits } => {
                each(all, |t, at| plain(t, at, LETTER | MARK, SIGN, n_digits), word);
            }
            Self::Cased { contractions, n_digits } => {
                each(all, |t, at| cased(t, at, contractions, n_digits), word);
            }
        }
    }
}

#[inline]
fn each(
    text: Classified,
    end: impl Fn(Classified, usize) -> usize,
    mut word: impl FnMut(&[u8], usize, usize),
) {
    let mut at = 0;
    while at < text.bytes.len() {
        let end = end(text, at);
        word(text.bytes, at, end);
        at = end;
    }
}

/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
#[inline]
fn gpt2(text: Classified, at: usize) -> usize {
    let byte = text.bytes[at];
    if byte == b'\''
        && let Some(len) = contraction(text.bytes, at, false)
    {
        return at + len;
    }
    let start = at + usize::from(byte == b' ');
    let (class, len) = text.at(start);
    match class & (LETTER | NUMBER | OTHER) {
        0 => blanks(text, at).1,
        // A constant mask each, so that each run is a loop of its own.
        LETTER => text.run(start + len, LETTER),
        NUMBER => text.run(start + len, NUMBER),
        _ => text.run(start + len, OTHER),
    }
}

/// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?LETTERS+|\p{N}{1,n}| ?OTHERS+[\r\n]*` and
/// [`tail`].
#[inline]
fn plain(text: Classified, at: usize, letters: u8, others: u8, n_digits: usize) -> usize {
    let byte = text.bytes[at];
    if byte == b'\''
        && let Some(len) = contraction(text.bytes, at, true)
    {
        return at + len;
    }
    let (class, len) = text.at(at);
    if class & letters != 0 {
        return text.run(at + len, letters);
    }
    if class & NUMBER != 0 {
        return digits(text, at, n_digits);
    }
    let (second, second_len) = text.at(at + len);
    if second & letters != 0 && byte != b'\r' && byte != b'\n' {
        return text.run(at + len + second_len, letters);
    }
    tail(text, at, others, |byte| byte == b'\r' || byte == b'\n')
}

/// ```text
/// [^\r\n\p{L}\p{N}]?UPPER*LOWER+(CONTRACTION)?|[^\r\n\p{L}\p{N}]?UPPER+LOWER*(CONTRACTION)?
/// |\p{N}{1,n}| ?[^\s\p{L}\p{N}]+[\r\n/]*
/// ```
/// and [`tail`].
#[inline]
fn cased(text: Classified, at: usize, contractions: bool, n_digits: usize) -> usize {
    let byte = text.bytes[at];
    let (class, len) = text.at(at);
    if class & NUMBER != 0 {
        return digits(text, at, n_digits);
    }
    let word = if class & LETTER != 0 {
        let (lower, upper) = cases(text, at);
        lower.or(upper)
    } else if byte == b'\r' || byte == b'\n' {
        None
    } else {
        // A mark may be what stands before a word, or its first character.
        let (lower, upper) = cases(text, at + len);
        let first = || if class & MARK != 0 { cases(text, at).0 } else { None };
        lower.or_else(first).or(upper)
    };
    let Some(end) = word else {
        return tail(text, at, OTHER, |byte| matches!(byte, b'\r' | b'\n' | b'/'));
    };
    if contractions && text.bytes.get(end) == Some(&b'\'') {
        return end + contraction(text.bytes, end, true).unwrap_or(0);
    }
    end
}

/// Where `UPPER*LOWER+`, and where `UPPER+LOWER*` ends; of the second only what matters where
/// there is no first.
#[inline]
fn cases(text: Classified, from: usize) -> (Option<usize>, Option<usize>) {
    let (mut at, mut lower) = (from, None);
    loop {
        let (class, len) = text.at(at);
        if class & UPPER == 0 {
            if class & LOWER != 0 {
                return (Some(text.run(at + len, LOWER)), None);
            }
            return (lower, (at > from).then_some(at));
        }
        at += len;
        if class & LOWER != 0 {
            lower = Some(at);
        }
    }
}

/// `\p{N}{1,n}`.
#[inline]
fn digits(text: Classified, mut at: usize, n: usize) -> usize {
    for _ in 0..n {
        let (class, len) = text.at(at);
        if class & NUMBER == 0 {
            break;
        }
        at += len;
    }
    at
}

/// ` ?OTHERS+ENDS*|\s*[\r\n]+|\s+(?!\S)|\s+`, where nothing before matched.
#[inline]
fn tail(text: Classified, at: usize, others: u8, ends: impl Fn(u8) -> bool) -> usize {
    let start = at + usize::from(text.bytes[at] == b' ');
    let (class, len) = text.at(start);
    if class & others != 0 {
        let mut end = text.run(start + len, others);
        while text.bytes.get(end).is_some_and(|&byte| ends(byte)) {
            end += 1;
        }
        return end;
    }
    let (line, blanks) = blanks(text, at);
    line.unwrap_or(blanks)
}

/// Of a run of blanks: the end of its last line break, and where `\s+(?!\S)|\s+` ends.
#[inline]
fn blanks(text: Classified, from: usize) -> (Option<usize>, usize) {
    let (mut at, mut last, mut line) = (from, from, None);
    loop {
        let (class, len) = text.at(at);
        if class & BLANK == 0 {
            let gives_back = last > from && at < text.bytes.len();
            return (line, if gives_back { last } else { at });
        }
        last = at;
        at += len;
        if matches!(text.bytes[last], b'\r' | b'\n') {
            line = Some(at);
        }
    }
}

/// The length of `'s|'t|'re|'ve|'m|'ll|'d` at an apostrophe. In any case, the long s (U+017F) is an
/// s too.
#[inline]
fn contraction(bytes: &[u8], at: usize, any_case: bool) -> Option<usize> {
    let byte = |idx: usize| match bytes.get(at + idx) {
        Some(byte) if any_case => byte.to_ascii_lowercase(),
        byte => byte.copied().unwrap_or(0),
    };
    match (byte(1), byte(2)) {
        (b's' | b't' | b'm' | b'd', _) => Some(2),
        (b'r' | b'v', b'e') | (b'l', b'l') => Some(3),
        (0xC5, 0xBF) if any_case => Some(3),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
