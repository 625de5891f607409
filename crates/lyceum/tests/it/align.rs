//! Answers that are better than others, and answers that are checked.

use std::fs;

use serde_json::{Value, json};

use crate::fixture::{Ran, arg, run};
use crate::recipe::{Lab, refusal};

/// A tiny decoder, and rows to align it by.
struct Align {
    lab: Lab,
    model: String,
}

/// A constant learning rate, so that a run can be extended.
const SETS: [&str; 4] =
    ["optim.schedule=constant", "optim.peak_lr=2e-3", "train.batch_size=6", "train.precision=f32"];

impl Align {
    fn new() -> Self {
        let lab = Lab::new();
        lab.pretrain("base", &["--set", "train.steps=2", "--set", "data.seq_len=64"]).done();
        let model = arg(lab.path("base"));
        Self { lab, model }
    }

    fn rows(&self, name: &str, rows: &[Value]) -> String {
        let path = self.lab.path(name);
        let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
        fs::write(&path, lines.join("\n")).expect("written");
        arg(path)
    }

    fn go(&self, out: &str, data: &str, sets: &[&str], more: &[&str]) -> Ran {
        let out = arg(self.lab.path(out));
        let mut args = vec!["finetune", "--model", &self.model, "--data", data, "--out", &out];
        for set in SETS.iter().chain(sets) {
            args.extend(["--set", set]);
        }
        args.extend(more);
        run(&args)
    }

    fn weights(&self, run: &str, step: u64, file: &str) -> Vec<u8> {
        let path = self.lab.path(run).join(format!("checkpoints/step-{step}")).join(file);
        fs::read(path).expect("saved")
    }
}

fn pairs(n: usize) -> Vec<Value> {
    let rest = ["the day", "a walk", "her letter", "this house", "that dance", "his visit"];
    let pair = |i: usize| {
        let prompt = format!("{} {i} was", rest[i % rest.len()]);
        json!({"prompt": prompt, "chosen": " good.", "rejected": " bad, and so on."})
    };
    (0..n).map(pair).collect()
}

#[test]
fn better_answers_become_likelier_and_a_resumed_run_is_the_same_to_the_bit() {
    let align = Align::new();
    let data = align.rows("pairs.jsonl", &pairs(40));
    let steps = |n: &'static str| -> [&'static str; 2] { ["data.validation_fraction=0.2", n] };
    for (method, file) in [("full", "model.safetensors"), ("lora", "adapter_model.safetensors")] {
        let kind = format!("method.kind={method}");
        let go = |out: &str, n: &'static str, more: &[&str]| {
            let sets = [&steps(n)[..], &[&kind]].concat();
            align.go(&format!("{out}-{method}"), &data, &sets, more)
        };
        let whole = go("whole", "train.steps=12", &[]);
        assert!(whole.stderr.contains("preference: reads `chosen`"), "{}", whole.stderr);
        assert!(whole.stderr.contains("\n  beside: "), "{}", whole.stderr);
        assert!(whole.stderr.contains("% of the tokens are learned"), "{}", whole.stderr);
        // What it takes is known before anything is computed.
        let at = |what| whole.stderr.find(what).expect("said");
        assert!(at("it will take about") < at("where learning begins"), "{}", whole.stderr);
        whole.done();
        go("a", "train.steps=5", &[]).done();
        let resumed = go("a", "train.steps=12", &["--resume"]);
        assert!(!resumed.stderr.contains("where learning begins"), "{}", resumed.stderr);
        resumed.done();
        let [whole, resumed] = ["whole", "a"].map(|run| format!("{run}-{method}"));
        assert!(align.weights(&whole, 12, file) == align.weights(&resumed, 12, file), "{method}");
        // Without what was kept it is found again.
        fs::remove_file(align.lab.path(&resumed).join("data/reference.f32")).expect("kept");
        let again = go("a", "train.steps=13", &["--resume"]);
        assert!(again.stderr.contains("where learning begins"), "{}", again.stderr);
        again.done();
        let log = align.lab.metrics(&whole);
        let (first, last) = (&log[0], log.last().expect("an evaluation"));
        assert!((first["loss"].as_f64().unwrap() - 2f64.ln()).abs() < 1e-3, "{first}");
        for name in ["margin", "chosen", "rejected"] {
            assert!(first["told"][name].as_f64().unwrap().abs() < 1e-3, "{first}");
        }
        assert_eq!(last["eval"]["metrics"][0], json!(["accuracy", 1.0]), "{last}");
        let report = fs::read_to_string(align.lab.path(&whole).join("report.html")).expect("made");
        assert!(report.contains("<b>margin</b>") && report.contains("<b>chosen</b>"));
    }
}

