//! What the targets share: bytes become files, for that is what the parsers read.

use std::fs;

use checkpoint::Weights;
use data::{Document, ReadOptions, Source};
use datasets::{Schema, Table, Wanted};
use tempfile::TempDir;

/// A folder with these files in it; it goes when it is dropped.
pub fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).expect("room for a file");
    }
    dir
}

/// Reads all that a file of weights, which is known by what it begins with, claims to hold.
pub fn weights(beginning: &[u8], bytes: &[u8]) {
    let dir = folder(&[("weights", &[beginning, bytes].concat())]);
    let Ok(weights) = Weights::open(&dir.path().join("weights")) else { return };
    for name in weights.names() {
        assert!(weights.get(name).is_ok());
        let _ = (weights.to_f32(name), weights.to_i64(name));
    }
    if let Some(metadata) = weights.metadata() {
        for value in metadata.keys().map(|key| metadata.get(key).expect("a key of its own")) {
            let _ = value.as_array().map(|array| array.iter().count());
        }
    }
}

/// Reads all documents of a file of this name; what is wrong with it is of no interest.
pub fn read(name: &str, bytes: &[u8], options: ReadOptions) {
    let dir = folder(&[(name, bytes)]);
    let source = Source::Paths { paths: vec![dir.path().join(name)], options };
    if let Ok(documents) = source.open() {
        documents.map_while(Result::ok).for_each(|Document { text, .. }| drop(text));
    }
}

/// Reads all records of a file of this name; its schema is guessed.
pub fn records(name: &str, bytes: &[u8]) {
    let dir = folder(&[(name, bytes)]);
    let Ok(table) = Table::open(&[dir.path().join(name).to_string_lossy()], None) else { return };
    if let Ok(schema) = Schema::guess(&table, &Wanted::default()) {
        let _ = (schema.to_string(), schema.read(&table, 1 << 24));
    }
}

/// Lets a library's panics through to where the product catches them; what is not caught there
/// ends the process all the same.
pub fn allow_caught_panics() {
    std::panic::set_hook(Box::new(|_| ()));
}
