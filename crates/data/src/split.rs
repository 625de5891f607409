//! Which text is for validation.
//!
//! One pass over documents of any number and size, deciding as they come:
//!
//! - a long document, or each part of a very long one, gives its tail, so that a corpus of one
//!   file has a validation set;
//! - short ones are given whole, evenly spread, whatever their length (every twentieth for 0.05);
//! - a corpus too small for either gives the tail of its last document.
//!
//! Where text was cut out, the document ends, in both sets: what follows does not continue it.

use crate::Document;

/// A tail shorter than this says little; below it whole documents are taken.
const TAIL_BYTES_MIN: f64 = 1024.0;

/// A set that text goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Train,
    Validation,
}

/// A document or a part of one, and where it goes.
#[derive(Debug, PartialEq)]
pub(crate) struct Piece {
    pub side: Side,
    pub document: Document,
}

/// Sends text to training and validation.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    fraction: f64,
    /// Short documents that validation is owed.
    owed: f64,
    /// Bytes seen; what validation gets of a corpus that gave it nothing.
    n_bytes: f64,
    has_validation: bool,
    /// A document in training has not ended.
    is_open: bool,
    /// The last document seen, in case it is the last of all.
    pending: Option<Document>,
}

impl Splitter {
    /// `fraction` of the bytes go to validation, about; 0 for none.
    pub fn new(fraction: f64) -> Self {
        Self { fraction, ..Self::default() }
    }

    /// Takes a document; what is decided by it is appended to `pieces`.
    pub fn push(&mut self, document: Document, pieces: &mut Vec<Piece>) {
        if let Some(previous) = self.pending.replace(document) {
            self.assign(previous, false, pieces);
        }
    }

    /// Decides the rest.
    pub fn finish(&mut self, pieces: &mut Vec<Piece>) {
        if let Some(last) = self.pending.take() {
            self.assign(last, !self.has_validation, pieces);
        }
    }

    fn assign(&mut self, document: Document, must_give: bool, pieces: &mut Vec<Piece>) {
        if self.fraction <= 0.0 {
            pieces.push(Piece { side: Side::Train, document });
            return;
        }
        let n_bytes = document.text.len() as f64;
        self.n_bytes += n_bytes;
        if must_give {
            let tail = (self.n_bytes * self.fraction).min(n_bytes / 2.0);
            return self.give_tail(document, tail as usize, pieces);
        }
        if n_bytes * self.fraction >= TAIL_BYTES_MIN {
            return self.give_tail(document, (n_bytes * self.fraction) as usize, pieces);
        }
        self.owed += if document.text.is_empty() { 0.0 } else { self.fraction };
        // Ten times 0.1 is a little below 1.
        if self.owed >= 1.0 - 1e-9 {
            self.owed -= 1.0;
            self.has_validation = true;
            self.close(pieces);
            let document = Document { ends: true, ..document };
            pieces.push(Piece { side: Side::Validation, document });
        } else {
            self.is_open = !document.ends;
            pieces.push(Piece { side: Side::Train, document });
        }
    }

    fn give_tail(&mut self, mut document: Document, n_bytes: usize, pieces: &mut Vec<Piece>) {
        document.ends = true;
        let tail = document.split_off(tail_start(&document.text, n_bytes));
        self.has_validation |= !tail.text.is_empty();
        self.is_open = false;
        pieces.push(Piece { side: Side::Train, document });
        pieces.push(Piece { side: Side::Validation, document: tail });
    }

    /// Ends a document whose continuation goes elsewhere.
    fn close(&mut self, pieces: &mut Vec<Piece>) {
        if std::mem::take(&mut self.is_open) {
            let document = Document::new(String::new(), true);
            pieces.push(Piece { side: Side::Train, document });
        }
    }
}

