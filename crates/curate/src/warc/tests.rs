use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use proptest::prelude::*;

use super::*;

/// A record as a test looks at it.
type Row = (u64, Kind, String, Vec<u8>);

/// The same as `warcio` sees it: offset, kind, address, size and checksum.
type Golden = (u64, String, Option<String>, Option<usize>, Option<u32>);

fn rows(bytes: &[u8], options: Options) -> (Vec<Row>, Tally) {
    let start = (options.range.start as usize).min(bytes.len());
    let mut reader = Reader::new(&bytes[start..], options).expect("reads");
    let mut rows = Vec::new();
    while let Some(record) = reader.next().expect("reads") {
        let uri = record.uri().into_owned();
        rows.push((record.offset, record.kind, uri, record.payload.to_vec()));
    }
    (rows, reader.tally().clone())
}

fn all(bytes: &[u8]) -> (Vec<Row>, Tally) {
    rows(bytes, Options::default())
}

fn reasons(tally: &Tally) -> Vec<(&str, u64)> {
    tally.iter().map(|(reason, count)| (reason, count.n)).collect()
}

fn warc(uri: &str, payload: &[u8]) -> Vec<u8> {
    with_length(uri, payload, payload.len())
}

fn with_length(uri: &str, payload: &[u8], length: usize) -> Vec<u8> {
    let head = format!(
        "WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {uri}\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), payload, b"\r\n\r\n"].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("written");
    encoder.finish().expect("written")
}

/// Text that no compressor makes small.
fn noise(n: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..n).map(|_| next()).collect()
}

/// A file of several members, and where each begins.
fn archive(payloads: &[&[u8]]) -> (Vec<u8>, Vec<u64>) {
    let mut file = Vec::new();
    let mut starts = Vec::new();
    for (i, payload) in payloads.iter().enumerate() {
        starts.push(file.len() as u64);
        file.extend(gzip(&warc(&format!("http://example.org/{i}"), payload)));
    }
    (file, starts)
}

fn uris(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row.2.trim_start_matches("http://example.org/")).collect()
}

#[test]
fn records_are_those_of_warcio() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/");
    let golden = fs::read(format!("{dir}warcio.json")).expect("there");
    let golden: BTreeMap<String, Vec<Golden>> = serde_json::from_slice(&golden).expect("JSON");
    for (name, expected) in golden {
        let (found, tally) = all(&fs::read(format!("{dir}{name}")).expect("there"));
        assert_eq!(tally, Tally::default(), "{name}");
        assert_eq!(found.len(), expected.len(), "{name}");
        for (found, expected) in found.iter().zip(expected) {
            let (offset, kind, uri, size, crc) = expected;
            assert_eq!(found.0, offset, "{name}");
            assert_eq!(format!("{:?}", found.1).to_lowercase(), kind, "{name} at {offset}");
            assert!(uri.is_none_or(|uri| uri == found.2), "{name} at {offset}");
            assert!(size.is_none_or(|size| size == found.3.len()), "{name} at {offset}");
            let found = libdeflater::crc32(&found.3);
            assert!(crc.is_none_or(|crc| crc == found), "{name} at {offset}");
        }
    }
}

#[test]
fn bodies_are_what_was_there_before_they_were_sent() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/");
    let mut decoder = BodyDecoder::default();
    for name in ["a.warc.gz", "a.warc", "a.arc"] {
        let file = fs::File::open(format!("{dir}{name}")).expect("there");
        let mut reader = Reader::new(file, Options::default()).expect("reads");
        let mut n_bodies = 0;
        while let Some(record) = reader.next().expect("reads") {
            let Some(http) = record.http().filter(|http| http.status == 200) else { continue };
            let body = decoder.decode(&http).expect("decodes");
            let text = str::from_utf8(body).expect("UTF-8");
            assert!(text.starts_with("<!doctype html>") && text.ends_with("many. "), "{name}");
            assert!(http.media_type().is_some_and(|name| name.starts_with("text/html")));
            n_bodies += 1;
            assert!(matches!(&*record.date(), "2024-05-06T07:08:09Z" | "2006-01-02T03:04:05Z"));
        }
        assert_eq!(n_bodies, if name == "a.arc" { 1 } else { 4 }, "{name}");
    }
}

