//! `lyceum data`: text to token stores, and what is in either.

mod crawl;
mod page;

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use ::checkpoint::{OsDisk, atomic};
use ::data::{Built, Difference, Lengths, Noted, Origin, ReadOptions, Source, Store, Survey};
use ::data::{Checked, Layout, Problem, build_watched, check as look_through, sample as draw};
use serde_json::{Value, json};
use tokenize::Tokenizer;
use train::report::format::{bytes, duration, grouped, percent};

use super::load::model_dir;
use super::pretrain::corpus::{warn_of_noted, warn_of_skipped};
use super::pretrain::preflight::check_empty;
use super::table::{Facts, Table, printable, shell_word};
use super::{Shown, print, show};
use crate::cli::{Data, Diff, InspectData, ReadArgs, Sample, ShardArgs, Stats, Tokenize};
use crate::environment::Env;
use crate::failure::{Context, Exit, Failure};
use crate::progress::Download;

/// Bytes of a document that are shown among others.
const EXCERPT_BYTES: usize = 240;
/// Characters of the longest bar.
const BAR: f64 = 40.0;

/// Runs a command on data.
///
/// # Errors
/// Where something cannot be read or written, or is damaged.
pub fn run(command: &Data, env: &Env) -> Result<Exit, Failure> {
    match command {
        Data::Crawl(args) => crawl::run(args, env),
        Data::Tokenize(args) => tokenize(args, env),
        Data::Inspect(args) => show(args.json, inspect(args, env)?),
        Data::Stats(args) => stats(args, env),
        Data::Sample(args) => sample(args, env),
        Data::Diff(args) => show(args.json, diff(args, env)?),
        Data::Check { path, json } => check(path, *json),
    }
}

fn tokenize(args: &Tokenize, env: &Env) -> Result<Exit, Failure> {
    let source = source(&args.inputs, &args.read)?;
    warn_of_skipped(&source, env)?;
    let tokenizer = Tokenizer::load(&model_dir(&args.tokenizer)?)?;
    let (total, began) = (source.n_file_bytes()?, Instant::now());
    let mut progress = Download::new(env, io::stderr().is_terminal(), total);
    let mut before = 0;
    let built = build_watched(&source, &tokenizer, &args.out, None, |built| {
        let Built { n_file_bytes, n_documents, n_tokens, .. } = *built;
        let what = format!("{} documents, {} tokens", grouped(n_documents), grouped(n_tokens));
        progress.update(&what, n_file_bytes, n_file_bytes - before);
        before = n_file_bytes;
    });
    progress.finish();
    let built = built?;
    warn_of_noted("", &built.noted, env);
    check_empty("", &built, 1.0, env)?;
    let seconds = began.elapsed().as_secs_f64();
    env.say(&format!(
        "{} of text in {}: {}/s",
        bytes(built.n_text_bytes),
        duration(seconds),
        bytes((built.n_text_bytes as f64 / seconds) as u64),
    ));
    env.say(&format!(
        "`lyceum data stats {} --tokenizer {}` counts what is in it",
        shell_word(&args.out),
        shell_word(&args.tokenizer)
    ));
    let facts = header(&Store::open(&args.out)?, &args.out);
    let Noted { left_out, done, .. } = &built.noted;
    let [left_out, done] = [left_out, done].map(|all| -> Value {
        all.iter().map(|(what, places)| ((*what).to_owned(), Value::from(places.n))).collect()
    });
    let n_left_out = built.noted.n_left_out();
    let more = json!({
        "seconds": seconds, "n_empty": built.noted.empty.n, "n_left_out": n_left_out,
        "left_out": left_out, "done": done,
    });
    show(args.json, facts.more(more).end())
}

fn source(paths: &[PathBuf], read: &ReadArgs) -> Result<Source, Failure> {
    let is_stdin = |path: &PathBuf| path == Path::new("-");
    if paths.iter().any(is_stdin) {
        return match paths {
            [_] => Ok(Source::Stdin),
            _ => Err(Failure::new("`-` stands beside other files")
                .hint("standard input is read alone: run the command twice")),
        };
    }
    let ReadArgs { format, field, separator } = read.clone();
    let options = ReadOptions { format, field, separator, ..ReadOptions::default() };
    Ok(Source::Paths { paths: paths.to_vec(), options })
}

