//! `lyceum eval` on tasks and on labelled data, and what is done with the results.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::finetune::{base, opinions, table, translations, writer};
use crate::fixture::{Ran, arg, model, run};
use crate::recipe::Lab;

const DOCS: &str = r#"{"q": "It was", "choices": ["a bright day", "cold"], "answer": 0}
{"q": "The clocks", "choices": ["were striking", "in April"], "answer": 1}
{"q": "It was a bright day in April. It", "choices": ["was", "a"], "answer": 0}
"#;

const CHOICE: &str = "task: choice
dataset_path: json
dataset_kwargs: {data_files: {test: docs.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: \"{{q}}\"
doc_to_choice: choices
doc_to_target: answer
tag: plain
";

/// A folder with documents, and with tasks over them.
struct Tasks(TempDir);

impl Tasks {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("docs.jsonl"), DOCS).expect("written");
        Self(dir)
    }

    fn path(&self, name: &str) -> String {
        arg(self.0.path().join(name))
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.0.path().join(name), text).expect("written");
        self.path(name)
    }

    fn eval(&self, text: &str, more: &[&str]) -> Ran {
        let task = self.write("task.yaml", text);
        run(&[&["eval", &arg(model()), "--task", &task], more].concat())
    }

    /// The same into a folder, whatever was in it.
    fn anew(&self, text: &str, out: &str, more: &[&str]) {
        _ = fs::remove_dir_all(out);
        self.eval(text, &[&["--out", out], more].concat()).done();
    }
}

fn lines(path: &str) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("there");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_task_gives_a_table_numbers_and_a_log() {
    let tasks = Tasks::new();
    let out = tasks.path("out");
    let ran = tasks.eval(CHOICE, &["--out", &out, "--batch-tokens", "1"]);
    assert!(ran.stderr.contains("passed over: tag"), "{}", ran.stderr);
    assert!(ran.stderr.contains("choice: 3 documents, 6 requests"), "{}", ran.stderr);
    let shown = ran.done();
    assert!(shown.starts_with("task    docs  shots  metric    value"), "{shown}");
    let log = fs::read(format!("{out}/samples_choice.jsonl")).expect("a log");
    let numbers = fs::read(format!("{out}/results.json")).expect("numbers");
    // What was measured is not written over.
    let stderr = tasks.eval(CHOICE, &["--out", &out]).refused();
    assert!(stderr.contains("results.json` is there already"), "{stderr}");
    // The same to the byte, whatever is shown at once.
    let out = tasks.path("again");
    let ran = tasks.eval(CHOICE, &["--out", &out]);
    assert_eq!(ran.done(), shown);
    assert!(fs::read(format!("{out}/samples_choice.jsonl")).expect("a log") == log);
    assert!(fs::read(format!("{out}/results.json")).expect("numbers") == numbers);
    let log = lines(&format!("{out}/samples_choice.jsonl"));
    assert_eq!(log[1]["requests"][0], serde_json::json!(["The clocks", " were striking"]));
    assert_eq!(log[1]["right"], serde_json::json!([1]));
    assert!(log[1]["responses"][0][0].as_f64().is_some_and(|x| x < 0.0));
    let json = tasks.eval(CHOICE, &["--limit", "2", "--num-fewshot", "1", "--json"]).json();
    assert_eq!(json["tasks"][0]["n_docs"], 2);
    assert_eq!(json["tasks"][0]["n_shots"], 1);
}

#[test]
fn texts_are_written_up_to_where_they_end() {
    let tasks = Tasks::new();
    let text = CHOICE.replace("multiple_choice", "generate_until")
        + "generation_kwargs: {until: [' '], max_gen_toks: 4}\n";
    let out = tasks.path("out");
    tasks.eval(&text, &["--out", &out]).done();
    for line in lines(&format!("{out}/samples_choice.jsonl")) {
        let written = line["responses"][0].as_str().expect("a text").to_owned();
        assert!(!written.contains(' '), "{written}");
        assert_eq!(line["compared"]["none"], written);
    }
    let whole = CHOICE.replace("multiple_choice", "loglikelihood_rolling");
    let whole = whole.replace("doc_to_target: answer", "doc_to_target: q");
    let json = tasks.eval(&whole, &["--json"]).json();
    let bits = json["tasks"][0]["metrics"][2]["value"].as_f64().expect("a number");
    // The sum of nats is that of the text as a file, but for windows.
    assert!(bits > 0.0 && bits < 20.0, "{bits}");
}

