//! From a model that is there to one that does a task.

use std::fs;
use std::path::{Path, PathBuf};

use crate::fixture::{Ran, arg, run, run_with_stdin};
use crate::recipe::{Lab, refusal};

/// A tiny encoder, pretrained for a few steps.
pub fn base(lab: &Lab) -> PathBuf {
    let sets = [
        "task.objective=masked_tokens",
        "model.family=bert",
        "data.seq_len=24",
        "tokenizer.vocab_size=290",
        "train.steps=2",
    ];
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    lab.pretrain("base", &sets).done();
    lab.path("base")
}

pub fn table(lab: &Lab, name: &str, rows: &[String]) -> String {
    let path = lab.path(name);
    fs::write(&path, rows.join("\n")).expect("written");
    arg(path)
}

/// Lines that are of one class or the other by a word.
pub fn opinions(n: usize) -> Vec<String> {
    let rest = ["the day", "a walk", "her letter", "this house", "that dance", "his visit"];
    let line = |i: usize| {
        let (word, label) = if i.is_multiple_of(2) { ("good", "yes") } else { ("bad", "no") };
        format!("{i} {} was {word},{label}", rest[i / 2 % rest.len()])
    };
    ["text,label".to_owned()].into_iter().chain((0..n).map(line)).collect()
}

struct Tuning<'l> {
    lab: &'l Lab,
    model: String,
}

impl Tuning<'_> {
    fn go(&self, out: &str, data: &str, more: &[&str]) -> Ran {
        let out = arg(self.lab.path(out));
        let own = ["finetune", "--model", &self.model, "--data", data, "--out", &out];
        run(&[&own[..], more].concat())
    }
}

#[test]
fn classes_are_learned_and_a_resumed_run_is_the_same_to_the_bit() {
    let lab = Lab::new();
    let tuning = Tuning { lab: &lab, model: arg(base(&lab)) };
    let data = table(&lab, "opinions.csv", &opinions(60));
    let sets = |steps: &str| -> Vec<String> {
        let steps = format!("train.steps={steps}");
        let all = ["optim.schedule=constant", "optim.peak_lr=3e-3", "train.batch_size=9", &steps];
        all.iter().flat_map(|set| ["--set".to_owned(), (*set).to_owned()]).collect()
    };
    let go = |out: &str, steps: &str, more: &[&str]| {
        let sets = sets(steps);
        let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
        tuning.go(out, &data, &[&sets[..], more].concat()).done()
    };
    go("whole", "40", &[]);
    go("a", "17", &[]);
    go("a", "40", &["--resume"]);
    let weights = |run: &str| {
        fs::read(lab.path(run).join("checkpoints/step-40/model.safetensors")).expect("saved")
    };
    assert!(weights("a") == weights("whole"));
    let last = lab.metrics("whole").pop().expect("an evaluation");
    assert_eq!(last["eval"]["metrics"][0], serde_json::json!(["accuracy", 1.0]), "{last}");
    let said = run(&["run", &arg(lab.path("a")), "77 the tea was good"]).done();
    assert!(said.starts_with("yes "), "{said}");
    assert!(run(&["runs", &arg(lab.path("a"))]).done().contains("1.0000 accuracy"));
}

