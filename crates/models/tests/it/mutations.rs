//! A `config.json` that was damaged, or made to do harm: refused, or of a model that can be built,
//! without a panic, and before its sizes cost time or memory.

use std::fs;
use std::path::Path;

use models::Model;
use serde_json::{Value, json};
use tempfile::TempDir;
use testing::Mutator;

fn n_cases(usual: usize) -> usize {
    std::env::var("FUZZ_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

/// The golden models, each with its config.
fn models() -> Vec<(TempDir, Vec<u8>)> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut folders: Vec<_> =
        fs::read_dir(golden).unwrap().flatten().map(|entry| entry.path()).collect();
    folders.sort();
    let copy = |folder: &Path| {
        let dir = tempfile::tempdir().unwrap();
        fs::copy(folder.join("model.safetensors"), dir.path().join("model.safetensors")).unwrap();
        (dir, fs::read(folder.join("config.json")).unwrap())
    };
    folders.iter().filter(|dir| dir.join("config.json").exists()).map(|dir| copy(dir)).collect()
}

/// Loads the model with another config.
fn load(dir: &Path, config: &[u8]) {
    fs::write(dir.join("config.json"), config).unwrap();
    match Model::load_frozen(dir) {
        Ok((model, _)) => drop(model.config_json()),
        Err(error) => assert!(error.hint().is_some(), "{error}"),
    }
}

#[test]
fn every_field_may_be_wrong() {
    let wrong = [
        json!(0),
        json!(-1),
        json!(1),
        json!(3),
        json!(0.5),
        json!(1 << 24),
        json!(1_u64 << 40),
        json!(u64::MAX),
        json!(1e300),
        json!(-1e-300),
        json!("NaN"),
        json!(true),
        json!(null),
        json!([]),
        json!([1, -1]),
        json!({}),
        json!({ "rope_theta": 0, "rope_type": "yarn", "factor": -1 }),
    ];
    // Some of the pairs of field and value, or all.
    let is_slow = std::env::var_os("SLOW").is_some_and(|value| value == "1");
    let (every, mut n) = (if is_slow { 1 } else { 7 }, 0);
    for (dir, config) in models() {
        let whole: Value = serde_json::from_slice(&config).unwrap();
        for field in whole.as_object().unwrap().keys().filter(|field| *field != "model_type") {
            for value in &wrong {
                n += 1;
                if n % every != 0 {
                    continue;
                }
                let mut config = whole.clone();
                config[field] = value.clone();
                load(dir.path(), config.to_string().as_bytes());
            }
        }
    }
}

#[test]
fn damaged_configs_are_refused_or_built() {
    let models = models();
    for (i, (dir, config)) in models.iter().enumerate() {
        let mut mutator = Mutator::new(i as u64);
        let (_, other) = &models[(i + 7) % models.len()];
        for _ in 0..n_cases(20) {
            load(dir.path(), &mutator.damage(config, other));
        }
    }
}