/// A store by its first bytes, else files.
fn origin(path: &Path, read: &ReadArgs, env: &Env) -> Result<Origin, Failure> {
    let mut start = [0; 8];
    let is_file = path.metadata().reading(path)?.is_file();
    let n = if is_file {
        File::open(path).and_then(|mut f| f.read(&mut start)).reading(path)?
    } else {
        0
    };
    let has_name = path.extension().is_some_and(|extension| extension == "tokens");
    if is_file && (&start[..n] == b"LYCTOKEN" || has_name) {
        return Ok(Origin::Store(Box::new(Store::open(path)?)));
    }
    let source = source(&[path.to_owned()], read)?;
    warn_of_skipped(&source, env)?;
    Ok(Origin::Text(source))
}

/// A shard, and the tokenizer that is named or lies beside a store.
fn shard(args: &ShardArgs, env: &Env) -> Result<(Origin, Option<Tokenizer>), Failure> {
    let origin = origin(&args.path, &args.read, env)?;
    let beside = args.path.with_file_name("tokenizer");
    let found = matches!(origin, Origin::Store(_)) && beside.is_dir();
    let dir = args.tokenizer.as_ref().or(found.then_some(&beside));
    let tokenizer = dir.map(|dir| Tokenizer::load(&model_dir(dir)?).map_err(Failure::from));
    let tokenizer = tokenizer.transpose()?;
    if let (Origin::Store(_), Some(tokenizer)) = (&origin, &tokenizer) {
        Store::open_for(&args.path, tokenizer)?;
    }
    Ok((origin, tokenizer))
}

/// What a store says of itself.
pub fn header(store: &Store, path: &Path) -> Facts {
    Facts::default()
        .text("kind", "token_store")
        .text("path", path.display())
        .count("n_tokens", store.n_tokens())
        .count("n_documents", store.n_documents())
        .count("n_text_bytes", store.n_text_bytes())
        .count("vocab_size", store.vocab_size() as u64)
        .perhaps("end_of_text", store.end_of_text(), |id| id.to_string())
        .text("tokenizer_hash", store.tokenizer_hash())
        .text("content_hash", store.content_hash())
}

fn inspect(args: &InspectData, env: &Env) -> Result<Shown, Failure> {
    let path = &args.shard.path;
    let (origin, tokenizer) = shard(&args.shard, env)?;
    let mut facts = match &origin {
        Origin::Store(store) => {
            if args.verify {
                store.verify()?;
            }
            let shown = if args.verify { "all of it" } else { "its header; `--verify` reads all" };
            header(store, path).with("verified", args.verify, shown)
        }
        Origin::Text(source) => {
            if args.verify {
                return Err(Failure::new(format!("`{}` is no token store", path.display()))
                    .hint("files of text carry no hash: leave `--verify` out"));
            }
            let counts = origin.survey(None)?;
            let n_bytes = counts.n_bytes.as_ref().map_or(0, Lengths::total);
            Facts::default()
                .text("kind", "text")
                .text("path", path.display())
                .count("n_files", source.files()?.len() as u64)
                .count("n_documents", counts.n_documents)
                .count("n_text_bytes", n_bytes)
        }
    };
    let n = origin.n_documents()?.min(args.documents as u64);
    let first: Vec<u64> = (0..n).collect();
    let documents = origin.documents(&first, EXCERPT_BYTES, tokenizer.as_ref())?;
    if !documents.is_empty() {
        let mut table = Table::new(&["document", "begins"]);
        for (number, text) in &documents {
            table.row(&[number.to_string(), text.replace(['\n', '\t', '\r'], " ")]);
        }
        let json =
            documents.iter().map(|(number, text)| json!({ "document": number, "text": text }));
        facts = facts.section("documents", (table.text(), json.collect()));
    }
    Ok(facts.end())
}

