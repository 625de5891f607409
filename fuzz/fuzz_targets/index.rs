//! The index of a sharded model.
#![no_main]

use checkpoint::Weights;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let dir = lyceum_fuzz::folder(&[("model.safetensors.index.json", bytes)]);
    let _ = Weights::open(dir.path());
});
