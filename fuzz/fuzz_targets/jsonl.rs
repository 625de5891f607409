//! JSONL as a source of text, and of phrases in it.
#![no_main]

use data::ReadOptions;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for spans in [None, Some("spans".to_owned())] {
        lyceum_fuzz::read("a.jsonl", bytes, ReadOptions { spans, ..ReadOptions::default() });
    }
});
