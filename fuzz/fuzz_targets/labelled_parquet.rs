//! Parquet as labelled rows, lists and structs in them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: lyceum_fuzz::allow_caught_panics(),
    |bytes: &[u8]| lyceum_fuzz::records("a.parquet", bytes)
);
