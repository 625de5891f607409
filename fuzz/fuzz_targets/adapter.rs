//! The config of an adapter, placed over a small model, and the mark of its base; of its weights
//! there are none.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use lyceum_fuzz::folder;
use models::{BASE_FILE, Model, check_base};

fuzz_target!(|bytes: &[u8]| {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/models/tests/golden");
    let empty = b"\x02\0\0\0\0\0\0\0{}";
    let adapter = folder(&[
        ("adapter_config.json", bytes),
        ("adapter_model.safetensors", empty),
        (BASE_FILE, bytes),
    ]);
    let base = golden.join("gpt2-tiny");
    assert!(Model::load_adapted(&base, &[("a", adapter.path())]).is_err());
    assert!(check_base(adapter.path(), &base).is_err());
});
