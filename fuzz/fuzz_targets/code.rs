//! A tree of source code: a file of it, and what `.gitignore` says of that.
#![no_main]

use data::{Format, ReadOptions, Source};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (ignored, code) = bytes.split_at(bytes.len() / 2);
    let dir = lyceum_fuzz::folder(&[(".gitignore", ignored), ("a.py", code)]);
    let options = ReadOptions { format: Some(Format::Code), ..ReadOptions::default() };
    let source = Source::Paths { paths: vec![dir.path().to_owned()], options };
    if let Ok(documents) = source.open() {
        documents.map_while(Result::ok).for_each(drop);
    }
});
