//! `lyceum eval`.

use std::fs;

use crate::fixture::{TEXT, arg, model, model_copy, run, run_with_stdin, write_ids};

#[test]
fn the_figures_agree_with_each_other() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("a.txt");
    fs::write(&file, TEXT.repeat(3)).expect("written");
    let (model, file) = (arg(model()), arg(&file));
    let json = run(&["eval", &model, &file, &file, "--json"]).json();
    let figure = |key: &str| json[key].as_f64().expect("a number");
    assert_eq!(json["n_bytes"], 6 * TEXT.len());
    let bits = figure("nats_per_token") * figure("n_tokens") / figure("n_bytes") / 2f64.ln();
    assert!((bits - figure("bits_per_byte")).abs() < 1e-9);
    assert!((figure("perplexity").ln() - figure("nats_per_token")).abs() < 1e-9);
    assert_eq!(json["files"][0]["bits_per_byte"], json["files"][1]["bits_per_byte"]);
    let stdin = run_with_stdin(&["eval", &model, "-", "--json"], TEXT.repeat(3).as_bytes()).json();
    assert_eq!(stdin["bits_per_byte"], json["files"][0]["bits_per_byte"]);
    let table = run(&["eval", &model, &file, &file]).done();
    assert_eq!(table.lines().count(), 4, "{table}");
    assert!(table.lines().last().is_some_and(|line| line.starts_with("total")), "{table}");
}

#[test]
fn a_text_that_fits_the_context_needs_no_sliding() {
    let json = |stride: &str| {
        let args = ["eval", &arg(model()), "-", "--json", "--stride", stride];
        run_with_stdin(&args, b"It was").json()
    };
    assert_eq!(json("1")["bits_per_byte"], json("32")["bits_per_byte"]);
}

#[test]
fn more_context_is_counted_for_the_same_tokens() {
    let n_tokens = |stride: &str| {
        let args = ["eval", &arg(model()), "-", "--json", "--stride", stride];
        run_with_stdin(&args, TEXT.repeat(4).as_bytes()).json()["n_tokens"].clone()
    };
    assert_eq!(n_tokens("1"), n_tokens("32"));
}

/// A copy of the tiny model in which one weight is NaN.
fn model_with_nan() -> tempfile::TempDir {
    let dir = model_copy();
    let path = dir.path().join("model.safetensors");
    let mut bytes = fs::read(&path).expect("read");
    let at = bytes.len() - 4;
    bytes[at..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&path, bytes).expect("written");
    dir
}

#[test]
fn what_is_not_finite_is_not_a_result() {
    let dir = model_with_nan();
    let stderr = run_with_stdin(&["eval", &arg(dir.path()), "-"], TEXT.as_bytes()).refused();
    assert!(stderr.contains("the loss of window 1 of `-` is NaN"), "{stderr}");
    assert!(stderr.contains("hint: a weight is not finite"), "{stderr}");
    let (inputs, out) = (dir.path().join("in"), dir.path().join("out"));
    write_ids(&inputs, &[("input_ids", &[1, 2], &[1, 2])]);
    let args = ["--inputs", &arg(&inputs), "--outputs", &arg(&out)];
    let ran = run(&[&["forward", &arg(dir.path())], &args[..]].concat());
    assert!(ran.stderr.contains("warning: not all values of `logits`"), "{}", ran.stderr);
    ran.done();
    assert!(out.exists());
}

#[test]
fn bad_text_is_refused() {
    let eval = |bytes: &[u8]| run_with_stdin(&["eval", &arg(model()), "-"], bytes).refused();
    assert!(eval(b"").contains("standard input holds no text"));
    assert!(eval(b"ab\xffcd").contains("is not UTF-8 at byte 2"));
    assert!(eval(b"a\0b").contains("binary file"));
    let missing = run(&["eval", &arg(model()), "/no/such.txt"]).refused();
    assert!(missing.contains("`/no/such.txt`") && missing.contains("hint: "), "{missing}");
    let stride = ["eval", &arg(model()), "-", "--stride", "33"];
    let stderr = run_with_stdin(&stride, b"text").refused();
    assert!(stderr.contains("`--stride` is 33, the model's context is 32"), "{stderr}");
}
