//! A GGUF file: its metadata, and every tensor it claims.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| lyceum_fuzz::weights(b"GGUF\x03\0\0\0", bytes));
