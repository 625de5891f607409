//! `lyceum runs`.

use std::fs;

use checkpoint::RunDir;

use crate::fixture::{arg, lyceum, run, write_run};

#[test]
fn runs_are_listed_newest_first() {
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["old", "new"] {
        write_run(&dir.path().join(name), 0.1);
    }
    fs::create_dir(dir.path().join("no-run")).expect("made");
    let metrics = dir.path().join("old/metrics.jsonl");
    let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_hours(1);
    fs::File::options()
        .append(true)
        .open(&metrics)
        .and_then(|file| file.set_modified(hour_ago))
        .expect("set");
    let text = run(&["runs", &arg(dir.path())]).done();
    let lines: Vec<Vec<&str>> = text.lines().map(|l| l.split_whitespace().collect()).collect();
    let head = ["run", "step", "state", "loss", "best", "tokens/s", "size", "when"];
    assert_eq!(lines[0], head);
    let new = ["new", "4/4", "finished", "4.0000", "2.5000", "bits/byte", "1.00k"];
    assert_eq!(lines[1][..7], new);
    assert_eq!(lines[2][0], "old");
    assert!(text.trim_end().ends_with("1h 00m ago"), "{text}");
    let json = run(&["runs", &arg(dir.path()), "--json"]).json();
    assert_eq!(json[0]["name"], "new");
    assert_eq!(json[1]["best_bits_per_byte"], 2.5);
    assert_eq!(json.as_array().map(Vec::len), Some(2));
}

#[test]
fn a_run_that_is_going_on_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("a");
    write_run(&path, 0.1);
    let state = || run(&["runs", &arg(dir.path()), "--json"]).json()[0]["state"].clone();
    assert_eq!(state(), "finished");
    let open = RunDir::resume(&path).expect("opens");
    assert_eq!(state(), "running");
    drop(open);
    fs::write(path.join("recipe.toml"), "[train]\nsteps = 9\n").expect("written");
    assert_eq!(state(), "stopped");
}

#[test]
fn a_damaged_run_is_named_and_the_rest_is_listed() {
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["a", "b"] {
        write_run(&dir.path().join(name), 0.1);
    }
    fs::write(dir.path().join("a/metrics.jsonl"), "{}\n{}\n").expect("written");
    fs::write(dir.path().join("b/recipe.toml"), "steps = = 3").expect("written");
    let ran = run(&["runs", &arg(dir.path())]);
    assert!(ran.stderr.contains("metrics.jsonl` is damaged"), "{}", ran.stderr);
    assert!(ran.stderr.contains("recipe.toml` cannot be read"), "{}", ran.stderr);
    assert_eq!(ran.done().matches("damaged").count(), 2);
}

#[test]
fn runs_are_compared_with_what_differs_in_their_recipes() {
    let dir = tempfile::tempdir().expect("a directory");
    let [a, b] = ["a", "b"].map(|name| dir.path().join(name));
    write_run(&a, 0.1);
    write_run(&b, 0.2);
    insta::assert_snapshot!(run(&["runs", "compare", &arg(&a), &arg(&b)]).done(), @r"
    run            a                      b
    state          finished               finished
    step           4/4                    4/4
    tokens         256                    256
    loss           4.0000                 4.0000
    best           2.5000 bits/byte at 2  2.5000 bits/byte at 2
    tokens/s       1.00k                  1.00k
    optim.peak_lr  0.1                    0.2
    ");
    let json = run(&["runs", "compare", &arg(&a), &arg(&b), "--json"]).json();
    assert_eq!(json["recipe_differences"]["optim.peak_lr"][1], "0.2");
    let stderr = run(&["runs", "compare", &arg(&a), &arg(dir.path())]).refused();
    assert!(stderr.contains("is no run directory"), "{stderr}");
    let stderr = run(&["runs", "compare", &arg(&a), "/no/such"]).refused();
    assert!(stderr.contains("failed to read `/no/such`"), "{stderr}");
}

#[test]
fn no_runs_are_no_error_but_no_directory_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let output = lyceum(&["runs"]).current_dir(dir.path()).output().expect("runs");
    assert_eq!(output.status.code(), Some(0));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("no runs in `runs`; `lyceum pretrain` makes one"), "{stderr}");
    run(&["runs", "/no/such"]).refused();
}
