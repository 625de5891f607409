//! The manifest of a checkpoint, and the files it names.
#![no_main]

use checkpoint::manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let dir = lyceum_fuzz::folder(&[("manifest.json", bytes), ("config.json", b"{}")]);
    let _ = manifest::verify(dir.path());
});
