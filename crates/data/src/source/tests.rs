use std::fs;
use std::io::{Cursor, Write};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

pub(super) fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    dir
}

pub(super) fn read(path: &Path, options: &ReadOptions) -> Result<Vec<Document>, DataError> {
    Source::Paths { paths: vec![path.to_owned()], options: options.clone() }.open()?.collect()
}

/// The documents of one file, or why it was refused; every refusal of ours has a hint.
fn read_file(name: &str, bytes: &[u8]) -> Result<Vec<Document>, DataError> {
    let dir = folder(&[(name, bytes)]);
    let documents = read(&dir.path().join(name), &ReadOptions::default());
    if let Err(error) = &documents {
        assert!(error.hint().is_some(), "{error}");
    }
    documents
}

pub(super) fn texts(documents: &[Document]) -> Vec<&str> {
    documents.iter().map(|document| document.text.as_str()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(bytes, 1).unwrap()
}

#[test]
fn a_file_is_a_document_compressed_or_not() {
    let text = "It was the best\r\nof times. \u{6c34}\n".repeat(9000);
    let cases: [(&str, Vec<u8>); 4] = [
        ("a.txt", text.clone().into()),
        ("a.txt.gz", gzip(text.as_bytes())),
        ("a.txt.zst", zstd(text.as_bytes())),
        ("named-wrongly.md", zstd(text.as_bytes())),
    ];
    for (name, bytes) in cases {
        let documents = read_file(name, &bytes).unwrap();
        assert_eq!(texts(&documents), [text.as_str()], "{name}");
        assert!(documents[0].ends);
    }
}

#[test]
fn joined_compressed_files_are_read_to_the_end() {
    for compress in [gzip, zstd] {
        let bytes = [compress(b"one "), compress(b"two")].concat();
        assert_eq!(texts(&read_file("a.txt", &bytes).unwrap()), ["one two"]);
    }
}

#[test]
fn a_byte_order_mark_is_no_text() {
    assert_eq!(texts(&read_file("a.txt", b"\xEF\xBB\xBFhello").unwrap()), ["hello"]);
    let line = b"\xEF\xBB\xBF{\"text\": \"hello\"}";
    assert_eq!(texts(&read_file("a.jsonl", line).unwrap()), ["hello"]);
}

#[test]
fn a_long_file_comes_in_parts_that_join_to_it() {
    let text = "some words \u{6c34}\n".repeat(250_000);
    let documents = read_file("a.txt", text.as_bytes()).unwrap();
    assert!(documents.len() > 2 && documents.iter().all(|d| d.text.len() <= PART_BYTES + 4));
    assert_eq!(texts(&documents).concat(), text);
    let ends: Vec<bool> = documents.iter().map(|document| document.ends).collect();
    assert!(ends.iter().rev().skip(1).all(|end| !end) && ends[ends.len() - 1]);
}

#[test]
fn separators_cut_documents() {
    let options = ReadOptions { separator: Some("\n\n".to_owned()), ..ReadOptions::default() };
    let long = "x".repeat(3 * PART_BYTES);
    let text = format!("\n\none\n\n\n\n  \n\ntwo\nlines\n\n{long}\n\nlast\n");
    let dir = folder(&[("a.txt", text.as_bytes())]);
    let documents = read(&dir.path().join("a.txt"), &options).unwrap();
    let mut whole = vec![String::new()];
    for document in &documents {
        whole.last_mut().unwrap().push_str(&document.text);
        if document.ends {
            whole.push(String::new());
        }
    }
    assert_eq!(whole, ["one", "two\nlines", &long, "last\n", ""]);
    let empty = ReadOptions { separator: Some(String::new()), ..ReadOptions::default() };
    let error = read(dir.path(), &empty).unwrap_err();
    assert!(matches!(error, DataError::Config { field: "separator", .. }), "{error}");
}

/// Gives its bytes a few at a time.
struct Slow(Cursor<Vec<u8>>, usize);

impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n_bytes = buffer.len().min(self.1);
        self.0.read(&mut buffer[..n_bytes])
    }
}

