//! Parquet as a source of text.
//!
//! What is left, and is found after some hundred thousand runs, is the `parquet` crate's: its delta
//! decoders and its schema reserve memory for as many values and children as are claimed, and it
//! goes through lists of booleans, which take no bytes, in fields of the index it does not know.
#![no_main]

use data::ReadOptions;
use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: lyceum_fuzz::allow_caught_panics(),
    |bytes: &[u8]| lyceum_fuzz::read("a.parquet", bytes, ReadOptions::default())
);
