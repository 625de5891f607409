//! The trainer's state beside a model.
#![no_main]

use libfuzzer_sys::fuzz_target;
use train::TrainerState;

/// No tensors.
const OPTIMIZER: &[u8] = b"\x02\0\0\0\0\0\0\0{}";

fuzz_target!(|bytes: &[u8]| {
    let dir = lyceum_fuzz::folder(&[("optimizer.safetensors", OPTIMIZER), ("state.json", bytes)]);
    let trainer = dir.path().join("trainer");
    std::os::unix::fs::symlink(dir.path(), trainer).expect("a link");
    let _ = checkpoint::trainer::load::<TrainerState>(dir.path());
});