#[test]
fn runs_are_compared_on_the_same_documents_alone() {
    let tasks = Tasks::new();
    let [a, b, c] = ["a", "b", "c"].map(|name| tasks.path(name));
    tasks.anew(CHOICE, &a, &[]);
    tasks.anew(CHOICE, &b, &["--num-fewshot", "1"]);
    tasks.anew(CHOICE, &c, &["--limit", "2"]);
    let json = run(&["eval", "compare", &a, &b, "--json"]).json();
    assert_eq!(json[0]["test"], "McNemar");
    assert_eq!(json[0]["n_docs"], 3);
    let same = run(&["eval", "compare", &a, &a]).done();
    assert!(same.contains("+0.0000") && same.contains("1.0000"), "{same}");
    let stderr = run(&["eval", "compare", &a, &c]).refused();
    assert!(stderr.contains("`choice`: 3 documents and 2"), "{stderr}");
    tasks.write("docs.jsonl", &DOCS.replace("bright", "dark"));
    tasks.anew(CHOICE, &c, &[]);
    let stderr = run(&["eval", "compare", &a, &c]).refused();
    assert!(stderr.contains("other documents") && stderr.contains("line 1"), "{stderr}");
    tasks.anew(&CHOICE.replace("task: choice", "task: other"), &c, &[]);
    let stderr = run(&["eval", "compare", &a, &c]).refused();
    assert!(stderr.contains("the folders have other tasks"), "{stderr}");
    let text = CHOICE.to_owned() + "metric_list: [{metric: acc}]\n";
    tasks.anew(CHOICE, &b, &[]);
    tasks.anew(&text, &c, &[]);
    let json = run(&["eval", "compare", &b, &c, "--json"]).json();
    assert_eq!((&json[0]["metric"], json[0].get("undefined")), (&"acc".into(), None));
    assert_eq!(json[1]["undefined"], "the second has it not");
    let shown = run(&["eval", "compare", &c, &b]).done();
    assert!(shown.contains("undefined") && shown.contains("the first has it not"), "{shown}");
    tasks.anew(CHOICE, &b, &["--num-fewshot", "1"]);
    let board = run(&["eval", "leaderboard", &a, &b]).done();
    assert!(board.contains("choice acc, 3 documents, 1 examples"), "{board}");
    assert_eq!(board.lines().count(), 4, "{board}");
    let page = tasks.path("board.html");
    run(&["eval", "leaderboard", &a, &b, "--out", &page]).done();
    assert!(fs::read_to_string(&page).expect("a page").contains("<table>"));
    let stderr = run(&["eval", "leaderboard", &a, "--out", "board.pdf"]).refused();
    assert!(stderr.contains("`.html` or `.md`"), "{stderr}");
    let stderr = run(&["eval", "leaderboard", "/no/such"]).refused();
    assert!(stderr.contains("results.json") && stderr.contains("hint: name a folder"), "{stderr}");
}