#[test]
fn every_loss_of_answers_is_learned() {
    let align = Align::new();
    let data = align.rows("pairs.jsonl", &pairs(20));
    for loss in ["ipo", "orpo", "simpo", "reward"] {
        let set = format!("align.loss={loss}");
        let ran = align.go(loss, &data, &[&set, "train.steps=3"], &[]);
        let (is_shown, is_asked) = (ran.stderr.contains("\n  beside: "), loss != "reward");
        assert_eq!((is_shown, ran.stderr.contains("[ ")), (true, is_asked), "{}", ran.stderr);
        ran.done();
        let last = align.lab.metrics(loss).pop().expect("an evaluation");
        assert_eq!(last["eval"]["metrics"][0][0], "accuracy", "{loss}: {last}");
    }
    let judged = |(i, row): (usize, Value)| {
        let completion = &row[if i % 2 == 0 { "chosen" } else { "rejected" }];
        json!({"prompt": row["prompt"], "completion": completion, "label": i % 2 == 0})
    };
    let rows: Vec<Value> = pairs(20).into_iter().enumerate().map(judged).collect();
    let data = align.rows("judged.jsonl", &rows);
    align.go("kto", &data, &["train.steps=3"], &[]).done();
    let log = align.lab.metrics("kto");
    assert!((log[0]["loss"].as_f64().unwrap() - 0.5).abs() < 1e-3, "{}", log[0]);
    assert!(log[0]["told"]["kl"].is_number(), "{}", log[0]);
}

#[test]
fn a_pair_that_loses_an_answer_is_left_out_alone() {
    let align = Align::new();
    let mut rows = pairs(20);
    rows[7]["prompt"] = json!("so it was ".repeat(40));
    let data = align.rows("pairs.jsonl", &rows);
    let judged = |(i, row): (usize, &Value)| {
        let completion = &row["chosen"];
        json!({"prompt": row["prompt"], "completion": completion, "label": i % 2 == 0})
    };
    let judged: Vec<Value> = rows.iter().enumerate().map(judged).collect();
    let judged = align.rows("judged.jsonl", &judged);
    for (loss, data) in [("dpo", &data), ("reward", &data), ("kto", &judged)] {
        let set = format!("align.loss={loss}");
        let sets = [&set, "train.steps=4", "data.validation_fraction=0"];
        let ran = align.go(loss, data, &sets, &[]);
        let said = "1 of 20 samples have nothing that is learned";
        assert!(ran.stderr.contains(said), "{loss}: {}", ran.stderr);
        ran.done();
        let first = &align.lab.metrics(loss)[0];
        if loss == "dpo" {
            assert!((first["loss"].as_f64().unwrap() - 2f64.ln()).abs() < 1e-3, "{first}");
        }
    }
}

