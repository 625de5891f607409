//! Files of sound, whatever their container.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(samples) = data::read_sound_bytes("a", bytes.to_vec(), 16_000, 10.0) {
        assert!(samples.len() <= 11 * 16_000 && samples.iter().all(|x| x.is_finite()));
    }
});
