//! What the words of a text are: the regular expressions of `sacrebleu`, by hand.

use crate::text::{NUMBER, PUNCTUATION, SYMBOL, is_space, split};

/// Ways to cut a text into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tokenizer {
    /// At white space.
    None,
    /// As `mteval-v13a.pl`: the words of WMT.
    V13a,
    /// As `mteval-v14.pl`: punctuation and symbols of all of Unicode.
    Intl,
    /// Chinese characters are words each, the rest is as in [`Tokenizer::V13a`].
    Zh,
    /// Every character is a word.
    Char,
}

/// What is taken for a Chinese character: Han, and punctuation that is as wide.
///
/// `sacrebleu` has two ranges of five hexadecimal digits behind `\u`, which takes four. So what was
/// to be Extension B is from U+2001 to U+2A6D (quotation marks, arrows, signs of mathematics), and
/// Extension B is not there. What is published was computed so, and so it is here.
const ZH: &[(char, char)] = &[
    ('\u{2001}', '\u{2a6d}'),
    ('\u{2e80}', '\u{2eff}'),
    ('\u{2f00}', '\u{2fdf}'),
    ('\u{2ff0}', '\u{303f}'),
    ('\u{3100}', '\u{312f}'),
    ('\u{31a0}', '\u{31bf}'),
    ('\u{31c0}', '\u{31ef}'),
    ('\u{3200}', '\u{33ff}'),
    ('\u{3400}', '\u{4db5}'),
    ('\u{4e00}', '\u{9fbb}'),
    ('\u{f900}', '\u{fa2d}'),
    ('\u{fa30}', '\u{fa6a}'),
    ('\u{fa70}', '\u{fad9}'),
    ('\u{fe10}', '\u{fe1f}'),
    ('\u{fe30}', '\u{fe4f}'),
    ('\u{ff00}', '\u{ffef}'),
];

impl Tokenizer {
    /// The words of a text.
    pub fn words(self, text: &str) -> Vec<String> {
        let text = text.trim_end_matches(is_space);
        match self {
            Self::None => owned(text),
            Self::Char => text.chars().filter(|c| !is_space(*c)).map(String::from).collect(),
            Self::V13a => {
                let text = text.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
                let text = text.replace("&quot;", "\"").replace("&amp;", "&");
                western(&format!(" {} ", text.replace("&lt;", "<").replace("&gt;", ">")))
            }
            Self::Zh => {
                let is_zh = |c| ZH.iter().any(|(start, end)| (*start..=*end).contains(&c));
                western(&apart(text.trim_start_matches(is_space), is_zh))
            }
            Self::Intl => {
                let (number, punctuation) = (|c| NUMBER.has(c), |c| PUNCTUATION.has(c));
                let text = pairs(text, |c| !number(c), punctuation, ["", " ", " "]);
                let text = pairs(&text, punctuation, |c| !number(c), [" ", " ", ""]);
                owned(&apart(&text, |c| SYMBOL.has(c)))
            }
        }
    }
}

/// The part for languages of the West: `tokenizer_re.py`.
fn western(text: &str) -> Vec<String> {
    let is_sign = |c| matches!(c, '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/');
    let is_digit = |c: char| c.is_ascii_digit();
    let is_point = |c| matches!(c, '.' | ',');
    let text = apart(text, is_sign);
    let text = pairs(&text, |c| !is_digit(c), is_point, ["", " ", " "]);
    let text = pairs(&text, is_point, |c| !is_digit(c), [" ", " ", ""]);
    owned(&pairs(&text, is_digit, |c| c == '-', ["", " ", " "]))
}

fn owned(text: &str) -> Vec<String> {
    split(text).map(str::to_owned).collect()
}

/// Spaces around each character of a kind.
fn apart(text: &str, is: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        if is(c) {
            out.extend([' ', c, ' ']);
        } else {
            out.push(c);
        }
    }
    out
}

/// What stands before, between and after each pair of characters of two kinds, from left to right,
/// a character being of one pair only.
fn pairs(
    text: &str,
    is_first: impl Fn(char) -> bool,
    is_second: impl Fn(char) -> bool,
    [before, between, after]: [&str; 3],
) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut chars = text.chars().peekable();
    while let Some(first) = chars.next() {
        match chars.next_if(|&second| is_first(first) && is_second(second)) {
            Some(second) => {
                out.push_str(before);
                out.push(first);
                out.push_str(between);
                out.push(second);
                out.push_str(after);
            }
            None => out.push(first),
        }
    }
    out
}
