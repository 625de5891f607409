//! HTML as tags and text between them, in one pass and without allocating.
//!
//! What browsers do with wrong markup is done here too where it decides what is text; an end that
//! is not there (of a comment, a script, a quoted value) is looked for once.

use memchr::{memchr, memmem};

use super::words::pack;

/// A piece of a page.
pub(super) enum Token<'a> {
    /// What stands between tags, entities still in it.
    Text(&'a str),
    /// `<name`: its attributes come from [`Tokens::attribute`] before the next token.
    Start { name: &'a str },
    /// `</name ...>`.
    End { name: &'a str },
}

/// Reads tokens from the beginning of a page to its end.
pub(super) struct Tokens<'a> {
    page: &'a str,
    at: usize,
    /// Whether `at` is inside a tag.
    in_tag: bool,
    /// Ends that are known not to come any more: of a comment, of raw text by its packed name.
    no_comment_end: bool,
    missing: Vec<u128>,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(page: &'a str) -> Self {
        Self { page, at: 0, in_tag: false, no_comment_end: false, missing: Vec::new() }
    }

    fn rest(&self) -> &'a [u8] {
        &self.page.as_bytes()[self.at..]
    }

    /// The next attribute of the tag that was begun: its name and its raw value.
    pub(super) fn attribute(&mut self) -> Option<(&'a str, &'a str)> {
        if !self.in_tag {
            return None;
        }
        let bytes = self.page.as_bytes();
        let mut at = self.at;
        while at < bytes.len() && (bytes[at].is_ascii_whitespace() || bytes[at] == b'/') {
            at += 1;
        }
        if at >= bytes.len() || bytes[at] == b'>' {
            self.in_tag = false;
            self.at = (at + 1).min(bytes.len());
            return None;
        }
        let start = at;
        // A name may begin with `=`.
        at += 1;
        while at < bytes.len()
            && !matches!(bytes[at], b'=' | b'>' | b'/' | b' ' | b'\n' | b'\t' | b'\r' | b'\x0c')
        {
            at += 1;
        }
        let name = start..at;
        while at < bytes.len() && bytes[at].is_ascii_whitespace() {
            at += 1;
        }
        let mut value = at..at;
        if at < bytes.len() && bytes[at] == b'=' {
            at += 1;
            while at < bytes.len() && bytes[at].is_ascii_whitespace() {
                at += 1;
            }
            (value, at) = self.value(at);
        }
        self.at = at;
        // The first byte of a name may be inside a character only where the page is cut.
        Some((self.page.get(name).unwrap_or(""), self.page.get(value).unwrap_or("")))
    }

    /// Where the value that begins at `at` lies, and where it is over.
    fn value(&self, at: usize) -> (std::ops::Range<usize>, usize) {
        let bytes = self.page.as_bytes();
        if let Some(&quote @ (b'"' | b'\'')) = bytes.get(at) {
            let start = at + 1;
            return match memchr(quote, &bytes[start..]) {
                Some(n) => (start..start + n, start + n + 1),
                None => (start..bytes.len(), bytes.len()),
            };
        }
        let n = bytes[at..].iter().position(|b| b.is_ascii_whitespace() || *b == b'>');
        let end = at + n.unwrap_or(bytes.len() - at);
        (at..end, end)
    }

    /// Leaves the tag that was begun.
    fn leave_tag(&mut self) {
        while self.attribute().is_some() {}
    }

    /// What is before `</name`, whose own tag is left too; without one, nothing is taken.
    pub(super) fn raw(&mut self, name: &str) -> &'a str {
        self.leave_tag();
        if self.missing.contains(&pack(name.as_bytes())) {
            return "";
        }
        let (start, mut from) = (self.at, self.at);
        while let Some(n) = memchr(b'<', &self.page.as_bytes()[from..]) {
            let tag = from + n;
            let after = &self.page.as_bytes()[tag + 1..];
            if after.first() == Some(&b'/')
                && after.len() > name.len()
                && after[1..=name.len()].eq_ignore_ascii_case(name.as_bytes())
                && !after.get(name.len() + 1).is_some_and(u8::is_ascii_alphanumeric)
            {
                self.at = tag + 2 + name.len();
                self.in_tag = true;
                self.leave_tag();
                return &self.page[start..tag];
            }
            from = tag + 1;
        }
        self.missing.push(pack(name.as_bytes()));
        ""
    }

    /// Goes past `<!...>`, `<?...>` or a comment.
    fn skip_markup(&mut self) {
        let rest = self.rest();
        if rest.starts_with(b"<!--") && !self.no_comment_end {
            // `<!-->` and `<!--->` are whole.
            let whole = [&b"<!-->"[..], b"<!--->"].into_iter().find(|c| rest.starts_with(c));
            if let Some(comment) = whole {
                self.at += comment.len();
                return;
            }
            match memmem::find(&rest[4..], b"-->") {
                Some(n) => self.at += 4 + n + 3,
                None => self.no_comment_end = true,
            }
            if !self.no_comment_end {
                return;
            }
        }
        self.at += memchr(b'>', rest).map_or(rest.len(), |n| n + 1);
    }

    /// The next token; `None` at the end.
    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        self.leave_tag();
        loop {
            let rest = self.rest();
            if rest.is_empty() {
                return None;
            }
            let start = self.at;
            if rest[0] != b'<' {
                self.at += memchr(b'<', rest).unwrap_or(rest.len());
                return Some(Token::Text(&self.page[start..self.at]));
            }
            match rest.get(1) {
                Some(b'!' | b'?') => self.skip_markup(),
                Some(b'/') if rest.get(2).is_some_and(u8::is_ascii_alphabetic) => {
                    let name = self.name(start + 2);
                    self.leave_tag();
                    return Some(Token::End { name });
                }
                Some(b'/') => self.at += memchr(b'>', rest).map_or(rest.len(), |n| n + 1),
                Some(byte) if byte.is_ascii_alphabetic() => {
                    return Some(Token::Start { name: self.name(start + 1) });
                }
                // A `<` that begins nothing is text.
                _ => {
                    self.at += 1;
                    self.at += memchr(b'<', self.rest()).unwrap_or(self.rest().len());
                    return Some(Token::Text(&self.page[start..self.at]));
                }
            }
        }
    }

    fn name(&mut self, start: usize) -> &'a str {
        let bytes = &self.page.as_bytes()[start..];
        let end = bytes
            .iter()
            .position(|b| b.is_ascii_whitespace() || matches!(b, b'/' | b'>'))
            .unwrap_or(bytes.len());
        self.at = start + end;
        self.in_tag = true;
        &self.page[start..self.at]
    }
}
