//! Personal data in a text: found, counted, and taken out.
//!
//! | module | what |
//! |---|---|
//! | `checks` | checksums and formats of numbers, on digits alone |
//! | `number` | digits in groups: a card, an identity, a phone, an address of a host, or none |
//!
//! One pass over the bytes, each looked at a bounded number of times. Only what is likely to be
//! personal is touched: a number needs its checksum *and* the shape in which people write it; where
//! a checksum is weak or there is none (Dutch and German numbers, phones without a `+`), a word
//! before it must say what it is, or the shape must be one that nothing else has. Dates, prices,
//! versions, and numbers inside of words and addresses stay.

mod checks;
mod number;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use serde::{Deserialize, Serialize};

use crate::Notes;
use crate::filter::Reason;

/// What a piece of personal data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An address for electronic mail.
    Email,
    /// A telephone number, international or as several countries write their own.
    Phone,
    /// An address of a host, IPv4 or IPv6.
    Ip,
    /// The number of a payment card: issuer, length and Luhn's checksum.
    Card,
    /// An international bank account number (ISO 13616).
    Iban,
    /// A number that a state gave to a person: Brazil (CPF), China (resident identity), France
    /// (NIR), Germany (Steuer-ID), India (Aadhaar), the Netherlands (BSN), Spain (DNI, NIE), the
    /// United States (SSN).
    Identity,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Email, Self::Phone, Self::Ip, Self::Card, Self::Iban, Self::Identity];

    /// The name it is counted under.
    pub fn reason(self) -> Reason {
        match self {
            Self::Email => "personal.email",
            Self::Phone => "personal.phone",
            Self::Ip => "personal.ip",
            Self::Card => "personal.card",
            Self::Iban => "personal.iban",
            Self::Identity => "personal.identity",
        }
    }

    fn tag(self) -> &'static str {
        match self {
            Self::Email => "<EMAIL>",
            Self::Phone => "<PHONE>",
            Self::Ip => "<IP>",
            Self::Card => "<CARD>",
            Self::Iban => "<IBAN>",
            Self::Identity => "<IDENTITY>",
        }
    }

    /// Something of its kind that is nobody's, by RFC 2606, RFC 5737 and the plans of numbers.
    fn example(self) -> &'static str {
        match self {
            Self::Email => "email@example.com",
            Self::Phone => "+1 202-555-0100",
            Self::Ip => "192.0.2.1",
            Self::Card => "0000 0000 0000 0000",
            Self::Iban => "XX00 0000 0000 0000",
            Self::Identity => "000-00-0000",
        }
    }
}

/// What stands where personal data was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placeholder {
    /// The name of its kind: `<EMAIL>`.
    #[default]
    Tag,
    /// Something of its kind that is nobody's, as FineWeb does: `email@example.com`.
    Example,
}

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Personal {
    /// The kinds.
    pub kinds: BTreeSet<Kind>,
    /// What stands in their place.
    pub placeholder: Placeholder,
    /// Whether addresses of private, local and documentation networks stay.
    pub public_ip_only: bool,
}

impl Default for Personal {
    fn default() -> Self {
        let kinds = Kind::ALL.into();
        Self { kinds, placeholder: Placeholder::default(), public_ip_only: true }
    }
}

/// Where something personal stands in a text, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// What it is.
    pub kind: Kind,
    /// Where it begins.
    pub start: usize,
    /// Where it has ended.
    pub end: usize,
}

impl Personal {
    /// All of the kinds asked for, in the order of the text; no two overlap.
    pub fn find(&self, text: &str) -> Vec<Span> {
        let bytes = text.as_bytes();
        let (mut spans, mut at, mut free) = (Vec::new(), 0, 0);
        while at < bytes.len() {
            let found = match bytes[at] {
                b'@' => email(bytes, at, free),
                b':' => ip_v6(text, at, free, self.public_ip_only),
                b'0'..=b'9' | b'+' | b'(' => number::find(text, at, self.public_ip_only),
                b'A'..=b'Z' => account(bytes, at).or_else(|| number::foreigner(bytes, at)),
                _ => Found::Nothing { next: at + 1 },
            };
            at = match found {
                Found::Nothing { next } => next,
                Found::Span(span) => {
                    if self.kinds.contains(&span.kind) {
                        spans.push(span);
                    }
                    free = span.end;
                    span.end
                }
            };
        }
        spans
    }

    /// The text with placeholders, and a count of each kind.
    pub fn scrub<'a>(&self, text: &'a str, notes: &mut Notes) -> Cow<'a, str> {
        let spans = self.find(text);
        if spans.is_empty() {
            return text.into();
        }
        let (mut clean, mut at) = (String::with_capacity(text.len()), 0);
        for span in spans {
            notes.add(span.kind.reason(), 1);
            clean.push_str(&text[at..span.start]);
            clean.push_str(match self.placeholder {
                Placeholder::Tag => span.kind.tag(),
                Placeholder::Example => span.kind.example(),
            });
            at = span.end;
        }
        clean.push_str(&text[at..]);
        clean.into()
    }
}

