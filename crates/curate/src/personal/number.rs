//! Digits in groups, and what they are.

use std::net::Ipv4Addr;

use super::{Found, Kind, begins, checks, is_word};

const MAX_GROUPS: usize = 8;
const MIN_DIGITS: usize = 7;
const MAX_DIGITS: usize = 24;

/// Groups of digits with at most two characters between them, the first at a place where a number
/// may begin.
struct Number<'a> {
    text: &'a str,
    /// Where the first character is: a digit, `+` or `(`.
    start: usize,
    /// Begin and end of each group.
    groups: Vec<(usize, usize)>,
    digits: Vec<u8>,
    /// What stands shortly before it, in lower case; empty where there is no letter.
    before: String,
}

/// What the number at `at` is.
pub fn find(text: &str, at: usize, public_ip_only: bool) -> Found {
    let bytes = text.as_bytes();
    let Some(mut number) = Number::read(text, at) else {
        return Found::Nothing { next: at + 1 };
    };
    let (_, first_end) = number.groups[0];
    if !number.may_begin() {
        return Found::Nothing { next: first_end };
    }
    if let Some((end, public)) = number.ip() {
        let next = end;
        let found = public || !public_ip_only;
        return if found { Found::span(Kind::Ip, at, end) } else { Found::Nothing { next } };
    }
    if at > 0 && b"/=#&$%".contains(&bytes[at - 1])
        || text[..at].ends_with(['\u{a3}', '\u{a5}', '\u{20ac}'])
    {
        return Found::Nothing { next: first_end };
    }
    if number.is_date() {
        return Found::Nothing { next: number.groups[2].1 };
    }
    number.before = before(text, at);
    while number.digits.len() >= MIN_DIGITS {
        if let Some((kind, end)) = number.kind() {
            return Found::span(kind, at, end);
        }
        let n_digits = number.groups.pop().map_or(0, |(start, end)| end - start);
        number.digits.truncate(number.digits.len() - n_digits);
    }
    Found::Nothing { next: first_end }
}

/// A foreigner's number in Spain: `X`, `Y` or `Z`, seven digits, a letter.
pub fn foreigner(bytes: &[u8], at: usize) -> Found {
    let nothing = Found::Nothing { next: at + 1 };
    let Some(first) = b"XYZ".iter().position(|&byte| byte == bytes[at]) else { return nothing };
    let start = at + 1 + usize::from(bytes.get(at + 1) == Some(&b'-'));
    let digits = bytes.get(start..start + 7).unwrap_or_default();
    if digits.len() < 7 || !digits.iter().all(u8::is_ascii_digit) || !begins(bytes, at) {
        return nothing;
    }
    let number: Vec<u8> =
        [first as u8].into_iter().chain(digits.iter().map(|d| d - b'0')).collect();
    match letter(bytes, start + 7, checks::spain(&number)) {
        Some(end) => Found::span(Kind::Identity, at, end),
        None => nothing,
    }
}

/// Where a number has ended that goes on with `letter`, perhaps after a hyphen.
fn letter(bytes: &[u8], end: usize, letter: u8) -> Option<usize> {
    let end = end + usize::from(bytes.get(end) == Some(&b'-'));
    let found = bytes.get(end)?.eq_ignore_ascii_case(&letter);
    let ends = bytes.get(end + 1).is_none_or(|&byte| !is_word(byte));
    (found && ends).then_some(end + 1)
}

impl<'a> Number<'a> {
    fn read(text: &'a str, start: usize) -> Option<Self> {
        let bytes = text.as_bytes();
        let mut at =
            start + bytes[start..].iter().take(2).take_while(|b| b"+(".contains(b)).count();
        let (mut groups, mut digits, before) = (Vec::new(), Vec::new(), String::new());
        loop {
            let run = bytes[at..].iter().take(MAX_DIGITS + 1).take_while(|b| b.is_ascii_digit());
            let end = at + run.count();
            if end == at || digits.len() + end - at > MAX_DIGITS {
                break;
            }
            digits.extend(bytes[at..end].iter().map(|byte| byte - b'0'));
            groups.push((at, end));
            let between = text[end..].char_indices().take(3);
            let mut between = between.skip_while(|(_, c)| " -./()\u{a0}".contains(*c));
            match between.next() {
                Some((skipped, '0'..='9')) if groups.len() < MAX_GROUPS => at = end + skipped,
                _ => break,
            }
        }
        // More digits than any number has: none of them begins one.
        if groups.is_empty() {
            let run = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let end = at + run;
            return (run > 0).then(|| Self {
                text,
                start,
                groups: vec![(at, end)],
                digits,
                before,
            });
        }
        // A bracket belongs to a number that closes it.
        let whole = &text[start..groups.last().map_or(start, |(_, end)| *end)];
        let closed = !whole.starts_with('(') || !whole.starts_with("((") && whole.contains(')');
        closed.then_some(Self { text, start, groups, digits, before })
    }

