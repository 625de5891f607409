use std::fs;

use super::*;
use crate::{Corpus, ReadOptions, Store};

fn source(dir: &Path, name: &str, text: &str) -> Source {
    fs::write(dir.join(name), text).unwrap();
    Source::Paths { paths: vec![dir.join(name)], options: ReadOptions::default() }
}

fn text_of(store: &Store, tokenizer: &Tokenizer) -> String {
    let mut ids = vec![0; store.n_tokens() as usize];
    store.read(0, &mut ids).unwrap();
    tokenizer.decode(&ids).unwrap()
}

#[test]
fn the_stores_hold_the_text() {
    let dir = tempfile::tempdir().unwrap();
    let text = "It was the best of times,\nit was the worst of times.\n".repeat(60_000);
    let source = source(dir.path(), "a.txt", &text);
    let tokenizer = train_tokenizer(&source, Scheme::Gpt, 300).unwrap();
    let (train, validation) = (dir.path().join("train"), dir.path().join("validation"));
    build(&source, &tokenizer, &train, None).unwrap();
    let store = Store::open_for(&train, &tokenizer).unwrap();
    store.verify().unwrap();
    assert_eq!((store.n_documents(), store.n_text_bytes()), (1, text.len() as u64));
    assert_eq!(text_of(&store, &tokenizer), text);
    assert_eq!(store.n_tokens(), tokenizer.encode(&text).unwrap().len() as u64 + 1);

    build(&source, &tokenizer, &train, Some((&validation, 0.1))).unwrap();
    let n_trained = Store::open(&train).unwrap().n_text_bytes();
    let store = Store::open(&validation).unwrap();
    assert_eq!(store.n_text_bytes() + n_trained, text.len() as u64);
    assert!(store.n_text_bytes().abs_diff(text.len() as u64 / 10) < 4000, "{store:?}");
    assert!(text.contains(text_of(&store, &tokenizer).get(..1000).unwrap()));
}

#[test]
fn the_stores_are_the_same_for_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let text = Corpus::Austen.text()[..300_000].to_owned();
    let source = source(dir.path(), "a.txt", &text);
    let hashes = [1, 4].map(|n_threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| {
            let tokenizer = train_tokenizer(&source, Scheme::Gpt, 500).unwrap();
            let train = dir.path().join("train");
            build(&source, &tokenizer, &train, None).unwrap();
            Store::open(&train).unwrap().content_hash()
        })
    });
    assert_eq!(hashes[0], hashes[1]);
}

#[test]
fn a_text_that_names_the_special_token_does_not_get_it() {
    let dir = tempfile::tempdir().unwrap();
    let text = "before <|endoftext|> after";
    let source = source(dir.path(), "a.txt", text);
    let tokenizer = train_tokenizer(&source, Scheme::Gpt, 300).unwrap();
    let train = dir.path().join("train");
    build(&source, &tokenizer, &train, None).unwrap();
    let store = Store::open(&train).unwrap();
    let mut ids = vec![0; store.n_tokens() as usize];
    store.read(0, &mut ids).unwrap();
    let n_ends = ids.iter().filter(|&&id| Some(id) == tokenizer.end_of_text()).count();
    assert_eq!((n_ends, text_of(&store, &tokenizer).as_str()), (1, text));
}

#[test]
fn bad_text_leaves_no_store() {
    let dir = tempfile::tempdir().unwrap();
    let good = source(dir.path(), "good.txt", "good text");
    let tokenizer = train_tokenizer(&good, Scheme::Gpt, 300).unwrap();
    fs::write(dir.path().join("bad.txt"), b"bad \xFF text").unwrap();
    let paths = vec![dir.path().join("good.txt"), dir.path().join("bad.txt")];
    let source = Source::Paths { paths, options: ReadOptions::default() };
    let train = dir.path().join("train");
    let error = build(&source, &tokenizer, &train, None).unwrap_err();
    assert!(matches!(error, DataError::Utf8 { byte: 4, .. }), "{error}");
    assert!(train_tokenizer(&source, Scheme::Gpt, 300).is_err());
    let mut left: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["bad.txt", "good.txt"]);
}

#[test]
fn records_are_counted_as_they_were_read_and_those_without_text_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let long = "some words\n".repeat(300_000);
    let lines = format!("{{\"text\": {long:?}}}\n{{\"text\": \" \\n\"}}\n{{\"text\": null}}\n");
    let source = source(dir.path(), "a.jsonl", &lines);
    let tokenizer = train_tokenizer(&source, Scheme::Gpt, 300).unwrap();
    let (train, validation) = (dir.path().join("train"), dir.path().join("validation"));
    for validation in [None, Some((validation.as_path(), 0.1))] {
        let built = build_watched(&source, &tokenizer, &train, validation, |_| {}).unwrap();
        assert_eq!((built.n_documents, built.noted.empty.n), (3, 2));
        assert!(
            built.noted.empty.first[1].ends_with("a.jsonl`, line 3"),
            "{:?}",
            built.noted.empty
        );
        assert_eq!(built.n_text_bytes, long.len() as u64);
    }
}

#[test]
fn impossible_fractions_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let source = source(dir.path(), "a.txt", "text");
    let tokenizer = train_tokenizer(&source, Scheme::Gpt, 300).unwrap();
    let (train, validation) = (dir.path().join("train"), dir.path().join("validation"));
    for fraction in [0.0, -0.1, 0.6, f64::NAN] {
        let validation = Some((validation.as_path(), fraction));
        let error = build(&source, &tokenizer, &train, validation).unwrap_err();
        assert!(matches!(error, DataError::Config { .. }), "{fraction}: {error}");
    }
}