#[test]
fn what_is_done_is_written_whatever_becomes_of_the_rest() {
    let tasks = Tasks::new();
    let out = tasks.path("out");
    let path = |name: &str| Path::new(&out).join(name);
    fs::create_dir_all(&out).expect("made");
    fs::create_dir(path("samples_other.jsonl")).expect("made");
    let other = tasks.write("other.yaml", &CHOICE.replace("task: choice", "task: other"));
    let ran = tasks.eval(CHOICE, &["--task", &other, "--out", &out]);
    assert!(ran.stderr.contains("failed to write") && ran.stdout.is_empty(), "{}", ran.stderr);
    assert!(path("samples_choice.jsonl").exists() && !path("results.json").exists());
    let [one, two] =
        ["a/b", "a b"].map(|name| CHOICE.replace("task: choice", &format!("task: {name}")));
    let other = tasks.write("other.yaml", &two);
    let stderr = tasks.eval(&one, &["--task", &other, "-q"]).refused();
    assert!(stderr.contains("the tasks `a/b` and `a b` have one log"), "{stderr}");
}

#[test]
fn what_cannot_be_asked_is_refused_before_anything_is_computed() {
    let tasks = Tasks::new();
    let refused = |from: &str, to: &str| {
        let text = CHOICE.replace(from, to);
        assert_ne!(text, CHOICE);
        tasks.eval(&text, &["--quiet"]).refused()
    };
    let said = refused("doc_to_target: answer", "doc_to_target: anser");
    assert!(said.contains("`anser`") && said.contains("did you mean `answer`?"), "{said}");
    let said = refused("{{q}}", "{{qu}}");
    assert!(said.contains("task.yaml`, line 6: `doc_to_text` names `qu`"), "{said}");
    let said = refused("{{q}}", "{{q");
    assert!(said.contains("line 6") && said.contains("of the template"), "{said}");
    let said = refused("{{q}}", "{{q.nobody.knows}}");
    assert!(said.contains("docs.jsonl`, line 1"), "{said}");
    let said = refused("tag: plain", "process_docs: !function a.b");
    assert!(said.contains("line 9") && said.contains("Python"), "{said}");
    let said = refused("test_split: test", "test_split: tst");
    assert!(said.contains("did you mean `test`?"), "{said}");
    let said = refused("dataset_path: json", "dataset_path: cais/mmlu");
    assert!(said.contains("a set on a hub"), "{said}");
    let said = refused("tag: plain", "num_fewshot: 3");
    assert!(said.contains("3 examples of 3"), "{said}");
    let said = refused("tag: plain", "generation_kwargs: {until: ['']}");
    assert!(said.contains("empty text in `until`"), "{said}");
    let long = CHOICE.replace("multiple_choice", "generate_until")
        + "generation_kwargs: {max_gen_toks: 32}\n";
    let said = tasks.eval(&long, &["--quiet"]).refused();
    assert!(said.contains("asks for 32 tokens of a model of 32"), "{said}");
    tasks.write("docs.jsonl", "");
    assert!(tasks.eval(CHOICE, &["--quiet"]).refused().contains("no documents"));
    tasks.write("docs.jsonl", &DOCS.replace("\"answer\": 1", "\"answer\": 7"));
    let said = tasks.eval(CHOICE, &["--quiet"]).refused();
    assert!(said.contains("line 2") && said.contains("none of the 2 choices"), "{said}");
    let said = tasks.eval(CHOICE, &["--apply-chat-template", "--quiet"]).refused();
    assert!(said.contains("error: "), "{said}");
}

#[test]
fn prompts_longer_than_the_model_lose_their_beginning_and_that_is_said() {
    let tasks = Tasks::new();
    let long = format!(
        "{{\"q\": \"{}\", \"choices\": [\"a\", \"b\"], \"answer\": 0}}\n",
        "It was ".repeat(40)
    );
    tasks.write("docs.jsonl", &long);
    let ran = tasks.eval(CHOICE, &[]);
    assert!(
        ran.stderr.contains("choice: 2 prompts lose their beginning; the first: "),
        "{}",
        ran.stderr
    );
    ran.done();
}