/// Where a tail of about `n_bytes` begins: after a line where one ends in its first quarter, else
/// before a blank, else anywhere. Never at the very end of a text of two characters or more.
fn tail_start(text: &str, n_bytes: usize) -> usize {
    let mut start = text.floor_char_boundary(text.len().saturating_sub(n_bytes));
    if start == text.len() {
        start = text.char_indices().next_back().map_or(0, |(at, _)| at);
    }
    let near = &text[start..text.ceil_char_boundary(start + n_bytes / 4)];
    if let Some(at) = near.find('\n') {
        return start + at + 1;
    }
    near.find(char::is_whitespace).map_or(start, |at| start + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(fraction: f64, documents: &[(&str, bool)]) -> Vec<Piece> {
        let mut splitter = Splitter::new(fraction);
        let mut pieces = Vec::new();
        for &(text, ends) in documents {
            splitter.push(Document::new(text.to_owned(), ends), &mut pieces);
        }
        splitter.finish(&mut pieces);
        pieces
    }

    fn bytes(pieces: &[Piece], side: Side) -> usize {
        pieces
            .iter()
            .filter(|piece| piece.side == side)
            .map(|piece| piece.document.text.len())
            .sum()
    }

    #[test]
    fn one_file_gives_its_tail() {
        let text = "one line of text\n".repeat(10_000);
        let pieces = split(0.05, &[(&text, true)]);
        assert_eq!(pieces.len(), 2);
        assert_eq!(
            pieces.iter().map(|piece| piece.document.text.as_str()).collect::<String>(),
            text
        );
        assert!(
            pieces[1].document.text.starts_with("one")
                && pieces.iter().all(|piece| piece.document.ends)
        );
        let n_bytes = bytes(&pieces, Side::Validation);
        assert!(n_bytes.abs_diff(text.len() / 20) < 20, "{n_bytes}");
    }

    #[test]
    fn short_documents_go_whole_and_evenly() {
        let documents = vec![("0123456789", true); 1000];
        let pieces = split(0.1, &documents);
        assert_eq!(pieces.len(), 1000);
        assert_eq!(bytes(&pieces, Side::Validation), 1000);
        let places: Vec<usize> =
            (0..1000).filter(|&i| pieces[i].side == Side::Validation).collect();
        assert!(places.windows(2).all(|pair| (9..=11).contains(&(pair[1] - pair[0]))));
    }

    #[test]
    fn short_documents_are_not_preferred() {
        let (short, long) = ("x".repeat(10), "y".repeat(100));
        let documents: Vec<_> =
            (0..2100).map(|i| (if i % 3 == 0 { &*long } else { &*short }, true)).collect();
        let pieces = split(0.05, &documents);
        let share = bytes(&pieces, Side::Validation) as f64 / (2100.0 * 40.0);
        assert!((share - 0.05).abs() < 0.002, "{share}");
    }

    #[test]
    fn the_smallest_corpus_still_validates() {
        for (text, left) in [("ab", "a"), ("\u{6c34}\u{6c34}", "\u{6c34}"), ("a b", "a ")] {
            let pieces = split(0.01, &[(text, true)]);
            assert_eq!(
                (pieces[0].side, pieces[0].document.text.as_str()),
                (Side::Train, left),
                "{text}"
            );
            assert_eq!(pieces[1].side, Side::Validation);
        }
        let few = split(0.05, &[("some words here", true), ("and some more there", true)]);
        assert_eq!(few.last().map(|piece| piece.side), Some(Side::Validation));
    }

    #[test]
    fn nothing_is_held_out_of_nothing() {
        assert_eq!(split(0.1, &[]), []);
        let pieces = split(0.0, &[("a", false), ("b", true)]);
        assert_eq!(
            pieces.iter().map(|piece| piece.document.ends).collect::<Vec<_>>(),
            [false, true]
        );
        assert_eq!(bytes(&pieces, Side::Validation), 0);
    }

    #[test]
    fn a_document_ends_where_its_text_was_taken_out() {
        let long = "word ".repeat(10_000);
        let short = "x".repeat(100);
        let mut documents = vec![(long.as_str(), false)];
        documents.extend(vec![(short.as_str(), false); 30]);
        documents.push((&short, true));
        let pieces = split(0.1, &documents);
        for (piece, next) in pieces.iter().zip(&pieces[1..]) {
            assert!(piece.side == next.side || piece.document.ends, "{piece:?} then {next:?}");
        }
        let all: usize = documents.iter().map(|(text, _)| text.len()).sum();
        assert_eq!(bytes(&pieces, Side::Train) + bytes(&pieces, Side::Validation), all);
    }
}
