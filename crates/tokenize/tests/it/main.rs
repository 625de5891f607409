//! Whole tokenizers out of their files, held against `transformers` and `sentencepiece`.

mod assets;
mod chat;
mod golden;
mod hostile;
mod mutations;

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The committed fixtures, which `golden/tokenizer_files.py` made.
fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// A model directory of the files of several fixtures.
fn model(names: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in names {
        for entry in fs::read_dir(golden(name)).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    dir
}
