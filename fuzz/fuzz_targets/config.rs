//! `config.json` of a model, and what would be built of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use models::{HeadKind, Model};

fuzz_target!(|bytes: &[u8]| {
    let dir = lyceum_fuzz::folder(&[("config.json", bytes)]);
    let Ok(config) = Model::load_config(dir.path()) else { return };
    if let Ok((_, builder)) = Model::register(&config) {
        assert!(!builder.entries().is_empty() && !config.family().imports().is_empty());
        let _ = config.family().to_json();
    }
    let _ = (config.head(), config.padding(), config.end_of_source());
    let labels = || ["a", "b"].map(str::to_owned).into();
    for head in [
        HeadKind::Classes { labels: labels() },
        HeadKind::Score,
        HeadKind::Tags { labels: labels() },
        HeadKind::Spans,
        HeadKind::Choice,
        HeadKind::Tokens,
    ] {
        let Ok(config) = config.with_head(&head) else { continue };
        if Model::register(&config).is_ok() {
            assert!(!config.family().imports().is_empty());
            assert_eq!(config.head(), Some(head));
        }
    }
});