#[test]
fn numbers_tags_and_answers_are_learned_from_their_tables() {
    let lab = Lab::new();
    let tuning = Tuning { lab: &lab, model: arg(base(&lab)) };
    let words = ["good", "bad", "the house", "her letter", "a walk"];
    let stars = |i: usize| format!("it is {} {i},{}", words[i % 5], i as f32 / 10.0 + 0.05);
    let stars = ["text,score".to_owned()].into_iter().chain((0..20).map(stars)).collect::<Vec<_>>();
    let tags = |i: usize| {
        format!(
            "{{\"tokens\":[\"Mr\",\"Knightley{i}\",\"came\"],\"ner_tags\":[\"O\",\"B-PER\",\"O\"]}}"
        )
    };
    let answers = |i: usize| {
        let answer = format!("{{\"text\":[\"Emma{i}\"],\"answer_start\":[5]}}");
        let text = format!("It is Emma{i} who came").replace("It is ", "It's ");
        let (id, ask) = (format!("\"id\":\"{i}\""), "\"question\":\"Who came?\"");
        format!("{{{id},{ask},\"context\":\"{text}\",\"answers\":{answer}}}")
    };
    let choices = |i: usize| {
        format!("{{\"prompt\":\"It was\",\"choices\":[\"good {i}\",\"bad\"],\"label\":{}}}", i % 2)
    };
    let cases = [
        ("score", table(&lab, "stars.csv", &stars), "pearson"),
        ("tag", table(&lab, "tags.jsonl", &(0..20).map(tags).collect::<Vec<_>>()), "f1"),
        ("span", table(&lab, "answers.jsonl", &(0..20).map(answers).collect::<Vec<_>>()), "f1"),
        (
            "choice",
            table(&lab, "choices.jsonl", &(0..20).map(choices).collect::<Vec<_>>()),
            "accuracy",
        ),
    ];
    for (task, data, metric) in cases {
        let asked = match task {
            "span" => "{\"question\": \"Who was it?\", \"context\": \"It was Emma.\"}",
            "choice" => "{\"text\": \"Who was it?\", \"choices\": [\"Emma.\", \"Jane.\"]}",
            _ => "{\"text\": \"It was a day.\"}",
        };
        let more =
            ["--task", task, "--set", "train.steps=3", "--set", "data.validation_fraction=0.3"];
        let ran = tuning.go(task, &data, &more);
        let stderr = ran.stderr.clone();
        ran.done();
        assert!(stderr.contains(&format!("{task}: reads")), "{stderr}");
        let last = lab.metrics(task).pop().expect("an evaluation");
        assert_eq!(last["eval"]["metrics"][0][0], metric, "{task}: {last}");
        // What is suggested can be done.
        if ["span", "choice"].contains(&task) {
            assert!(stderr.contains(asked), "{stderr}");
        }
        let model = arg(lab.path(task));
        run_with_stdin(&["run", &model, "-", "--jsonl"], asked.as_bytes()).done();
    }
}

#[test]
fn a_run_goes_on_with_the_recipe_it_was_begun_with() {
    let lab = Lab::new();
    let tuning = Tuning { lab: &lab, model: arg(base(&lab)) };
    let data = table(&lab, "opinions.csv", &opinions(30));
    let recipe = arg(lab.path("tune.toml"));
    fs::write(&recipe, "[data]\nepochs = 1\n[train]\nbatch_size = 9\n").expect("written");
    let whole = tuning.go("a", &data, &[&recipe]);
    assert!(whole.stderr.contains("3 steps"), "{}", whole.stderr);
    whole.done();
    tuning.go("a", &data, &[&recipe, "--resume"]).done();
    fs::write(&data, opinions(30).join("\n").replace("walk", "talk")).expect("written");
    let stderr = refusal(tuning.go("a", &data, &[&recipe, "--resume"]));
    assert!(stderr.contains(&format!("bring back `{data}` as it was")), "{stderr}");
}