fn from_slow(bytes: &[u8], step: usize, options: &ReadOptions) -> Result<Vec<Document>, DataError> {
    let reader = Slow(Cursor::new(bytes.to_vec()), step);
    let format = (options.format.unwrap_or(Format::Text), options);
    let stream = from_bytes(Bytes::new(reader, "slow")?, format, &Arc::default());
    Documents::new("`slow`".to_owned(), stream).collect()
}

proptest! {
    #[test]
    fn how_a_stream_is_chunked_changes_nothing(
        text in "[a\u{e9}\u{6c34}\u{1f600}|# \n]{0,60}", step in 1usize..6
    ) {
        let separator = Some("|#|".to_owned());
        let options = ReadOptions { separator, ..ReadOptions::default() };
        let expected: Vec<&str> =
            text.split("|#|").filter(|part| !part.trim().is_empty()).collect();
        match from_slow(text.as_bytes(), step, &options) {
            Ok(documents) => prop_assert_eq!(texts(&documents), expected),
            Err(error) => {
                let is_empty = matches!(error, DataError::Empty { .. });
                prop_assert!(is_empty && expected.is_empty(), "{}", error);
            }
        }
    }
}

#[test]
fn invalid_utf8_is_named_by_its_byte_wherever_it_is() {
    for at in [0, 1, 8191, 65_535, 65_536, 200_000] {
        let mut bytes = vec![b'a'; at];
        bytes.extend(b"\xE6\xB0 and more");
        for bytes in [bytes.clone(), gzip(&bytes), zstd(&bytes)] {
            let error = read_file("a.txt", &bytes).unwrap_err();
            let expected = at as u64;
            assert!(matches!(error, DataError::Utf8 { byte, .. } if byte == expected), "{error}");
        }
    }
    let half = read_file("a.txt", b"ab\xE6\xB0").unwrap_err();
    assert!(matches!(half, DataError::Utf8 { byte: 2, .. }), "{half}");
    let error = read_file("a.jsonl", b"{\"text\": \"a\"}\n{\"text\": \"\xFF\"}").unwrap_err();
    assert_eq!(error.to_string().split("` ").nth(1), Some("is not UTF-8 at byte 24 (line 2)"));
}

#[test]
fn utf16_is_called_what_it_is() {
    let error = read_file("a.txt", b"\xFF\xFEa\0b\0").unwrap_err();
    assert!(matches!(error, DataError::Utf8 { utf16: true, .. }), "{error}");
    assert!(error.hint().unwrap().contains("UTF-16"));
}

#[test]
fn binary_files_are_refused() {
    for name in ["a.txt", "a.jsonl"] {
        let error = read_file(name, b"\x7FELF\x02\x01\0\0").unwrap_err();
        assert!(matches!(error, DataError::Binary { byte: 6, .. }), "{error}");
    }
    let store = read_file("a.tokens", b"LYCTOKEN\x02\0\0\0").unwrap_err();
    assert!(store.hint().unwrap().contains("token stores"), "{store}");
}

#[test]
fn a_file_without_text_is_refused() {
    for bytes in [&b""[..], b" \n\t\n", &gzip(b"")] {
        let error = read_file("a.txt", bytes).unwrap_err();
        assert!(matches!(error, DataError::Empty { .. }), "{error}");
    }
    assert!(matches!(read_file("a.jsonl", b"\n\n").unwrap_err(), DataError::Empty { .. }));
}

#[test]
fn a_path_that_is_not_there_is_named() {
    let error = read(Path::new("/no/such.txt"), &ReadOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "failed to open `/no/such.txt`");
    assert!(error.hint().unwrap().contains("path"));
}