/// What was found at a place.
enum Found {
    Span(Span),
    /// Nothing begins before `next`.
    Nothing {
        next: usize,
    },
}

impl Found {
    fn span(kind: Kind, start: usize, end: usize) -> Self {
        Self::Span(Span { kind, start, end })
    }

    fn or_else(self, other: impl FnOnce() -> Self) -> Self {
        if let Self::Nothing { .. } = self { other() } else { self }
    }
}

/// A letter or digit, of any script so far as one byte tells.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether a word begins at `at`.
fn begins(bytes: &[u8], at: usize) -> bool {
    at.checked_sub(1).is_none_or(|before| !is_word(bytes[before]))
}

/// The address around an `@`: as RFC 5322 has it, without quotes, and a domain of letters.
fn email(bytes: &[u8], at: usize, free: usize) -> Found {
    const MAX_LOCAL: usize = 64;
    const MAX_DOMAIN: usize = 253;
    const IMAGES: [&[u8]; 5] = [b"png", b"jpg", b"jpeg", b"gif", b"webp"];
    let nothing = Found::Nothing { next: at + 1 };
    let local = |&byte: &u8| is_word(byte) || b".!#$%&'*+/=?^`{|}~-".contains(&byte);
    let before = &bytes[free.max(at.saturating_sub(MAX_LOCAL))..at];
    let n_local = before.iter().rev().take_while(|byte| local(byte)).count();
    let before = &before[before.len() - n_local..];
    let Some(skipped) = before.iter().position(|&byte| is_word(byte)) else { return nothing };
    let after = &bytes[at + 1..bytes.len().min(at + 1 + MAX_DOMAIN)];
    let domain = |byte: &&u8| byte.is_ascii_alphanumeric() || b".-".contains(byte);
    let mut n_domain = after.iter().take_while(domain).count();
    while n_domain > 0 && !after[n_domain - 1].is_ascii_alphanumeric() {
        n_domain -= 1;
    }
    let mut labels = after[..n_domain].split(|&byte| byte == b'.');
    let ends = |label: &[u8]| label.starts_with(b"-") || label.ends_with(b"-") || label.is_empty();
    let top = labels.next_back().unwrap_or_default();
    let n_labels = labels.clone().count();
    let is_top = top.len() > 1 && top[0].is_ascii_alphabetic() && !IMAGES.contains(&top);
    if before.ends_with(b".") || !is_top || n_labels == 0 || labels.any(ends) {
        return nothing;
    }
    Found::span(Kind::Email, at - n_local + skipped, at + 1 + n_domain)
}

/// The address of IPv6 whose first colon is at `at`.
fn ip_v6(text: &str, at: usize, free: usize, public_only: bool) -> Found {
    const MAX_LEN: usize = 45;
    let bytes = text.as_bytes();
    let first = &bytes[free.max(at.saturating_sub(5))..at];
    let start = at - first.iter().rev().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let rest = &bytes[at..bytes.len().min(start + MAX_LEN + 1)];
    let part = |byte: &&u8| byte.is_ascii_hexdigit() || b":.".contains(byte);
    let mut end = at + rest.iter().take_while(part).count();
    let next = end.max(at + 1);
    let ends = |end: usize| bytes[end - 1].is_ascii_hexdigit() || bytes[..end].ends_with(b"::");
    while end > at && !ends(end) {
        end -= 1;
    }
    let whole = begins(bytes, start) && bytes.get(end).is_none_or(|&byte| !is_word(byte));
    let Some(Ok(ip)) = whole.then(|| text[start..end].parse::<Ipv6Addr>()) else {
        return Found::Nothing { next };
    };
    let [first, second, ..] = ip.segments();
    let public = first & 0xe000 == 0x2000 && (first, second) != (0x2001, 0x0db8);
    // `::` alone, and names such as `a::b`, are addresses to a parser.
    let plain = end - start > 6 && text[start..end].contains(|c: char| c.is_ascii_digit());
    if public || !public_only && plain {
        Found::span(Kind::Ip, start, end)
    } else {
        Found::Nothing { next }
    }
}

/// The account that begins at `at`, perhaps with a blank after every four characters.
fn account(bytes: &[u8], at: usize) -> Found {
    let nothing = Found::Nothing { next: at + 1 };
    let head = bytes.get(at..at + 4).filter(|head| head[2].is_ascii_digit() && begins(bytes, at));
    let Some(len) = head.and_then(|head| checks::iban_len(&head[..2])) else { return nothing };
    let (mut account, mut end) = (Vec::with_capacity(len), at);
    while account.len() < len {
        match bytes.get(end) {
            Some(&byte) if byte.is_ascii_digit() || byte.is_ascii_uppercase() => account.push(byte),
            Some(b' ') if account.len().is_multiple_of(4) && bytes[end - 1] != b' ' => {}
            _ => return nothing,
        }
        end += 1;
    }
    let ends = bytes.get(end).is_none_or(|&byte| !is_word(byte));
    if ends && checks::iban(&account) { Found::span(Kind::Iban, at, end) } else { nothing }
}