#[test]
fn what_cannot_be_learned_is_refused_and_leaves_nothing() {
    let lab = Lab::new();
    let tuning = Tuning { lab: &lab, model: arg(base(&lab)) };
    let good = table(&lab, "good.csv", &opinions(30));
    let long = "so it was ".repeat(12);
    let long: Vec<String> = opinions(30).iter().map(|row| row.replace("was", &long)).collect();
    let long = table(&lab, "long.csv", &long);
    let other = table(&lab, "other.csv", &["a,b".to_owned(), "1,2".to_owned()]);
    let empty = table(&lab, "empty.csv", &["text,label".to_owned()]);
    let unjudged: &[&str] = &["--set", "train.patience=2", "--set", "data.validation_fraction=0"];
    let led: &[&str] = &["--set", "method.kind=prefix", "--set", "method.n_virtual=20"];
    let stars: Vec<String> = (0..20).map(|i| format!("it is {i},{}", i as f32 + 0.5)).collect();
    let stars = table(&lab, "stars.csv", &[vec!["text,score".to_owned()], stars].concat());
    let vain =
        |i| format!("{{\"query\":\"a {i}\",\"documents\":[\"no\",\"so\"],\"relevance\":[0,0]}}");
    let vain = table(&lab, "vain.jsonl", &(0..20).map(vain).collect::<Vec<_>>());
    let one = table(
        &lab,
        "one.csv",
        &opinions(8).iter().map(|l| l.replace("no", "yes")).collect::<Vec<_>>(),
    );
    let low: &[&str] = &["--set", "method.kind=lora", "--set", "method.rank=0"];
    let cases: [(&str, &[&str], &str); 31] = [
        (&good, &["--set", "align.beta=0.2"], "`align.beta`: it does nothing where the task is"),
        (&good, &["--set", "task.max_written=5"], "it is used by pairs, chat, problem"),
        (&stars, &["--set", "task.r_drop=1"], "`task.r_drop`: has no part in the loss `value`"),
        (&stars, &["--set", "task.label_smoothing=0.1"], "has no part in the loss `value`"),
        (&stars, &["--set", "task.loss=cosine"], "a cosine is of two texts, and this is one"),
        (&vain, &[], "have nothing that is learned"),
        (&one, &[], "`label` has one class, `yes`, and two are the least"),
        (&good, &["--set", "data.labels=[\"no\",\"no\"]"], "`data.labels`: `no` is there twice"),
        (&good, &["--set", "data.validation_fraction=0.01"], "`data.validation_fraction`: 0.01 of"),
        (&good, low, "`method.rank`: 0 is not in"),
        (&good, &["--set", "optim.peak_lr=nan"], "`optim.peak_lr`"),
        (&good, &["--set", "method.kind=dora"], "set `method.dora=true` beside it"),
        (&good, &[&good], "a table is given with `--data"),
        (&good, unjudged, "there is nothing to judge by"),
        (&good, led, "20 of the 24 positions that the model knows leave too few"),
        (&good, &["--set", "optim.layer_decay=0"], "optim.layer_decay"),
        (&good, &["--set", "optim.rates={\"embed*\" = -1.0}"], "optim.rates"),
        (&good, &["--set", "optim.rates={\"no.such\" = 2.0}"], "`no.such` of `optim.rates`"),
        (&good, &["--set", "method.kind=head", "--set", "method.mixout=0.5"], "method.mixout"),
        (&good, &["--set", "train.sample_every=5"], "writes no samples"),
        (&good, &["--set", "eval.batch_size=5"], "unknown field `eval`"),
        ("nothing.csv", &[], "stands for no file"),
        (&other, &[], "no task is known by such columns"),
        (&empty, &[], "is empty"),
        (&good, &["--task", "guess"], "there is no task `guess`"),
        (&good, &["--validation", &good], "are in `train`, too (100.0 %)"),
        (&long, &[], "lose their ends"),
        (&good, &["--set", "data.max_len=4000"], "the model knows"),
        (&good, &["--set", "task.metrics=[\"f2\"]"], "no metric of classes is called `f2`"),
        (&good, &["--set", "task.class_weights=[1.0]"], "1 numbers for 2 classes"),
        (&good, &["--set", "data.columns.text=[\"txt\"]"], "`txt`"),
    ];
    for (data, more, message) in cases {
        let stderr = refusal(tuning.go("a", data, more));
        assert!(stderr.contains(message) && stderr.contains("hint: "), "{data} {more:?}: {stderr}");
        assert!(!lab.path("a").exists(), "{more:?}");
    }
    let gpt = Tuning { lab: &lab, model: arg(lab.path("missing")) };
    assert!(refusal(gpt.go("a", &good, &[])).contains("missing"));
}

