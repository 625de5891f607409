//! Where a long text may be cut.

/// The largest cut of `text` at or below `limit` bytes that no token of GPT-2's pre-tokenisation
/// crosses; where there is no such cut, the largest character boundary.
///
/// The cut is before the last blank of a run that a non-blank follows. GPT-2's pattern
/// (`\s+(?!\S)`, then an optional space before a word) ends a match exactly there, so
/// encoding the two parts gives the tokens of the whole. Returns `text.len()` when the text is
/// not longer than `limit`, and always more than 0 for a text that is not empty.
pub fn safe_cut(text: &str, limit: usize) -> usize {
    if text.len() <= limit {
        return text.len();
    }
    let mut end = text.floor_char_boundary(limit);
    if end == 0 {
        end = text.ceil_char_boundary(1);
    }
    let after = text[end..].chars().next();
    let mut next = after.unwrap_or(' ');
    for (at, c) in text[..end].char_indices().rev() {
        if at == 0 {
            break;
        }
        if c.is_whitespace() && !next.is_whitespace() {
            return at;
        }
        next = c;
    }
    end
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
            Case { text: "ab  cd", limit: 5, left: "ab " },
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
