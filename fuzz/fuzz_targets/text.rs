//! Plain text as a source, perhaps compressed; with and without a separator.
#![no_main]

use data::ReadOptions;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for separator in [None, Some("\n\n".to_owned())] {
        lyceum_fuzz::read("a.txt", bytes, ReadOptions { separator, ..ReadOptions::default() });
    }
});