#[test]
fn a_run_that_gets_no_better_ends() {
    let lab = Lab::new();
    let tuning = Tuning { lab: &lab, model: arg(base(&lab)) };
    let data = table(&lab, "opinions.csv", &opinions(60));
    let sets = [
        "train.steps=200",
        "train.eval_every=3",
        "train.patience=4",
        "train.ema=0.9",
        "optim.layer_decay=0.9",
        "optim.rates={\"heads.*\" = 10.0}",
        "optim.schedule=constant",
        "optim.peak_lr=3e-3",
        "method.mixout=0.1",
    ];
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    let last = |name: &str| {
        let ran = tuning.go(name, &data, &sets);
        let stderr = ran.stderr.clone();
        ran.done();
        assert!(stderr.contains(", no better for a while after"), "{stderr}");
        assert!(!stderr.contains("train it longer"), "{stderr}");
        lab.metrics(name).pop().expect("an evaluation")["step"].as_u64().expect("a step")
    };
    assert!(last("a") < 200);
    // Again: there is nothing to do.
    let ran = tuning.go("a", &data, &[&sets[..], &["--resume"]].concat());
    assert!(ran.stderr.contains(", no better for a while after"), "{}", ran.stderr);
    ran.done();
}

#[test]
fn what_stays_stays_and_a_small_change_is_a_small_file() {
    let lab = Lab::new();
    let base = base(&lab);
    let tuning = Tuning { lab: &lab, model: arg(&base) };
    let data = table(&lab, "opinions.csv", &opinions(60));
    let sets = |kind: &str, steps: &str| -> Vec<String> {
        let [kind, steps] = [format!("method.kind={kind}"), format!("train.steps={steps}")];
        let lr = "optim.peak_lr=1e-2";
        let all = ["optim.schedule=constant", lr, "train.batch_size=9", &kind, &steps];
        all.iter().flat_map(|set| ["--set".to_owned(), (*set).to_owned()]).collect()
    };
    let go = |out: &str, kind: &str, steps: &str, more: &[&str]| {
        let sets = sets(kind, steps);
        let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
        tuning.go(out, &data, &[&sets[..], more].concat()).done()
    };
    for (kind, file, more) in [
        ("lora", "adapter_model.safetensors", &["--set", "method.dora=true"][..]),
        ("head", "model.safetensors", &[]),
        ("full", "model.safetensors", &["--set", "method.freeze=[\"embed*\"]"]),
        ("prompt", "adapter_model.safetensors", &["--set", "method.n_virtual=3"]),
        ("prefix", "adapter_model.safetensors", &["--set", "method.n_virtual=3"]),
        ("adapter", "adapter_model.safetensors", &["--set", "method.bottleneck=8"]),
    ] {
        let [whole, a] = ["whole", "a"].map(|name| format!("{kind}-{name}"));
        go(&whole, kind, "30", more);
        go(&a, kind, "11", more);
        go(&a, kind, "30", &[more, &["--resume"]].concat());
        let weights = |run: &str| {
            fs::read(lab.path(run).join("checkpoints/step-30").join(file)).expect("saved")
        };
        assert!(weights(&a) == weights(&whole), "{kind}");
        let said = run(&["run", &arg(lab.path(&a)), "77 the tea was good"]).done();
        let is_small = ["head", "prompt", "prefix"].contains(&kind);
        assert!(said.starts_with("yes ") || is_small, "{kind}: {said}");
    }
    let lora = lab.path("lora-a/checkpoints/step-30");
    assert!(!lora.join("model.safetensors").exists());
    let config = fs::read_to_string(lora.join("adapter_config.json")).expect("saved");
    assert!(config.contains("\"use_dora\": true"), "{config}");
    let merged = lab.path("merged");
    let said = run(&["convert", &arg(lab.path("lora-a")), &arg(&merged), "--to", "hf"]);
    assert!(said.stderr.starts_with("merged: "), "{}", said.stderr);
    said.done();
    let of = |model: PathBuf| run(&["run", &arg(model), "77 the tea was good"]).done();
    assert_eq!(of(merged), of(lab.path("lora-a")));
    beside_a_base_by_command(&lab, &base);
    assert!(run(&["inspect", &arg(lab.path("lora-a"))]).done().contains("lora_A"));
    let stderr = refusal(tuning.go(
        "b",
        &data,
        &["--set", "method.kind=lora", "--set", "method.targets=[\"nothing\"]"],
    ));
    assert!(stderr.contains("`target_modules` are in none of the names"), "{stderr}");
    assert!(!lab.path("b").exists());
}