#[test]
fn a_head_is_measured_by_class_by_slice_and_by_confidence() {
    let lab = Lab::new();
    let (model, data) = (arg(base(&lab)), table(&lab, "opinions.csv", &opinions(60)));
    let out = arg(lab.path("run"));
    let sets = [
        "--set",
        "train.steps=30",
        "--set",
        "optim.peak_lr=3e-3",
        "--set",
        "optim.schedule=constant",
    ];
    let own = ["finetune", "--model", &model, "--data", &data, "--out", &out];
    run(&[&own[..], &sets].concat()).done();
    let mut rows = opinions(20);
    for (at, row) in rows.iter_mut().enumerate() {
        row.push_str(if at == 0 {
            ",source"
        } else if at % 3 == 0 {
            ",book"
        } else {
            ",film"
        });
    }
    let data = table(&lab, "judged.csv", &rows);
    let folder = arg(lab.path("found"));
    let own = ["eval", &out, "--data", &data, "--out", &folder];
    let json = run(&[&own[..], &["--slice", "source", "--json"]].concat()).json();
    let json = &json["splits"][0];
    assert_eq!(json["split"], "data");
    assert_eq!((json["n"].as_u64(), &json["metrics"][0]["metric"]), (Some(20), &"accuracy".into()));
    let counts: u64 = json["confusion"]
        .as_array()
        .expect("rows")
        .iter()
        .flat_map(|row| row.as_array().expect("cells"))
        .filter_map(Value::as_u64)
        .sum();
    assert_eq!(counts, 20);
    let slices = json["slices"].as_array().expect("some");
    let of = |value: &str| slices.iter().find(|s| s["value"] == value).map(|s| s["n"].clone());
    assert_eq!((of("book"), of("film")), (Some(6.into()), Some(14.into())));
    assert!(json["calibration"]["ece"].as_f64().is_some_and(|x| (0.0..=1.0).contains(&x)));
    let page = fs::read_to_string(Path::new(&folder).join("report.html")).expect("a page");
    assert!(page.contains("reliability diagram") && !page.contains("<script"));
    let stderr = run(&own).refused();
    assert!(stderr.contains("head.json` is there already"), "{stderr}");
    // A run has a report of its own there.
    let stderr = run(&["eval", &out, "--data", &data, "--out", &out]).refused();
    assert!(stderr.contains("report.html` is there already"), "{stderr}");
    let json = run(&["eval", "compare", &folder, &folder, "--json"]).json();
    assert_eq!((&json[0]["metric"], &json[0]["test"]), (&"accuracy".into(), &"McNemar".into()));
    assert_eq!((&json[0]["n_docs"], &json[0]["p"]), (&20.into(), &1.0.into()));
    let own = ["eval", &out, "--data", &data];
    assert!(run(&own).done().contains("calibration error"));
    let said = run(&[&own[..], &["--slice", "sorce", "--quiet"]].concat()).refused();
    assert!(said.contains("did you mean `source`?"), "{said}");
    let said = run(&["eval", &arg(crate::fixture::model()), "--data", &data, "-q"]).refused();
    assert!(said.contains("has no head for labelled data"), "{said}");
    let task = arg(lab.path("t.yaml"));
    fs::write(lab.path("docs.jsonl"), DOCS).expect("written");
    fs::write(&task, CHOICE).expect("written");
    assert!(
        run(&["eval", &out, "--task", &task, "-q"])
            .refused()
            .contains("with a head for another task")
    );
}

#[test]
fn a_run_is_judged_by_the_columns_that_it_learned_from() {
    let lab = Lab::new();
    let mut rows = opinions(40);
    rows[0] = "phrase,mood".to_owned();
    let (model, data) = (arg(base(&lab)), table(&lab, "moods.csv", &rows));
    let tuned = |out: &str, data: &str, sets: &[&str]| {
        let out = arg(lab.path(out));
        let mut words = vec!["finetune", "--model", &model, "--data", data, "--out", &out];
        let steps = ["train.steps=2", "train.batch_size=4"];
        steps.iter().chain(sets).for_each(|set| words.extend(["--set", set]));
        run(&words).done();
        out
    };
    let columns = ["data.columns.text=[\"phrase\"]", "data.columns.label=[\"mood\"]"];
    let out = tuned("renamed", &data, &columns);
    let json = run(&["eval", &out, "--data", &data, "--json"]).json();
    assert_eq!(json["splits"][0]["n"].as_u64(), Some(40));
}

