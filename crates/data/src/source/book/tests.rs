use super::super::tests::{folder, texts};
use super::super::{Format, Noted, ReadOptions, Source};
use super::*;

fn read(bytes: &[u8]) -> (Result<Vec<Document>, DataError>, Noted) {
    let dir = folder(&[("book.txt", bytes)]);
    let options = ReadOptions { format: Some(Format::Book), ..ReadOptions::default() };
    let source = Source::Paths { paths: vec![dir.path().join("book.txt")], options };
    let mut documents = source.open().unwrap();
    let found = documents.by_ref().collect();
    (found, documents.noted())
}

fn text(bytes: &[u8]) -> (String, Vec<&'static str>) {
    let (found, noted) = read(bytes);
    (texts(&found.unwrap()).join("|"), noted.done.into_keys().collect())
}

const PROSE: &str = "\
Alice was beginning to get very tired of sitting by her sister on the
bank, and of having nothing to do: once or twice she had peeped into the
book her sister was reading, but it had no pictures or conversations in
it, 'and what is the use of a book,' thought Alice 'without pictures or
conversation?'

'How doth the little crocodile
Improve his shining tail,
And pour the waters of the Nile

     On every golden scale!

So she was considering in her own mind (as well as she could, for the hot--
day made her feel very sleepy and stupid).
";
const JOINED_PROSE: &str = "\
Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing \
to do: once or twice she had peeped into the book her sister was reading, but it had no pictures \
or conversations in it, 'and what is the use of a book,' thought Alice 'without pictures or \
conversation?'

'How doth the little crocodile
Improve his shining tail,
And pour the waters of the Nile

     On every golden scale!

So she was considering in her own mind (as well as she could, for the hot--day made her feel very \
sleepy and stupid).";

#[test]
fn the_licence_goes_and_broken_lines_become_paragraphs() {
    let licence = "The Project Gutenberg eBook of Alice\n\nLanguage: English\n\n";
    let forms = [
        (
            "*** START OF THE PROJECT GUTENBERG EBOOK ALICE ***\n\nProduced by Arthur DiBianca\n\n\
             \n",
            "*** END OF THE PROJECT GUTENBERG EBOOK ALICE ***\nlicence\n",
        ),
        (
            "***START OF THIS PROJECT GUTENBERG EBOOK ALICE'S\nADVENTURES IN WONDERLAND***\n\n",
            "End of Project Gutenberg's Alice, by Lewis Carroll\n\n*** END OF THIS PROJECT \
             GUTENBERG EBOOK ALICE ***\n\n*** START: FULL LICENSE ***\n",
        ),
        (
            "***START**THE SMALL PRINT!**FOR PUBLIC DOMAIN ETEXTS**START***\nmoney\n\
             *END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\n\n",
            "End of The Project Gutenberg Etext of Alice\n",
        ),
    ];
    for (start, end) in forms {
        let whole = format!("{licence}{start}{PROSE}\n\n{end}");
        let expected = (JOINED_PROSE.to_owned(), vec![JOINED]);
        assert_eq!(text(whole.as_bytes()), expected, "{start}");
        assert_eq!(text(whole.replace('\n', "\r\n").as_bytes()), expected, "{start}");
    }
    assert_eq!(text(PROSE.as_bytes()), (JOINED_PROSE.to_owned(), vec![JOINED, UNMARKED]));
}

#[test]
fn several_books_of_a_file_are_several_documents() {
    let book = |name: &str, text: &str| {
        format!(
            "*** START OF THE PROJECT GUTENBERG EBOOK {name} ***\n{text}\n\
             *** END OF THE PROJECT GUTENBERG EBOOK {name} ***\nlicence\n"
        )
    };
    let both = book("A", "one") + &book("B", "two");
    assert_eq!(text(both.as_bytes()), ("one|two".to_owned(), vec![]));
    let open = "*** START OF THE PROJECT GUTENBERG EBOOK A";
    let cut = format!("head\n{open}\none\n{open} ***\ntwo");
    assert_eq!(text(cut.as_bytes()).0, "one|two", "a mark that is not closed is one line");
    let prose = "The start of the Project Gutenberg was in 1971.\nIt was no end of work.\n";
    assert_eq!(text(prose.as_bytes()), (prose.trim_end().to_owned(), vec![UNMARKED]));
    let (found, noted) = read(book("A", " ").as_bytes());
    assert_eq!((found.unwrap().len(), noted.empty.n), (1, 1));
}

#[test]
fn an_encoding_is_declared_or_windows_1252() {
    let (found, done) = text(b"caf\xE9 \x93so\x94");
    assert_eq!((found.as_str(), done), ("caf\u{e9} \u{201c}so\u{201d}", vec![ENCODED, UNMARKED]));
    let start = b"*** START OF THE PROJECT GUTENBERG EBOOK A ***\n";
    for label in ["ISO-8859-1", "ISO Latin-1", "ASCII", "Unicode UTF-8", "nonsense", ""] {
        let head = format!("Character set encoding: {label}\n");
        assert_eq!(text(&[head.as_bytes(), start, b"caf\xE9"].concat()).0, "caf\u{e9}", "{label}");
    }
    let big5 = [&b"Character set encoding: Big5\n"[..], start, b"\xA4\xF4"].concat();
    assert_eq!(text(&big5), ("\u{6c34}".to_owned(), vec![ENCODED]));
    assert_eq!(text("\u{feff}caf\u{e9}".as_bytes()).0, "caf\u{e9}");
    for (bytes, expected) in [
        (&b"Character set encoding: Big5\n\xFF\xFF\xFF"[..], "neither UTF-8 nor Big5"),
        (b"a\0b", "at byte 1: it is a binary file"),
    ] {
        let error = read(bytes).0.unwrap_err();
        assert!(error.to_string().contains(expected) && error.hint().is_some(), "{error}");
    }
}

#[test]
fn verse_tables_and_long_lines_stay_as_they_are() {
    let verse =
        "Shall I compare thee to a summer's day?\nThou art more lovely and more temperate:\n";
    let long = format!("{}\n", "word ".repeat(60).trim_end());
    for kept in [verse.repeat(40), long.repeat(4), "one\ntwo\n\nthree\n".to_owned()] {
        assert_eq!(text(kept.as_bytes()), (kept.trim_end().to_owned(), vec![UNMARKED]));
    }
}

#[test]
fn a_book_without_end_is_refused() {
    let bytes = Bytes::new(std::io::repeat(b'a').take(1 << 30), "endless").unwrap();
    let mut books = Books::new(bytes, &Arc::default());
    books.bytes_max = 1 << 20;
    let error = books.next_document().unwrap_err();
    assert!(error.to_string().contains("more than 1048576 bytes"), "{error}");
}
