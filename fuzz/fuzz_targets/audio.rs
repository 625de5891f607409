//! Files of sound, whatever their container.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(sound) = data::read_sound_bytes("a", bytes.to_vec(), 16_000, 10.0) {
        assert!(sound.samples.len() <= 11 * 16_000 && sound.samples.iter().all(|x| x.is_finite()));
    }
});
