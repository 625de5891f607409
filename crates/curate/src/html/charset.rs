//! Which encoding a page is in, and its text.
//!
//! In the order of belief: a byte order mark; zeros where UTF-16 has them; bytes that are UTF-8,
//! which is no accident; what the HTTP header says, then the page's own `meta`, where the bytes
//! agree (WHATWG, "HTML", 13.2.3.2); else what `chardetng` makes of the bytes.

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, ISO_2022_JP, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::tokens::{Token, Tokens};

/// How much of a page is searched for a `meta` with its encoding. The standard says 1024; pages
/// with comments and scripts before it are common.
const PRESCAN: usize = 4096;

/// How much of a page without a usable declaration the detector reads.
const DETECT: usize = 1 << 16;

/// The text of a page and the encoding it was in.
pub(super) fn decode<'a>(
    bytes: &'a [u8],
    content_type: Option<&str>,
) -> (Cow<'a, str>, &'static Encoding) {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return (encoding.decode_without_bom_handling(&bytes[mark..]).0, encoding);
    }
    if let Some(encoding) = wide(bytes) {
        return (encoding.decode_without_bom_handling(bytes).0, encoding);
    }
    let declared = content_type.and_then(charset).or_else(|| prescan(bytes));
    if declared != Some(ISO_2022_JP)
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        return (Cow::Borrowed(text), UTF_8);
    }
    let encoding = declared.unwrap_or(UTF_8);
    let (text, wrong) = encoding.decode_without_bom_handling(bytes);
    if !wrong {
        return (text, encoding);
    }
    let guess = detect(bytes);
    let (text, wrong) = guess.decode_without_bom_handling(bytes);
    if !wrong && guess != WINDOWS_1252 {
        return (text, guess);
    }
    if encoding == UTF_8 {
        return (Cow::Owned(mixed(bytes)), if mostly_utf8(bytes) { UTF_8 } else { guess });
    }
    (encoding.decode_without_bom_handling(bytes).0, encoding)
}

/// The encoding in a `Content-Type`: `text/html; charset=utf-8`.
fn charset(content_type: &str) -> Option<&'static Encoding> {
    let at = content_type.to_ascii_lowercase().find("charset")?;
    let value = content_type[at + "charset".len()..].trim_start().strip_prefix('=')?;
    let value = value.trim_start_matches([' ', '"', '\'']);
    let end = value.find([';', ',', ' ', '"', '\'']).unwrap_or(value.len());
    Encoding::for_label(&value.as_bytes()[..end])
}

/// The encoding that a `meta` in the beginning of the page declares.
fn prescan(bytes: &[u8]) -> Option<&'static Encoding> {
    let beginning = WINDOWS_1252.decode_without_bom_handling(&bytes[..bytes.len().min(PRESCAN)]).0;
    let mut tokens = Tokens::new(&beginning);
    while let Some(token) = tokens.next() {
        let Token::Start { name } = token else { continue };
        let (mut label, mut content) = (None, None);
        while let Some((key, value)) = tokens.attribute() {
            if key.eq_ignore_ascii_case("charset") {
                label = Encoding::for_label(value.as_bytes());
            } else if key.eq_ignore_ascii_case("content") {
                content = charset(value);
            }
        }
        if !name.eq_ignore_ascii_case("meta") {
            continue;
        }
        match label.or(content) {
            // It was read as bytes of one each: so it is not in 16 bits.
            Some(encoding) if encoding == UTF_16LE || encoding == UTF_16BE => return Some(UTF_8),
            Some(encoding) => return Some(encoding),
            None => {}
        }
    }
    None
}

/// UTF-16 without a mark, known by where its zeros are.
fn wide(bytes: &[u8]) -> Option<&'static Encoding> {
    let sample = &bytes[..bytes.len().min(1024) & !1];
    let zeros = |odd| sample.iter().skip(odd).step_by(2).filter(|&&b| b == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    if sample.len() < 16 || even.max(odd) * 10 < sample.len() || even.min(odd) * 10 > even.max(odd)
    {
        None
    } else {
        Some(if odd > even { UTF_16LE } else { UTF_16BE })
    }
}

fn detect(bytes: &[u8]) -> &'static Encoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(&bytes[..bytes.len().min(DETECT)], true);
    detector.guess(None, Utf8Detection::Deny)
}

fn mostly_utf8(bytes: &[u8]) -> bool {
    let (mut good, mut bad) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        good += chunk.valid().bytes().filter(|byte| !byte.is_ascii()).count();
        bad += chunk.invalid().len();
    }
    good > bad
}

/// UTF-8 with pieces of a Western page in it: bytes that are no UTF-8 are read as windows-1252.
fn mixed(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + bytes.len() / 8);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.push_str(&WINDOWS_1252.decode_without_bom_handling(chunk.invalid()).0);
    }
    text
}
