use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::{ReadOptions, build};

fn hashes(names: &str) -> Vec<blake3::Hash> {
    names.chars().map(|name| blake3::hash(name.to_string().as_bytes())).collect()
}

type Parts = (u64, Vec<(u64, u64)>, Vec<u64>, Vec<u64>);

fn between(a: &str, b: &str) -> Parts {
    let Difference { n_same, changed, removed, added } =
        Difference::between(&hashes(a), &hashes(b));
    (n_same, changed, removed, added)
}

#[test]
fn a_difference_is_what_was_done() {
    assert_eq!(between("abc", "abc"), (3, vec![], vec![], vec![]));
    assert_eq!(between("abc", "axc"), (2, vec![(1, 1)], vec![], vec![]));
    assert_eq!(between("abc", "ac"), (2, vec![], vec![1], vec![]));
    assert_eq!(between("ac", "abc"), (2, vec![], vec![], vec![1]));
    assert_eq!(between("abcd", "dcba"), (4, vec![], vec![], vec![]), "moved");
    assert_eq!(between("aab", "ab"), (2, vec![], vec![1], vec![]), "one of two");
    assert_eq!(between("", "ab"), (0, vec![], vec![], vec![0, 1]));
    assert_eq!(between("xyb", "zb"), (1, vec![(0, 0)], vec![1], vec![]));
}

#[test]
fn lengths_are_counted_by_powers_of_two() {
    let lengths = Lengths::new(vec![9, 1, 0, 2, 3]);
    assert_eq!(lengths.histogram(), [(1..2, 2), (2..4, 2), (4..8, 0), (8..16, 1)]);
    assert_eq!([0.0, 0.5, 1.0].map(|share| lengths.quantile(share)), [0, 2, 9]);
    assert_eq!(lengths.total(), 15);
    let huge = Lengths::new(vec![u64::MAX]);
    assert_eq!(huge.histogram(), [(1 << 63..u64::MAX, 1)]);
    assert_eq!((Lengths::default().histogram(), Lengths::default().quantile(0.5)), (vec![], 0));
}

#[test]
fn a_store_says_what_its_text_says() {
    let dir = tempfile::tempdir().unwrap();
    let texts = ["It was a bright day.", "", "\u{6c34}\u{6c34} <|endoftext|>", "It was cold.\n"];
    let lines = texts.map(|text| serde_json::json!({ "text": text }).to_string() + "\n");
    let (path, out) = (dir.path().join("a.jsonl"), dir.path().join("a.tokens"));
    std::fs::write(&path, lines.concat()).unwrap();
    let source = Source::Paths { paths: vec![path], options: ReadOptions::default() };
    let tokenizer = Tokenizer::train(texts.map(str::to_owned).into_iter(), 300).unwrap();
    build(&source, &tokenizer, &out, None).unwrap();
    let store = Origin::Store(Box::new(Store::open(&out).unwrap()));
    let text = Origin::Text(source);
    let [a, b] = [&store, &text].map(|origin| origin.survey(Some(&tokenizer)).unwrap());
    // A store has no documents without tokens.
    assert_eq!((a.n_documents, b.n_documents), (3, 4));
    assert_eq!((text.n_documents().unwrap(), store.n_documents().unwrap()), (4, 3));
    let total = |lengths: &Option<Lengths>| lengths.as_ref().unwrap().total();
    assert_eq!(total(&a.n_bytes), texts.concat().len() as u64);
    assert_eq!((total(&a.n_bytes), total(&a.n_tokens)), (total(&b.n_bytes), total(&b.n_tokens)));
    let end = tokenizer.end_of_text().unwrap() as usize;
    assert_eq!(total(&a.n_tokens), Store::open(&out).unwrap().n_tokens());
    assert_eq!((a.counts[end], &a.counts), (3, &b.counts));
    let wanted = [(0, texts[0].to_owned()), (2, "It was".to_owned())];
    let found = store.documents(&[0, 2], 20, Some(&tokenizer)).unwrap();
    assert_eq!(found[0], wanted[0]);
    assert_eq!(text.documents(&[0, 3], 6, None).unwrap()[1], (3, "It was".to_owned()));
    assert_eq!(text.documents(&[2], 4, None).unwrap(), [(2, "\u{6c34}".to_owned())]);
    assert_eq!(store.hashes().unwrap().len(), 3);
    let bare = store.survey(None).unwrap();
    assert_eq!((bare.n_bytes, bare.n_tokens), (None, a.n_tokens));
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let paths = vec![PathBuf::from("/nowhere")];
    let origin = Origin::Text(Source::Paths { paths, options: ReadOptions::default() });
    assert!(origin.survey(None).is_err() && origin.hashes().is_err());
    assert!(origin.n_documents().is_err() && origin.documents(&[0], 1, None).is_err());
}

proptest! {
    #[test]
    fn a_difference_counts_every_document(a in "[a-f]{0,12}", b in "[a-f]{0,12}") {
        let d = Difference::between(&hashes(&a), &hashes(&b));
        let both = d.n_same + d.changed.len() as u64;
        prop_assert_eq!(both + d.removed.len() as u64, a.len() as u64);
        prop_assert_eq!(both + d.added.len() as u64, b.len() as u64);
        prop_assert_eq!(Difference::between(&hashes(&a), &hashes(&a)).n_same, a.len() as u64);
    }

    #[test]
    fn a_sample_is_of_different_documents(n in 0_u64..200, k in 0_usize..50, seed: u64) {
        let chosen = sample(n, k, seed);
        prop_assert_eq!(chosen.len() as u64, n.min(k as u64));
        prop_assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert!(chosen.iter().all(|&i| i < n));
        prop_assert_eq!(&chosen, &sample(n, k, seed));
    }
}