/// Of tables that no head is judged by: the model, the first rows, the others, and how it learns.
fn others(lab: &Lab) -> Vec<(String, [String; 2], &'static str)> {
    let encoder = arg(base(lab));
    let [pair, decoder] = ["t5", "llama"].map(|family| arg(writer(lab, family)));
    let rank = |i: usize| {
        format!("{{\"query\":\"a {i}\",\"documents\":[\"no\",\"so\"],\"relevance\":[0,1]}}")
    };
    let near = |i: usize| format!("{{\"anchor\":\"the sea {i}\",\"positive\":\"a ship {i}\"}}");
    let better =
        |i: usize| format!("{{\"prompt\":\"{i} was\",\"chosen\":\" so\",\"rejected\":\" no\"}}");
    let sum = |i: usize| format!("{{\"prompt\":\"{i} and\",\"answer\":\"e\"}}");
    let rows = |name: &str, row: &dyn Fn(usize) -> String| {
        [0, 12].map(|from| {
            table(
                lab,
                &format!("{name}{from}.jsonl"),
                &(from..from + 12).map(row).collect::<Vec<_>>(),
            )
        })
    };
    let pairs = rows("pairs", &|i| translations(i + 1).remove(i));
    let exact = "align.rewards=[{kind=\"pattern\",pattern=\"[a-m]\"}]";
    vec![
        (pair, pairs.clone(), "task.metrics=[\"perplexity\",\"chrf\"]"),
        (decoder.clone(), pairs, "method.kind=lora"),
        (decoder.clone(), rows("better", &better), "method.kind=lora"),
        (decoder.clone(), rows("better", &better), "align.loss=reward"),
        (decoder, rows("sums", &sum), exact),
        (encoder.clone(), rows("near", &near), "task.metrics=[\"mrr@10\",\"recall@1\"]"),
        (encoder, rows("ranks", &rank), "train.ema=0.5"),
    ]
}

#[test]
fn what_no_head_is_judged_by_is_judged_as_where_it_learned() {
    let lab = Lab::new();
    for (i, (model, [learned, judged], own)) in others(&lab).into_iter().enumerate() {
        let out = arg(lab.path(&format!("run-{i}")));
        let (data, tables) = (&*learned, [&*judged]);
        let mut words = vec!["finetune", "--model", &model, "--data", data, "--out", &out];
        words.extend(["--validation", tables[0], "--set", own]);
        // Only the last is judged, or an earlier one might be the best.
        let steps = ["train.steps=3", "train.eval_every=3", "train.checkpoint_every=3"];
        for set in steps.into_iter().chain(["train.precision=f32", "align.max_tokens=6"]) {
            let is_of_problems = own.contains("rewards") || !set.starts_with("align");
            words.extend(["--set", set].into_iter().filter(|_| is_of_problems));
        }
        run(&words).done();
        let last = crate::recipe::metrics(Path::new(&out)).pop().expect("an evaluation");
        let found = run(&["eval", &out, "--data", &judged, "--precision", "f32", "--json"]).json();
        assert_eq!(found["n_docs"], 12, "{found}");
        for metric in last["eval"]["metrics"].as_array().expect("some") {
            let all = found["metrics"].as_array().expect("some");
            let same = all.iter().find(|other| other["metric"] == metric[0]).expect("measured");
            let [a, b] = [&metric[1], &same["value"]].map(|x| x.as_f64().expect("a number"));
            assert!((a - b).abs() <= 1e-5 * a.abs().max(1.0), "{metric}: {found}");
        }
    }
    // All of them are answered, however many.
    let many =
        table(&lab, "many.jsonl", &vec!["{\"prompt\":\"a\",\"answer\":\"e\"}".to_owned(); 201]);
    let ran = run(&["eval", &arg(lab.path("run-4")), "--data", &many]);
    assert!(!ran.stderr.contains("are answered"), "{}", ran.stderr);
    assert!(ran.done().starts_with("problem, 201 samples\n"));
    let out = arg(lab.path("run-0"));
    let [learned, folder] = ["pairs0.jsonl", "found"].map(|name| arg(lab.path(name)));
    run(&["eval", &out, "--data", &learned, "--out", &folder]).done();
    let board = run(&["eval", "leaderboard", &folder]).done();
    assert!(
        board.contains("chrf \u{2191} |") && board.contains("perplexity \u{2193} |"),
        "{board}"
    );
    let stderr = run(&["eval", "compare", &folder, &folder]).refused();
    assert!(stderr.contains("has no log of documents"), "{stderr}");
    let stderr = run(&["eval", &out, "--data", &learned, "--slice", "source"]).refused();
    assert!(
        stderr.contains("`--slice` is for heads, and `pairs` is judged without one"),
        "{stderr}"
    );
}

