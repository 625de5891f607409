use super::*;
use crate::fixtures::{folder, without};
use crate::{BYTES_MAX, Input, Label, Record, hold_out};

fn load(name: &str, files: &[(&str, &str)]) -> Dataset {
    let dir = folder(files);
    let set = Named::find(name).unwrap().load(dir.path(), BYTES_MAX);
    set.map_err(|error| without(&dir, &error.to_string())).unwrap()
}

fn labels(records: &[Record]) -> Vec<Option<Label>> {
    let label = |record: &Record| match &record.input {
        Input::Classify { label, .. } => *label,
        Input::Choice { right, .. } => right.first().copied().map(Label::Class),
        _ => None,
    };
    records.iter().map(label).collect()
}

fn submission(name: &str, split: &str, set: &Dataset, predictions: &[Label]) -> String {
    let mut out = Vec::new();
    let named = Named::find(name).unwrap();
    let records = &set.split(split).unwrap().records;
    named.write_submission(records, predictions, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

const ONE: Option<Label> = Some(Label::Class(1));
const ZERO: Option<Label> = Some(Label::Class(0));

#[test]
fn each_set_of_glue_is_read_from_its_official_files() {
    let mnli = "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\t\
        sentence1_parse\tsentence2_parse\tsentence1\tsentence2\tlabel1\tgold_label\n\
        0\t1\t1e\tfiction\tp\tp\tp\tp\tIt \"was.\tIt is.\tneutral\tneutral\n";
    let stsb = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\t\
        sentence1\tsentence2\tscore\n\
        0\tnews\tf\t2012\t1\tnone\tnone\tA\tB\t2.500\n";
    let cases = [
        (
            "cola",
            "CoLA/train.tsv",
            "gj04\t1\t\tThe \"sailors rode.\ngj04\t0\t*\tThey.\n",
            vec!["The \"sailors rode."],
            ONE,
        ),
        (
            "sst2",
            "train.tsv",
            "sentence\tlabel\nhide new \"secretions \t0\n",
            vec!["hide new \"secretions "],
            ZERO,
        ),
        (
            "mrpc",
            "MRPC/train.tsv",
            "\u{feff}Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n\
            1\t7\t8\tHe \"said.\tHe spoke.\n",
            vec!["He \"said.", "He spoke."],
            ONE,
        ),
        ("qqp", "QQP/train.tsv", QQP, vec!["Why?", "How?"], ZERO),
        ("stsb", "STS-B/train.tsv", stsb, vec!["A", "B"], Some(Label::Score(2.5))),
        ("mnli", "MNLI/train.tsv", mnli, vec!["It \"was.", "It is."], ONE),
        (
            "qnli",
            "QNLI/train.tsv",
            "index\tquestion\tsentence\tlabel\n0\tWhen?\tThen.\tnot_entailment\n",
            vec!["When?", "Then."],
            ONE,
        ),
        (
            "rte",
            "RTE/train.tsv",
            "index\tsentence1\tsentence2\tlabel\n0\tA\tB\tentailment\n",
            vec!["A", "B"],
            ZERO,
        ),
        (
            "wnli",
            "WNLI/train.tsv",
            "index\tsentence1\tsentence2\tlabel\n0\tA\tB\t1\n",
            vec!["A", "B"],
            ONE,
        ),
    ];
    for (name, file, text, texts, label) in cases {
        let set = load(name, &[(file, text)]);
        assert_eq!(set.splits[0].records[0].input.texts(), texts, "{name}");
        assert_eq!(labels(&set.splits[0].records)[0], label, "{name}");
    }
    let set = load("qqp", &[("train.tsv", QQP)]);
    assert_eq!(set.splits[0].notes["rows of another length, left out"].n, 1);
    let n_rows = set.splits[0].records.len() + 1;
    let (share, what) = set.splits[0].spoiled();
    assert_eq!(share, 1.0 / n_rows as f64);
    assert!(what.starts_with(&format!("1 of {n_rows} rows are spoiled (")), "{what}");
    // Predictions are told by numbers of rows, so none of a test may go.
    let dir = folder(&[("test.tsv", "id\tquestion1\tquestion2\n0\tWhy?\tHow?\nbroken\t1\n")]);
    let error = Named::find("qqp").unwrap().load(dir.path(), BYTES_MAX).unwrap_err();
    assert!(error.to_string().contains("test.tsv`, line 3: 2 fields"), "{error}");
}

/// One row of it is broken, as in the real one.
const QQP: &str =
    "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\tWhy?\tHow?\t0\nbroken\t1\n";

#[test]
fn glue_tests_have_no_labels_and_get_predictions() {
    let set = load("cola", &[("test.tsv", "index\tsentence\n0\tA.\n1\tB.\n")]);
    assert_eq!(labels(&set.split("test").unwrap().records), [None, None]);
    let classes = [Label::Class(1), Label::Class(0)];
    assert_eq!(submission("cola", "test", &set, &classes), "index\tprediction\n0\t1\n1\t0\n");
    let set =
        load("mnli", &[("test_matched.tsv", "index\tsentence1\tsentence2\n0\tA\tB\n1\tC\tD\n")]);
    let text = submission("mnli", "test_matched", &set, &classes);
    assert_eq!(text, "index\tprediction\n0\tneutral\n1\tentailment\n");
    let set = load("stsb", &[("test.tsv", "index\tsentence1\tsentence2\n0\tA\tB\n1\tC\tD\n")]);
    let text = submission("stsb", "test", &set, &[Label::Score(5.2), Label::Score(1.23456)]);
    assert_eq!(text, "index\tprediction\n0\t5.000\n1\t1.235\n");
    let name = |set, split| Named::find(set).unwrap().submission_name(split).unwrap();
    assert_eq!(name("mnli", "test_mismatched"), "MNLI-mm.tsv");
    assert_eq!(
        (name("sst-2", "test"), name("wsc", "test")),
        ("SST-2.tsv".into(), "WSC.jsonl".into())
    );
}

#[test]
fn paraphrases_are_read_from_microsofts_files() {
    let rows = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t1\t2\tA\tB\n0\t3\t4\tC\tD\n";
    let files = [
        ("msr_paraphrase_train.txt", rows),
        ("msr_paraphrase_test.txt", rows),
        ("dev_ids.tsv", "3\t4\n"),
    ];
    let set = load("mrpc", &files);
    let of = |split: &str| labels(&set.split(split).unwrap().records);
    assert_eq!(
        (of("train"), of("validation"), of("test")),
        (vec![ONE], vec![ZERO], vec![ONE, ZERO])
    );
    assert_eq!(load("mrpc", &files[..2]).splits.len(), 2);
}

const MULTIRC: &str = r#"{"idx": 3, "passage": {"text": "P.", "questions": [
        {"question": "Q?", "idx": 7, "answers": [{"text": "a", "idx": 0, "label": 1},
        {"text": "b", "idx": 1, "label": 0}]}]}}"#;

