//! `config.json` of a model, and what would be built of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use models::Model;

fuzz_target!(|bytes: &[u8]| {
    let dir = lyceum_fuzz::folder(&[("config.json", bytes)]);
    let Ok(config) = Model::load_config(dir.path()) else { return };
    if let Ok((_, builder)) = Model::register(&config) {
        assert!(!builder.entries().is_empty() && !config.family().imports().is_empty());
        let _ = config.family().to_json();
    }
});
