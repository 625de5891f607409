//! CSV, TSV, JSONL and JSON as labelled rows; the first byte says which.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let name = ["a.csv", "a.tsv", "a.jsonl", "a.json"][usize::from(kind % 4)];
    lyceum_fuzz::records(name, bytes);
});