/// What was tuned runs and merges beside its base, and beside no other.
fn beside_a_base_by_command(lab: &Lab, base: &Path) {
    let of = |model: PathBuf| run(&["run", &arg(model), "77 the tea was good"]).done();
    let said = |model: &Path, adapter: &str| {
        run(&["run", &arg(model), "--adapter", adapter, "77 the tea was good"])
    };
    for kind in ["lora", "prompt", "prefix", "adapter"] {
        let tuned = lab.path(&format!("{kind}-a"));
        assert_eq!(said(base, &arg(&tuned)).done(), of(tuned), "{kind}");
    }
    let half = said(base, &format!("{}=0.5", arg(lab.path("lora-a")))).done();
    assert_ne!(half, of(lab.path("lora-a")));
    let led = format!("{}=0.5", arg(lab.path("prompt-a")));
    assert!(refusal(said(base, &led)).contains("learned tokens are there or not"));
    let (from, to) = (arg(base), arg(lab.path("merged-2")));
    let lora = arg(lab.path("lora-a"));
    let merge = |more: &[&str]| {
        let own = ["convert", &from, &to, "--to", "hf", "--adapter", &lora];
        run(&[&own[..], more].concat())
    };
    assert!(refusal(merge(&["--unmerge"])).contains("cannot be taken out of weights again"));
    assert!(!lab.path("merged-2").exists());
    merge(&[]).done();
    assert_eq!(of(lab.path("merged-2")), of(lab.path("lora-a")));
    let stderr = refusal(said(&lab.path("merged-2"), &lora));
    assert!(stderr.contains("was trained beside other weights than those of"), "{stderr}");
}

/// A tiny model that writes: a decoder with a chat template, or an encoder-decoder.
pub fn writer(lab: &Lab, family: &str) -> PathBuf {
    let objective = if family == "t5" { "span_corruption" } else { "next_token" };
    let sets = [
        format!("model.family={family}"),
        format!("task.objective={objective}"),
        format!("tokenizer.vocab_size={}", if family == "t5" { 180 } else { 290 }),
        "data.seq_len=48".to_owned(),
        "train.steps=2".to_owned(),
    ];
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    let pretrained = format!("{family}-pretrained");
    lab.pretrain(&pretrained, &sets).done();
    let out = lab.path(family);
    run(&["convert", &arg(lab.path(&pretrained)), &arg(&out), "--to", "hf"]).done();
    if family != "t5" {
        let template = "{% for m in messages %}{{ m.role }}: {{ m.content }}<|endoftext|>\n\
                        {% endfor %}{% if add_generation_prompt %}assistant: {% endif %}";
        fs::write(out.join("chat_template.jinja"), template).expect("written");
    }
    out
}

pub fn translations(n: usize) -> Vec<String> {
    let words = [("the sea", "el mar"), ("a ship", "un barco"), ("the old home", "la casa vieja")];
    let line = |i: usize| {
        let (source, target) = words[i % 3];
        format!("{{\"source\":\"{source} {i}\",\"target\":\"{target} {i}\"}}")
    };
    (0..n).map(line).collect()
}

fn talks(n: usize) -> Vec<String> {
    let message =
        |role: &str, text: &str| format!("{{\"role\":\"{role}\",\"content\":\"{text}\"}}");
    let line = |i: usize| {
        let turns = [
            message("user", &format!("is it {i}")),
            message("assistant", "so it is"),
            message("user", "and the sea"),
            message("assistant", "calm"),
        ];
        format!("{{\"messages\":[{}]}}", turns.join(","))
    };
    (0..n).map(line).collect()
}

