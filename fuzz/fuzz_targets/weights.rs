//! A safetensors file: its header, and every tensor it claims.
#![no_main]

use checkpoint::Weights;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let dir = lyceum_fuzz::folder(&[("model.safetensors", bytes)]);
    let Ok(weights) = Weights::open(dir.path()) else { return };
    for name in weights.names() {
        assert!(weights.get(name).is_ok());
        let _ = (weights.to_f32(name), weights.to_i64(name));
    }
});