#[test]
fn what_learned_beside_a_base_is_what_was_judged() {
    let lab = Lab::new();
    // It learned from masked words, and has no pooler.
    let model = arg(base(&lab));
    let words = ["good", "bad", "the house", "her letter", "a walk"];
    // The ends are cut off, where it learns and where it is judged.
    let star = |i: usize| format!("{} {i} is what it is,{}", words[i % 5], i as f32 / 10.0 + 0.05);
    let stars = |from: usize| -> Vec<String> {
        ["text,score".to_owned()].into_iter().chain((from..from + 20).map(star)).collect()
    };
    let [data, judged] = [0, 20].map(|from| table(&lab, &format!("{from}.csv"), &stars(from)));
    let rounded = ["lora", "prompt"].map(|kind| (kind, Some("method.quantise=int8")));
    let plain = ["lora", "prompt", "prefix", "adapter"].map(|kind| (kind, None));
    for (kind, form) in plain.into_iter().chain(rounded) {
        let out = lab.path(&format!("{kind}{}", form.unwrap_or_default()));
        let kind = format!("method.kind={kind}");
        let mut sets = vec!["train.steps=9", "train.precision=f32", "optim.peak_lr=1e-2", &kind];
        sets.extend(["train.eval_every=9", "train.checkpoint_every=9"]);
        sets.extend(["data.max_len=10", "data.max_cut=1.0", "task.metrics=[\"mae\",\"pearson\"]"]);
        if kind.ends_with('x') || kind.ends_with("prompt") {
            sets.push("method.n_virtual=3");
        }
        sets.extend(form);
        let sets: Vec<&str> = sets.into_iter().flat_map(|set| ["--set", set]).collect();
        let (out_arg, data) = (arg(&out), &*data);
        let own = ["finetune", "--model", &model, "--data", data, "--validation", &judged];
        run(&[&own[..], &["--out", &out_arg, "--task", "score"], &sets].concat()).done();
        let last = crate::recipe::metrics(&out).pop().expect("an evaluation");
        let [name, value] = [0, 1].map(|at| last["eval"]["metrics"][0][at].clone());
        let folder = arg(out.with_extension("found"));
        let own = ["eval", &model, "--adapter", &out_arg, "--data", &judged, "--out", &folder];
        let run_alone = run(&["eval", &out_arg, "--data", &judged, "--json"]);
        assert!(run_alone.stderr.contains("texts are cut to 10 tokens"), "{}", run_alone.stderr);
        for json in [run_alone.json(), run(&[&own[..], &["--json"]].concat()).json()] {
            let found = &json["splits"][0]["metrics"][0];
            assert_eq!((&found["metric"], &name), (&"mae".into(), &"mae".into()), "{kind}");
            let [found, value] = [&found["value"], &value].map(|x| x.as_f64().expect("a number"));
            assert!((found - value).abs() < 1e-5, "{kind}: {found}, and not {value}");
        }
    }
    let [lora, prefix] = ["lora", "prefix"].map(|kind| arg(lab.path(kind)));
    let [a, b] = [&lora, &prefix].map(|run| format!("{run}.found"));
    let json = run(&["eval", "compare", &a, &b, "--json"]).json();
    let of = |at: usize, key: &str| json[at][key].clone();
    assert_eq!((of(0, "metric"), of(1, "metric")), ("mae".into(), "pearson".into()));
    assert_eq!((of(0, "n_docs"), of(0, "test")), (20.into(), "paired bootstrap".into()));
    assert_eq!((of(0, "larger_is_better"), of(1, "larger_is_better")), (false.into(), true.into()));
    let board = run(&["eval", "leaderboard", &a, &b]).done();
    for name in [format!("| {model} + {lora} |"), format!("| {model} + {prefix} |")] {
        assert!(board.contains(&name), "{board}");
    }
    assert!(board.contains("20.csv mae \u{2193} |"), "{board}");
}