const RECORD: &str = r#"{"idx": 1, "passage": {"text": "Ada met Bob.\n@highlight\nAda won.",
        "entities": [{"start": 8, "end": 10}, {"start": 0, "end": 2}, {"start": 24, "end": 26}]},
        "qas": [{"query": "@placeholder lost", "idx": 5, "answers":
        [{"start": 8, "end": 10, "text": "Bob"}]}]}"#;

const WSC: &str = r#"{"idx": 0, "label": true, "text": "Mark told Pete lies. He should know .",
        "target": {"span1_index": 0, "span1_text": "Mark", "span2_index": 4, "span2_text": "He"}}"#;

/// A set, a row of it, its texts, its label, and a prediction of the second class.
type Case = (&'static str, &'static str, &'static [&'static str], Option<Label>, &'static str);

const SUPERGLUE: &[Case] = &[
    (
        "boolq",
        r#"{"question": "is it", "passage": "It is.", "idx": 0, "label": true}"#,
        &["is it", "It is."],
        ONE,
        r#"{"idx":0,"label":"true"}"#,
    ),
    (
        "cb",
        r#"{"premise": "A", "hypothesis": "B", "label": "contradiction", "idx": 4}"#,
        &["A", "B"],
        ONE,
        r#"{"idx":4,"label":"contradiction"}"#,
    ),
    (
        "copa",
        r#"{"premise": "A.", "choice1": "B", "choice2": "C", "question": "effect",
             "label": 1, "idx": 0}"#,
        &["A. What happened as a RESULT?", "B", "C"],
        ONE,
        r#"{"idx":0,"label":1}"#,
    ),
    (
        "superglue_rte",
        r#"{"premise": "A", "hypothesis": "B", "label": "not_entailment", "idx": 0}"#,
        &["A", "B"],
        ONE,
        r#"{"idx":0,"label":"not_entailment"}"#,
    ),
    (
        "wic",
        r#"{"word": "place", "sentence1": "A place.", "sentence2": "To place.", "idx": 0,
             "label": false, "start1": 2}"#,
        &["place A place.", "To place."],
        ZERO,
        r#"{"idx":0,"label":"true"}"#,
    ),
    (
        "wsc",
        WSC,
        &["Mark told Pete lies. *He* should know .", "Mark"],
        ONE,
        r#"{"idx":0,"label":"True"}"#,
    ),
    (
        "multirc",
        MULTIRC,
        &["P.", "Q? a"],
        ONE,
        concat!(
            r#"{"idx":3,"passage":{"questions":[{"answers":"#,
            r#"[{"idx":0,"label":1},{"idx":1,"label":1}],"idx":7}]}}"#
        ),
    ),
    (
        "record",
        RECORD,
        &["Ada met Bob.\n@highlight\nAda won.\n\n@placeholder lost", "Ada", "Bob"],
        ONE,
        r#"{"idx":5,"label":"Bob"}"#,
    ),
];