#[test]
fn texts_are_written_and_a_resumed_run_is_the_same_to_the_bit() {
    for (family, task, portion, learned) in [
        ("t5", "pairs", "train.batch_tokens=200", "=> [ "),
        ("llama", "pairs", "train.batch_size=9", "[ "),
        ("gpt2", "chat", "train.batch_size=9", "[ "),
    ] {
        let rows = if task == "pairs" { translations(30) } else { talks(30) };
        let lab = Lab::new();
        let tuning = Tuning { lab: &lab, model: arg(writer(&lab, family)) };
        let data = table(&lab, "rows.jsonl", &rows);
        let go = |out: &str, steps: &str, more: &[&str]| {
            let metrics = "task.metrics=[\"perplexity\",\"chrf\"]";
            let [rate, steps] = ["optim.peak_lr=3e-3", &format!("train.steps={steps}")];
            let all =
                ["optim.schedule=constant", rate, portion, "train.micro_batch=4", steps, metrics];
            let sets: Vec<&str> = all.iter().flat_map(|set| ["--set", set]).collect();
            // Which task it is, is guessed.
            let own = ["--set", "data.max_cut=1"];
            let ran = tuning.go(out, &data, &[&own, &sets[..], more].concat());
            let stderr = ran.stderr.clone();
            ran.done();
            stderr
        };
        let said = go("whole", "20", &[]);
        assert!(said.contains(learned) && said.contains("% of the tokens are learned"), "{said}");
        assert!(said.contains(&format!("{task}: reads")), "{said}");
        assert_eq!(said.contains("talk to it: "), task == "chat", "{said}");
        go("a", "7", &[]);
        go("a", "20", &["--resume"]);
        let weights = |run: &str| {
            fs::read(lab.path(run).join("checkpoints/step-20/model.safetensors")).expect("saved")
        };
        assert!(weights("a") == weights("whole"), "{family}");
        let rows = lab.metrics("whole");
        let judged: Vec<_> = rows.iter().filter_map(|row| row.get("eval")).collect();
        let of = |i: usize, name: usize| {
            let [what, value] = [0, 1].map(|at| judged[i]["metrics"][name][at].clone());
            assert_eq!(what, ["perplexity", "chrf"][name]);
            value.as_f64().expect("a number")
        };
        let last = judged.len() - 1;
        assert!(of(last, 0) < of(0, 0), "{family}: {judged:?}");
        assert!((0.0..=100.0).contains(&of(last, 1)), "{family}: {judged:?}");
        let model = arg(lab.path("whole"));
        match family {
            "t5" => drop(run(&["run", &model, "the sea 3"]).done()),
            "gpt2" => {
                drop(run_with_stdin(&["chat", &model, "--max-tokens", "5"], b"is it 3\n").done());
            }
            _ => drop(run(&["generate", &model, "--prompt", "a ship 4"]).done()),
        }
    }
}

