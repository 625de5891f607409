use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::fixtures::{load, load_bytes, wanted};
use crate::{Said, Wanted};

fn inputs(name: &str, text: &str, settings: &Wanted) -> Vec<Input> {
    let (_, loaded) = load(name, text, settings).unwrap();
    loaded.records.into_iter().map(|record| record.input).collect()
}

fn refused(name: &str, text: &str, settings: &Wanted) -> String {
    load(name, text, settings).unwrap_err()
}

fn class(text: &str, label: usize) -> Input {
    Input::Classify { text: text.to_owned(), pair: None, label: Some(Label::Class(label)) }
}

#[test]
fn labels_become_numbers() {
    let cases = [
        ("a.csv", "text,label\nx,10\ny,9\n"),
        ("a.jsonl", "{\"text\": \"x\", \"label\": true}\n{\"text\": \"y\", \"label\": false}"),
        ("a.jsonl", "{\"text\": \"x\", \"label\": \"yes\"}\n{\"text\": \"y\", \"label\": \"no\"}"),
    ];
    for (name, text) in cases {
        assert_eq!(inputs(name, text, &Wanted::default()), [class("x", 1), class("y", 0)]);
    }
    let labels = ["no", "yes"].map(str::to_owned).to_vec();
    let named = Wanted { labels, ..Wanted::default() };
    assert_eq!(inputs("a.csv", "text,label\nx,1\ny,no\n", &named), [class("x", 1), class("y", 0)]);
    let mixed = "text,label\nx,nan\ny,good\nz,1.5\n";
    let notes = load("a.csv", mixed, &Wanted::default()).unwrap().1.notes;
    assert_eq!(notes["labels that are numbers, and others that are names"].n, 2);
    let scores = inputs("a.csv", "text,score\nx,0.5\ny,1\n", &Wanted::default());
    let score = Input::Classify { text: "y".into(), pair: None, label: Some(Label::Score(1.0)) };
    assert_eq!(scores[1], score);
}

#[test]
fn labels_that_are_none_are_refused() {
    let labels = ["negative", "positive"].map(str::to_owned).to_vec();
    let classes = Wanted { labels, task: Some(Task::Classify), ..Wanted::default() };
    let score = wanted(Some(Task::Score), &[]);
    let cases = [
        (
            "a.csv",
            "text,label\nx,positive\ny,postive\n",
            &classes,
            "`a.csv`, line 3: `label` is `postive`, which is none of `negative`, `positive`\nhint: \
            did you mean `positive`?",
        ),
        (
            "a.csv",
            "text,label\nx,2\n",
            &classes,
            "`a.csv`, line 2: `label` is `2`, which is none of `negative`, `positive`\nhint: name \
            all classes in `data.labels`, or mend the row",
        ),
        (
            "a.jsonl",
            "{\"text\": \"x\", \"label\": 0.5}",
            &classes,
            "`a.jsonl`, line 1: `label` is 0.5, a class was wanted\nhint: write classes as whole \
            numbers or names, or name them in `data.labels`; numbers are learned by `--task score`",
        ),
        (
            "a.csv",
            "text,label\nx,positive\ny,\n",
            &classes,
            "`a.csv`, line 3: `label` is missing (in 1 of 2 rows)\nhint: label these rows, or take \
            them out",
        ),
        (
            "a.csv",
            "text,label\nx,1.5\ny,many\n",
            &score,
            "`a.csv`, line 3: `label` is `many`, a number was wanted\nhint: change the row, or \
            name another column for it",
        ),
        (
            "a.csv",
            "text,label\nx,inf\n",
            &score,
            "`a.csv`, line 2: `label` is `inf`, a number was wanted\nhint: change the row, or name \
            another column for it",
        ),
        (
            "a.jsonl",
            "{\"text\": null, \"label\": 0}",
            &classes,
            "`a.jsonl`, line 1: `text` is missing, a text was wanted\nhint: change the row, or \
            name another column for it",
        ),
        (
            "a.csv",
            "id,text,label\n7,x,0\n7,y,1\n",
            &classes,
            "`a.csv`, line 3: id `7` is that of `a.csv`, line 2 too\nhint: give each row an id of \
            its own, or set the column `id` to none for rows to be numbered",
        ),
    ];
    for (name, text, settings, expected) in cases {
        assert_eq!(refused(name, text, settings), expected);
    }
    let unlabelled = inputs("a.csv", "text,label\nx,\ny,-1\n", &classes);
    assert!(unlabelled.iter().all(|input| matches!(input, Input::Classify { label: None, .. })));
}

