//! Files of weights and indexes, damaged at random: refused, or read without a panic.
//! `FUZZ_CASES` sets how many a file; a long run is by hand.

use std::fs;
use std::path::{Path, PathBuf};

use testing::Mutator;

use super::Weights;

fn n_cases(usual: usize) -> usize {
    std::env::var("FUZZ_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

/// The committed files of every format.
fn seeds() -> Vec<PathBuf> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let folders = ["torch", "gguf", "flax"].map(|name| golden.join(name));
    let mut files: Vec<_> =
        folders.iter().flat_map(|dir| fs::read_dir(dir).unwrap().flatten()).collect();
    files.sort_by_key(fs::DirEntry::path);
    files.into_iter().map(|file| file.path()).collect()
}

/// Reads all that the file claims to hold.
fn read_all(path: &Path) {
    let weights = match Weights::open(path) {
        Ok(weights) => weights,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    for name in weights.names() {
        assert!(weights.get(name).is_ok());
        let _ = (weights.to_f32(name), weights.to_i64(name));
    }
    if let Some(metadata) = weights.metadata() {
        for value in metadata.keys().map(|key| metadata.get(key).unwrap()) {
            let _ = value.as_array().map(|array| array.iter().count());
        }
    }
}

#[test]
fn damaged_weights_are_refused_or_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weights");
    let seeds: Vec<_> = seeds().into_iter().map(|seed| fs::read(seed).unwrap()).collect();
    assert!(seeds.len() > 10);
    for (i, seed) in seeds.iter().enumerate() {
        let mut mutator = Mutator::new(i as u64);
        for _ in 0..n_cases(200) {
            let other = &seeds[(i + 1) % seeds.len()];
            // Most of a file is numbers, which cannot be wrong.
            let head = seed.len().min(2500);
            let mut damaged = mutator.damage(&seed[..head], other);
            damaged.extend(&seed[head..]);
            fs::write(&path, damaged).unwrap();
            read_all(&path);
            fs::remove_file(&path).unwrap();
        }
    }
}

#[test]
fn damaged_indexes_are_refused_or_read() {
    let seed = br#"{"metadata": {"total_size": 12}, "weight_map":
        {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}"#;
    let mut mutator = Mutator::new(1);
    for _ in 0..n_cases(500) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("model-00001-of-00002.safetensors"), b"").unwrap();
        let damaged = mutator.damage(seed, br#"../x/\u0000{"a":"/etc/passwd"}"#);
        fs::write(dir.path().join("model.safetensors.index.json"), damaged).unwrap();
        assert!(Weights::open(dir.path()).is_err());
    }
}