fn stats(args: &Stats, env: &Env) -> Result<Exit, Failure> {
    let (origin, tokenizer) = shard(&args.shard, env)?;
    let survey = origin.survey(tokenizer.as_ref())?;
    if tokenizer.is_none() {
        env.say("`--tokenizer DIR` knows bytes of tokens, and tokens of text");
    }
    let frequent = survey.most_frequent(args.top);
    let total: u64 = survey.counts.iter().sum();
    let mut facts = Facts::default()
        .text("path", args.shard.path.display())
        .count("n_documents", survey.n_documents);
    for (unit, lengths) in units(&survey) {
        facts = facts.count(&format!("n_{unit}"), lengths.total());
    }
    for (unit, lengths) in units(&survey) {
        facts = facts.section(&format!("{unit}_a_document"), histogram(unit, lengths));
    }
    if !frequent.is_empty() {
        let mut table = Table::new(&["id", "token", "count", "share"]);
        let mut list = vec![];
        for (id, n) in frequent {
            let token = tokenizer.as_ref().and_then(|tokenizer| tokenizer.token(id));
            let share = n as f64 / total as f64;
            let shown = token.clone().unwrap_or_else(|| "-".to_owned());
            table.row(&[id.to_string(), shown, grouped(n), percent(share)]);
            list.push(json!({ "id": id, "token": token, "count": n }));
        }
        facts = facts.section("most_frequent", (table.text(), list.into()));
    }
    let shown = facts.end();
    if let Some(path) = &args.html {
        let page = page::page(&args.shard.path.display().to_string(), &survey, &shown.1);
        atomic::write_file(&OsDisk, path, page.as_bytes())?;
        env.say(&format!("`{}` is written", path.display()));
    }
    show(args.json, shown)
}

/// The lengths that are known, by their unit.
fn units(survey: &Survey) -> impl Iterator<Item = (&'static str, &Lengths)> {
    [("tokens", &survey.n_tokens), ("bytes", &survey.n_bytes)]
        .into_iter()
        .filter_map(|(unit, lengths)| Some((unit, lengths.as_ref()?)))
}

/// Quantiles and a line a power of two.
fn histogram(unit: &str, lengths: &Lengths) -> Shown {
    let shares = [("least", 0.0), ("p10", 0.1), ("median", 0.5), ("p90", 0.9), ("most", 1.0)];
    let quantiles: Vec<_> = shares.map(|(name, share)| (name, lengths.quantile(share))).into();
    let listed = quantiles.iter().map(|(name, n)| format!("{name} {}", grouped(*n)));
    let mut text = format!("{unit} a document: {}\n", listed.collect::<Vec<_>>().join(", "));
    let bars = lengths.histogram();
    let most = bars.iter().map(|(_, n)| *n).max().unwrap_or(0).max(1);
    let mut table = Table::default();
    for (range, n) in &bars {
        let n_marks = (*n as f64 / most as f64 * BAR).ceil() as usize;
        let from = format!("  from {}", grouped(range.start));
        table.row(&[from, grouped(*n), "#".repeat(n_marks)]);
    }
    text += &table.text();
    let quantiles: Value =
        quantiles.into_iter().map(|(name, n)| (name.to_owned(), Value::from(n))).collect();
    let bars: Value = bars
        .into_iter()
        .map(|(range, n)| json!({ "from": range.start, "n_documents": n }))
        .collect();
    (text, json!({ "quantiles": quantiles, "histogram": bars }))
}

fn sample(args: &Sample, env: &Env) -> Result<Exit, Failure> {
    let (origin, tokenizer) = shard(&args.shard, env)?;
    if matches!(origin, Origin::Store(_)) && tokenizer.is_none() {
        env.warn("without `--tokenizer DIR` there are only the numbers of tokens");
    }
    let numbers = draw(origin.n_documents()?, args.n, args.seed);
    for (number, text) in origin.documents(&numbers, args.max_bytes, tokenizer.as_ref())? {
        print(&if args.json {
            format!("{}\n", json!({ "document": number, "text": text }))
        } else {
            format!("--- document {number}\n{}\n", printable(text.trim_end(), true))
        })?;
    }
    Ok(Exit::Done)
}

