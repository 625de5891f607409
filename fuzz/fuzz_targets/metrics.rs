//! `metrics.jsonl`: read, and cut back for a resume.
#![no_main]

use libfuzzer_sys::fuzz_target;
use train::metrics::{self, MetricsLog, MetricsRow};

fuzz_target!(|bytes: &[u8]| {
    let dir = lyceum_fuzz::folder(&[("metrics.jsonl", bytes)]);
    let path = dir.path().join("metrics.jsonl");
    let whole = metrics::read::<MetricsRow>(&path);
    let cut = MetricsLog::resume(&path, 3);
    assert_eq!(whole.is_ok(), cut.is_ok());
});
