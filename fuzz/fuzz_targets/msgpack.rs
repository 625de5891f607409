//! A Flax file: a map of fifteen entries, and every tensor it claims.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| lyceum_fuzz::weights(b"\x8f", bytes));
