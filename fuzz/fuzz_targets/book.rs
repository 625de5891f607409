//! A plain book as a source of text.
#![no_main]

use data::{Format, ReadOptions};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let options = ReadOptions { format: Some(Format::Book), ..ReadOptions::default() };
    lyceum_fuzz::read("a.txt", bytes, options);
});
