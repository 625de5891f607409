//! A dump of a wiki as a source of text.
#![no_main]

use data::ReadOptions;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| lyceum_fuzz::read("a.xml", bytes, ReadOptions::default()));