#[test]
fn fractions_are_no_classes_unless_they_are_named() {
    let classify = wanted(Some(Task::Classify), &[]);
    let halves = "text,label\nx,1\ny,0.5\nz,1.5\n";
    let error = refused("a.csv", halves, &classify);
    assert!(error.starts_with("`a.csv`, line 3: `label` is 0.5, a class was wanted"), "{error}");
    let labels = ["0.5", "1", "1.5"].map(str::to_owned).to_vec();
    let named = Wanted { labels, ..classify.clone() };
    let read = [class("x", 1), class("y", 0), class("z", 2)];
    assert_eq!(inputs("a.csv", halves, &named), read);
    let whole = inputs("a.csv", "text,label\nx,1.0\ny,0.0\n", &classify);
    assert_eq!(whole, [class("x", 1), class("y", 0)]);
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let of = |bytes: &[u8]| load_bytes("a.csv", bytes, &Wanted::default()).unwrap_err();
    assert!(of(b"text,label\nx\xFF,1\n").starts_with("`a.csv` is not UTF-8 at byte 11 (line 2)"));
    assert!(of(b"text,label\nx\0,1\n").starts_with("`a.csv` is a binary file: byte 11 is NUL"));
    let huge = [b"text,label\n\"".as_slice(), &vec![b'a'; 65 << 20]].concat();
    let error = of(&huge);
    assert_eq!(
        error,
        "`a.csv`, line 2: a row of more than 67108864 bytes\nhint: is there a quote that is not \
        closed?"
    );
    let table = load("a.csv", "text,label\nlong text,1\n", &Wanted::default()).unwrap();
    assert_eq!(table.1.notes, Notes::new());
}

#[test]
fn answers_are_where_they_say_or_nearby() {
    let row = |answers: Value| {
        let row = json!({"id": "q", "question": "Who?", "context": "Ada met Eve. Bob met Ada.",
            "answers": answers});
        row.to_string()
    };
    let answers =
        |texts: &[&str], starts: &[usize]| row(json!({"text": texts, "answer_start": starts}));
    let span = |text: &str| {
        let (_, loaded) = load("a.jsonl", text, &Wanted::default()).unwrap();
        let Input::Span { answers, is_impossible, .. } = &loaded.records[0].input else { panic!() };
        let notes: Vec<(&str, u64)> = loaded.notes.iter().map(|(why, p)| (*why, p.n)).collect();
        (answers.clone(), *is_impossible, notes)
    };
    let bob = ("Bob".to_owned(), 13);
    assert_eq!(span(&answers(&["Bob"], &[13])), (vec![bob.clone()], false, vec![]));
    let moved = ("answers that are nearby, and not where they say", 1);
    assert_eq!(span(&answers(&["Bob"], &[15])), (vec![bob.clone()], false, vec![moved]));
    assert_eq!(span(&answers(&[], &[])), (vec![], true, vec![]));
    // There are two of it, so nobody knows which is meant.
    let lost = ("answers that are not in the context, left out", 1);
    let twice = answers(&["Ada", "Bob"], &[5, 13]);
    assert_eq!(span(&twice), (vec![bob.clone()], false, vec![lost]));
    let list = row(json!([{"text": "Bob", "answer_start": 13}]));
    assert_eq!(span(&list), (vec![bob], false, vec![]));
    for outside in [answers(&["Bob"], &[1 << 40]), answers(&["Cy"], &[3]), answers(&[""], &[3])] {
        let error = refused("a.jsonl", &outside, &Wanted::default());
        let why = "none of the 1 rows of `a.jsonl` is left: 1 answers that are not in the context, \
            left out, the first `a.jsonl`, line 1; 1 questions whose answers are";
        assert!(error.starts_with(why), "{error}");
    }
    let before = row(json!([{"text": "Bob", "answer_start": -1}]));
    let error = refused("a.jsonl", &before, &Wanted::default());
    assert!(error.contains("has an answer whose `answer_start` is -1"), "{error}");
    let uneven = refused("a.jsonl", &answers(&["Bob"], &[13, 2]), &Wanted::default());
    assert!(uneven.starts_with("`a.jsonl`, line 1: `answers` has 1 texts and 2 starts\nhint: "));
}