#[test]
fn conversations_that_cannot_be_learned_are_refused_and_leave_nothing() {
    let lab = Lab::new();
    let gpt = arg(writer(&lab, "gpt2"));
    let lab_of = |name: &str, rows: &[String]| table(&lab, name, rows);
    let good = lab_of("good.jsonl", &talks(20));
    let twice: Vec<String> = talks(20).iter().map(|row| row.replace("assistant", "user")).collect();
    let twice = lab_of("twice.jsonl", &twice);
    let silent = "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}".to_owned();
    let silent = lab_of("silent.jsonl", &vec![silent; 9]);
    let long: Vec<String> =
        talks(20).iter().map(|row| row.replace("is it", &"so it was ".repeat(40))).collect();
    let long = lab_of("long.jsonl", &long);
    let pairs = lab_of("pairs.jsonl", &translations(20));
    let cases: [(&str, &[&str], &str); 7] = [
        (&twice, &[], "two turns of the user, numbers 1 and 2"),
        (&silent, &[], "ends with the user, not with the assistant"),
        (&long, &[], "have nothing that is learned"),
        (&good, &["--set", "data.max_len=40"], "lose their ends"),
        (&good, &["--set", "task.metrics=[\"f1\"]"], "`f1` is not measured"),
        (&good, &["--set", "task.r_drop=1"], "has no part in what is written"),
        (&pairs, &["--task", "pairs", "--set", "data.max_len=4000"], "the model knows"),
    ];
    let tuning = |model: &str| Tuning { lab: &lab, model: model.to_owned() };
    for (data, more, message) in cases {
        let stderr = refusal(tuning(&gpt).go("a", data, more));
        assert!(stderr.contains(message) && stderr.contains("hint: "), "{data} {more:?}: {stderr}");
        assert!(!lab.path("a").exists(), "{more:?}");
    }
    // All are cut, and nothing is left of them that could be learned.
    let stderr = refusal(tuning(&gpt).go("a", &long, &["--set", "data.max_cut=1"]));
    assert!(stderr.contains("has no sample with something to learn"), "{stderr}");
    fs::remove_file(lab.path("gpt2/chat_template.jinja")).expect("it was there");
    let stderr = refusal(tuning(&gpt).go("a", &good, &[]));
    assert!(stderr.contains("the model has no chat template"), "{stderr}");
    let other = Lab::new();
    let t5 = Tuning { lab: &other, model: arg(writer(&other, "t5")) };
    let stderr = refusal(t5.go("a", &good, &[]));
    assert!(stderr.contains("a model with an encoder is shown pairs"), "{stderr}");
    let classes = table(&other, "classes.csv", &opinions(20));
    let stderr = refusal(t5.go("a", &classes, &[]));
    assert!(stderr.contains("`classify` is not learned by a `t5`"), "{stderr}");
    let stderr = refusal(t5.go("a", &pairs, &["--set", "method.kind=prefix"]));
    assert!(stderr.contains("`method.kind`: `prefix` is not there for a `t5`"), "{stderr}");
    let unsaid: Vec<String> =
        (0..9).map(|i| format!("{{\"source\":\"{i}\",\"target\":\"\"}}")).collect();
    let unsaid = table(&other, "unsaid.jsonl", &unsaid);
    let stderr = refusal(t5.go("a", &unsaid, &["--task", "pairs"]));
    assert!(stderr.contains("have nothing that is learned"), "{stderr}");
    let bert = Lab::new();
    let tuning = Tuning { lab: &bert, model: arg(base(&bert)) };
    let stderr = refusal(tuning.go("a", &pairs, &["--task", "pairs"]));
    assert!(stderr.contains("it does not write"), "{stderr}");
}