fn diff(args: &Diff, env: &Env) -> Result<Shown, Failure> {
    let [a, b] = [&args.a, &args.b].map(|path| origin(path, &args.read, env));
    let (a, b) = (a?, b?);
    match (&a, &b) {
        (Origin::Store(a), Origin::Store(b)) if a.tokenizer_hash() != b.tokenizer_hash() => {
            return Err(Failure::new("the two stores are of two tokenizers")
                .hint("compare the texts they were made of"));
        }
        (Origin::Store(_), Origin::Text(_)) | (Origin::Text(_), Origin::Store(_)) => {
            return Err(Failure::new("one is a token store, the other is text")
                .hint("`lyceum data tokenize` makes a store of the text"));
        }
        _ => {}
    }
    let [a, b] = [a, b].map(|origin| origin.hashes());
    let Difference { n_same, changed, removed, added } = Difference::between(&a?, &b?);
    let some = |numbers: Vec<u64>| {
        let n = numbers.len();
        let mut shown: Vec<String> =
            numbers.into_iter().take(args.documents).map(|number| number.to_string()).collect();
        shown.extend((n > args.documents).then(|| "..".to_owned()));
        shown.join(" ")
    };
    let rows = [
        ("same", n_same as usize, String::new()),
        ("changed", changed.len(), some(changed.iter().map(|(_, number)| *number).collect())),
        ("removed", removed.len(), some(removed.clone())),
        ("added", added.len(), some(added.clone())),
    ];
    let mut table = Table::new(&["", "documents", "which"]);
    for (name, n, which) in rows {
        table.row(&[name.to_owned(), grouped(n as u64), which]);
    }
    let counts = json!({
        "n_same": n_same, "n_changed": changed.len(), "n_removed": removed.len(),
        "n_added": added.len(),
        "changed": changed.iter().take(args.documents).collect::<Vec<_>>(),
        "removed": removed.iter().take(args.documents).collect::<Vec<_>>(),
        "added": added.iter().take(args.documents).collect::<Vec<_>>(),
    });
    Ok((table.text(), counts))
}

/// Kinds that are shown to people, the most frequent first.
const KINDS_SHOWN: usize = 20;

/// Shows what is there, and fails where something is wrong.
fn check(path: &Path, json: bool) -> Result<Exit, Failure> {
    let found = look_through(path)?;
    let Checked { layout, n_archives, n_files, n_bytes, n_samples, kinds, .. } = &found;
    let (kind, column) = match layout {
        Layout::Samples => ("samples", "ending"),
        Layout::Classes => ("classes", "class"),
    };
    let mut table = Table::new(&[column, "files"]);
    let mut sorted: Vec<_> = kinds.iter().collect();
    sorted.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    for (name, n) in sorted.iter().take(KINDS_SHOWN) {
        table.row(&[(*name).clone(), grouped(**n)]);
    }
    if sorted.len() > KINDS_SHOWN {
        table.row(&[format!("{} more", sorted.len() - KINDS_SHOWN)]);
    }
    let mut facts = Facts::default()
        .text("kind", kind)
        .text("path", path.display())
        .count("n_archives", *n_archives)
        .count("n_files", *n_files)
        .with("n_bytes", *n_bytes, bytes(*n_bytes))
        .count("n_samples", *n_samples)
        .count("n_problems", found.n_problems)
        .section("kinds", (table.text(), json!(kinds)));
    if !found.problems.is_empty() {
        let (mut table, mut list) = (Table::new(&["entry", "problem"]), vec![]);
        for Problem { entry, what } in &found.problems {
            table.row(&[entry, what]);
            list.push(json!({ "entry": entry, "problem": what }));
        }
        facts = facts.section("problems", (table.text(), list.into()));
    }
    show(json, facts.end())?;
    match found.n_problems {
        0 => Ok(Exit::Done),
        n => Err(Failure::new(format!("`{}` has {n} problems", path.display()))),
    }
}