#[test]
fn predictions_of_a_benchmark_are_written_in_its_layout() {
    let lab = Lab::new();
    let model = arg(base(&lab));
    let glue = lab.path("glue/CoLA");
    fs::create_dir_all(&glue).expect("made");
    let row = |at: usize| format!("gj04\t{}\t\tThe tea {at} was good.", at % 2);
    let rows: String = (0..12).map(|at| row(at) + "\n").collect();
    fs::write(glue.join("train.tsv"), &rows).expect("written");
    let rows: String = (12..17).map(|at| row(at) + "\n").collect();
    fs::write(glue.join("dev.tsv"), rows).expect("written");
    fs::write(glue.join("test.tsv"), "index\tsentence\n0\tIt was.\n1\tWas it?\n").expect("written");
    let (data, out) = (arg(lab.path("glue")), arg(lab.path("cola")));
    let sets = ["--set", "data.set=cola", "--set", "train.steps=2"];
    let own = ["finetune", "--model", &model, "--data", &data, "--out", &out];
    run(&[&own[..], &sets, &["--set", "data.max_shared=1.0"]].concat()).done();
    let to = arg(lab.path("to"));
    let own = ["eval", &out, "--data", &data, "--task", "cola", "--submission", &to];
    let shown = run(&own).done();
    assert!(shown.starts_with("validation, 5 records\n"), "{shown}");
    assert!(shown.contains("matthews"), "{shown}");
    let json = run(&[&own[..6], &["--json"]].concat()).json();
    assert_eq!(json["splits"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&json["splits"][0]["split"], &json["splits"][0]["n"]),
        (&"validation".into(), &5.into())
    );
    let written = fs::read_to_string(lab.path("to/CoLA.tsv")).expect("a file");
    assert!(
        written.starts_with("index\tprediction\n0\t") && written.lines().count() == 3,
        "{written}"
    );
    let said = run(&["eval", &out, "--data", &data, "--task", "rte", "-q"]).refused();
    assert!(said.contains("error: "), "{said}");
    let refused = |more: &[&str]| run(&[&own[..], more, &["-q"]].concat()).refused();
    assert!(refused(&["--task", "rte"]).contains("`--task rte` is a second set"));
    assert!(refused(&["--data", "b"]).contains("`b` is named beside the folder of `cola`"));
    let rows = ["text,label", "It was good.,acceptable"].map(str::to_owned);
    let labelled = table(&lab, "labelled.csv", &rows);
    let own = ["eval", &out, "--task", "cola", "--submission", &to, "-q", "--data", &labelled];
    assert!(run(&own).refused().contains("there is no test split"));
    fs::remove_file(glue.join("dev.tsv")).expect("removed");
    let said = run(&["eval", &out, "--data", &data, "--task", "cola", "-q"]).refused();
    assert!(said.contains("there is no split for validation"), "{said}");
    fs::remove_file(glue.join("test.tsv")).expect("removed");
    let own = ["eval", &out, "--data", &data, "--task", "cola", "--submission", &to, "-q"];
    assert!(run(&own).refused().contains("there is no test split"));
}
