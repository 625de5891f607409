use datasets::{Place, Record};
use tasks::{Example, Row};

use super::*;

fn record(at: usize, input: Input) -> Record {
    let place = Place { file: "val.jsonl".into(), unit: "line", number: 1 + at as u64 };
    Record { id: at.to_string(), at: place, input }
}

fn framed(record: usize, n_tokens: usize, label: Label) -> Framed {
    let input = Row::plain(vec![7; n_tokens]);
    let example = Example { label, input, ..Example::of(record as u64) };
    Framed { example, record, n_cut: 0, places: Vec::new(), words: Vec::new(), is_open: false }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Three classes: the right one, the one that is said, and how sure.
fn classes(rows: &[(usize, usize, f32, usize)]) -> (Vec<Record>, Vec<Framed>, Vec<Vec<f32>>) {
    let mut all = (Vec::new(), Vec::new(), Vec::new());
    for (at, &(class, said, sure, n_tokens)) in rows.iter().enumerate() {
        let label = Some(Truth::Class(class));
        all.0.push(record(at, Input::Classify { text: format!("text {at}"), pair: None, label }));
        all.1.push(framed(at, n_tokens, Label::Class(class as u32)));
        let mut scores = vec![((1.0 - sure) / 2.0).ln(); 3];
        scores[said] = sure.ln();
        all.2.push(scores);
    }
    all
}

/// The report, where each metric out of the log is what it is by itself.
#[track_caller]
fn reported(judged: &Judged, metrics: &[&str]) -> (HeadReport, Vec<Logged>) {
    let (metrics, how) = (names(metrics), Bootstrap { n_resamples: 50, ..Bootstrap::default() });
    let found = judged.report(("data", &metrics), &[], &how);
    let (report, log) = found.expect("a report");
    assert_eq!(log.len(), report.n);
    for (at, metric) in report.metrics.iter().enumerate() {
        let items: Vec<Item> = log.iter().map(|line| line.items[at].item.clone()).collect();
        let all = Kind::find(&metric.metric).expect("known").gathered(&items).expect("alike");
        let value = all.value(&(0..log.len()).collect::<Vec<_>>()).expect("a value");
        let of = metric.value.expect("a value");
        assert!((value - of).abs() < 1e-9, "{}: {value}, and not {of}", metric.metric);
        let [low, high] = metric.interval.expect("an interval");
        assert!(low <= of && of <= high && low < high, "{}: {low} .. {high}", metric.metric);
    }
    (report, log)
}

#[test]
fn confusion_bins_slices_and_errors_are_those_of_six_records() {
    let rows = [
        (0, 0, 0.95, 5),
        (0, 1, 0.95, 5),
        (1, 1, 0.55, 5),
        (1, 1, 0.55, 5),
        (2, 0, 0.55, 20),
        (2, 2, 0.75, 20),
    ];
    let (records, all, scores) = classes(&rows);
    let head = HeadKind::Classes { labels: names(&["a", "b", "c"]) };
    let judged = Judged { head: &head, framed: &all, records: &records, scores: &scores };
    let columns = [("source".to_owned(), names(&["film", "film", "film", "book", "book", ""]))];
    let metrics = names(&["accuracy", "nothing"]);
    let found = judged.report(("data", &metrics), &columns, &Bootstrap::default());
    let (report, log) = found.expect("a report");
    let matrix = [[1, 1, 0], [0, 2, 0], [1, 0, 1]].map(Vec::from).to_vec();
    assert_eq!((report.n, report.confusion), (6, Some(matrix)));
    assert_eq!(report.metrics[0].value, Some(2.0 / 3.0));
    assert!(report.metrics[1].undefined.is_some() && report.metrics[1].interval.is_none());
    // Of what has no value there is nothing in the log.
    assert!(log.iter().all(|line| line.items.len() == 1));
    assert_eq!(log[4].doc["texts"][0], "text 4");
    assert_ne!(log[4].doc_hash, log[5].doc_hash);
    let calibration = report.calibration.expect("some");
    let expected =
        [[0.5, 0.6, 3.0, 0.55, 2.0 / 3.0], [0.7, 0.8, 1.0, 0.75, 1.0], [0.9, 1.0, 2.0, 0.95, 0.5]];
    assert_eq!(calibration.bins.len(), 3);
    for (found, expected) in calibration.bins.iter().flatten().zip(expected.iter().flatten()) {
        assert!((found - expected).abs() < 1e-6, "{:?}", calibration.bins);
    }
    let ece = (3.0 * (2.0 / 3.0 - 0.55) + 0.25 + 2.0 * 0.45) / 6.0;
    assert!((calibration.ece - ece).abs() < 1e-6, "{}", calibration.ece);
    let slice = |s: &Slice| (s.column.clone(), s.value.clone(), s.n, s.error);
    let of = |column: &str, value: &str, n, error| (column.to_owned(), value.to_owned(), n, error);
    let expected = [
        of("tokens", "0 .. 8", 4, 0.25),
        of("tokens", "17 .. 32", 2, 0.5),
        of("source", "film", 3, 1.0 / 3.0),
        of("source", "book", 2, 0.5),
        of("source", "", 1, 0.0),
    ];
    assert_eq!(report.slices.iter().map(slice).collect::<Vec<_>>(), expected);
    let worst = |w: &Worst| (w.at.clone(), w.right.clone(), w.said.clone());
    let of = |at: &str, right: &str, said: &str| (at.to_owned(), right.to_owned(), said.to_owned());
    let expected = [of("`val.jsonl`, line 2", "a", "b"), of("`val.jsonl`, line 5", "c", "a")];
    assert_eq!(report.worst.iter().map(worst).collect::<Vec<_>>(), expected);
}

#[test]
fn what_is_in_the_log_comes_to_the_same_numbers() {
    let rows = [(0, 0, 0.9, 5), (0, 1, 0.8, 5), (1, 1, 0.7, 5), (1, 1, 0.6, 5), (1, 0, 0.9, 5)];
    let (records, all, scores) = classes(&rows);
    let head = HeadKind::Classes { labels: names(&["no", "yes"]) };
    let scores: Vec<Vec<f32>> = scores.iter().map(|scores| scores[..2].to_vec()).collect();
    let judged = Judged { head: &head, framed: &all, records: &records, scores: &scores };
    let (report, _) = reported(&judged, &["accuracy", "f1", "matthews", "f1_macro", "precision"]);
    let result = report.result("set/validation".to_owned());
    assert_eq!((&*result.task, result.n_docs, result.metrics.len()), ("set/validation", 5, 5));
    assert!(result.metrics[0].stderr.is_some_and(|error| error > 0.0));

    let said = [1.5, 2.0, 2.5, 4.5];
    let scores = said.map(|said| vec![said]);
    let of = |at: usize| framed(at, 5, Label::Value(1.0 + at as f32));
    let all: Vec<Framed> = (0..4).map(of).collect();
    let head = HeadKind::Score;
    let judged = Judged { head: &head, framed: &all, records: &records, scores: &scores };
    let (report, _) = reported(&judged, &["pearson", "mse"]);
    let larger: Vec<bool> =
        report.result(String::new()).metrics.iter().map(|m| m.larger_is_better).collect();
    assert_eq!((larger, report.confusion), (vec![true, false], None));
}

#[test]
fn tags_have_intervals_and_a_confusion() {
    let labels = names(&["O", "B-X", "I-X"]);
    // The last word of the second sentence was cut off.
    let rows = [
        (vec![1, 2, 0], vec![1, 2, 0]),
        (vec![0, 1, 1], vec![1, 1]),
        (vec![0, 0], vec![0, 1]),
        (vec![1], vec![1]),
    ];
    let (mut records, mut all, mut scores) = (Vec::new(), Vec::new(), Vec::new());
    for (at, (tags, said)) in rows.into_iter().enumerate() {
        let words = tags.iter().map(|tag| format!("w{tag}")).collect();
        records.push(record(at, Input::Tag { words, tags }));
        all.push(Framed { words: (0..said.len()).collect(), ..framed(at, 5, Label::None) });
        let row = |tag: usize| (0..3).map(move |class| if class == tag { 1.0 } else { 0.0 });
        scores.push(said.into_iter().flat_map(row).collect());
    }
    let head = HeadKind::Tags { labels };
    let judged = Judged { head: &head, framed: &all, records: &records, scores: &scores };
    let (report, _) = reported(&judged, &["f1", "precision", "recall", "accuracy"]);
    let matrix = [[2, 2, 0], [1, 3, 0], [0, 0, 1]].map(Vec::from).to_vec();
    assert_eq!(report.confusion, Some(matrix));
    assert_eq!(report.metrics[3].value, Some(6.0 / 9.0));
    assert_eq!(report.worst[0].right, "w0/O w1/B-X");
    // Of kinds of words, F1 is a mean over them.
    let head = HeadKind::Tags { labels: names(&["a", "b", "c"]) };
    reported(&Judged { head: &head, ..judged }, &["f1", "accuracy"]);
}

#[test]
fn answers_have_intervals_and_what_nobody_answered_is_none() {
    let context = "Ada met Eve.";
    let (mut records, mut all, mut scores) = (Vec::new(), Vec::new(), Vec::new());
    // The right answer and its token, and the token that is said; the first is no answer.
    let rows = [("Ada", 1, 1), ("Ada met", 2, 1), ("", 0, 0), ("Eve", 3, 0), ("?", 0, 0)];
    for (at, (answer, right, said)) in rows.into_iter().enumerate() {
        let is_known = answer != "?";
        let answers = if right > 0 { vec![(answer.to_owned(), 0)] } else { Vec::new() };
        let (question, is_impossible) = ("Who?".to_owned(), is_known && right == 0);
        let input = Input::Span { question, context: context.into(), answers, is_impossible };
        records.push(record(at, input));
        let label = if is_known { Label::Span([right, right]) } else { Label::None };
        let places = vec![None, Some([0, 3]), Some([4, 7]), Some([8, 11])];
        all.push(Framed { places, ..framed(at, 4, label) });
        scores.push((0..8).map(|i| if i / 2 == said { 1.0 } else { 0.0 }).collect());
    }
    let head = HeadKind::Spans;
    let judged = Judged { head: &head, framed: &all, records: &records, scores: &scores };
    let (report, _) = reported(&judged, &["f1", "exact_match"]);
    assert_eq!((report.n, report.metrics[1].value), (4, Some(50.0)));
    let unknown = (&all[4..], &scores[4..]);
    let judged = Judged { framed: unknown.0, scores: unknown.1, ..judged };
    let found = judged.report(("data", &[]), &[], &Bootstrap::default());
    assert!(found.expect_err("nobody knows").to_string().contains("records with a label"));
}
