//! `lyceum data crawl`: archives to a corpus, alone and by several, to its end and killed.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tempfile::TempDir;

use crate::fixture::{Ran, arg, lyceum, run};
use crate::kill::{SmallDisk, signal};

/// Archives, a recipe, an evaluation set, and room for corpora.
pub struct Web {
    dir: TempDir,
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("written");
    encoder.finish().expect("written")
}

fn record(i: usize, answer: &str, page: &str) -> Vec<u8> {
    let payload = format!("HTTP/1.1 {answer}\r\n\r\n{page}");
    let n = payload.len();
    format!(
        "WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://example.org/{i}\r\n\
         WARC-Date: 2024-05-06T07:08:09Z\r\nContent-Length: {n}\r\n\r\n{payload}\r\n\r\n"
    )
    .into_bytes()
}

const HTML: &str = "200 OK\r\nContent-Type: text/html; charset=utf-8";
const GERMAN: &str = "Alle Menschen sind frei und gleich an W\u{fc}rde und Rechten geboren. Sie \
    sind mit Vernunft und Gewissen begabt und sollen einander im Geist der Br\u{fc}derlichkeit \
    begegnen.";

/// Paragraphs of novels, one after the other.
fn paragraphs() -> Vec<String> {
    let text = data::Corpus::Austen.text();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    // Quotation marks end no sentence for FineWeb's rule.
    let long = text.split("\n\n").filter(|it| it.len() > 900 && it.trim_end().ends_with('.'));
    long.take(160).map(words).collect()
}

fn page(text: &str) -> String {
    format!("<!doctype html><title>A page</title><article><p>{text}</p></article>")
}

impl Web {
    pub fn new() -> Self {
        let web = Self { dir: TempDir::new().expect("a directory") };
        fs::create_dir(web.path("warcs")).expect("made");
        let texts = paragraphs();
        let (mut packed, mut plain) = (Vec::new(), Vec::new());
        for (i, pair) in texts.chunks(2).enumerate() {
            let text = pair.join("</p><p>");
            packed.extend(gzip(&match i % 10 {
                3 => record(i, "404 Not Found", &page(&text)),
                4 => record(i, "200 OK\r\nContent-Type: image/png", "PNG"),
                5 => record(
                    i,
                    HTML,
                    &page("This page is too short for anybody who would like to read it."),
                ),
                6 => record(i, HTML, &page(&[GERMAN; 4].join("</p><p>"))),
                7 => record(i, HTML, &page(&format!("{text} Write to jane@austen.org, please."))),
                _ => record(i, HTML, &page(&text)),
            }));
            // The same once more; and nearly.
            match i % 10 {
                1 => plain.extend(record(i, HTML, &page(&text))),
                2 => plain.extend(record(i, HTML, &page(&format!("{text} One more.")))),
                _ => {}
            }
        }
        let cut = packed.len() - 100;
        fs::write(web.path("warcs/a.warc.gz"), &packed[..cut]).expect("written");
        fs::write(web.path("warcs/b.warc"), &plain).expect("written");
        fs::write(web.path("warcs/c.warc"), "no archive at all").expect("written");
        let question = texts[16].split(' ').take(20).collect::<Vec<_>>().join(" ");
        let question = serde_json::json!({ "question": question });
        fs::write(web.path("quiz.jsonl"), question.to_string()).expect("written");
        let recipe = format!(
            "[crawl]\ninputs = ['{}']\nslice_bytes = 16384\n\n[duplicates]\npartitions = 3\n\
             memory_mib = 4\n\n[contamination.sets]\nquiz = ['{}']\n",
            web.path("warcs").display(),
            web.path("quiz.jsonl").display()
        );
        fs::write(web.path("recipe.toml"), recipe).expect("written");
        web
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn args(&self, out: &str, more: &[&str]) -> Vec<String> {
        let (recipe, out) = (arg(self.path("recipe.toml")), arg(self.path(out)));
        let own = ["data", "crawl", &recipe, "--out", &out].map(str::to_owned);
        own.into_iter().chain(more.iter().map(|&it| it.to_owned())).collect()
    }

    pub fn crawl(&self, out: &str, more: &[&str]) -> Ran {
        run(&self.args(out, more))
    }

    fn start(&self, out: &str, more: &[&str]) -> Child {
        let mut command = lyceum(&self.args(out, more));
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("runs")
    }

    /// What is to be the same however it was made.
    pub fn corpus(&self, out: &str) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        for folder in ["final", "manifests", "shards"] {
            for entry in fs::read_dir(self.path(out).join(folder)).expect("there").flatten() {
                let name = format!("{folder}/{}", entry.file_name().display());
                found.insert(name, fs::read(entry.path()).expect("read"));
            }
        }
        let report = fs::read(self.path(out).join("report.json")).expect("there");
        found.insert("report.json".to_owned(), report);
        found
    }