#[test]
fn truncated_compression_is_an_error_at_every_length() {
    let text: Vec<u8> = (0..2000u32).flat_map(|i| i.to_string().into_bytes()).collect();
    for bytes in [gzip(&text), zstd(&text)] {
        for len in (5..bytes.len()).step_by(7).chain([bytes.len() - 1]) {
            let error = read_file("a.txt", &bytes[..len]).unwrap_err();
            assert!(matches!(error, DataError::Compressed { .. }), "{len}: {error}");
        }
    }
    let error = read_file("a.txt.gz", b"plain text").unwrap_err();
    assert!(error.to_string().contains("does not begin as gzip"), "{error}");
}

#[test]
fn a_flipped_bit_in_a_compressed_file_is_never_silent() {
    let text = "It was the best of times, it was the worst of times. ".repeat(20);
    let mut bytes = gzip(text.as_bytes());
    for at in 10..bytes.len() {
        bytes[at] ^= 0x10;
        let documents = read_file("a.txt", &bytes);
        assert!(documents.is_err() || texts(&documents.unwrap()) == [text.as_str()], "byte {at}");
        bytes[at] ^= 0x10;
    }
}

#[test]
fn a_decompression_bomb_is_streamed() {
    let bomb = zstd(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 1 << 16);
    let dir = folder(&[("a.txt", &bomb)]);
    let source =
        Source::Paths { paths: vec![dir.path().join("a.txt")], options: ReadOptions::default() };
    for document in source.open().unwrap() {
        assert!(document.unwrap().text.len() <= PART_BYTES);
    }
}

#[test]
fn what_unpacks_out_of_all_proportion_is_refused() {
    let error = read_file("a.txt.zst", &zstd(&vec![b'a'; 80 << 20])).unwrap_err();
    assert!(error.to_string().contains("more than 1040 times as many"), "{error}");
    assert!(matches!(error, DataError::Markup { byte, .. } if byte < 65 << 20), "{error}");
}

#[test]
fn jsonl_gives_its_field() {
    let lines = b"{\"text\": \"one\", \"id\": 1}\n\n{\"id\": 2, \"text\": \"t\\u6c34o\"}\r\n";
    let documents = read_file("a.jsonl", lines).unwrap();
    assert_eq!(texts(&documents), ["one", "t\u{6c34}o"]);
    let null = b"{\"text\": null }\n{\"text\": \"one\"}";
    assert_eq!(texts(&read_file("a.jsonl", null).unwrap()), ["", "one"]);
    assert_eq!(texts(&read_file("a.ndjson.gz", &gzip(lines)).unwrap()).len(), 2);
    let options = ReadOptions {
        format: Some(Format::Jsonl),
        field: "id".to_owned(),
        ..ReadOptions::default()
    };
    let error = from_slow(lines, 3, &options).unwrap_err();
    assert_eq!(error.to_string(), "`slow`, line 1: field `id` is a number, not a string");
}

#[test]
fn bad_lines_are_named() {
    let cases = [
        ("{\"text\": \"a\"}\n{\"text\": ", "line 2: EOF"),
        ("{\"text\": \"a\"} x", "line 1: trailing characters"),
        ("{\"text\": \"\\ud800\"}", "line 1: "),
        ("[1]", "line 1: it is a list, not an object"),
        ("{\"body\": \"a\", \"id\": 1}", "field `text` is missing (it has `body`, `id`)"),
        ("{}", "it has none"),
        ("plain text", "line 1: expected value"),
    ];
    for (lines, expected) in cases {
        let error = read_file("a.jsonl", lines.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected} in {error}");
    }
    let deep = format!("{{\"text\": {}", "[".repeat(100_000));
    assert!(matches!(read_file("a.jsonl", deep.as_bytes()), Err(DataError::Line { .. })));
}

