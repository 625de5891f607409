//! `lyceum data`: text to tokens, and what is in either.

use std::fs;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::fixture::{arg, model, run, run_with_stdin};

const TEXTS: [&str; 4] = [
    "It was a bright day in April.",
    "It was cold.\nThe clocks were striking.",
    "<script>alert(1)</script> \u{1b}[31m<|endoftext|>",
    "It was cold, and it was cold, and it was cold.",
];

fn jsonl(texts: &[&str]) -> String {
    texts.iter().map(|text| json!({ "text": text }).to_string() + "\n").collect()
}

/// `a.jsonl` and the store `a.tokens` made of it.
fn tokenized() -> TempDir {
    let dir = TempDir::new().expect("a directory");
    let [text, out] = ["a.jsonl", "a.tokens"].map(|name| dir.path().join(name));
    fs::write(&text, jsonl(&TEXTS)).expect("written");
    let model = arg(model());
    run(&["data", "tokenize", &arg(text), "--tokenizer", &model, "--out", &arg(out)]).done();
    dir
}

fn path(dir: &TempDir, name: &str) -> String {
    arg(dir.path().join(name))
}

#[test]
fn a_store_is_the_same_from_any_source_and_any_threads() {
    let dir = tokenized();
    let expected = fs::read(dir.path().join("a.tokens")).expect("a store");
    let tokenizer = arg(model());
    let packed = dir.path().join("b.jsonl.zst");
    fs::write(&packed, zstd_of(jsonl(&TEXTS).as_bytes())).expect("written");
    for threads in ["1", "3"] {
        let out = path(&dir, "b.tokens");
        let args = ["data", "tokenize", &arg(&packed), "--tokenizer", &tokenizer, "--out", &out];
        let shown = run(&[&args[..], &["--threads", threads, "--json"]].concat()).json();
        assert_eq!(fs::read(&out).expect("a store"), expected, "{threads}");
        assert_eq!((&shown["n_documents"], &shown["kind"]), (&json!(4), &json!("token_store")));
    }
    let out = path(&dir, "c.tokens");
    let args = ["data", "tokenize", "-", "--tokenizer", &tokenizer, "--out", &out, "-q"];
    assert!(run_with_stdin(&args, b"It was cold.").done().contains("n_documents"));
}

fn zstd_of(bytes: &[u8]) -> Vec<u8> {
    // A frame of one raw block: RFC 8878, 3.1.1.
    let head = [0x28, 0xB5, 0x2F, 0xFD, 0xA0];
    let size = (bytes.len() as u32).to_le_bytes();
    let block = ((bytes.len() as u32) << 3 | 1).to_le_bytes();
    [&head[..], &size, &block[..3], bytes].concat()
}

#[test]
fn records_without_text_are_told_when_they_become_no_tokens() {
    let dir = tokenized();
    let (mixed, out) = (path(&dir, "mixed.jsonl"), path(&dir, "mixed.tokens"));
    fs::write(&mixed, jsonl(&[TEXTS[0], " \n"]) + "{\"text\": null}\n").expect("written");
    let tokenizer = arg(model());
    let ran =
        run(&["data", "tokenize", &mixed, "--tokenizer", &tokenizer, "--out", &out, "--json"]);
    assert!(ran.stderr.contains("2 of 3 records have no text (66.7 %)"), "{}", ran.stderr);
    assert!(ran.stderr.contains("mixed.jsonl`, line 2; "), "{}", ran.stderr);
    let shown = ran.json();
    assert_eq!((&shown["n_documents"], &shown["n_empty"]), (&json!(1), &json!(2)));
}

#[test]
fn a_shard_is_counted_and_shown() {
    let dir = tokenized();
    let (store, text, tokenizer) = (path(&dir, "a.tokens"), path(&dir, "a.jsonl"), arg(model()));
    let found = run(&["data", "inspect", &store, "--tokenizer", &tokenizer, "--verify", "--json"]);
    let found = found.json();
    assert_eq!((&found["verified"], &found["n_documents"]), (&json!(true), &json!(4)));
    assert!(found["documents"][0]["text"].as_str().expect("text").starts_with("It was a bright"));
    let shown = run(&["data", "inspect", &text]).done();
    assert!(shown.contains("It was cold. The clocks") && !shown.contains('\u{1b}'), "{shown}");

    let stats = |path: &str| {
        let page = arg(dir.path().join("page.html"));
        let args = ["data", "stats", path, "--tokenizer", &tokenizer, "--html", &page, "--json"];
        let json = run(&args).json();
        let page = fs::read_to_string(page).expect("a page");
        assert!(page.contains("<svg") && page.contains("default-src 'none'"));
        assert!(!page.contains("<script") && !page.contains("http://"), "{page}");
        json
    };
    let (a, b) = (stats(&store), stats(&text));
    assert_eq!(a["n_bytes"], TEXTS.concat().len());
    for key in ["n_documents", "n_bytes", "n_tokens", "bytes_a_document", "tokens_a_document"] {
        assert_eq!(a[key], b[key], "{key}");
    }
    let text = run(&["data", "stats", &store]).done();
    assert!(text.contains("tokens a document: least") && text.contains('#'), "{text}");
}

#[test]
fn a_sample_is_drawn_again_by_its_seed() {
    let dir = tokenized();
    let (store, tokenizer) = (path(&dir, "a.tokens"), arg(model()));
    let draw = |path: &str, seed: &str| {
        let args = ["data", "sample", path, "2", "--seed", seed, "--tokenizer", &tokenizer];
        run(&[&args[..], &["--json"]].concat()).done()
    };
    assert_eq!(draw(&store, "1"), draw(&path(&dir, "a.jsonl"), "1"));
    let several: std::collections::BTreeSet<String> =
        (0..16).map(|seed| draw(&store, &seed.to_string())).collect();
    assert!(several.len() > 2, "{several:?}");
    let all = run(&["data", "sample", &store, "9", "--tokenizer", &tokenizer]).done();
    assert_eq!(all.matches("--- document").count(), 4);
    assert!(!all.contains('\u{1b}'), "{all}");
}

