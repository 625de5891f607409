//! Settings that are tried, shortest first, and a search that goes on.

use std::fs;

use serde_json::Value;

use crate::finetune::{base, opinions, table};
use crate::fixture::{arg, run};
use crate::recipe::{Lab, refusal};

/// A command that tunes the tiny encoder for some steps.
fn tuning(lab: &Lab) -> Vec<String> {
    let (model, data) = (arg(base(lab)), table(lab, "opinions.csv", &opinions(40)));
    let words = ["finetune", "--model", &model, "--data", &data];
    let sets = ["train.steps=9", "train.batch_size=4", "train.keep_last=1"];
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    words.into_iter().chain(sets).map(str::to_owned).collect()
}

fn search<'a>(out: &'a str, own: &[&'a str], command: &'a [String]) -> Vec<&'a str> {
    let mut words = vec!["search", "--out", out];
    words.extend(own);
    words.push("--");
    words.extend(command.iter().map(String::as_str));
    words
}

#[test]
fn a_third_goes_on_and_a_search_that_was_cut_off_ends_the_same() {
    let lab = Lab::new();
    let (command, out) = (tuning(&lab), arg(lab.path("found")));
    let own =
        ["--over", "optim.peak_lr=1e-6,3e-3,1e-5", "--over", "train.seed=1,2", "--halve", "3"];
    let ran = run(&search(&out, &own, &command));
    let said = ran.stderr.clone();
    let shown = ran.done();
    assert!(said.contains("run 1 of 8"), "{said}");
    let again = || run(&["search", "--out", &out, "--resume", "--json"]).done();
    let found: Value = serde_json::from_str(&again()).expect("JSON");
    let found = found.as_array().expect("a list").clone();
    assert_eq!(found.len(), 3);
    let steps = |dir: &str| {
        let rows = lab.metrics(&format!("found/trials/{dir}"));
        rows.last().expect("a row")["step"].as_u64().expect("a step")
    };
    let of = |i: usize| {
        let trial = found[i]["trial"].as_u64().expect("a number");
        [1, 2].map(|seed| steps(&format!("{trial:04}-seed{seed}")))
    };
    assert_eq!([of(0), of(1), of(2)], [[9, 9], [3, 3], [3, 3]]);
    assert_eq!((&found[0]["rung"], &found[2]["rung"]), (&Value::from(2), &Value::from(1)));
    assert_eq!(found[0]["values"].as_array().map(Vec::len), Some(2));
    assert!(shown.starts_with("trial  optim.peak_lr"), "{shown}");
    assert!(fs::read_to_string(lab.path("found/search.html")).expect("a page").contains("<circle"));
    // What was paused on its way is what goes straight.
    let rate = format!(
        "optim.peak_lr={}",
        found[0]["settings"]["optim.peak_lr"].as_str().expect("a text")
    );
    let straight = arg(lab.path("straight"));
    let mut words: Vec<&str> = command.iter().map(String::as_str).collect();
    words.extend(["--set", &rate, "--set", "train.seed=1", "--out", &straight]);
    run(&words).done();
    let best = format!("{:04}-seed1", found[0]["trial"].as_u64().expect("a number"));
    let weights = |run: &str| {
        fs::read(lab.path(run).join("checkpoints/step-9/model.safetensors")).expect("saved")
    };
    assert!(weights("straight") == weights(&format!("found/trials/{best}")));
    // A trial that is gone is made again, to the bit.
    fs::remove_dir_all(lab.path(&format!("found/trials/{best}"))).expect("removed");
    assert_eq!(serde_json::from_str::<Value>(&again()).expect("JSON"), Value::Array(found));
}

#[test]
fn what_cannot_be_searched_is_refused_before_anything_is_made() {
    let lab = Lab::new();
    let command = vec!["finetune".to_owned(), "--model".into(), "m".into()];
    let out = arg(lab.path("never"));
    let refused = |own: &[&str], command: &[String]| {
        let text = refusal(run(&search(&out, own, command)));
        assert!(!lab.path("never").exists());
        text
    };
    let over = ["--over", "optim.peak_lr=1e-5,1e-4"];
    let text = [
        refused(&[], &command),
        refused(&["--over", "optim.peak_lr=1e-5..1e-4"], &command),
        refused(&["--over", "optim.peak_lr"], &command),
        refused(&over, &["generate".to_owned()]),
        refused(&over, &["finetune".to_owned(), "--out=x".to_owned()]),
        refused(&over, &[]),
    ]
    .join("\n");
    insta::assert_snapshot!(text);
}

#[test]
fn a_command_that_is_refused_ends_the_search_with_its_message() {
    let lab = Lab::new();
    let command = tuning(&lab);
    let out = arg(lab.path("wrong"));
    let text = refusal(run(&search(&out, &["--over", "optim.no_such=1,2"], &command)));
    assert!(text.contains("optim.no_such=2: ") && text.contains("no_such"), "{text}");
    assert!(text.contains(".log"), "{text}");
    // It may be asked rightly then, once.
    let over = ["--over", "train.seed=1"];
    run(&search(&out, &over, &command)).done();
    let text = refusal(run(&search(&out, &over, &command)));
    assert!(text.contains("has a search already"), "{text}");
}

#[test]
fn one_setting_that_is_refused_is_one_trial_that_failed() {
    let lab = Lab::new();
    let command = tuning(&lab);
    let out = arg(lab.path("in-part"));
    let ran = run(&search(&out, &["--over", "data.max_cut=-1,1", "--json"], &command));
    assert!(ran.stderr.contains("data.max_cut=-1: failed"), "{}", ran.stderr);
    let stdout = ran.done();
    let rows: Vec<Value> = serde_json::from_str(&stdout).expect("rows");
    let n_values = |row: &Value| row["values"].as_array().expect("values").len();
    assert_eq!(rows.iter().map(n_values).collect::<Vec<_>>(), [1, 0], "{stdout}");
}
