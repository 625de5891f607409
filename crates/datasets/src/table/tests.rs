use serde_json::json;

use super::*;
use crate::fixtures::{folder, without};

fn load(name: &str, text: &str) -> Result<Vec<Value>, String> {
    let dir = folder(&[(name, text)]);
    let table = Table::open(&[dir.path().join(name).to_string_lossy()], None);
    let rows = table.and_then(|table| table.rows().collect::<Result<Vec<Row>, _>>());
    let rows = rows.map_err(|error| without(&dir, &error.to_string()))?;
    Ok(rows.into_iter().map(|row| json!([row.at.number, row.fields])).collect())
}

#[test]
fn every_format_gives_the_same_rows() {
    let expected = [json!("a \"b\""), json!("\u{6c34}, x")];
    let files = [
        ("a.csv", "\u{feff}text,n\r\n\"a \"\"b\"\"\",1\r\n\"\u{6c34}, x\",2\r\n"),
        ("a.tsv", "text\tn\na \"b\"\t1\n\u{6c34}, x\t2\n"),
        ("a.jsonl", "{\"text\": \"a \\\"b\\\"\"}\n\n{\"text\": \"\u{6c34}, x\"}\n"),
        ("a.json", "\u{feff} [{\"text\": \"a \\\"b\\\"\"},\n {\"text\": \"\u{6c34}, x\"}]\n"),
        ("b.json", "{\"text\": \"a \\\"b\\\"\"}\n{\"text\": \"\u{6c34}, x\"}"),
        (
            "c.json",
            "{\"version\": 1, \"data\": [{\"text\": \"a \\\"b\\\"\"},{\"text\": \"\u{6c34}, x\"}]}",
        ),
    ];
    for (name, text) in files {
        let rows = load(name, text).unwrap();
        let texts: Vec<Value> = rows.iter().map(|row| row[1]["text"].clone()).collect();
        assert_eq!(texts, expected, "{name}");
    }
}

#[test]
fn rows_know_their_lines() {
    let csv = load("a.csv", "text\n\"two\nlines\"\nthree\n").unwrap();
    assert_eq!(csv, [json!([2, {"text": "two\nlines"}]), json!([4, {"text": "three"}])]);
    let list = load("a.json", "[\n{\"a\": 1},\n\n{\"a\":\n2}\n]").unwrap();
    assert_eq!(list, [json!([2, {"a": 1}]), json!([4, {"a": 2}])]);
}

#[test]
fn what_is_no_row_is_refused_with_its_place() {
    let cases = [
        ("a.csv", "a,b\n1,2\n3\n", "`a.csv`, line 3: 1 fields, the first row has 2"),
        ("a.csv", "a,b,a\n1,2,3\n", "`a.csv`: two columns are named `a` (it has `a`, `b`, `a`)"),
        ("a.csv", "a\nx\0y\n", "`a.csv` is a binary file: byte 2 is NUL"),
        ("a.jsonl", "{\"a\": 1}\n[1]\n", "`a.jsonl`, line 2: it is a list of 1, not an object"),
        ("a.jsonl", "{\"a\": 1}\n{\"a\"\n", "`a.jsonl`, line 2: EOF while parsing an object"),
        (
            "a.json",
            "[{\"a\": 1}\n {\"a\": 2}]",
            "`a.json`, line 2: a comma or the end of the list was wanted",
        ),
        ("a.json", "[{\"a\": 1}", "`a.json`, line 1: a comma or the end of the list was wanted"),
        ("a.json", "[{\"a\": 1},", "`a.json`, line 1: the list does not end"),
        (
            "a.json",
            "[{\"a\": 1}] x",
            "`a.json`, line 1: something stands after the end of the list",
        ),
        ("a.json", "\"text\"", "`a.json`, line 1: it is `text`, not an object"),
        ("a.txt", "EU B-ORG\nrejects\n", "`a.txt`, line 2: 1 columns, the lines above have 2"),
        ("a.jsonl", "{\"a\": \"\0\"}", "`a.jsonl` is a binary file: byte 7 is NUL"),
    ];
    for (name, text, expected) in cases {
        assert_eq!(load(name, text).unwrap_err(), expected, "{text:?}");
    }
    let deep = "[".repeat(100_000);
    assert!(load("a.json", &format!("[{{\"a\": {deep}")).unwrap_err().contains("recursion"));
}

#[test]
fn articles_become_questions() {
    let squad = r#"{"version": "v2.0", "data": [{"title": "T", "paragraphs": [{"context": "It was.",
        "qas": [{"id": "q1", "question": "What?", "is_impossible": false,
                 "answers": [{"text": "It", "answer_start": 0}]},
                {"id": "q2", "question": "Who?", "is_impossible": true, "answers": [],
                 "plausible_answers": []}, {"id": "q3", "question": "Which?"}]}]}]}"#;
    let rows = load("dev.json", squad).unwrap();
    let answers = json!({"text": ["It"], "answer_start": [0]});
    let first = json!([1, {"title": "T", "context": "It was.", "id": "q1", "question": "What?",
        "answers": answers, "is_impossible": false}]);
    assert_eq!(rows[0], first);
    assert_eq!((&rows[1][0], &rows[1][1]["answers"]["text"]), (&json!(2), &json!([])));
    // Nobody says that there is none.
    assert_eq!((&rows[2][0], &rows[2][1]["answers"]), (&json!(3), &Value::Null));
    let broken = r#"{"data": [{"title": "T", "paragraphs": [{"context": "x"}]}]}"#;
    assert_eq!(
        load("dev.json", broken).unwrap_err(),
        "`dev.json`, question 1: `qas` is missing, a list was wanted"
    );
}

