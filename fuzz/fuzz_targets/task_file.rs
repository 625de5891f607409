//! A task file, and what it makes of two documents.
#![no_main]

use std::path::Path;

use evaluate::{Setting, Task, TaskFile};
use libfuzzer_sys::fuzz_target;

const DOCS: &str = "{\"q\":\"Is it?\",\"choices\":[\"yes\",\"no\"],\"a\":0}\n\
                    {\"q\":\"\",\"choices\":[\"\u{6c34}\"],\"a\":null}\n";

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let dir = lyceum_fuzz::folder(&[("docs.jsonl", DOCS.as_bytes())]);
    for name in ["task.yaml", "task.toml"] {
        let mut file = match TaskFile::parse(Path::new(name), text) {
            Ok(file) => file,
            Err(error) => {
                let _ = (error.to_string(), error.hint());
                continue;
            }
        };
        // No other file is read, whatever is named.
        file.dataset_path = dir.path().join("docs.jsonl").to_string_lossy().into_owned();
        file.n_shots = file.n_shots.min(1);
        let Ok(task) = Task::open(file) else { continue };
        if let Err(error) = task.samples(&Setting::default()) {
            let _ = (error.to_string(), error.hint());
        }
    }
});