/// Every two cuts of the file give its records once, and count what is wrong with it once.
fn holds_over_all_cuts(file: &[u8]) {
    let whole = all(file);
    let n = file.len() as u64;
    for cut in 0..=n {
        let second = u64::midpoint(cut, n);
        let mut joined = (Vec::new(), Tally::default());
        for range in [0..cut, cut..second, second..u64::MAX] {
            let (more, tally) = rows(file, Options { range, ..Options::default() });
            joined.0.extend(more);
            joined.1.merge(&tally);
        }
        assert_eq!(joined, whole, "cut at {cut} and {second} of {n}");
    }
}

#[test]
fn slices_cover_a_file_wherever_it_is_cut() {
    let (file, starts) = archive(&[b"one", &noise(300), b"", b"three"]);
    let (found, tally) = all(&file);
    assert_eq!(found.iter().map(|row| row.0).collect::<Vec<_>>(), starts);
    assert_eq!(tally, Tally::default());
    holds_over_all_cuts(&file);
    // Members that end inside of records, and several records in one.
    let text = [warc("a", b"1"), warc("b", &noise(200)), warc("c", b"2")].concat();
    let file: Vec<u8> = text.chunks(90).flat_map(gzip).collect();
    assert_eq!(all(&file).0.len(), 3);
    holds_over_all_cuts(&file);
}

#[test]
fn slices_cover_a_damaged_file_too() {
    let (file, starts) = archive(&[b"one", &noise(200), b"two", &noise(100), b"three"]);
    let at = starts[1] as usize;
    let mut damaged = file.clone();
    damaged[at + 150] ^= 0x40;
    holds_over_all_cuts(&damaged);
    let mut without_head = file.clone();
    without_head[at + 1] = 0;
    holds_over_all_cuts(&without_head);
    holds_over_all_cuts(&[&file[..at + 60], &file[starts[2] as usize..]].concat());
    holds_over_all_cuts(&[&file[..at], b"some garbage", &file[at..]].concat());
    holds_over_all_cuts(&file[..file.len() - 20]);
}

#[test]
fn a_damaged_member_costs_itself_alone() {
    let (file, starts) = archive(&[b"one", &noise(4000), b"two"]);
    let whole = all(&file).0;
    for at in starts[1]..starts[2] {
        let mut damaged = file.clone();
        damaged[at as usize] ^= 0x10;
        let (found, tally) = all(&damaged);
        // Some bits of a member mean nothing, such as its time.
        let is_harmless = found == whole;
        assert!(uris(&found) == ["0", "2"] || is_harmless, "byte {at}: {tally:?}");
        assert_eq!(tally.total(), u64::from(!is_harmless), "byte {at}: {tally:?}");
    }
    for at in starts[1] + 1..starts[2] {
        let cut = [&file[..at as usize], &file[starts[2] as usize..]].concat();
        let (found, tally) = all(&cut);
        assert_eq!((uris(&found), tally.total()), (vec!["0", "2"], 1), "{at}: {tally:?}");
        let (found, tally) = all(&file[..at as usize]);
        // A member that lacks nothing but its checksum has given its record.
        assert!(uris(&found)[0] == "0" && found.len() <= 2);
        assert_eq!(tally.total(), 1, "{at}: {tally:?}");
    }
}

#[test]
fn a_length_that_lies_costs_its_record_alone() {
    let good = warc("http://example.org/good", b"1");
    let cases = [
        (with_length("a", b"0123456789", 4), "wrong length"),
        (with_length("a", b"0123456789", 60), "wrong length"),
        (with_length("a", b"0123456789", 1 << 40), "wrong length"),
        (
            b"http://a/ 192.0.2.1 20240506070809 text/html 1000000000\n0123456789\n\n".to_vec(),
            "wrong length",
        ),
        (b"WARC/1.0\r\nWARC-Type: response\r\n\r\n\r\n\r\n".to_vec(), "unreadable head"),
        (b"WARC/1.0\r\nContent-Length: 0\r\n\r\n\r\n\r\n".to_vec(), "unreadable head"),
        (
            b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: -1\r\n\r\n".into(),
            "unreadable head",
        ),
        (b"nonsense\0\0\r\n\r\n".to_vec(), "garbage between records"),
        (
            [b"WARC/1.0\r\nA: ".as_slice(), &vec![b'a'; 100_000], b"\r\n"].concat(),
            "unreadable head",
        ),
    ];
    for (bad, reason) in cases {
        let parts = [good.clone(), bad.clone(), good.clone()];
        let (found, tally) = all(&parts.iter().flat_map(|part| gzip(part)).collect::<Vec<_>>());
        assert_eq!(uris(&found), ["good", "good"], "{reason}: {tally:?}");
        let n_bad = reasons(&tally).iter().filter(|(name, n)| *name == reason && *n == 1).count();
        assert_eq!((n_bad, tally.total()), (1, 1), "{tally:?}");
        for text in [parts.concat(), gunzipped(&gzip(&parts.concat()))] {
            let (found, tally) = all(&text);
            assert_eq!(found.len(), 2, "{reason}: {tally:?}");
            assert!(tally.n(reason) >= 1 && tally.total() <= 2, "{reason}: {tally:?}");
        }
    }
}