    fn documents(&self, out: &str) -> Vec<Value> {
        let shards = self.corpus(out).into_iter().filter(|(name, _)| name.starts_with("final/"));
        let text = shards.flat_map(|(_, shard)| zstd::decode_all(&shard[..]).expect("decodes"));
        let text = String::from_utf8(text.collect()).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

fn sum(gone: &Value) -> u64 {
    gone.as_object().expect("reasons").values().map(|it| it["n"].as_u64().expect("n")).sum()
}

#[test]
fn every_record_becomes_a_document_or_is_counted() {
    let web = Web::new();
    let shown = web.crawl("a", &["--json"]).json();
    let report = fs::read(web.path("a/report.json")).expect("there");
    assert_eq!(shown, serde_json::from_slice::<Value>(&report).expect("JSON"));
    let (crawl, corpus) = (&shown["crawl"]["counts"], &shown["corpus"]["counts"]);
    for stage in [crawl, corpus] {
        let documents = stage["documents"].as_u64().expect("a number");
        assert_eq!(stage["records"], documents + sum(&stage["gone"]));
    }
    assert_eq!(crawl["documents"], corpus["records"]);
    assert_eq!((&shown["records"], &shown["documents"]), (&crawl["records"], &corpus["documents"]));
    for (stage, reason, n) in [
        (crawl, "status", 8),
        (crawl, "not HTML", 8),
        (crawl, "gopher.too_few_words", 8),
        (crawl, "language.other", 8),
        (corpus, "dedup.exact", 8),
        (corpus, "dedup.near", 8),
        (corpus, "contamination.quiz", 1),
    ] {
        assert_eq!(stage["gone"][reason]["n"], n, "{reason}: {}", stage["gone"]);
    }
    assert_eq!(crawl["skipped"]["truncated member"]["n"], 1);
    assert_eq!(crawl["skipped"]["garbage between records"]["n"], 1);
    let documents = web.documents("a");
    assert_eq!(documents.len() as u64, shown["documents"]);
    let packed = fs::read(web.path("warcs/a.warc.gz")).expect("read");
    for document in &documents {
        assert!(document["source"].as_str().expect("a text").ends_with("warcs/a.warc.gz"));
        let at = document["offset"].as_u64().expect("a number") as usize;
        assert!(packed[at..].starts_with(&[0x1f, 0x8b]));
        assert_eq!(document["language"], "en");
    }
    let texts = documents.iter().map(|document| document["text"].as_str().expect("a text"));
    assert_eq!(texts.filter(|text| text.contains("Write to <EMAIL>, please.")).count(), 8);
    let page = fs::read_to_string(web.path("a/report.html")).expect("there");
    assert!(page.contains("contamination.quiz") && page.contains("a.warc.gz at byte"));
    let shown = web.crawl("a", &[]).done().replace(&arg(web.path("warcs")), "warcs");
    insta::assert_snapshot!("crawl", shown);
}

#[test]
fn personal_data_may_be_told_instead() {
    let web = Web::new();
    web.crawl("a", &["--set", "personal.action=tag", "--set", "crawl.slice_bytes=99999"]).done();
    let documents = web.documents("a");
    let tagged = documents.iter().filter(|document| document["personal"] != Value::Array(vec![]));
    let found = tagged.map(|document| {
        let (span, text) = (&document["personal"][0], document["text"].as_str().expect("a text"));
        let at = |key: &str| span[key].as_u64().expect("a number") as usize;
        &text[at("start")..at("end")]
    });
    assert_eq!(found.collect::<Vec<_>>(), ["jane@austen.org"; 8]);
}

#[test]
fn three_processes_make_what_one_makes() {
    let web = Web::new();
    web.crawl("one", &[]).done();
    let ranks = ["2", "0", "1"];
    let all = ranks.map(|rank| web.start("three", &["--rank", rank, "--world", "3"]));
    for child in all {
        let ended = child.wait_with_output().expect("ends");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    assert_eq!(web.corpus("three"), web.corpus("one"));
    // As launchers say it; nothing is left to do.
    for names in
        [["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"], ["SLURM_PROCID", "SLURM_NTASKS"]]
    {
        let launched = |rank: &str| {
            let mut command = lyceum(&web.args("three", &[]));
            Ran::new(command.env(names[0], rank).env(names[1], "3").output().expect("runs"))
        };
        assert_eq!(launched("2").done(), "", "{}: the table is the first's", names[0]);
        assert!(launched("3").refused().contains("there is no rank 3 of 3"), "{}", names[0]);
        assert!(launched("x").refused().contains("expected numbers"), "{}", names[0]);
    }
}

#[test]
fn a_rank_that_is_late_is_named() {
    let web = Web::new();
    let alone = web.crawl("a", &["--rank", "1", "--world", "3", "--patience", "1", "-q"]).refused();
    assert!(alone.contains("missing is slice 0, 2, 3, 5"), "{alone}");
    assert!(alone.contains("of rank 0, 2\n") && alone.contains("hint: start those"), "{alone}");
}

#[test]
fn a_rank_with_another_recipe_is_refused() {
    let web = Web::new();
    let args = |rank| ["--rank", rank, "--world", "2", "-q"];
    let other = ["--set", "language.min_score=0.7"];
    let child = web.start("a", &[&args("1")[..], &other].concat());
    let stderr = web.crawl("a", &args("0")).refused();
    assert!(stderr.contains("is of another recipe") && stderr.contains("hint: give"), "{stderr}");
    let ended = child.wait_with_output().expect("ends");
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert!(stderr.contains("is of another recipe"), "{stderr}");
}

/// Kills what is started after `time`, and again, when it went on, after half of it.
pub fn kill_twice(time: Duration, start: impl Fn() -> Child) {
    for time in [time, time / 2] {
        let mut child = start();
        sleep(time);
        child.kill().expect("killed");
        child.wait().expect("ends");
    }
}

#[test]
fn killed_at_any_moment_it_goes_on_to_the_same_bytes() {
    let slow = std::env::var_os("SLOW").is_some_and(|value| value == "1");
    let web = Web::new();
    let began = Instant::now();
    web.crawl("whole", &[]).done();
    let (whole, expected) = (began.elapsed(), web.corpus("whole"));
    for i in 0..if slow { 25 } else { 4 } {
        let out = format!("killed-{i}");
        let share = (f64::from(i) * 0.618_034 + 0.05).fract();
        kill_twice(whole.mul_f64(share), || web.start(&out, &[]));
        web.crawl(&out, &[]).done();
        assert_eq!(web.corpus(&out), expected, "killed at {share} of {whole:?}");
    }
}

#[test]
fn a_full_disk_loses_nothing() {
    let web = Web::new();
    web.crawl("whole", &[]).done();
    let expected = web.corpus("whole");
    for size in ["16k", "100k", "200k"] {
        let Some(disk) = SmallDisk::mount(web.path("disk"), size) else { return };
        let stderr = web.crawl("disk/a", &["-q"]).refused();
        assert!(stderr.contains("failed to ") && stderr.contains("space"), "{size}: {stderr}");
        disk.grow("64m");
        web.crawl("disk/a", &[]).done();
        assert_eq!(web.corpus("disk/a"), expected, "{size}");
    }
}

#[test]
fn what_cannot_be_followed_is_refused() {
    let web = Web::new();
    fs::create_dir(web.path("empty")).expect("made");
    let inputs = |name| format!("crawl.inputs=['{}']", arg(web.path(name)));
    for name in ["dangling", "odd"] {
        fs::create_dir(web.path(name)).expect("made");
    }
    std::os::unix::fs::symlink("nowhere", web.path("dangling/link.warc")).expect("made");
    fs::write(web.path("odd").join(OsStr::from_bytes(b"\xff.warc")), "").expect("written");
    let (empty, gone) = (inputs("empty"), inputs("gone"));
    let (dangling, odd) = (inputs("dangling"), inputs("odd"));
    let cases = [
        (dangling.as_str(), "dangling/link.warc`: "),
        (&odd, "hint: give it another name"),
        (&empty, "there is no web archive in"),
        (&gone, "failed to read"),
        ("language.min_score=65", "`language.min_score`: 65 is not in [0, 1]"),
        ("filter.gopher.min_wrods=3", "did you mean `min_words`?"),
        ("contamination.sets.quiz=['no/such']", "failed to read the evaluation set `no/such`"),
        ("blocklist.domains=['no/such']", "failed to read the list `no/such`"),
        ("duplicates.rows=0", "`duplicates.rows`: 0 is not in [1, 1000]"),
        ("crawl.slice_bytes=1", "`crawl.slice_bytes` is 1, expected 1 KiB or more"),
    ];
    for (set, expected) in cases {
        let stderr = web.crawl("a", &["--set", set]).refused();
        assert!(stderr.contains(expected), "{set}: {stderr}");
        assert!(!web.path("a").exists(), "{set}");
    }
    let stderr = run(&["data", "crawl", "crwal", "--out", "a"]).refused();
    assert!(stderr.contains("no recipe `crwal`") && stderr.contains("one of crawl"), "{stderr}");
    web.crawl("a", &[]).done();
    let before = web.corpus("a");
    for (set, expected) in [
        ("language.min_score=0.7", "is of another recipe"),
        ("duplicates.bands=3", "was begun with other settings"),
        ("contamination.ngram=5", "is of another recipe"),
    ] {
        let stderr = web.crawl("a", &["-q", "--set", set]).refused();
        assert!(stderr.contains(expected) && stderr.contains("hint: "), "{set}: {stderr}");
        assert_eq!(web.corpus("a"), before, "{set}");
    }
}

#[test]
fn a_corpus_with_nothing_in_it_is_warned_of() {
    let web = Web::new();
    let head = "WARC/1.0\r\nWARC-Type: metadata\r\nContent-Length: 2\r\n\r\n{}\r\n\r\n";
    for (name, text, expected) in [
        ("a.warc.wat", head, "hint: WAT has metadata and no text"),
        ("b.warc", "", "are they web archives?"),
        ("c.warc", "junk", "are they web archives?"),
    ] {
        fs::write(web.path(name), text).expect("written");
        let set = format!("crawl.inputs=['{}']", arg(web.path(name)));
        let stderr = web.crawl(&format!("out-{name}"), &["-q", "--set", &set]).stderr;
        assert!(stderr.starts_with("warning: the inputs have no record"), "{name}: {stderr}");
        assert!(stderr.contains(expected), "{name}: {stderr}");
    }
}

#[test]
fn ctrl_c_says_how_to_go_on() {
    let web = Web::new();
    // Alone of two, it waits.
    let child = web.start("a", &["--rank", "0", "--world", "2"]);
    let began = Instant::now();
    while !web.path("a/shards/part-000000.json").exists() {
        assert!(began.elapsed() < Duration::from_mins(1), "no shard within a minute");
        sleep(Duration::from_millis(5));
    }
    for more in [&["--rank", "0", "--world", "2"][..], &[]] {
        let second = web.crawl("a", more).refused();
        assert!(second.contains("another process works in `"), "{second}");
    }
    signal(&child, "INT");
    let ended = child.wait_with_output().expect("ends");
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(3), "{stderr}");
    assert!(stderr.ends_with("stopped: the same command goes on where it was\n"), "{stderr}");
    web.crawl("a", &[]).done();
}
