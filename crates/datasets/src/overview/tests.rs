use super::*;
use crate::fixtures::folder;
use crate::{BYTES_MAX, Table, Wanted};

#[test]
fn what_is_there_twice_is_counted() {
    let dir = folder(&[
        ("train.csv", "text,label\nGood  film,yes\nbad film,no\ngood film,no\n,no\n"),
        ("test.csv", "text,label\nBAD film,no\nnew,yes\n"),
    ]);
    let table = |name: &str| Table::open(&[dir.path().join(name).to_string_lossy()], None).unwrap();
    let tables = [("train", table("train.csv")), ("test", table("test.csv"))];
    let (set, schema) = Dataset::read("films", &tables, &Wanted::default(), BYTES_MAX).unwrap();
    assert!(schema.to_string().starts_with("classify: reads `text` as text"));
    let overview = Overview::of(&set);
    let train = &overview.splits[0];
    let labels = [("no".to_owned(), 3), ("yes".to_owned(), 1)];
    assert_eq!((train.n_records, &train.by_label[..], train.n_unlabelled), (4, &labels[..], 0));
    assert_eq!((train.empty.n, train.repeated.n, train.conflicting.n), (1, 1, 1));
    assert!(train.repeated.first[0].ends_with("train.csv`, line 4"));
    assert_eq!(
        (train.chars.quantile(0.0), train.chars.quantile(1.0), train.chars.total()),
        (0, 10, 27)
    );
    let [(a, b, places)] = &overview.overlaps[..] else { panic!() };
    assert_eq!((a.as_str(), b.as_str(), places.n), ("train", "test", 1));
    assert!(places.first[0].ends_with("test.csv`, line 2"));
}

#[test]
fn an_empty_split_has_an_overview() {
    let split = Split { name: "train".to_owned(), ..Split::default() };
    let set = Dataset {
        name: "none".to_owned(),
        task: crate::Task::Classify,
        labels: vec![],
        metrics: vec![],
        splits: vec![split],
    };
    assert_eq!(Overview::of(&set).splits[0].n_records, 0);
}
