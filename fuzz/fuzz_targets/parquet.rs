//! Parquet as a source of text.
//!
//! What is left, and is found after some hundred thousand runs: the delta decoders of the `parquet`
//! crate reserve memory for as many values as a page claims.
#![no_main]

use data::ReadOptions;
use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: lyceum_fuzz::allow_caught_panics(),
    |bytes: &[u8]| lyceum_fuzz::read("a.parquet", bytes, ReadOptions::default())
);
