use std::fs;
use std::ops::Range;

use proptest::prelude::*;

use super::super::tests::{folder, parquet_file, read};
use super::super::{Noted, ReadOptions, Source};
use super::*;
use crate::DataError;

/// JSONL in which every record has the field `spans`, or not.
fn annotated(lines: &str) -> (Result<Vec<Document>, DataError>, Noted) {
    let dir = folder(&[("a.jsonl", lines.as_bytes())]);
    let options = ReadOptions { spans: Some("spans".to_owned()), ..ReadOptions::default() };
    let source = Source::Paths { paths: vec![dir.path().join("a.jsonl")], options };
    let mut documents = source.open().unwrap();
    let found = documents.by_ref().collect();
    (found, documents.noted())
}

fn phrases(document: &Document) -> Vec<&str> {
    document.spans.iter().map(|span| &document.text[span.clone()]).collect()
}

#[test]
fn spans_are_characters_in_every_form_of_the_field() {
    let text = "\u{6c34} Ada Lovelace\u{1f600}met Babbage.";
    let (found, noted) = annotated(&format!(
        "{{\"text\": \"{text}\", \"spans\": [[19, 26], [2, 14, \"PER\"]]}}\n\
         {{\"spans\": [{{\"word\": [1], \"start\": 2, \"end\": 14}}], \"text\": \"{text}\"}}\n\
         {{\"text\": \"{text}\", \"spans\": []}}\n"
    ));
    let found = found.unwrap();
    assert_eq!(phrases(&found[0]), ["Ada Lovelace", "Babbage"]);
    assert_eq!((phrases(&found[1]), phrases(&found[2])), (vec!["Ada Lovelace"], vec![]));
    assert_eq!(noted, Noted::default());
}

#[test]
fn bad_spans_are_left_out_and_counted_or_refused_with_their_line() {
    let (found, noted) = annotated(
        "{\"text\": \"New York Times\", \"spans\": [[4, 8], [0, 8], [0, 14], [8, 10], [9, 99], \
         [-1, 3], [3, 3], [5, 2], [3, 4]]}\n{\"text\": \"a b\"}\n\
         {\"text\": \"a b c\", \"spans\": [[0, 1], [1, 4], [2, 3], [4, 5], [1, 2]]}\n\
         {\"text\": \"x\", \"spans\": null}\n",
    );
    let found = found.unwrap();
    assert_eq!(phrases(&found[0]), ["New York Times"]);
    assert_eq!(phrases(&found[2]), ["a", "b", "c"], "blanks around a phrase are no part of it");
    let counts: Vec<u64> = noted.done.values().map(|places| places.n).collect();
    // Not in the text: 4; inside of another: 4 and 2; without the field: 2.
    assert_eq!(counts, [4, 6, 2], "{noted:?}");
    assert!(noted.done.values().all(|places| places.first[0].contains("a.jsonl`, line ")));
    for bad in ["1", "{}", "[1]", "[[1]]", "[[1, 2.5]]", "[{\"start\": 1}]", "[[0, \"b\"]]"] {
        let lines = format!("{{\"text\": \"a\"}}\n{{\"text\": \"a\", \"spans\": {bad}}}\n");
        let error = annotated(&lines).0.unwrap_err();
        assert!(matches!(error, DataError::Spans { .. }) && error.hint().is_some(), "{bad}");
        assert!(error.to_string().contains("a.jsonl`, line 2: field `spans`"), "{error}");
    }
}

#[test]
fn tables_and_columns_have_spans_as_json_and_text_has_none() {
    let csv = "text,note\nAda met Bob,\"[[0, 3]]\"\nnobody,\n";
    let rows = [Some("[[0, 2]]"), None, Some("[{\"start\": 0, \"end\": 1}]")];
    let dir = folder(&[("a.csv", csv.as_bytes()), ("a.parquet", &parquet_file(&rows))]);
    let read = |name: &str, field: &str, spans: &str| {
        let (field, spans) = (field.to_owned(), Some(spans.to_owned()));
        read(&dir.path().join(name), &ReadOptions { field, spans, ..ReadOptions::default() })
    };
    assert_eq!(phrases(&read("a.csv", "text", "note").unwrap()[0]), ["Ada"]);
    let error = read("a.csv", "text", "no").unwrap_err();
    assert!(error.to_string().contains("column `no` is not there"), "{error}");
    // The column with the JSON is its own text here; a null has no text.
    let found = read("a.parquet", "text", "text").unwrap();
    let found: Vec<Vec<&str>> = found.iter().map(phrases).collect();
    assert_eq!(found, [vec!["[["], vec![], vec!["["]]);
    fs::write(dir.path().join("a.txt"), "text").unwrap();
    let error = read("a.txt", "text", "spans").unwrap_err();
    assert!(matches!(error, DataError::Config { field: "spans", .. }), "{error}");
}

proptest! {
    #[test]
    fn spans_are_in_order_apart_and_on_characters(
        text in "[a\u{e9}\u{6c34}\u{1f600} ]{0,12}",
        spans in proptest::collection::vec((-2i64..14, -2i64..14), 0..8),
        at in 0usize..13
    ) {
        let line = serde_json::json!({ "text": text, "spans": spans }).to_string();
        let (found, noted) = annotated(&line);
        // No text at all but blanks is a document here, and empty.
        let mut document = found.unwrap().remove(0);
        let n_left_out: u64 = noted.done.values().map(|places| places.n).sum();
        prop_assert_eq!(document.spans.len() as u64 + n_left_out, spans.len() as u64);
        let mut last = 0;
        for span in &document.spans {
            prop_assert!(last <= span.start && span.start < span.end);
            prop_assert_eq!(text[span.clone()].trim(), &text[span.clone()]);
            last = span.end;
        }
        let at = text.floor_char_boundary(at);
        let bytes = |document: &Document| document.spans.iter().map(Range::len).sum::<usize>();
        let n_bytes = bytes(&document);
        let tail = document.split_off(at);
        prop_assert_eq!(bytes(&document) + bytes(&tail), n_bytes, "no byte of a phrase is lost");
        for half in [&document, &tail] {
            prop_assert!(half.spans.iter().all(|span| half.text.get(span.clone()).is_some()));
        }
    }
}
