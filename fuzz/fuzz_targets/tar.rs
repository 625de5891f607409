//! An archive that is looked through.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let dir = lyceum_fuzz::folder(&[("a.tar", bytes)]);
    if let Ok(found) = data::check(&dir.path().join("a.tar")) {
        assert!(found.problems.len() as u64 <= found.n_problems);
    }
});
