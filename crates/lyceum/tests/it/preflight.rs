//! What is said of samples before anything is learned of them, and refused.

use std::fs;

use crate::finetune::{base, opinions, table};
use crate::fixture::{Ran, arg, run};
use crate::recipe::{Lab, refusal};

/// A table's name and rows, what else is said, and what the refusal says.
type Case<'c> = (&'c str, Vec<String>, &'c [&'c str], &'c [&'c str]);

fn go(lab: &Lab, model: &str, data: &str, more: &[&str]) -> Ran {
    let out = arg(lab.path("out"));
    run(&[&["finetune", "--model", model, "--data", data, "--out", &out], more].concat())
}

#[test]
fn labels_and_rows_that_are_not_what_they_should_be_are_refused_with_the_first() {
    let lab = Lab::new();
    let model = arg(base(&lab));
    let rows = |head: &str, n: usize, row: &dyn Fn(usize) -> String| -> Vec<String> {
        [head.to_owned()].into_iter().chain((0..n).map(row)).collect()
    };
    let with = |row: &str| [opinions(30), vec![row.to_owned()]].concat();
    let halves = rows("text,label", 30, &|i| format!("it is {i},{}", 0.5 * (i % 4) as f64));
    let blank = |i: usize| format!("{},{}", if i < 6 { " ".into() } else { i.to_string() }, i % 2);
    let many = rows("text,label", 200, &|i| format!("it is {i},c{}", i % 20));
    let many = [many, vec!["and so,c3".to_owned()]].concat();
    let twice = rows("id,text,label", 30, &|i| format!("{},it is {i},{}", i % 29, i % 2));
    // There are two of it, so nobody knows which is meant.
    let asked = |i: usize| {
        let start = if i == 0 { 9 } else { 2 };
        format!(
            "{{\"question\":\"Who?\",\"context\":\"Emma saw Emma {i}\",\
             \"answers\":{{\"text\":[\"Emma\"],\"answer_start\":[{start}]}}}}"
        )
    };
    let asked: Vec<String> = (0..10).map(asked).collect();
    let classify: &[&str] = &["--task", "classify"];
    let named: &[&str] = &["--set", "data.labels=[\"no\",\"yes\"]"];
    let unknown: &[&str] = &["--set", "task.metrics=[\"f2\"]"];
    let all: &[&str] = &["--set", "data.max_spoiled=1"];
    let cases: [Case; 8] = [
        ("half.csv", halves, classify, &["half.csv`, line 3: `label` is 0.5, a class was wanted"]),
        ("lacks.csv", with("so,"), &[], &["lacks.csv`, line 32: `label` is missing (in 1 of 31"]),
        ("other.csv", with("so,maybe"), named, &["line 32: `label` is `maybe`, which is none of"]),
        ("twice.csv", twice, &[], &["line 31: id `0` is that of `", "twice.csv`, line 2 too"]),
        (
            "blank.csv",
            rows("text,label", 30, &blank),
            &[],
            &["train: 6 of 30 rows are spoiled (20.0 %): 6 records without text, the first: `"],
        ),
        (
            "asked.jsonl",
            asked.clone(),
            &[],
            &[
                "`data.max_spoiled`: train: 9 of 10 rows are spoiled (90.0 %): 9 questions whose",
                "asked.jsonl`, line 2; ",
            ],
        ),
        ("asked.jsonl", asked, all, &["9 rows: questions whose", "leaves one side empty"]),
        // What comes later is said: there is no such metric.
        ("many.csv", many, unknown, &["train: 20 classes, from ", " to c3 "]),
    ];
    for (name, rows, more, messages) in cases {
        let stderr = refusal(go(&lab, &model, &table(&lab, name, &rows), more));
        for message in messages {
            assert!(stderr.contains(message) && stderr.contains("hint: "), "{name}: {stderr}");
        }
        assert!(!lab.path("out").exists(), "{name}");
    }
}

#[test]
fn turns_that_nothing_ends_are_refused_and_what_is_learned_is_shown() {
    let lab = Lab::new();
    lab.pretrain("base", &["--set", "train.steps=2", "--set", "data.seq_len=192"]).done();
    let model = arg(lab.path("gpt2"));
    run(&["convert", &arg(lab.path("base")), &model, "--to", "hf"]).done();
    let template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}\
                    {% if add_generation_prompt %}assistant: {% endif %}";
    fs::write(lab.path("gpt2/chat_template.jinja"), template).expect("written");
    let long = "z".repeat(150);
    let talk = |i: usize| {
        format!(
            "{{\"messages\":[{{\"role\":\"user\",\"content\":\"{long}\"}},\
             {{\"role\":\"assistant\",\"content\":\"qq {i}\"}}]}}"
        )
    };
    let data = table(&lab, "talks.jsonl", &(0..20).map(talk).collect::<Vec<_>>());
    let sets = ["--set", "data.validation_fraction=0", "--set", "train.steps=1"];
    let stderr = refusal(go(&lab, &model, &data, &sets));
    let said = "train: 20 of 20 samples end with no token that ends a text";
    assert!(stderr.contains(&format!("`data.max_spoiled`: {said}")), "{stderr}");
    assert!(stderr.contains("talks.jsonl`, line 1\n"), "{stderr}");
    let ran = go(&lab, &model, &data, &[&sets[..], &["--set", "data.max_spoiled=1"]].concat());
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    // The end of a prompt of more tokens than are shown, and what is asked for behind it.
    let shown = ran.stderr.lines().find_map(|line| line.strip_prefix("for instance: .. "));
    let shown = shown.unwrap_or_else(|| panic!("{}", ran.stderr));
    assert!(shown.contains("z z") && shown.contains("[ "), "{shown}");
    let share = "% of the tokens are learned, and there is no padding";
    assert!(ran.stderr.contains(share), "{}", ran.stderr);
    ran.done();
}