#[test]
fn each_set_of_superglue_is_read_and_predicted() {
    for (name, row, texts, label, line) in SUPERGLUE {
        let row = row.replace('\n', "");
        let lower = Named::find(name).unwrap().folder.to_lowercase();
        let set = load(name, &[(&format!("{lower}/val.jsonl"), &row)]);
        let records = &set.splits[0].records;
        assert_eq!(&records[0].input.texts(), texts, "{name}");
        assert_eq!(labels(records)[0], *label, "{name}");
        let predictions = vec![Label::Class(1); records.len()];
        assert_eq!(
            submission(name, "validation", &set, &predictions),
            format!("{line}\n"),
            "{name}"
        );
    }
}

#[test]
fn sets_that_are_not_there_are_refused() {
    let dir = folder(&[("dev.tsv", "sentence\tlabel\nx\t\n"), ("WiC/train.jsonl", "{\"idx\": 0}")]);
    let error = Named::find("boolq").unwrap().load(dir.path(), BYTES_MAX).unwrap_err();
    assert!(error.to_string().ends_with("has no files of boolq (train)"), "{error}");
    assert_eq!(error.hint().unwrap(), "it would be train.jsonl or train-*.parquet");
    let problem = |name: &str| {
        let error = Named::find(name).unwrap().load(dir.path(), BYTES_MAX).unwrap_err();
        without(&dir, &error.to_string())
    };
    assert_eq!(
        problem("sst2"),
        "`dev.tsv`, line 2: `label` is missing, and only test sets have no labels"
    );
    assert_eq!(problem("wic"), "`WiC/train.jsonl`: there is no column `sentence2` (it has `idx`)");
    let unknown = Named::find("mnlj").unwrap_err();
    assert_eq!(
        (unknown.to_string(), unknown.hint().unwrap()),
        ("there is no set `mnlj`".to_owned(), "did you mean `mnli`?".to_owned())
    );
    let set = load("rte", &[("test.tsv", "index\tsentence1\tsentence2\n0\tA\tB\n")]);
    let records = &set.splits[0].records;
    let write = |predictions: &[Label]| {
        let named = Named::find("rte").unwrap();
        named.write_submission(records, predictions, Vec::new()).unwrap_err().to_string()
    };
    assert_eq!(write(&[]), "rte: 0 predictions of 1 records");
    assert!(write(&[Label::Class(2)]).starts_with("rte: Class(2) is no prediction of `"));
}

#[test]
fn held_out_texts_are_on_one_side() {
    let row = |i: u32| format!("text {}\t{}\n", i % 150, u8::from(i % 150 < 30));
    let rows = (0..200).map(row).collect::<Vec<String>>().concat();
    let set = load("sst2", &[("train.tsv", &format!("sentence\tlabel\n{rows}"))]);
    let records = set.splits[0].records.clone();
    let (train, out) = hold_out(records.clone(), 0.2, 7).unwrap();
    assert_eq!(train.len() + out.len(), 200);
    let n_ones = labels(&out).iter().filter(|&&label| label == ONE).count();
    assert!((8..=16).contains(&n_ones) && (36..=60).contains(&out.len()), "{n_ones} {}", out.len());
    let is_in = |record: &Record| train.iter().any(|r| r.input.texts() == record.input.texts());
    assert!(!out.iter().any(is_in));
    assert_eq!(hold_out(records.clone(), 0.2, 7).unwrap().1, out);
    assert_ne!(hold_out(records.clone(), 0.2, 8).unwrap().1, out);
    for fraction in [0.0, 1.0, f64::NAN, -1.0] {
        assert!(hold_out(records.clone(), fraction, 7).is_err(), "{fraction}");
    }
}