#[test]
fn an_endless_line_is_refused() {
    let bytes = Bytes::new(io::repeat(b'a').take(1 << 30), "endless").unwrap();
    let mut lines = Lines::new(bytes);
    lines.line_bytes_max = 1 << 20;
    let error = lines.next_line().unwrap_err();
    assert_eq!(error.to_string(), "`endless`, line 1: it is longer than 1048576 bytes");
}

#[test]
fn a_folder_is_read_by_name_and_says_what_it_skips() {
    let dir = folder(&[
        ("b.txt", b"b"),
        ("a/z.txt", b"az"),
        ("a/deep/er.md", b"er"),
        ("c.jsonl", b"{\"text\": \"c\"}"),
        ("empty.txt", b""),
        ("image.png", b"\0"),
        (".hidden.txt", b"no"),
        (".git/x.txt", b"no"),
    ]);
    std::os::unix::fs::symlink(dir.path(), dir.path().join("loop")).unwrap();
    let documents = read(dir.path(), &ReadOptions::default()).unwrap();
    assert_eq!(texts(&documents), ["er", "az", "b", "c"]);
    let paths = vec![dir.path().to_owned()];
    let expected = BTreeMap::from([("of another format", 1), ("links", 1)]);
    assert_eq!(list::list(&paths, &ReadOptions::default()).unwrap().skipped, expected);
    // A link to nothing is passed over, and counted.
    std::os::unix::fs::symlink("nowhere.txt", dir.path().join("dangling.txt")).unwrap();
    let source = Source::Paths { paths, options: ReadOptions::default() };
    assert_eq!((source.files().unwrap().len(), source.skipped().unwrap()["links"]), (5, 2));
}

#[test]
fn a_folder_with_nothing_to_read_is_refused() {
    let dir = folder(&[("image.png", b"x")]);
    let error = read(dir.path(), &ReadOptions::default()).unwrap_err();
    assert!(matches!(error, DataError::NoFiles { n_skipped: 1, .. }), "{error}");
    assert!(error.hint().unwrap().contains(".jsonl"));
    let all = ReadOptions { format: Some(Format::Text), ..ReadOptions::default() };
    assert_eq!(texts(&read(dir.path(), &all).unwrap()), ["x"]);
}

#[test]
fn embedded_corpora_are_sources() {
    let documents: Result<Vec<_>, _> = Source::Embedded(Corpus::Tang).open().unwrap().collect();
    assert_eq!(documents.unwrap().len(), 12_897);
}

#[test]
fn a_spooled_stream_is_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stdin");
    assert_eq!(spool(&b"from a pipe"[..], &path).unwrap(), 11);
    assert_eq!(texts(&read(&path, &ReadOptions::default()).unwrap()), ["from a pipe"]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let error = spool(&b"x"[..], &dir.path().join("no/such/folder")).unwrap_err();
    assert!(matches!(error, DataError::Io { action: "write", .. }), "{error}");
}