#[test]
fn a_difference_names_documents() {
    let dir = tokenized();
    let after = path(&dir, "after.jsonl");
    fs::write(&after, jsonl(&[TEXTS[0], "It is warm.", TEXTS[3], "New."])).expect("written");
    let found = run(&["data", "diff", &path(&dir, "a.jsonl"), &after, "--json"]).json();
    assert_eq!(found["changed"], json!([[1, 1]]));
    assert_eq!((&found["removed"], &found["added"]), (&json!([2]), &json!([3])));
    let store = path(&dir, "a.tokens");
    let same = run(&["data", "diff", &store, &store]).done();
    assert!(same.contains("same     4"), "{same}");
    let refused = run(&["data", "diff", &store, &after]).refused();
    assert!(refused.contains("data tokenize"), "{refused}");
}

#[test]
fn what_is_damaged_or_not_there_is_refused() {
    let dir = tokenized();
    let (store, tokenizer) = (dir.path().join("a.tokens"), arg(model()));
    let mut bytes = fs::read(&store).expect("a store");
    bytes[140] ^= 1;
    fs::write(&store, &bytes).expect("written");
    let store = arg(&store);
    assert!(run(&["data", "inspect", &store, "--verify"]).refused().contains("hash"));
    fs::write(&store, &bytes[..100]).expect("written");
    for command in ["inspect", "stats", "sample"] {
        assert!(run(&["data", command, &store]).refused().contains("less than a header"));
        run(&["data", command, &path(&dir, "nothing")]).refused();
    }
    let bad = dir.path().join("bad.jsonl");
    fs::write(&bad, "{\"text\": \"a\"}\n{\"text\": 1}\n").expect("written");
    let out = path(&dir, "kept.tokens");
    fs::write(&out, "before").expect("written");
    let args = ["data", "tokenize", &arg(&bad), "--tokenizer", &tokenizer, "--out", &out];
    let refused = run(&args).refused();
    assert!(refused.contains("line 2") && refused.contains("hint: "), "{refused}");
    assert_eq!(fs::read_to_string(Path::new(&out)).expect("text"), "before");
    assert_eq!(run(&["data", "sample", &store, "0"]).code, Some(2));
    assert_eq!(run(&["data", "stats", &store, "--format", "xls"]).code, Some(2));
}

#[test]
fn a_named_pipe_is_refused_and_not_waited_for() {
    let dir = TempDir::new().expect("a directory");
    for name in ["y.jsonl", "y.tar"] {
        let made = std::process::Command::new("mkfifo").arg(dir.path().join(name)).status();
        assert!(made.expect("runs").success());
    }
    let pipe = path(&dir, "y.jsonl");
    let (tokenizer, out) = (arg(model()), path(&dir, "y.tokens"));
    for args in [
        &["data", "stats", &pipe][..],
        &["data", "inspect", &pipe],
        &["data", "check", &pipe],
        &["data", "tokenize", &pipe, "--tokenizer", &tokenizer, "--out", &out],
    ] {
        let refused = run(args).refused();
        assert!(refused.contains("not a regular file") && refused.contains("a pipe"), "{refused}");
    }
    let checked = run(&["data", "check", &arg(dir.path())]);
    assert!(checked.stdout.contains("y.tar  is no file"), "{}", checked.stdout);
}

#[test]
fn hints_name_the_option_and_the_key() {
    let dir = TempDir::new().expect("a directory");
    let file = |name: &str, text: &str| {
        fs::write(dir.path().join(name), text).expect("written");
        path(&dir, name)
    };
    let (body, plain) = (file("a.jsonl", "{\"body\": \"a\"}"), file("b.jsonl", "plain text"));
    for (path, option, key) in
        [(body, "--field NAME", "data.read.field"), (plain, "--format text", "data.read.format")]
    {
        let refused = run(&["data", "stats", &path]).refused();
        assert!(refused.contains(option) && refused.contains(key), "{refused}");
    }
}

#[test]
fn an_archive_is_looked_through() {
    let dir = TempDir::new().expect("a directory");
    // Two entries, of which a header is a name, a mode, a size and a sum in octal.
    let entry = |name: &str, content: &[u8]| {
        let mut block = vec![0; 512];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        block[148..156].fill(b' ');
        block[156] = b'0';
        block[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        block.extend(content);
        block.resize(block.len().next_multiple_of(512), 0);
        block
    };
    let end = vec![0; 1024];
    let whole = [entry("0.txt", b"text"), entry("0.cls", b"1"), end.clone()].concat();
    let bad = [entry("0.txt", b"text"), entry("../\u{1b}[31m.txt", b"1"), end].concat();
    for (name, bytes) in [("whole.tar", whole), ("bad.tar", bad)] {
        fs::write(dir.path().join(name), bytes).expect("written");
    }
    let found = run(&["data", "check", &path(&dir, "whole.tar"), "--json"]).json();
    assert_eq!((&found["n_samples"], &found["n_problems"]), (&json!(1), &json!(0)));
    let ran = run(&["data", "check", &path(&dir, "bad.tar")]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.contains("leads out of the folder") && ran.stderr.contains("problems"));
    assert!(!ran.stdout.contains('\u{1b}'), "{}", ran.stdout);
}
