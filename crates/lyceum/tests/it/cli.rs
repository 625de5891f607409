//! The command line itself: help, usage, environment, exit codes.

use std::process::Stdio;

use crate::fixture::{lyceum, run};

const COMMANDS: [&str; 25] = [
    "pretrain",
    "generate",
    "chat",
    "run",
    "pull",
    "convert",
    "eval",
    "forward",
    "inspect",
    "data",
    "runs",
    "plan",
    "verify",
    "doctor",
    "bench",
    "completions",
    "man",
    "runs compare",
    "data crawl",
    "data tokenize",
    "data inspect",
    "data stats",
    "data sample",
    "data diff",
    "data check",
];

#[test]
fn the_surface_is_frozen() {
    let mut help = run(&["--help"]).done();
    for command in COMMANDS {
        let args: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        help = help + "\n=== " + command + " ===\n" + &run(&args).done();
    }
    insta::assert_snapshot!("help", help);
}

#[test]
fn usage_errors_are_2() {
    let cases: [&[&str]; 18] = [
        &[],
        &["pretrian"],
        &["generate"],
        &["generate", "m", "--temprature", "1"],
        &["generate", "m", "--prompt", "a", "--prompt-file", "b"],
        &["generate", "m", "--greedy", "--top-k", "3"],
        &["generate", "m", "--stop", ""],
        &["doctor", "--threads", "0"],
        &["doctor", "--threads", "1025"],
        &["runs", "compare", "only-one"],
        // What would do nothing there.
        &["eval", "m", "a.txt", "--out", "b"],
        &["eval", "m", "a.txt", "--batch-tokens", "8"],
        &["eval", "m", "a.txt", "--seed", "8"],
        &["eval", "m", "a.txt", "--num-fewshot", "1"],
        &["eval", "m", "a.txt", "--limit", "1"],
        &["eval", "m", "a.txt", "--slice", "b"],
        &["eval", "m", "--task", "t", "--stride", "1"],
        &["eval", "m", "--data", "d", "--task", "rte", "--limit", "1"],
    ];
    for args in cases {
        let ran = run(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(ran.stderr.contains("--help") || ran.stderr.contains("Usage"), "{}", ran.stderr);
    }
    let misspelt = run(&["pretrian"]).stderr;
    assert!(misspelt.contains("'pretrain'"), "{misspelt}");
}

#[test]
fn a_variable_that_cannot_be_followed_is_refused() {
    for (name, value, expected) in [
        (
            "LYCEUM_DEVICE",
            "cuda",
            "error: `LYCEUM_DEVICE` is `cuda`: this build computes on the CPU",
        ),
        ("LYCEUM_ISA", "neon", "error: `LYCEUM_ISA` is `neon`: there is no such path\n\nhint: "),
        ("LYCEUM_THREADS", "-1", "error: `LYCEUM_THREADS` is `-1`, expected a number"),
        (
            "LYCEUM_LOG",
            "all",
            "error: `LYCEUM_LOG` is `all`, expected warn, info or debug\n\nhint: ",
        ),
    ] {
        let output = lyceum(&["runs"]).env(name, value).output().expect("runs");
        let stderr = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.starts_with(expected), "{stderr}");
    }
}

#[test]
fn completions_and_the_manual_name_every_command() {
    let scripts = ["bash", "zsh", "fish"].map(|shell| run(&["completions", shell]).done());
    for text in scripts.iter().chain([&run(&["man"]).done()]) {
        for command in &COMMANDS[..17] {
            assert!(text.contains(command), "{command}");
        }
    }
    assert_eq!(run(&["completions", "basic"]).code, Some(2));
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let mut command = lyceum(&["man"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("ends");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    let full = std::fs::File::options().write(true).open("/dev/full").expect("a full device");
    let ended = lyceum(&["--help"]).stdout(full).output().expect("runs");
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("failed to write to standard output"));
}