fn gunzipped(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut text).expect("reads");
    text
}

#[test]
fn what_is_not_wanted_or_too_large_is_passed() {
    let large = vec![b'x'; 3 << 20];
    let request = b"WARC/1.0\r\nWARC-Type: request\r\nContent-Length: 2\r\n\r\nab\r\n\r\n".to_vec();
    let parts = [warc("http://example.org/a", b"1"), warc("b", &large), request, warc("c", b"2")];
    let members: Vec<u8> = parts.iter().flat_map(|part| gzip(part)).collect();
    for file in [parts.concat(), gzip(&parts.concat()), members] {
        let options = Options { kinds: &[Kind::Response], record_max: 1 << 20, range: 0..u64::MAX };
        let (found, tally) = rows(&file, options);
        assert_eq!((uris(&found), reasons(&tally)), (vec!["a", "c"], vec![("too large", 1)]));
        assert_eq!(all(&file).0.len(), 4);
        let options = Options { kinds: &[Kind::Response], ..Options::default() };
        let mut reader = Reader::new(&file[..], options).expect("reads");
        while reader.next().expect("reads").is_some() {}
        assert_eq!(reader.passed().iter().collect::<Vec<_>>(), [("kind.request", 1)]);
    }
}

#[test]
fn a_length_above_the_limit_hides_no_record() {
    // Past the end, and at the end or in the middle of another record.
    let good: Vec<Vec<u8>> =
        (0..20).map(|i| warc(&format!("http://example.org/{i}"), &noise(9000))).collect();
    let expected: Vec<String> = (0..20).filter(|i| *i != 5).map(|i| i.to_string()).collect();
    let three = good[5].len() + good[6].len() + good[7].len();
    for (length, kind) in [(1_000_000_000, "response"), (three, "response"), (three, "request")] {
        let mut parts = good.clone();
        parts[5] = with_length("http://example.org/5", &noise(9000), length);
        let head = String::from_utf8_lossy(&parts[5][..60]).replace("response", kind);
        parts[5].splice(..60, head.into_bytes());
        for file in [parts.concat(), gzip(&parts.concat())] {
            let kinds = &[Kind::Response];
            let options = Options { kinds, record_max: 20_000, range: 0..u64::MAX };
            let (found, tally) = rows(&file, options);
            assert_eq!(uris(&found), expected, "{length}");
            assert_eq!(reasons(&tally), [("wrong length", 1)], "{length}");
        }
    }
}

#[test]
fn a_large_member_is_read_in_pieces_and_found_again_after_damage() {
    let large = noise(20 << 20);
    let (mut file, starts) = archive(&[b"one", &large, b"two"]);
    let (found, tally) = all(&file);
    assert_eq!((found.len(), tally.total()), (3, 0));
    assert!(found[1].3 == large);
    file[starts[1] as usize + (15 << 20)] ^= 1;
    let (found, tally) = all(&file);
    assert_eq!((uris(&found), tally.n("corrupt member")), (vec!["0", "2"], 1));
}

#[test]
fn zstandard_is_read_with_its_dictionary_and_without() {
    let texts: Vec<Vec<u8>> =
        (0..3).map(|i| warc(&format!("http://example.org/{i}"), &vec![b'a'; 500])).collect();
    let dictionary = texts[0].clone();
    let plain: Vec<u8> =
        texts.iter().flat_map(|text| zstd::encode_all(&text[..], 3).expect("encodes")).collect();
    let mut compressor = zstd::bulk::Compressor::with_dictionary(3, &dictionary).expect("made");
    let frames: Vec<u8> =
        texts.iter().flat_map(|text| compressor.compress(text).expect("encodes")).collect();
    let compressed = zstd::encode_all(&dictionary[..], 3).expect("encodes");
    let skippable = |bytes: &[u8]| {
        [&[0x5d, 0x2a, 0x4d, 0x18], &(bytes.len() as u32).to_le_bytes()[..], bytes].concat()
    };
    let with_raw = [skippable(&dictionary), frames.clone()].concat();
    let with_compressed = [skippable(&compressed), frames.clone()].concat();
    for file in [plain, with_raw.clone(), with_compressed] {
        let (found, tally) = all(&file);
        assert_eq!((uris(&found), tally.total()), (vec!["0", "1", "2"], 0));
    }
    let (found, tally) = all(&with_raw[..40]);
    assert_eq!((found.len(), reasons(&tally)), (0, vec![("unreadable dictionary", 1)]));
}

