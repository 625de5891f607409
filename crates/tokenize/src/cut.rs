//! Where a long text may be cut.

/// A cut of `text` at or below `limit` bytes that no token crosses; where there is none, the
/// largest character boundary.
///
/// The best is one that no known pattern's token crosses. Where the text has no such place, it is
/// before the last blank of a run that a non-blank follows, which is no token's inside in GPT-2's
/// pattern alone (`\s+(?!\S)`, then an optional space before a word). Returns `text.len()` when
/// the text is not longer than `limit`, and always more than 0 for a text that is not empty.
pub fn safe_cut(text: &str, limit: usize) -> usize {
    if text.len() <= limit {
        return text.len();
    }
    let end = end(text, limit);
    sure_cut(text, limit).or_else(|| last(text, end, before_word)).unwrap_or(end)
}

/// The largest cut of a longer `text` at or below `limit` bytes that no token of any known pattern
/// crosses, where there is one above 0.
///
/// It is before a space that follows no blank, or after the one line break between two
/// non-blanks: a word has a space at its beginning alone, runs of blanks aside, and a line break at
/// its end, which only more line breaks and slashes can follow. The patterns look ahead, but from
/// the end of a run of blanks, and never back.
pub(crate) fn sure_cut(text: &str, limit: usize) -> Option<usize> {
    last(text, end(text, limit), between_words)
}

/// Where the search begins.
fn end(text: &str, limit: usize) -> usize {
    match text.floor_char_boundary(limit) {
        0 => text.ceil_char_boundary(1),
        end => end,
    }
}

/// The last place above 0 and up to `end` at which a rule wants a cut, of a character, the two
/// beside it, and where it is.
fn last(
    text: &str,
    end: usize,
    rule: impl Fn(char, char, char, usize) -> Option<usize>,
) -> Option<usize> {
    let mut next = text[end..].chars().next().unwrap_or(' ');
    let mut chars = text[..end].char_indices().rev().peekable();
    while let Some((at, c)) = chars.next() {
        let &(_, previous) = chars.peek()?;
        if let Some(cut) = rule(previous, c, next, at) {
            return Some(cut);
        }
        next = c;
    }
    None
}

fn between_words(previous: char, c: char, next: char, at: usize) -> Option<usize> {
    match c {
        _ if previous.is_whitespace() => None,
        ' ' => Some(at),
        '\n' if !next.is_whitespace() && next != '/' => Some(at + 1),
        _ => None,
    }
}

fn before_word(_: char, c: char, next: char, at: usize) -> Option<usize> {
    (c.is_whitespace() && !next.is_whitespace()).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts() {
        #[derive(Debug)]
        struct Case {
            text: &'static str,
            limit: usize,
            left: &'static str,
        }
        let cases = [
            Case { text: "", limit: 0, left: "" },
            Case { text: "ab cd", limit: 9, left: "ab cd" },
            Case { text: "ab cd", limit: 4, left: "ab" },
            Case { text: "ab  cd", limit: 5, left: "ab" },
            Case { text: "ab\t cd", limit: 5, left: "ab\t" },
            Case { text: "a\nb", limit: 2, left: "a\n" },
            Case { text: "a\n/", limit: 2, left: "a" },
            Case { text: "a\n\nb", limit: 3, left: "a\n" },
            Case { text: "abcd", limit: 2, left: "ab" },
            Case { text: " abcd", limit: 3, left: " ab" },
            Case { text: "\u{6c34}\u{6c34}", limit: 4, left: "\u{6c34}" },
            Case { text: "\u{6c34}\u{6c34}", limit: 1, left: "\u{6c34}" },
        ];
        for case in cases {
            let cut = safe_cut(case.text, case.limit);
            assert_eq!(&case.text[..cut], case.left, "{case:?}");
        }
    }
}