#[test]
fn conversations_take_turns() {
    let row = |messages: Value| json!({"messages": messages}).to_string();
    let say = |turns: &[&str]| -> Value {
        turns.iter().map(|role| json!({"role": role, "content": format!("by {role}")})).collect()
    };
    let roles = |text: &str| {
        let input = inputs("a.jsonl", text, &Wanted::default()).remove(0);
        let Input::Chat { messages, .. } = input else { panic!() };
        messages.iter().map(|message| message.role).collect::<Vec<_>>()
    };
    let tools = row(say(&["system", "user", "assistant", "tool", "tool", "assistant"]));
    assert_eq!(roles(&tools), ["system", "user", "assistant", "tool", "tool", "assistant"]);
    let shared =
        r#"{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}"#;
    assert_eq!(roles(shared), ["user", "assistant"]);
    let alpaca = r#"{"instruction": "Add.", "input": "1, 1", "output": "2"}"#;
    let input = inputs("a.jsonl", alpaca, &Wanted::default()).remove(0);
    assert_eq!(input.texts(), ["Add.\n\n1, 1", "2"]);
    let pair = r#"{"prompt": [{"role": "user", "content": "a"}], "completion": "b"}"#;
    assert_eq!(roles(pair), ["user", "assistant"]);
    let parts = row(json!([{"role": "user", "content": [{"type": "text", "text": "a"}]},
        {"role": "assistant", "content": "b", "name": null}]));
    assert_eq!(inputs("a.jsonl", &parts, &Wanted::default())[0].texts(), ["a", "b"]);

    let cases = [
        (say(&["user", "user", "assistant"]), "has two turns of the user, numbers 1 and 2"),
        (
            say(&["system", "user", "assistant", "assistant"]),
            "has two turns of the assistant, numbers 3 and 4",
        ),
        (say(&["user", "assistant", "user"]), "ends with the user, not with the assistant"),
        (say(&["user", "system", "assistant"]), "has what the system says after others, number 2"),
        (say(&["user", "narrator"]), "has a message of `narrator`, which is no role, number 2"),
        (json!([]), "has no messages"),
        (json!([{"content": "x"}]), "has a message without `role`, number 1"),
        (json!([{"role": "user"}]), "has a message without `content`, number 1"),
        (json!(["x"]), "has a message that is no object, number 1"),
    ];
    for (messages, problem) in cases {
        let error = refused("a.jsonl", &row(messages), &Wanted::default());
        let expected = format!("`a.jsonl`, line 1: `messages` {problem}\nhint: ");
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[test]
fn preferences_share_a_prompt() {
    let text = |chosen: &str, rejected: &str| {
        let row = json!({"chosen": chosen, "rejected": rejected}).to_string();
        inputs("a.jsonl", &row, &Wanted::default()).remove(0)
    };
    let said = |text: &str| Said::Text(text.to_owned());
    let expected = Input::Preference {
        prompt: said("The sky is"),
        chosen: said(" blue."),
        rejected: said(" green."),
    };
    assert_eq!(text("The sky is blue.", "The sky is green."), expected);
    let user = json!({"role": "user", "content": "Sky?"});
    let answer = |text: &str| json!([user, {"role": "assistant", "content": text}]);
    let row = json!({"chosen": answer("blue"), "rejected": answer("green")}).to_string();
    let Input::Preference { prompt, chosen, rejected } =
        inputs("a.jsonl", &row, &Wanted::default()).remove(0)
    else {
        panic!()
    };
    assert_eq!(
        (prompt.texts(), chosen.texts(), rejected.texts()),
        (vec!["Sky?"], vec!["blue"], vec!["green"])
    );
    let other = json!([{"role": "user", "content": "Sea?"}, answer("green")[1]]);
    let apart = json!({"chosen": answer("blue"), "rejected": other}).to_string();
    let error = refused("a.jsonl", &apart, &Wanted::default());
    assert!(error.contains("`chosen` is not asked what the rejected one is"), "{error}");
    let explicit = r#"{"prompt": "Sky?", "chosen": "blue", "rejected": "green"}"#;
    let Input::Preference { prompt, .. } =
        inputs("a.jsonl", explicit, &Wanted::default()).remove(0)
    else {
        panic!()
    };
    assert_eq!(prompt, said("Sky?"));
    // The text of the prompt is there again in both conversations, or it is not.
    let own = json!({"prompt": "Sky?", "chosen": answer("blue"), "rejected": answer("green")});
    let alone = |text: &str| json!([{"role": "assistant", "content": text}]);
    let apart = json!({"prompt": "Sky?", "chosen": alone("blue"), "rejected": alone("green")});
    for row in [own, apart] {
        let input = inputs("a.jsonl", &row.to_string(), &Wanted::default()).remove(0);
        let Input::Preference { prompt, chosen, .. } = input else { panic!() };
        let turns = [prompt.turns("user"), chosen.turns("assistant")].concat();
        let texts: Vec<_> = turns.iter().map(|turn| (turn.role, &*turn.content)).collect();
        assert_eq!(texts, [("user", "Sky?"), ("assistant", "blue")], "{row}");
    }
    let same = r#"{"prompt": "Sky?", "chosen": "blue", "rejected": "blue"}"#;
    assert_eq!(
        refused("a.jsonl", same, &Wanted::default()),
        "`a.jsonl`, line 1: `chosen` is the same as the rejected one\nhint: there is nothing to \
        learn from two equal answers: take the row out"
    );
}

#[test]
fn an_answer_says_something_in_its_turn() {
    let asked = json!([{"role": "user", "content": "Sky?"}]);
    let answer = |role: &str| json!([{"role": role, "content": "blue"}]);
    let cases = [
        (json!({"prompt": "Sky?", "chosen": "blue", "rejected": " "}), "`rejected` has no answer"),
        (json!({"chosen": "It is", "rejected": "It is not"}), "`chosen` has no answer"),
        (json!({"prompt": "a", "completion": "", "label": true}), "`completion` has no answer"),
        (
            json!({"prompt": asked, "chosen": answer("assistant"), "rejected": answer("user")}),
            "`rejected` has two turns of the user, numbers 1 and 2",
        ),
        (
            json!({"prompt": "Sky?", "chosen": answer("assistant"), "rejected": answer("user")}),
            "`rejected` has two turns of the user, numbers 1 and 2",
        ),
        (
            json!({"prompt": "Sky?", "completion": answer("user"), "label": true}),
            "`completion` has two turns of the user, numbers 1 and 2",
        ),
    ];
    for (row, expected) in cases {
        let error = refused("a.jsonl", &row.to_string(), &Wanted::default());
        assert!(error.starts_with(&format!("`a.jsonl`, line 1: {expected}\nhint: ")), "{error}");
    }
}

#[test]
fn verdicts_are_yes_or_no() {
    let row = |label: Value| json!({"prompt": "a", "completion": "b", "label": label}).to_string();
    for (label, expected) in [
        (json!(true), true),
        (json!(0), false),
        (json!("Yes"), true),
        (json!("BAD"), false),
        (json!("chosen"), true),
        (json!("Negative"), false),
    ] {
        let input = inputs("a.jsonl", &row(label), &Wanted::default()).remove(0);
        assert!(matches!(input, Input::Judged { is_good, .. } if is_good == expected));
    }
    let judged = wanted(Some(Task::Judged), &[("label", &["label"])]);
    assert_eq!(
        refused("a.jsonl", &row(json!(2)), &judged),
        "`a.jsonl`, line 1: `label` is 2, true or false was wanted\nhint: 1 and 0, yes and no, \
        good and bad do as well"
    );
}

#[test]
fn the_right_choice_is_found() {
    let cases = [
        ("a.csv", "goal,sol1,sol2,label\na,b,c,1\n", 1),
        ("a.csv", "sentence,option1,option2,answer\na,b,c,1\n", 0),
        ("a.csv", "question,options1,x\n", 9),
        ("a.jsonl", r#"{"question": "q", "choices": ["a", "b"], "answer": 1}"#, 1),
        (
            "a.jsonl",
            r#"{"question": "q", "options": ["x", "y"], "article": "t", "answer": "B"}"#,
            1,
        ),
        ("a.jsonl", r#"{"question": "q", "choices": ["x", "y"], "answer": "y"}"#, 1),
        (
            "a.jsonl",
            r#"{"question": "q", "choices": {"text": ["a", "b"], "label": ["1", "2"]},
            "answerKey": "2"}"#,
            1,
        ),
    ];
    for (name, text, expected) in cases.into_iter().filter(|case| case.2 != 9) {
        let text = text.replace("},\n", "},");
        let Input::Choice { right, .. } = inputs(name, &text, &Wanted::default()).remove(0) else {
            panic!("{text}")
        };
        assert_eq!(right, [expected], "{text}");
    }
    let swag = "sent1,sent2,ending0,ending1,label\na,b,c,d,0\n";
    assert_eq!(inputs("a.csv", swag, &Wanted::default())[0].texts(), ["a", "b c", "b d"]);
    let wrong = r#"{"question": "q", "choices": ["x", "y"], "answer": "C"}"#;
    assert_eq!(
        refused("a.jsonl", wrong, &Wanted::default()),
        "`a.jsonl`, line 1: `answer` is `C`, which is none of the 2 choices\nhint: a number from \
        0, a letter from A, or the text of the right one"
    );
}

#[test]
fn tags_are_as_many_as_words() {
    let text = "U.N. I-ORG\nin O\nIraq I-LOC\nIran B-LOC\nX I-LOC\n";
    let (schema, loaded) = load("a.txt", text, &Wanted::default()).unwrap();
    let Input::Tag { words, tags } = &loaded.records[0].input else { panic!() };
    let names: Vec<&str> = tags.iter().map(|&tag| schema.labels[tag].as_str()).collect();
    assert_eq!(names, ["B-ORG", "O", "B-LOC", "B-LOC", "I-LOC"]);
    assert_eq!(
        (words.len(), loaded.notes["entities that begin with `I-`, read as `B-`"].n),
        (5, 2)
    );
    let uneven = r#"{"tokens": ["a", "b"], "tags": ["O"]}"#;
    assert_eq!(
        refused("a.jsonl", uneven, &Wanted::default()),
        "`a.jsonl`, line 1: `tags` has 1 tags, there are 2 words\nhint: one tag a word"
    );
    // Labels without a `B-` are those of another way of tagging.
    let labels = ["O", "I-LOC"].map(str::to_owned).to_vec();
    let io = Wanted { labels, ..Wanted::default() };
    let found = inputs("a.txt", "in O\nNew I-LOC\nYork I-LOC\n", &io).remove(0);
    assert!(matches!(&found, Input::Tag { tags, .. } if *tags == [0, 1, 1]), "{found:?}");
}

#[test]
fn what_nobody_labelled_is_neither_learned_nor_judged_by() {
    let none = r#"{"question": "Who?", "context": "Ada.", "answers": null}"#;
    let one = r#"{"question": "Who?", "context": "Ada.",
        "answers": [{"text": "Ada", "answer_start": 0}]}"#
        .replace('\n', "");
    let unranked = r#"{"query": "a", "documents": ["x"]}"#;
    let ranked = r#"{"query": "b", "documents": ["x"], "relevance": [1]}"#;
    let untagged = r#"{"tokens": ["a"]}"#;
    let tagged = r#"{"tokens": ["a"], "tags": ["O"]}"#;
    let cases =
        [(&*one, none, "answers"), (ranked, unranked, "relevance"), (tagged, untagged, "tags")];
    for (with, without, column) in cases {
        let mixed = refused("a.jsonl", &format!("{with}\n{without}"), &Wanted::default());
        let expected = format!("`a.jsonl`, line 2: `{column}` is missing (in 1 of 2 rows)\nhint: ");
        assert!(mixed.starts_with(&expected), "{mixed}");
        let dir = crate::fixtures::folder(&[("a.jsonl", with), ("b.jsonl", without)]);
        let read = |split| {
            let open = |name| Table::open(&[dir.path().join(name).to_string_lossy()], None);
            let tables = [("train", open("a.jsonl")?), (split, open("b.jsonl")?)];
            crate::Dataset::read("it", &tables, &Wanted::default(), BYTES_MAX)
        };
        let error = read("validation").unwrap_err().to_string();
        let expected = format!("line 1: `{column}` is missing, and only test sets have no labels");
        assert!(error.ends_with(&expected), "{error}");
        assert_eq!(read("test").unwrap().0.splits[1].records.len(), 1);
    }
}

#[test]
fn documents_of_a_query_come_together() {
    let text = "query,document,label\na,x,1\nb,y,0\na,z,0\n";
    let records = load("a.csv", text, &Wanted::default()).unwrap().1.records;
    let strings = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    let expected = Input::Rank {
        query: "a".to_owned(),
        documents: strings(&["x", "z"]),
        relevance: vec![1.0, 0.0],
    };
    assert_eq!((records.len(), &records[0].input), (2, &expected));
    let uneven = r#"{"query": "a", "documents": ["x"], "relevance": [1, 0]}"#;
    assert_eq!(
        refused("a.jsonl", uneven, &Wanted::default()),
        "`a.jsonl`, line 1: `relevance` has 2, there are 1 documents\nhint: one number a document"
    );
    let below = r#"{"query": "a", "documents": ["x", "y"], "relevance": [1, -1]}"#;
    assert_eq!(
        refused("a.jsonl", below, &Wanted::default()),
        "`a.jsonl`, line 1: `relevance` has -1, which is below 0\nhint: 0 is a document that is \
        no good"
    );
}

#[test]
fn memory_has_a_bound() {
    let dir = crate::fixtures::folder(&[("a.csv", "text,label\nx,1\ny,0\n")]);
    let table = Table::open(&[dir.path().to_string_lossy()], None).unwrap();
    let schema = Schema::guess(&table, &Wanted::default()).unwrap();
    let error = schema.read(&table, 300).unwrap_err().to_string();
    assert!(
        error.ends_with("a.csv`, line 3: the records before it have more than 300 bytes"),
        "{error}"
    );
}

/// Whole files, to be damaged.
const DAMAGED: &[(&str, &str)] = &[
    ("a.csv", "id,text,label\n1,\"a, b\",yes\n2,c,no\n"),
    ("a.tsv", "sentence1\tsentence2\tscore\na\tb\t1.5\nc\td\t2\n"),
    (
        "a.jsonl",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \
        \"assistant\", \"content\": \"b\"}]}\n",
    ),
    (
        "a.json",
        "{\"data\": [{\"paragraphs\": [{\"context\": \"It was.\", \"qas\": [{\"id\": \"q\", \
        \"question\": \"What?\", \"answers\": [{\"text\": \"It\", \"answer_start\": 0}]}]}]}]}",
    ),
    (
        "b.json",
        "[{\"question\": \"q\", \"choices\": [\"a\", \"b\"], \"answer\": \"A\"}, {\"x\": 1}]",
    ),
    ("a.conll", "-DOCSTART- O\n\nEU I-ORG\nand O\n\nUN I-ORG\n"),
];

proptest! {
    /// An answer that is found is in the context, in characters.
    #[test]
    fn found_answers_are_there(
        context in "[ab\u{6c34}]{0,200}",
        answer in "[ab\u{6c34}]{1,4}",
        start in 0_usize..220,
    ) {
        let row = json!({"question": "q", "context": context,
            "answers": [{"text": answer, "answer_start": start}]}).to_string();
        if let Ok((_, loaded)) = load("a.jsonl", &row, &Wanted::default()) {
            let Input::Span { answers, .. } = &loaded.records[0].input else { panic!() };
            let (text, at) = &answers[0];
            let found: String = context.chars().skip(*at).take(text.chars().count()).collect();
            prop_assert_eq!(&found, text);
            prop_assert!(at.abs_diff(start) <= 64);
        }
    }

    /// Whatever a file holds, it is read or refused.
    #[test]
    fn damaged_files_are_read_or_refused(
        file in 0..DAMAGED.len(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..6),
    ) {
        let (name, text) = DAMAGED[file];
        let mut bytes = text.as_bytes().to_vec();
        for (at, byte, kind) in edits {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => bytes.truncate(at + 1),
            }
        }
        let _ = load_bytes(name, &bytes, &Wanted::default());
    }

    /// Mended tags need no mending.
    #[test]
    fn bio_is_reached_once(kinds in prop::collection::vec((0_usize..3, 0_usize..2), 0..30)) {
        let tags = kinds.iter().map(|&(head, kind)| match head {
            0 => "O".to_owned(),
            head => format!("{}-{}", ["B", "I"][head - 1], ["X", "Y"][kind]),
        });
        let at = Place { file: "a".into(), unit: "line", number: 1 };
        let once = to_bio(tags.collect(), None, &at, &mut Notes::new());
        let mut notes = Notes::new();
        prop_assert_eq!(&to_bio(once.clone(), None, &at, &mut notes), &once);
        prop_assert!(notes.is_empty());
    }
}
