//! `lyceum plan`.

use crate::fixture::{arg, lyceum, run};
use crate::recipe::{Lab, metrics};

fn plan(lab: &Lab, more: &[&str]) -> Vec<String> {
    let own = ["plan".to_owned(), arg(lab.path("recipe.toml"))];
    own.into_iter().chain(more.iter().map(|&s| s.to_owned())).collect()
}

#[test]
fn a_plan_says_what_a_recipe_takes_and_that_it_fits() {
    let lab = Lab::new();
    let text = run(&plan(&lab, &[])).done();
    for part in ["parameters", "FLOPs a token", "moments", "peak, measured", "epochs", "it fits"] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    let json = run(&plan(&lab, &["--json"])).json();
    let sum = |of: &str| -> u64 {
        let parts = json[of].as_object().expect("an object");
        parts.values().map(|n| n.as_u64().expect("a number")).sum()
    };
    assert_eq!(json["n_params"], sum("params"));
    assert_eq!(json["memory_bytes"], sum("memory"));
    assert_eq!(json["tokens_per_step"], 64);
    assert!(json["epochs"].as_f64().is_some_and(|epochs| epochs > 0.05 && epochs < 1.0), "{json}");
    assert!(json["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0));
    assert_eq!(json["fits"], true);
}

#[test]
fn what_does_not_fit_comes_with_what_would() {
    let lab = Lab::new();
    let sets = ["--set", "train.batch_size=2000000", "--set", "train.micro_batch=0"];
    let text = run(&plan(&lab, &sets)).done();
    assert!(text.contains("it does not fit\n  hint: it does with `--set train.micro_batch="));
    let sets = ["--set", "model.n_layers=4000", "--set", "model.d_model=8192"];
    let text = run(&plan(&lab, &sets)).done();
    assert!(text.contains("it does not fit, whatever the micro-batch"), "{text}");
}

#[test]
fn a_plan_refuses_what_pretrain_does() {
    let lab = Lab::new();
    let stderr = run(&plan(&lab, &["--set", "model.d_model=33"])).refused();
    assert!(stderr.contains("does not divide d_model = 33"), "{stderr}");
    let stderr = run(&plan(&lab, &["--set", "data.paths=[\"nowhere.txt\"]"])).refused();
    assert!(stderr.contains("nowhere.txt"), "{stderr}");
}

#[test]
fn a_plan_says_what_pretrain_would_not_find_in_the_text() {
    let lab = Lab::new();
    let sets = ["--set", "data.seq_len=30000", "--set", "tokenizer.vocab_size=100000"];
    let ran = run(&plan(&lab, &sets));
    assert!(ran.stderr.contains("the text gives"), "{}", ran.stderr);
    let text = ran.done();
    assert!(text.contains("the text does not fill a window: about "), "{text}");
    let json = |more: &[&str]| run(&plan(&lab, &[more, &["--json"]].concat())).json();
    assert_eq!(json(&sets)["enough_text"], false);
    assert_eq!(json(&[])["enough_text"], true);
    let stdin = run(&plan(&lab, &["--set", "data.paths=[\"-\"]"]));
    assert!(stdin.stderr.contains("standard input is not read by a plan"), "{}", stdin.stderr);
}

#[test]
fn memory_is_bounded_by_the_limit_of_addresses() {
    let lab = Lab::new();
    let command = format!("ulimit -v 1000000; exec \"$@\" {}", "--set train.batch_size=16384");
    let args = [arg(env!("CARGO_BIN_EXE_lyceum")), "pretrain".into(), arg(lab.path("recipe.toml"))];
    let more = ["--set", "train.micro_batch=0", "--set", "data.seq_len=64", "--threads", "1"];
    let more = more.iter().map(|&word| word.to_owned());
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &command, "sh"]).args(args).args(more).current_dir(lab.path(""));
    let output = shell.output().expect("runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("(limit of the address space)"), "{stderr}");
}

#[test]
fn the_memory_of_the_plan_is_what_the_run_uses() {
    let lab = Lab::new();
    let sizes = ["model.d_model=128", "data.seq_len=128", "train.batch_size=64"];
    let times = ["train.micro_batch=0", "train.steps=3", "data.validation_fraction=0"];
    let sets: Vec<&str> = sizes.iter().chain(&times).flat_map(|&set| ["--set", set]).collect();
    let planned = run(&plan(&lab, &[&sets[..], &["--json"]].concat())).json();
    let planned = planned["memory_bytes"].as_f64().expect("a number");
    lab.pretrain("a", &sets).done();
    assert_eq!(metrics(&lab.path("a")).len(), 3);
    let log = std::fs::read_to_string(lab.path("a/metrics.jsonl")).expect("read");
    let last: serde_json::Value = serde_json::from_str(log.lines().last().expect("a row")).unwrap();
    let used = last["memory_bytes"].as_f64().expect("known on Linux");
    let off = (planned - used).abs() / used;
    assert!(off < 0.1, "planned {planned}, used {used}");
}

#[test]
fn a_folder_of_a_recipes_name_does_not_hide_it() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(dir.path().join("tang")).expect("made");
    let args = ["plan", "tang", "--set", "tokenizer.vocab_size=300"];
    let output = lyceum(&args).current_dir(dir.path()).output().expect("runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_benchmark_beyond_memory_is_refused() {
    for (size, n) in [("--batch", "10000000000"), ("--batch", "18446744073709551615")] {
        let stderr = run(&["bench", "train", size, n]).refused();
        assert!(stderr.contains("bench train needs") && stderr.contains("hint: ask"), "{stderr}");
    }
    run(&["bench", "train", "--seq", "18446744073709551615"]).refused();
}
