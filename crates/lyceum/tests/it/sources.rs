//! Where the text of `lyceum pretrain` comes from: every way gives the same run.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use crate::fixture::{arg, run_with_stdin};
use crate::recipe::{Lab, refusal, text};

const STEPS: &str = "train.steps=2";

fn write_gzip(path: &Path, bytes: &[u8]) {
    let mut out = GzEncoder::new(File::create(path).expect("made"), Compression::default());
    out.write_all(bytes).and_then(|()| out.finish().map(drop)).expect("written");
}

fn write_parquet(path: &Path, text: &str) {
    let schema = parse_message_type("message m { required binary body (UTF8); }").expect("one");
    let file = File::create(path).expect("made");
    let mut writer =
        SerializedFileWriter::new(file, Arc::new(schema), Arc::default()).expect("begun");
    let mut group = writer.next_row_group().expect("begun");
    let mut column = group.next_column().expect("begun").expect("a column");
    let rows = [ByteArray::from(text)];
    column.typed::<ByteArrayType>().write_batch(&rows, None, None).expect("written");
    column.close().expect("closed");
    group.close().expect("closed");
    writer.close().expect("closed");
}

#[test]
fn every_source_of_the_same_text_gives_the_same_run() {
    let lab = Lab::new();
    let text = text(600);
    fs::create_dir(lab.path("folder")).expect("made");
    fs::write(lab.path("folder/a.txt"), &text).expect("written");
    fs::write(lab.path("folder/ignored.png"), [0, 1]).expect("written");
    write_gzip(&lab.path("a.txt.gz"), text.as_bytes());
    let line = serde_json::json!({ "body": text }).to_string();
    write_gzip(&lab.path("a.jsonl.gz"), line.as_bytes());
    write_parquet(&lab.path("a.parquet"), &text);
    lab.pretrain("plain", &["--set", STEPS]).done();
    for name in ["folder", "a.txt.gz", "a.jsonl.gz", "a.parquet"] {
        let paths = format!("data.paths=[{:?}]", lab.path(name));
        let sets = ["--set", STEPS, "--set", &paths, "--set", "data.read.field=body"];
        lab.pretrain(&format!("of-{name}"), &sets).done();
        assert_eq!(lab.metrics(&format!("of-{name}")), lab.metrics("plain"), "{name}");
    }
}

#[test]
fn standard_input_is_read_once_and_resumes_without_it() {
    let lab = Lab::new();
    lab.pretrain("plain", &["--set", STEPS]).done();
    let sets = ["--set", "train.steps=1", "--set", "data.paths=[\"-\"]"];
    run_with_stdin(&lab.args("piped", &sets), text(600).as_bytes()).done();
    let out = arg(lab.path("piped"));
    let resume = ["pretrain", "--out", &out, "--resume", "--set", STEPS];
    crate::fixture::run(&resume).done();
    let judged_early = |row: &serde_json::Value| row["step"] == 1 && row.get("eval").is_some();
    let mut rows = lab.metrics("piped");
    rows.retain(|row| !judged_early(row));
    assert_eq!(rows, lab.metrics("plain"));
    assert!(!lab.path("piped/data/stdin").exists());
    let both = ["--set", "data.paths=[\"-\", \"a.txt\"]"];
    let stderr = refusal(lab.pretrain("both", &both));
    assert!(stderr.contains("`-` is standard input"), "{stderr}");
}

#[test]
fn a_named_pipe_is_refused_and_not_waited_for() {
    let lab = Lab::new();
    let made = std::process::Command::new("mkfifo").arg(lab.path("pipe")).status();
    assert!(made.expect("runs").success());
    let paths = format!("data.paths=[{:?}]", lab.path("pipe"));
    let stderr = refusal(lab.pretrain("a", &["--set", &paths]));
    assert!(stderr.contains("can be read but once"), "{stderr}");
    assert!(stderr.contains("hint: give it as standard input"), "{stderr}");
    assert!(!lab.path("a").exists());
}

#[test]
fn a_run_may_go_unjudged() {
    let lab = Lab::new();
    let sets = ["--set", STEPS, "--set", "data.validation_fraction=0"];
    lab.pretrain("a", &sets).done();
    assert_eq!(lab.metrics("a").len(), 2);
    assert!(!lab.path("a/data/validation.tokens").exists());
    assert!(lab.path("a/report.html").exists());
}

#[test]
fn documents_may_be_packed() {
    let lab = Lab::new();
    let sets = ["--set", STEPS, "--set", "data.mode=documents", "--set", "data.read.separator=.\n"];
    lab.pretrain("a", &sets).done();
    assert_eq!(lab.metrics("a").len(), 3);
}

#[test]
fn source_code_and_books_become_tokens_and_what_is_left_out_is_said() {
    let lab = Lab::new();
    fs::create_dir_all(lab.path("tree/vendor")).expect("made");
    let files: [(&str, &[u8]); 5] = [
        ("a.py", b"def f(x):\n    return x + 1\n"),
        ("b.py", b"x = '\xFF'\n"),
        ("c.py", b"ignored = 1\n"),
        ("vendor/d.py", b"theirs = 1\n"),
        (".gitignore", b"c.*\n"),
    ];
    for (name, bytes) in files {
        fs::write(lab.path("tree").join(name), bytes).expect("written");
    }
    lab.pretrain("plain", &["--set", STEPS]).done();
    let tokenizer = arg(lab.path("plain/data/tokenizer"));
    let tokenize = |input: &str, format: &str| {
        let (input, out) = (arg(lab.path(input)), arg(lab.path("a.tokens")));
        let args = ["data", "tokenize", &input, "--format", format, "--tokenizer", &tokenizer];
        crate::fixture::run(&[&args[..], &["--out", &out, "--json"]].concat())
    };
    let ran = tokenize("tree", "code");
    let said = ran.stderr.clone();
    let found = ran.json();
    assert_eq!((&found["n_documents"], &found["n_text_bytes"]), (&1.into(), &27.into()), "{found}");
    assert_eq!(found["left_out"], serde_json::json!({ "not in UTF-8": 1 }));
    let skipped = "1 folders of others' code, 1 named by .gitignore or .ignore";
    assert!(said.contains(skipped) && said.contains("b.py`"), "{said}");
    let book = "*** START OF THE PROJECT GUTENBERG EBOOK A ***\r\ncaf\u{e9}\r\n\
                *** END OF THE PROJECT GUTENBERG EBOOK A ***\r\nlicence\r\n";
    let latin: Vec<u8> = book.chars().map(|c| c as u8).collect();
    fs::write(lab.path("book.txt"), latin).expect("written");
    let found = tokenize("book.txt", "book").json();
    assert_eq!((&found["n_documents"], &found["n_text_bytes"]), (&1.into(), &5.into()), "{found}");
    assert_eq!(found["done"].as_object().map(serde_json::Map::len), Some(1), "{found}");
    // The same by a recipe, with a threshold of its own.
    let paths = format!("data.paths=[{:?}]", lab.path("tree"));
    let sets =
        ["--set", &paths, "--set", "data.read.format=code", "--set", "data.read.code.max_line=9"];
    let stderr = refusal(lab.pretrain("b", &sets));
    assert!(stderr.contains("holds no text"), "{stderr}");
}