    /// Whether what is before it is not a part of the same number or word.
    fn may_begin(&self) -> bool {
        let before = &self.text.as_bytes()[..self.start];
        let goes_on = |byte: u8| b".,-/:+".contains(&byte);
        !self.digits.is_empty()
            && match before {
                [.., digit, byte] if goes_on(*byte) => !is_word(*digit) || *byte == b':',
                [.., byte] => !is_word(*byte) && *byte != b'+',
                [] => true,
            }
    }

    /// Whether what is after `end` is not a part of the same number or word.
    fn may_end(&self, end: usize) -> bool {
        match self.text.as_bytes()[end..] {
            [byte, digit, ..] if b".,-/:".contains(&byte) => !digit.is_ascii_digit(),
            [byte, ..] => !is_word(byte) && !b"%@".contains(&byte),
            [] => true,
        }
    }

    /// Characters between the group `idx` and the next.
    fn between(&self, idx: usize) -> &'a str {
        &self.text[self.groups[idx].1..self.groups[idx + 1].0]
    }

    /// Whether one of `marks` is between all groups, the same everywhere.
    fn is_even(&self, marks: &[&str]) -> bool {
        let mut all = (0..self.groups.len() - 1).map(|idx| self.between(idx));
        let first = all.next();
        first.is_none_or(|first| marks.contains(&first) && all.all(|mark| mark == first))
    }

    fn lens(&self) -> Vec<usize> {
        self.groups.iter().map(|(start, end)| end - start).collect()
    }

    /// Four bytes with points between, neither more nor fewer: where it ends, and whether all of
    /// the internet can reach it.
    fn ip(&self) -> Option<(usize, bool)> {
        if self.groups.len() < 4 || self.groups[0].0 != self.start {
            return None;
        }
        let end = self.groups[3].1;
        let points = (0..3).all(|idx| self.between(idx) == ".");
        let after = self.text.as_bytes().get(end);
        if !points || !self.may_end(end) && !after.is_some_and(|byte| b"/:".contains(byte)) {
            return None;
        }
        let ip: Ipv4Addr = self.text[self.start..end].parse().ok()?;
        let [a, b, ..] = ip.octets();
        let shared = a == 100 && (64..128).contains(&b) || a == 198 && (18..20).contains(&b);
        let public = !(ip.is_private()
            || ip.is_loopback()
            || ip.is_link_local()
            || ip.is_documentation()
            || shared
            || a == 0
            || a >= 224);
        Some((end, public))
    }

    /// A day, a month and a year in the first three groups, in an order that is used.
    fn is_date(&self) -> bool {
        let [first, second, third] = match self.lens()[..] {
            [4, 1 | 2, 1 | 2, ..] => [2, 1, 0],
            [1 | 2, 1 | 2, 2 | 4, ..] => [0, 1, 2],
            _ => return false,
        }
        .map(|idx| {
            let (start, end) = self.groups[idx];
            let year = self.text[start..end].parse::<u32>().unwrap_or(0);
            (year, end - start)
        });
        let day = (1..=31).contains(&first.0) && (1..=31).contains(&second.0);
        let mark = self.between(0);
        let marks = mark == self.between(1) && ["-", "/", "."].contains(&mark);
        let year = third.1 == 2 || (1000..3000).contains(&third.0);
        marks && day && year && first.0.min(second.0) <= 12 && self.may_end(self.groups[2].1)
    }

    /// What all of its groups together are, and where that ends.
    fn kind(&self) -> Option<(Kind, usize)> {
        let (end, bytes) = (self.groups[self.groups.len() - 1].1, self.text.as_bytes());
        let (digits, lens) = (&self.digits[..], self.lens());
        let plain = self.groups[0].0 == self.start;
        if plain && lens == [17] && letter(bytes, end, b'x').is_some() {
            let resident: Vec<u8> = digits.iter().copied().chain([10]).collect();
            return checks::china(&resident).then_some((Kind::Identity, end + 1));
        }
        let spain = || letter(bytes, end, checks::spain(digits));
        if let Some(end) = (plain && lens == [8]).then(spain).flatten() {
            return Some((Kind::Identity, end));
        }
        match () {
            () if !self.may_end(end) => None,
            () if plain && self.is_card(&lens) => Some((Kind::Card, end)),
            () if plain && self.is_identity(&lens) => Some((Kind::Identity, end)),
            () if self.is_phone(&lens) => Some((Kind::Phone, end)),
            () => None,
        }
    }

    fn is_card(&self, lens: &[usize]) -> bool {
        const SHAPES: [&[usize]; 4] = [&[4, 4, 4, 4], &[4, 4, 4, 4, 3], &[4, 6, 5], &[4, 6, 4]];
        (lens.len() == 1 || SHAPES.contains(&lens))
            && self.is_even(&[" ", "-"])
            && checks::card(&self.digits)
    }

    fn is_identity(&self, lens: &[usize]) -> bool {
        let (digits, even) = (&self.digits[..], self.is_even(&[" ", "-"]));
        match lens {
            [18] => checks::china(digits),
            [15] | [13, 2] | [1, 2, 2, 2, 3, 3, 2] => even && checks::france(digits),
            [3, 2, 4] => even && checks::united_states(digits),
            [4, 4, 4] => even && checks::india(digits),
            [2, 3, 3, 3] => self.is_even(&[" "]) && checks::germany(digits),
            [3, 3, 3, 2] => {
                let marks = [0, 1, 2].map(|idx| self.between(idx));
                [".", ".", "-"] == marks && checks::brazil(digits)
            }
            [4, 2, 3] => self.is_even(&["."]) && checks::netherlands(digits),
            [9] => {
                checks::netherlands(digits) && self.follows(&["bsn", "burgerservicenummer", "sofi"])
                    || checks::united_states(digits) && self.follows(&["ssn", "social security"])
            }
            [11] => {
                checks::germany(digits) && self.follows(&["steuer", "idnr", "tin", "tax id"])
                    || checks::brazil(digits) && self.follows(&["cpf"])
            }
            [12] => checks::india(digits) && self.follows(&["aadhaar", "aadhar", "uidai"]),
            _ => false,
        }
    }

    fn is_phone(&self, lens: &[usize]) -> bool {
        const SAID: [&str; 14] = [
            "tel",
            "phone",
            "telephone",
            "telefon",
            "telefono",
            "fax",
            "mobile",
            "cell",
            "call",
            "whatsapp",
            "\u{7535}\u{8bdd}",
            "\u{624b}\u{673a}",
            "\u{8054}\u{7cfb}",
            "\u{96fb}\u{8a71}",
        ];
        let (digits, n_digits) = (&self.digits[..], self.digits.len());
        let north_america = |digits: &[u8]| digits[0] > 1 && digits[3] > 1;
        let blanks = |idx: usize| !self.between(idx).contains(['.', '/']);
        let all_blanks = || (0..lens.len() - 1).all(blanks);
        if self.text[self.start..self.groups[0].0].contains('+') {
            let longest = if lens.len() == 1 { 15 } else { 13 };
            return match digits[0] {
                0 => false,
                1 => n_digits == 11,
                _ => (8..=longest).contains(&n_digits),
            };
        }
        match lens {
            [3, 2, 4] => false,
            [3, 3, 4] => north_america(digits),
            [1, 3, 3, 4] => digits[0] == 1 && north_america(&digits[1..]),
            [2, 2, 2, 2, 2] => {
                digits[0] == 0 && digits[1] > 0 && self.is_even(&[" ", ".", "-", "\u{a0}"])
            }
            [3, 4, 4] if digits[0] == 1 => digits[1] > 2 && self.is_even(&[" ", "-"]),
            [2, _, _, ..] if digits[..2] == [0, 0] => {
                digits[2] > 0 && (11..=15).contains(&n_digits) && all_blanks()
            }
            [2..=5, _, ..]
                if digits[0] == 0 && digits[1] > 0 && lens[1..].iter().all(|&n| n > 1) =>
            {
                let marks = (1..lens.len() - 1).all(blanks) && self.between(0) != ".";
                (9..=12).contains(&n_digits) && lens.len() <= 5 && marks
            }
            _ => (7..=15).contains(&n_digits) && all_blanks() && self.follows(&SAID),
        }
    }

    /// Whether one of `words` stands shortly before it, as a word where it is of Latin letters.
    fn follows(&self, words: &[&str]) -> bool {
        let before = &self.before;
        let stands = |(at, word): (usize, &str)| !word.is_ascii() || begins(before.as_bytes(), at);
        !before.is_empty() && words.iter().any(|word| before.match_indices(word).any(stands))
    }
}

/// The end of what stands before a number, where its name would be.
fn before(text: &str, start: usize) -> String {
    const WINDOW: usize = 32;
    let from = text.floor_char_boundary(start.saturating_sub(WINDOW));
    let before = &text[from..start];
    let has_letter = before.contains(char::is_alphabetic);
    if has_letter { before.to_ascii_lowercase() } else { String::new() }
}