#[test]
fn a_body_does_not_expand_without_bound() {
    let http = |coding: &str, body: &[u8]| {
        [format!("HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\n\r\n").as_bytes(), body].concat()
    };
    let zeros = vec![0; 30 << 20];
    let mut deflate = DeflateEncoder::new(Vec::new(), Compression::best());
    deflate.write_all(&zeros).expect("written");
    let deflate = deflate.finish().expect("written");
    let zstd = zstd::encode_all(&zeros[..], 3).expect("encodes");
    let mut decoder = BodyDecoder::default();
    for (coding, body) in [("gzip", &gzip(&zeros)), ("deflate", &deflate), ("zstd", &zstd)] {
        let answer = http(coding, body);
        let parsed = Http::parse(&answer).expect("an answer");
        let n = decoder.decode(&parsed).map(<[u8]>::len);
        assert_eq!(n, Err(BodyProblem::Large), "{coding}");
    }
    let text = b"<p>not encoded";
    let cut = &gzip(&noise(5000))[..3000];
    let mut corrupt = gzip(&noise(5000));
    corrupt[2000] ^= 1;
    for coding in ["gzip", "deflate", "br", "zstd", "utf-8", "", "gzip, gzip"] {
        let answer = http(coding, text);
        let parsed = Http::parse(&answer).expect("an answer");
        assert_eq!(decoder.decode(&parsed), Ok(&text[..]), "{coding}");
    }
    let answer = http("gzip", cut);
    let n = decoder.decode(&Http::parse(&answer).expect("an answer")).map(<[u8]>::len);
    assert!(n.is_ok_and(|n| n > 2000));
    let answer = http("x-gzip", &corrupt);
    let parsed = Http::parse(&answer).expect("an answer");
    assert_eq!(decoder.decode(&parsed), Err(BodyProblem::Corrupt));
}

#[test]
fn heads_are_read_as_others_write_them() {
    let text = b"WARC/0.17\nwarc-type: Response\nWARC-Target-URI: <http://a/>\nX: 1\n  2\n\
                 X: 3\ncontent-length: 29\n\nHTTP/1.1 302\nLocation:\n http\n";
    let mut reader = Reader::new(&text[..], Options::default()).expect("reads");
    let record = reader.next().expect("reads").expect("a record");
    assert_eq!((record.kind, &*record.uri()), (Kind::Response, "http://a/"));
    assert_eq!(record.headers.get("x"), Some(&b"1   2"[..]));
    assert_eq!(record.http().map(|http| (http.status, http.body.len())), Some((302, 0)));
    assert!(reader.next().expect("reads").is_none());
}

#[test]
fn the_system_s_errors_are_given_on() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("gone"))
        }
    }
    let (file, _) = archive(&[b"one", b"two"]);
    let mut reader = Reader::new(file[..50].chain(Broken), Options::default()).expect("opens");
    assert!(reader.next().is_err());
}

proptest! {
    #[test]
    fn mutations_crash_nothing(
        which in 0_usize..4,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let parts = [warc("a", &noise(100)), warc("b", b"1"), warc("c", &noise(50))];
        let mut file = match which {
            0 => parts.concat(),
            1 => gzip(&parts.concat()),
            2 => parts.iter().flat_map(|part| gzip(part)).collect(),
            _ => zstd::encode_all(&parts.concat()[..], 1).expect("encodes"),
        };
        for (at, byte) in edits {
            let at = at.index(file.len());
            file[at] = byte;
        }
        let (found, _) = all(&file);
        prop_assert!(found.len() <= 3);
        let cut = cut.index(file.len()) as u64;
        let before = rows(&file, Options { range: 0..cut, ..Options::default() }).0;
        let after = rows(&file, Options { range: cut..u64::MAX, ..Options::default() }).0;
        if Format::of(&file) == Format::Gzip {
            prop_assert_eq!([before, after].concat(), found);
        }
    }
}