/// A Parquet file of two row groups: `id` numbers, `text` and `other` strings, `tags` a list.
pub(super) fn parquet_file(rows: &[Option<&str>]) -> Vec<u8> {
    let schema = "message m { required int64 id; optional binary text (UTF8); \
        required binary other; repeated binary tags (UTF8); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut bytes = Vec::new();
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, properties).unwrap();
    for rows in rows.chunks(rows.len().div_ceil(2).max(1)) {
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let ids: Vec<i64> = (0..rows.len() as i64).collect();
        column.typed::<Int64Type>().write_batch(&ids, None, None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let levels: Vec<i16> = rows.iter().map(|row| i16::from(row.is_some())).collect();
        let values: Vec<ByteArray> = rows.iter().flatten().map(|&row| row.into()).collect();
        column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let others = vec![ByteArray::from(vec![0xFF, 0xFE]); rows.len()];
        column.typed::<ByteArrayType>().write_batch(&others, None, None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let zeros = vec![0; rows.len()];
        column.typed::<ByteArrayType>().write_batch(&[], Some(&zeros), Some(&zeros)).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
    bytes
}

fn read_column(bytes: &[u8], column: &str) -> Result<Vec<Document>, DataError> {
    let dir = folder(&[("a.parquet", bytes)]);
    let options = ReadOptions { field: column.to_owned(), ..ReadOptions::default() };
    read(&dir.path().join("a.parquet"), &options)
}

#[test]
fn parquet_gives_its_column() {
    let rows: Vec<String> = (0..300).map(|i| format!("row {i} \u{6c34}")).collect();
    let bytes = parquet_file(&rows.iter().map(|row| Some(row.as_str())).collect::<Vec<_>>());
    let documents = read_column(&bytes, "text").unwrap();
    assert_eq!(texts(&documents), rows);
    let bytes = parquet_file(&[Some("a"), Some("b"), None, Some("c")]);
    assert_eq!(texts(&read_column(&bytes, "text").unwrap()), ["a", "b", "", "c"]);
}

#[test]
fn parquet_columns_that_cannot_be_read_are_named() {
    let bytes = parquet_file(&[Some("a"), Some("b"), None, Some("c")]);
    let cases = [
        ("other", "column `other` is not UTF-8 in row 1"),
        ("id", "column `id` is INT64, not a string"),
        ("tags", "column `tags` is a list"),
        ("body", "column `body` is missing"),
    ];
    for (column, expected) in cases {
        let error = read_column(&bytes, column).unwrap_err();
        assert!(error.to_string().contains(expected), "{expected} in {error}");
        let expected = if column == "other" { "as UTF-8" } else { "columns of strings are: `" };
        assert!(error.hint().unwrap().contains(expected), "{error}");
    }
}

#[test]
fn parquet_that_is_not_whole_is_refused() {
    let bytes = parquet_file(&[Some("some text"), Some("more text")]);
    for len in (0..bytes.len()).step_by(13) {
        assert!(read_column(&bytes[..len], "text").is_err(), "{len}");
    }
    let error = read_column(b"", "text").unwrap_err();
    assert!(matches!(error, DataError::Parquet { .. }), "{error}");
    let error = read_file("a.parquet.gz", &gzip(&bytes)).unwrap_err();
    assert!(matches!(error, DataError::CompressedParquet { .. }), "{error}");
}

#[test]
fn damaged_parquet_does_not_panic() {
    let mut bytes = parquet_file(&[Some("some text"), Some("more text")]);
    for at in (4..bytes.len()).step_by(3) {
        bytes[at] ^= 0x41;
        // What it says is not known, only that it is said as a result.
        let _ = read_column(&bytes, "text");
        bytes[at] ^= 0x41;
    }
    assert_eq!(texts(&read_column(&bytes, "text").unwrap()), ["some text", "more text"]);
}

const DUMP: &str = r#"<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11">
<siteinfo><sitename>W</sitename><namespaces><namespace key="0" /></namespaces></siteinfo>
<page><title>Cat &amp; dog</title><ns>0</ns><id>1</id><revision><id>7</id>
<text bytes="9" xml:space="preserve">old</text></revision><revision>
<text>A '''cat'''&#39;s [[tail|end]].{{stub}} &lt;ref&gt;x&lt;/ref&gt;<![CDATA[<b>]]></text>
</revision></page>
<page><title>Talk:Cat</title><ns>1</ns><revision><text>talk</text></revision></page>
<page><title>Kitty</title><ns>0</ns><redirect title="C"/><revision><text>#R</text></revision></page>
<page><title>Puss</title><ns>0</ns><revision><text>#redirect [[Cat]]</text></revision></page>
<page><title>Empty</title><ns>0</ns><revision><text bytes="0" /></revision></page>
<page><title>&#x6c34;</title><ns>0</ns><revision><text>water</text></revision></page>
</mediawiki>
"#;

#[test]
fn a_dump_gives_its_articles_as_plain_text() {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(DUMP.as_bytes()).unwrap();
    let packed = encoder.finish().unwrap();
    for (name, bytes) in [("a.xml", DUMP.as_bytes()), ("a.xml.bz2", &packed)] {
        let dir = folder(&[(name, bytes)]);
        let paths = vec![dir.path().join(name)];
        let source = Source::Paths { paths, options: ReadOptions::default() };
        let mut documents = source.open().unwrap();
        let found: Vec<Document> = documents.by_ref().map(Result::unwrap).collect();
        assert_eq!(texts(&found), ["Cat & dog\n\nA cat's end.\n", "\u{6c34}\n\nwater\n"]);
        let noted = documents.noted();
        assert_eq!(noted.n_left_out(), 4);
        let counts: Vec<_> = noted.left_out.iter().map(|(why, at)| (*why, at.n)).collect();
        assert_eq!(counts, [("no articles", 1), ("redirects", 2), ("without text", 1)]);
        assert!(noted.left_out["redirects"].first[0].starts_with("`Kitty` in `"), "{noted:?}");
        assert_eq!(documents.n_file_bytes(), source.n_file_bytes().unwrap());
    }
}

#[test]
fn a_damaged_dump_is_refused_where_it_is_damaged() {
    let whole = DUMP.as_bytes();
    for len in (1..whole.len() - 14).step_by(13) {
        let error = read_file("a.xml", &whole[..len]).expect_err("cut");
        assert!(error.to_string().contains("a.xml"), "{error}");
    }
    let deep = "<a>".repeat(1000);
    let cases = [
        ("<mediawiki><page><text>&nonsense;</text></page></mediawiki>", "`&nonsense;`"),
        ("<mediawiki><page></mediawiki>", "at byte"),
        (&deep, "elements inside each other"),
    ];
    for (text, expected) in cases {
        let error = read_file("a.xml", text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected} in {error}");
    }
}

#[test]
fn what_has_no_end_is_not_read_to_it() {
    let open = |start: &'static [u8]| {
        Bytes::new(start.chain(io::repeat(b'a').take(1 << 30)), "open").unwrap()
    };
    let mut pages = wiki::Pages::new(open(b"<mediawiki><page><text>"), &Arc::default());
    let error = pages.next_document().unwrap_err();
    assert!(error.to_string().contains("a page of more than"), "{error}");
    let mut rows = table::Table::open(open(b"text\n\""), ("text", None), b',').unwrap();
    let error = rows.next_document().unwrap_err();
    assert!(error.to_string().contains("a row of more than"), "{error}");
    assert!(error.hint().unwrap().contains("quote"));
}

#[test]
fn a_table_gives_one_column() {
    let csv = "id,text\n1,\"a \"\"b\"\"\nc, d\"\n2,\u{6c34}\n\n3,\n";
    let found = read_file("a.csv", csv.as_bytes()).unwrap();
    assert_eq!(texts(&found), ["a \"b\"\nc, d", "\u{6c34}", ""]);
    let tsv = "\u{feff}text\tid\r\nx,y\t1\r\n";
    assert_eq!(texts(&read_file("a.tsv.gz", &gzip(tsv.as_bytes())).unwrap()), ["x,y"]);
    let quotes = "text\tid\n\"Yes,\" she said\t1\n\"And then\t2\n\"\"\t3\n";
    let expected = ["\"Yes,\" she said", "\"And then", "\"\""];
    assert_eq!(texts(&read_file("a.tsv", quotes.as_bytes()).unwrap()), expected);
    for (bytes, expected) in [
        (&b"id,body\n1,2\n"[..], "column `text` is not there"),
        (b"id,text\n1,2\n3\n", "line 3: 1 fields, the first row has 2"),
        (b"id,text\n1,\xff\n", "is not UTF-8 at byte 8 (line 2)"),
        (b"", "column `text`"),
    ] {
        let error = read_file("a.csv", bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected} in {error}");
    }
}
