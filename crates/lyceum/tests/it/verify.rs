//! `lyceum verify`.

use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::fixture::{arg, lyceum, run};
use crate::recipe::{Lab, refusal};

#[test]
fn every_law_holds_for_a_recipe_in_every_precision() {
    let lab = Lab::new();
    let recipe = arg(lab.path("recipe.toml"));
    for precision in ["f32", "bf16", "f16"] {
        let set = format!("train.precision={precision}");
        let json = run(&["verify", &recipe, "--set", &set, "--json"]).json();
        assert_eq!(json["holds"], true, "{json}");
        assert_eq!(json["precision"], precision);
        assert_eq!(json["laws"].as_array().map(Vec::len), Some(6));
    }
}

#[test]
fn a_verification_is_a_table_and_leaves_no_trace() {
    let lab = Lab::new();
    let recipe = arg(lab.path("recipe.toml"));
    let families = ["model.family=gpt2", "model.family=seed_transformer"];
    for (family, mode) in families.into_iter().zip(["stream", "documents"]) {
        let mode = format!("data.mode={mode}");
        let text = run(&["verify", &recipe, "--set", family, "--set", &mode]).done();
        assert_eq!(text.matches("holds").count(), 6, "{text}");
        assert!(text.starts_with("law ") && text.contains("saved and resumed"), "{text}");
    }
    assert!(!lab.path("runs").exists());
}

#[test]
fn an_interrupted_verification_leaves_no_trace() {
    let (lab, scratch) = (Lab::new(), tempfile::tempdir().expect("a directory"));
    // Half a minute's work: the signal comes before its end on any machine.
    let wide = ["n_layers=12", "d_model=512", "n_heads=8"].map(|size| format!("model.{size}"));
    let recipe = arg(lab.path("recipe.toml"));
    let mut args = vec!["verify", &recipe, "--set", "data.seq_len=128"];
    args.extend(wide.iter().flat_map(|size| ["--set", size]));
    let mut command = lyceum(&args);
    command.env("TMPDIR", scratch.path()).stderr(Stdio::null());
    let mut child = command.spawn().expect("runs");
    let is_empty = || fs::read_dir(scratch.path()).expect("there").next().is_none();
    let began = Instant::now();
    while is_empty() && began.elapsed() < Duration::from_mins(1) {
        sleep(Duration::from_millis(2));
    }
    let kill = format!("kill -INT {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().expect("runs").success());
    assert_eq!(child.wait().expect("ends").code(), Some(130));
    assert!(is_empty());
}

#[test]
fn a_recipe_that_is_refused_is_not_verified() {
    let lab = Lab::new();
    let recipe = arg(lab.path("recipe.toml"));
    let stderr = refusal(run(&["verify", &recipe, "--set", "data.seq_len=1000000"]));
    assert!(stderr.contains("hint: "), "{stderr}");
}
