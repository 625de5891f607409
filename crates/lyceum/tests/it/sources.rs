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