#[test]
fn a_model_learns_from_its_own_answers_and_goes_on_as_it_would_have() {
    let align = Align::new();
    let problem = |i: usize| json!({"prompt": format!("{i} and"), "answer": "e"});
    let data = align.rows("problems.jsonl", &(0..20).map(problem).collect::<Vec<_>>());
    let sets = |steps: &'static str| {
        [
            "align.rewards=[{kind=\"pattern\",pattern=\"[a-m]\"}]",
            "align.answers=4",
            "align.max_tokens=6",
            "align.beta=0.05",
            "align.temperature=1.3",
            "task.max_written=2",
            "train.batch_size=3",
            "train.sample_every=4",
            "data.validation_fraction=0.2",
            steps,
        ]
    };
    let whole = align.go("whole", &data, &sets("train.steps=8"), &["--task", "problem"]);
    let said = [
        "the first 2 of 4 problems are answered",
        "train: 16 samples, ",
        "for instance: ",
        " => e\n",
        "what it writes and evaluations apart",
    ];
    assert!(said.iter().all(|said| whole.stderr.contains(said)), "{}", whole.stderr);
    whole.done();
    align.go("a", &data, &sets("train.steps=3"), &["--task", "problem"]).done();
    align.go("a", &data, &sets("train.steps=8"), &["--task", "problem", "--resume"]).done();
    let [whole, resumed] = ["whole", "a"].map(|run| align.weights(run, 8, "model.safetensors"));
    assert!(whole == resumed);
    let log = align.lab.metrics("whole");
    let told = &log[0]["told"];
    for name in ["reward", "reward_std", "length", "ended", "pattern", "entropy", "kl"] {
        assert!(told[name].is_number(), "{name}: {told}");
    }
    assert!(told["kl"].as_f64().unwrap().abs() < 1e-6 && told["entropy"].as_f64().unwrap() > 1.0);
    let samples = fs::read_to_string(align.lab.path("whole").join("samples.jsonl")).expect("some");
    assert_eq!(samples.lines().count(), 2);
    assert_eq!(log.last().expect("an evaluation")["eval"]["metrics"][0][0], "reward");
}

#[test]
fn what_cannot_be_aligned_is_refused() {
    let align = Align::new();
    let data = align.rows("pairs.jsonl", &pairs(12));
    let problems = align.rows("problems.jsonl", &[json!({"prompt": "1 +", "answer": "2"})]);
    let refused = |data: &str, sets: &[&str], expected: &str| {
        let sets = [&["data.validation_fraction=0"], sets].concat();
        let error = refusal(align.go("no", data, &sets, &[]));
        assert!(error.contains(expected), "{sets:?}: {error}");
        assert!(!align.lab.path("no").exists(), "{sets:?}");
    };
    refused(&data, &["align.loss=kto"], "`kto` is learned from `judged`, and this is `preference`");
    refused(&data, &["align.loss=ppo"], "`ppo` is no loss of answers");
    refused(&data, &["align.beta=0"], "0 leaves nothing to learn of `dpo`");
    refused(&data, &["align.beta=-1"], "`align.beta`: -1 is not in");
    refused(&data, &["data.max_len=8"], "lose their ends");
    refused(&data, &["task.metrics=[\"bleu\"]"], "`bleu` is not measured of answers");
    let dropout = "method.dropout=0.1";
    refused(&data, &["method.kind=lora", dropout], "`method.dropout`: has no part in answers");
    let judged = json!({"prompt": "1 +", "completion": " 2", "label": true});
    let judged = align.rows("judged.jsonl", &[judged]);
    refused(&judged, &["train.micro_batch=3"], "a step is one micro-batch");
    let problem = ["task.kind=problem"];
    let of = |set: &'static str| [problem[0], set];
    refused(&problems, &problem, "nobody says what an answer is worth");
    refused(&problems, &of("align.rewards=[{kind=\"program\"}]"), "`program` with its `command`");
    refused(
        &problems,
        &of("align.rewards=[{kind=\"pattern\",pattern=\"(\"}]"),
        "`(` is no pattern",
    );
    let number = "align.rewards=[{kind=\"number\"}]";
    let measured = [problem[0], number, "task.metrics=[\"accuracy\"]"];
    refused(&problems, &measured, "`task.metrics`: has no part in problems");
    let large = [problem[0], number, "align.max_tokens=63"];
    refused(&problems, &large, "a prompt of");
    let hangs = "align.rewards=[{kind=\"program\",command=[\"sleep\",\"60\"],seconds=0.05}]";
    let sets = [problem[0], hangs, "align.answers=2", "align.max_tokens=2", "train.steps=1"];
    let sets = [&["data.validation_fraction=0"], &sets[..]].concat();
    let error = refusal(align.go("hangs", &problems, &sets, &[]));
    assert!(
        error.contains("2 of 2 answers could not be checked; the first: it took more"),
        "{error}"
    );
}
