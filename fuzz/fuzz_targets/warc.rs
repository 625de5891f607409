//! Web archives of every kind, whole and in two slices, and the bodies in them.
#![no_main]

use curate::warc::{BodyDecoder, Format, Options, Reader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let cut = bytes.len() as u64 / 2;
    let whole = offsets(bytes, 0..u64::MAX);
    if Format::of(bytes) == Format::Gzip {
        let halves = [offsets(bytes, 0..cut), offsets(&bytes[cut as usize..], cut..u64::MAX)];
        assert_eq!(halves.concat(), whole);
    }
});

fn offsets(bytes: &[u8], range: std::ops::Range<u64>) -> Vec<(u64, usize)> {
    let options = Options { range, record_max: 1 << 20, ..Options::default() };
    let mut reader = Reader::new(bytes, options).expect("memory is read");
    let mut decoder = BodyDecoder::default();
    let mut found = Vec::new();
    while let Some(record) = reader.next().expect("memory is read") {
        let (_, _) = (record.uri(), record.date());
        if let Some(http) = record.http() {
            let _ = decoder.decode(&http);
        }
        found.push((record.offset, record.payload.len()));
    }
    found
}