#[test]
fn sentences_are_between_blank_lines() {
    let text =
        "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\n# SYM B-NP O\n\n\nPeter NNP B-NP B-PER\n";
    let found = load("a.conll", text).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(
        found[0],
        json!([3, {"tokens": ["EU", "#"], "pos_tags": ["NNP", "SYM"],
        "chunk_tags": ["B-NP", "B-NP"], "ner_tags": ["B-ORG", "O"]}])
    );
    let two = load("b.txt", "# id 1\na b\tO\r\nc\tB-X\r\n").unwrap();
    assert_eq!(two, [json!([2, {"tokens": ["a b", "c"], "tags": ["O", "B-X"]}])]);
    assert!(load("c.txt", "").unwrap().is_empty());
}

#[test]
fn patterns_stand_for_files_in_order() {
    let dir = folder(&[("b.csv", "a\n2\n"), ("a.csv", "a\n1\n"), ("c.png", "x")]);
    let open = |name: &str| Table::open(&[dir.path().join(name).to_string_lossy()], None);
    for name in ["", "*.csv", "[ab].csv"] {
        let rows: Vec<_> = open(name).unwrap().rows().map(|row| row.unwrap().fields).collect();
        assert_eq!(json!(rows), json!([{"a": "1"}, {"a": "2"}]), "{name}");
    }
    let problem = |name: &str| without(&dir, &open(name).err().unwrap().to_string());
    assert_eq!(problem("*.json"), "`*.json` stands for no file that can be read");
    assert_eq!(problem("c.png"), "`c.png` is of no format that is known");
    assert_eq!(problem("none.csv"), "`none.csv` stands for no file that can be read");
}

#[test]
fn names_of_classes_are_in_the_note() {
    let note = r#"{"info": {"features": {"label": {"names": ["no", "yes"], "_type": "ClassLabel"},
        "tags": {"feature": {"names": ["O", "B"], "_type": "ClassLabel"}, "_type": "Sequence"},
        "old": [{"names": ["x"]}], "text": {"dtype": "string", "_type": "Value"}}}}"#;
    let mut names = class_names(note);
    names.sort();
    let expected = [("label", vec!["no", "yes"]), ("old", vec!["x"]), ("tags", vec!["O", "B"])];
    let owned = |(name, names): &(&str, Vec<&str>)| {
        ((*name).to_owned(), names.iter().map(|&name| name.to_owned()).collect())
    };
    assert_eq!(names, expected.iter().map(owned).collect::<Vec<(String, Vec<String>)>>());
    assert!(class_names("{").is_empty());
}

/// A file that others wrote; `golden/dataset_files.py` says how.
fn golden(name: &str) -> String {
    format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Numbers as they are in 32 bits, for some are written so.
fn rounded(value: &Value) -> Value {
    match value {
        Value::Number(n) => json!(n.as_f64().map(|x| x as f32)),
        Value::Array(items) => items.iter().map(rounded).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), rounded(value))).collect()
        }
        other => other.clone(),
    }
}

#[test]
fn rows_are_those_of_datasets_and_pandas() {
    let expected = fs::read_to_string(golden("rows.json")).unwrap();
    let expected: BTreeMap<String, Value> = serde_json::from_str(&expected).unwrap();
    assert_eq!(expected.len(), 9);
    for (name, expected) in expected {
        let format = (name == "quoted.tsv").then_some(Format::QuotedTsv);
        let table = Table::open(&[golden(&name)], format).unwrap();
        let rows = table.rows().map(|row| Value::Object(row.unwrap().fields));
        assert_eq!(rounded(&rows.collect()), rounded(&expected), "{name}");
    }
}

#[test]
fn parquet_of_hugging_face_knows_its_classes() {
    use crate::{BYTES_MAX, Input, Label, Named, Schema, Wanted};
    let schema = |name: &str| {
        let table = Table::open(&[golden(name)], None).unwrap();
        let schema = Schema::guess(&table, &Wanted::default()).unwrap();
        schema.read(&table, BYTES_MAX).unwrap();
        schema.to_string()
    };
    let shown = [
        (
            "sst2/train-*.parquet",
            "classify: reads `sentence` as text, `label` as class of 2: negative, positive; 3 \
            rows; leaves out `idx`, `weight`",
        ),
        (
            "ner.parquet",
            "tag: reads `tokens` as words, `ner_tags` as tags of 3: O, B-PER, I-PER; 3 rows",
        ),
        (
            "squad.parquet",
            "span: reads `answers` as answers, `context` as context, `id` as id, `question` as \
            question; 2 rows",
        ),
        ("chat.parquet", "chat: reads `messages` as messages; 1 rows"),
    ];
    for (name, expected) in shown {
        assert_eq!(schema(name), expected);
    }
    let set = Named::find("sst2").unwrap().load(Path::new(&golden("")), BYTES_MAX).unwrap();
    let [train, test] = &set.splits[..] else { panic!("{set:?}") };
    let label = |idx: usize| match &train.records[idx].input {
        Input::Classify { label, .. } => *label,
        other => panic!("{other:?}"),
    };
    assert_eq!((label(0), label(1)), (Some(Label::Class(1)), Some(Label::Class(0))));
    assert_eq!((test.name.as_str(), test.records.len()), ("test", 1));
}

#[test]
fn damaged_parquet_is_refused() {
    let bytes = fs::read(golden("squad.parquet")).unwrap();
    let dir = folder(&[]);
    let path = dir.path().join("a.parquet");
    for at in (0..bytes.len()).step_by(5) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x55;
        fs::write(&path, &damaged).unwrap();
        if let Ok(table) = Table::open(&[path.to_string_lossy()], None) {
            assert!(table.rows().take(1000).filter_map(Result::ok).count() <= 2, "{at}");
        }
    }
}