#[test]
fn vectors_and_rankings_are_learned_from_their_tables() {
    let lab = Lab::new();
    let tuning = Tuning { lab: &lab, model: arg(base(&lab)) };
    let words = ["sea", "ship", "home", "calm"];
    let triplet = |i: usize| {
        let (word, other) = (words[i % 4], words[(i + 1) % 4]);
        format!(
            "{{\"anchor\":\"the {word} {i}\",\"positive\":\"old {word} {i}\",\
             \"negative\":\"a {other}\"}}"
        )
    };
    let near = |i: usize| {
        let score = f64::from(u8::from(i.is_multiple_of(2)));
        let other = if i.is_multiple_of(2) { words[i % 4] } else { words[(i + 1) % 4] };
        format!("{{\"text\":\"{i} {}\",\"pair\":\"{other}\",\"score\":{score}}}", words[i % 4])
    };
    let ranked = |i: usize| {
        let word = words[i % 4];
        format!(
            "{{\"query\":\"{word} {i}\",\"documents\":[\"no\",\"the {word}\",\"so\"],\
             \"relevance\":[0,2,1]}}"
        )
    };
    let file = |name: &str, row: &dyn Fn(usize) -> String| {
        table(&lab, name, &(0..24).map(row).collect::<Vec<_>>())
    };
    let cases = [
        ("triplet", file("triplets.jsonl", &triplet), "contrastive", "mrr@10"),
        ("triplet", file("triplets.jsonl", &triplet), "triplet", "mrr@10"),
        ("score", file("near.jsonl", &near), "cosine", "spearman"),
        ("rank", file("ranked.jsonl", &ranked), "", "ndcg@10"),
    ];
    for (i, (task, data, loss, metric)) in cases.into_iter().enumerate() {
        let loss = format!("task.loss={loss}");
        let mut sets = vec!["train.batch_size=6", "data.validation_fraction=0.3"];
        if loss != "task.loss=" {
            sets.push(&loss);
        }
        let go = |out: &str, steps: &str, more: &[&str]| {
            let steps = format!("train.steps={steps}");
            let sets = sets.iter().copied().chain(["optim.schedule=constant", &steps]);
            let sets: Vec<&str> = sets.flat_map(|set| ["--set", set]).collect();
            let ran = tuning.go(out, &data, &[&["--task", task], &sets[..], more].concat());
            let said = ran.stderr.clone();
            ran.done();
            assert!(task != "rank" || said.contains("/2 "), "{said}");
            assert!(said.contains("for instance: "), "{said}");
            assert_eq!(said.contains("beside: "), task != "rank", "{said}");
            assert_eq!(said.contains(" => "), task == "score", "{said}");
            assert_eq!(said.contains("text_pair"), task == "rank", "{said}");
        };
        let [whole, a] = [format!("whole-{i}"), format!("a-{i}")];
        go(&whole, "6", &[]);
        go(&a, "2", &[]);
        go(&a, "6", &["--resume"]);
        let saved = |run: &str| lab.path(run).join("checkpoints/step-6");
        let weights = |run: &str| fs::read(saved(run).join("model.safetensors")).expect("saved");
        assert!(weights(&a) == weights(&whole), "{task}");
        let last = lab.metrics(&whole).pop().expect("an evaluation");
        assert_eq!(last["eval"]["metrics"][0][0], metric, "{task}: {last}");
        assert!(last["eval"]["metrics"][0][1].is_number(), "{task}: {last}");
        let said = run(&["run", &arg(lab.path(&whole)), "the sea", "--json"]).done();
        if task == "rank" {
            assert!(said.contains("score") || said.contains("label"), "{said}");
        } else {
            assert!(saved(&whole).join("modules.json").exists());
            assert!(said.contains("embedding"), "{said}");
        }
    }
}

#[test]
fn what_vectors_are_not_asked_is_refused() {
    let lab = Lab::new();
    let tuning = Tuning { lab: &lab, model: arg(base(&lab)) };
    let row = |i: usize| format!("{{\"anchor\":\"the {i}\",\"positive\":\"a {i}\"}}");
    let data = table(&lab, "triplets.jsonl", &(0..24).map(row).collect::<Vec<_>>());
    let near = |i: usize| format!("{{\"text\":\"{i}\",\"pair\":\"a\",\"score\":{i}.5}}");
    let far = table(&lab, "far.jsonl", &(0..24).map(near).collect::<Vec<_>>());
    for (data, sets, message) in [
        (&data, ["train.micro_batch=2", "train.batch_size=6"], "a step is one micro-batch"),
        (&data, ["task.loss=cosine", "train.batch_size=6"], "`cosine` is not a loss of `triplet`"),
        (&data, ["task.metrics=[\"f1\"]", "train.batch_size=6"], "no metric of rankings"),
        (&data, ["task.r_drop=1", "train.batch_size=6"], "`task.r_drop`: has no part in"),
        (&data, ["task.loss=triplet", "train.batch_size=6"], "have nothing that is learned"),
        (&far, ["task.loss=cosine", "train.batch_size=6"], "they are in [-1, 1]"),
    ] {
        let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
        let stderr = refusal(tuning.go("b", data, &sets));
        assert!(stderr.contains(message) && stderr.contains("hint: "), "{stderr}");
    }
}
