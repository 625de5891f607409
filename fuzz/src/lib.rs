//! What the targets share: bytes become files, for that is what the parsers read.

use std::fs;

use data::{Document, ReadOptions, Source};
use tempfile::TempDir;

/// A folder with these files in it; it goes when it is dropped.
pub fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).expect("room for a file");
    }
    dir
}

/// Reads all documents of a file of this name; what is wrong with it is of no interest.
pub fn read(name: &str, bytes: &[u8], options: ReadOptions) {
    let dir = folder(&[(name, bytes)]);
    let source = Source::Paths { paths: vec![dir.path().join(name)], options };
    if let Ok(documents) = source.open() {
        documents.map_while(Result::ok).for_each(|Document { text, .. }| drop(text));
    }
}

/// Lets a library's panics through to where the product catches them; what is not caught there
/// ends the process all the same.
pub fn allow_caught_panics() {
    std::panic::set_hook(Box::new(|_| ()));
}
