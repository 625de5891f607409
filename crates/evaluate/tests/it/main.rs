//! Tasks of a tiny model, as `lm-evaluation-harness` asks and answers them
//! (`golden/lm_eval_files.py`).

use std::path::{Path, PathBuf};

use evaluate::{
    Ask, Encoder, EvalError, Generation, Gold, Logged, Request, Response, Runner, Said, Sample,
    Setting, Task, TaskFile, TaskResult, Writer, log_likelihoods, score,
};
use metrics::Bootstrap;
use models::{BesideConfig, Method, Model};
use nn::Beside;
use serde_json::Value;
use tensor::{Device, Isa, Precision};
use tokenize::Tokenizer;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

struct Fixture {
    model: Model,
    tokenizer: Tokenizer,
    device: Device,
    ends: Vec<u32>,
}

impl Fixture {
    fn new() -> Self {
        let dir = golden().join("model");
        let (model, _) = Model::load_frozen(&dir).expect("a model");
        let tokenizer = Tokenizer::load(&dir).expect("a tokenizer");
        let ends = tokenizer.end_of_text().into_iter().collect();
        Self { model, tokenizer, device: Device::cpu(Isa::detect()), ends }
    }

    fn runner(&self, precision: Precision, batch_tokens: usize) -> Runner<'_> {
        let model = (&self.model, &self.device, precision);
        let end = self.tokenizer.end_of_text();
        let encoder = Encoder::new(&self.tokenizer, end).expect("a token to begin with");
        let writer = Writer { model, tokenizer: &self.tokenizer, ends: &self.ends, seed: 0 };
        Runner { model, encoder, writer, batch_tokens }
    }

    /// What is asked in a task, and what comes.
    fn run(&self, name: &str, runner: &Runner) -> (Task, Vec<Sample>, Vec<Vec<Response>>) {
        let file = TaskFile::read(&golden().join(format!("{name}.yaml"))).expect(name);
        let task = Task::open(file).expect(name);
        let template = self.tokenizer.chat_template().expect("a template");
        let chat = template.as_ref().filter(|_| name.ends_with("_chat"));
        let samples = task.samples(&Setting { limit: None, seed: 0, chat }).expect(name);
        let asked = runner.prepare(&task, &samples).expect(name);
        let responses = runner.answer(&task, &samples, &asked, |_| ()).expect(name);
        (task, samples, responses)
    }
}

#[test]
fn requests_answers_and_numbers_are_those_of_the_harness() {
    let fixture = Fixture::new();
    let runner = fixture.runner(Precision::F32, 256);
    let text = std::fs::read_to_string(golden().join("lm_eval.json")).expect("there");
    let expected: Value = serde_json::from_str(&text).expect("JSON");
    for (name, expected) in expected.as_object().expect("tasks") {
        let (task, samples, responses) = fixture.run(name, &runner);
        let came = samples.iter().zip(&responses);
        let log: Vec<Logged> = came
            .map(|(sample, responses)| {
                Logged::new(sample, responses, &score(&task, sample, responses))
            })
            .collect();
        for (at, (line, expected)) in
            log.iter().zip(expected["samples"].as_array().expect("some")).enumerate()
        {
            for (idx, asked) in expected["asked"].as_array().expect("some").iter().enumerate() {
                let ours = &line.requests[idx];
                let ours =
                    if ours.is_string() { Value::from(vec![ours.clone()]) } else { ours.clone() };
                assert_eq!(&ours, asked, "{name} {at}");
                let (ours, theirs) = (&line.responses[idx], &expected["came"][idx]);
                let number = |value: &Value| {
                    let first = if value.is_array() { &value[0] } else { value };
                    first.as_f64()
                };
                match (number(ours), number(theirs)) {
                    (Some(a), Some(b)) => {
                        let near = (a - b).abs() <= 1e-5 * b.abs().max(1.0);
                        assert!(near, "{name} {at} {idx}: {a} and {b}");
                        if theirs.is_array() {
                            assert_eq!(ours[1], theirs[1], "{name} {at} {idx}");
                        }
                    }
                    _ => assert_eq!(ours, theirs, "{name} {at} {idx}"),
                }
            }
        }
        let found =
            TaskResult::new(&task, &log, &Bootstrap { n_resamples: 10, ..Bootstrap::default() });
        for (key, theirs) in expected["results"].as_object().expect("numbers") {
            let (metric, filter) = key.split_once(',').expect("a filter");
            let is_own = |m: &&evaluate::MetricResult| m.metric == metric && m.filter == filter;
            let ours = found.metrics.iter().find(is_own).and_then(|m| m.value).expect(key);
            let theirs = theirs.as_f64().expect("a number");
            assert!(
                (ours - theirs).abs() <= 1e-5 * theirs.abs().max(1.0),
                "{name} {key}: {ours}, {theirs}"
            );
        }
    }
}

#[test]
fn answers_have_the_same_bits_whatever_is_shown_at_once() {
    let fixture = Fixture::new();
    for precision in [Precision::F32, Precision::BF16] {
        for name in ["choice", "last", "whole", "write"] {
            let of = |batch_tokens| fixture.run(name, &fixture.runner(precision, batch_tokens)).2;
            let alone = of(1);
            for batch_tokens in [64, 200, 1 << 16] {
                assert_eq!(of(batch_tokens), alone, "{name} {batch_tokens}");
            }
        }
    }
}

#[test]
fn texts_longer_than_a_block_of_attention_have_the_same_bits() {
    let fixture = Fixture::new();
    let ask = |n: usize| Ask {
        context: (0..n).map(|at| (5 + at * at % 300) as u32).collect(),
        continuation: (0..40).map(|at| (5 + (n + at) % 300) as u32).collect(),
    };
    let asks: Vec<Ask> = [900, 700, 480, 470, 300, 260, 250, 130, 90, 20].map(ask).into();
    for model in [&fixture.model, &led(Beside::Prompt(3))] {
        for precision in [Precision::F32, Precision::BF16] {
            let of = |n| log_likelihoods((model, &fixture.device, precision), &asks, n, |_| ());
            let alone = of(1);
            for batch_tokens in [1000, 2000, 4096] {
                assert_eq!(of(batch_tokens), alone, "{batch_tokens}");
            }
        }
    }
}

/// Asks of every length and several continuations, some of them one token.
fn asks() -> Vec<Ask> {
    let token = |seed: usize| (5 + seed * 7919 % 300) as u32;
    let mut asks = Vec::new();
    for n in [1, 2, 15, 16, 17, 33, 40] {
        for branch in 0..4 {
            let context = (0..n).map(|at| token(n * 100 + at)).collect();
            let n_more = [1, 1, 5, 9][branch];
            let continuation = (0..n_more).map(|at| token(branch * 31 + at)).collect();
            asks.push(Ask { context, continuation });
        }
    }
    asks
}

#[test]
fn what_shares_a_context_is_answered_as_if_it_stood_alone() {
    let fixture = Fixture::new();
    for model in [&fixture.model, &led(Beside::Prompt(3)), &led(Beside::Prefix(5))] {
        alone_and_together((model, &fixture.device, Precision::F32));
    }
}

/// The model with learned tokens before each text.
fn led(beside: Beside) -> Model {
    let (modules_to_save, task_type, base) = (None, None, None);
    let method = Method::Beside(BesideConfig { beside, modules_to_save, task_type, base });
    Model::load_for(&golden().join("model"), &method.into(), 7).expect("a model").0
}

fn alone_and_together(model: (&Model, &Device, Precision)) {
    let asks = asks();
    // Of one token each, nothing branches.
    let step_by_step = |ask: &Ask| -> f64 {
        let one = |at: usize| Ask {
            context: [&ask.context, &ask.continuation[..at]].concat(),
            continuation: vec![ask.continuation[at]],
        };
        let steps: Vec<Ask> = (0..ask.continuation.len()).map(one).collect();
        log_likelihoods(model, &steps, 1, |_| ()).iter().map(|said| said.log_prob).sum()
    };
    for (ask, said) in asks.iter().zip(log_likelihoods(model, &asks, 4096, |_| ())) {
        let expected = step_by_step(ask);
        assert!((said.log_prob - expected).abs() < 1e-5 * expected.abs(), "{ask:?} {expected}");
    }
    let all = log_likelihoods(model, &asks, 4096, |_| ());
    let by_itself: Vec<Said> = asks
        .iter()
        .map(|ask| log_likelihoods(model, std::slice::from_ref(ask), 1, |_| ())[0])
        .collect();
    for (ask, (a, b)) in asks.iter().zip(all.iter().zip(&by_itself)) {
        assert!((a.log_prob - b.log_prob).abs() < 1e-5 * b.log_prob.abs(), "{ask:?} {a:?} {b:?}");
        assert_eq!(a.is_greedy, b.is_greedy, "{ask:?}");
    }
    // Examples that all begin with are read once; each goes on by itself.
    let examples: Vec<u32> = (0..20).map(|at| 7 + 11 * at % 300).collect();
    let begun = |ask: &Ask| Ask { context: [&examples, &ask.context[..]].concat(), ..ask.clone() };
    let begun: Vec<Ask> = asks.iter().filter(|a| a.context.len() < 20).map(begun).collect();
    let together = log_likelihoods(model, &begun, 4096, |_| ());
    for (ask, said) in begun.iter().zip(&together) {
        let alone = log_likelihoods(model, std::slice::from_ref(ask), 1, |_| ())[0];
        assert!((said.log_prob - alone.log_prob).abs() < 1e-5 * alone.log_prob.abs(), "{ask:?}");
        assert_eq!(said.is_greedy, alone.is_greedy, "{ask:?}");
    }
    assert_eq!(log_likelihoods(model, &begun, 1, |_| ()), together);
    // The order in which they are asked says nothing.
    let mut turned = asks.clone();
    turned.reverse();
    let mut back = log_likelihoods(model, &turned, 100, |_| ());
    back.reverse();
    for (a, b) in all.iter().zip(&back) {
        assert!((a.log_prob - b.log_prob).abs() < 1e-5 * b.log_prob.abs(), "{a:?} {b:?}");
    }
}

#[test]
fn examples_depend_on_the_document_and_never_show_it() {
    let path = golden().join("yes.yaml");
    let mut file = TaskFile::read(&path).expect("a task");
    file.n_shots = 3;
    file.shots_split = Some(file.split.clone());
    let task = Task::open(file).expect("a task");
    let context = |sample: &Sample| match &sample.requests[0] {
        Request::Continuation { context, .. } => context.clone(),
        _ => unreachable!("choices"),
    };
    let of = |limit, seed| {
        let samples = task.samples(&Setting { limit, seed, chat: None }).expect("samples");
        samples.iter().map(context).collect::<Vec<String>>()
    };
    let all = of(None, 0);
    assert_eq!(of(Some(2), 0), all[..2]);
    assert_ne!(of(None, 1), all);
    for (at, context) in all.iter().enumerate() {
        let parts: Vec<&str> = context.split("\n\n").collect();
        assert_eq!(parts.len(), 4, "{context}");
        assert!(parts[..3].iter().all(|part| !part.starts_with(parts[3])), "{at}: {context}");
    }
}

/// A task over files of a folder.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).expect("written");
        }
        Self(dir)
    }

    fn task(&self, text: &str) -> Result<Task, EvalError> {
        Task::open(TaskFile::parse(&self.0.path().join("t.yaml"), text)?)
    }

    fn samples(&self, text: &str) -> Vec<Sample> {
        self.task(text).and_then(|task| task.samples(&Setting::default())).expect(text)
    }

    /// The refusal of a task, of its samples or of what is asked.
    fn refusal(&self, text: &str) -> String {
        let fixture = Fixture::new();
        let runner = fixture.runner(Precision::F32, 256);
        let asked = self.task(text).and_then(|task| {
            runner.prepare(&task, &task.samples(&Setting::default())?).map(|_| ())
        });
        asked.expect_err(text).to_string()
    }
}

const WRITTEN: &str = "task: t
dataset_path: json
dataset_kwargs: {data_files: {test: test.jsonl, train: train.jsonl}}
test_split: test
training_split: train
doc_to_text: '{{q}}'
doc_to_target: a
generation_kwargs: {max_gen_toks: 4}
";

#[test]
fn examples_have_columns_of_their_own_split() {
    let train = "{\"q\": \"1+1\", \"label\": \"2\"}\n";
    let files = [("test.jsonl", "{\"q\": \"1+2\", \"a\": \"3\"}\n"), ("train.jsonl", train)];
    let folder = Folder::new(&files);
    let shots = format!("{WRITTEN}num_fewshot: 1\n");
    let said = folder.refusal(&shots);
    assert!(said.contains("`doc_to_target` names `a`, and the examples have no such"), "{said}");
    let own = format!("{shots}fewshot_config: {{doc_to_target: label}}\n");
    let expected = Request::Generate("1+1 2\n\n1+2".to_owned());
    assert_eq!(folder.samples(&own)[0].requests, [expected]);
    // Where none is shown, nothing is asked of them.
    assert_eq!(folder.samples(WRITTEN)[0].requests, [Request::Generate("1+2".to_owned())]);
    let said = folder.refusal(&format!("{own}description: '{{{{label}}}}'\n"));
    assert!(said.contains("`description` names `label`, and the data has no such"), "{said}");
    std::fs::write(folder.0.path().join("train.jsonl"), "").expect("written");
    assert!(folder.refusal(&own).contains("the examples have no such"));
}

#[test]
fn truth_values_are_those_of_python_and_what_has_no_metric_is_refused_first() {
    let right = |text: &str| {
        let doc = r#"{"q": "Is it?", "a": true, "b": ["x", "y"], "c": ["x", "y", "z"]}"#;
        (Folder::new(&[("test.jsonl", doc)]), format!("{WRITTEN}{text}"))
    };
    let (folder, text) = right("");
    assert_eq!(folder.samples(&text)[0].gold, Gold::Texts(vec!["True".to_owned()]));
    let (folder, text) = right("doc_to_choice: b\n");
    assert_eq!(folder.samples(&text)[0].gold, Gold::Texts(vec!["y".to_owned()]));
    let (folder, text) = right("metric_list: [{metric: bleu}]\n");
    let said = folder.refusal(&text.replace("doc_to_target: a", "doc_to_target: b"));
    assert!(said.contains("2 texts are right, and `bleu` is of one"), "{said}");
    let (folder, text) = right("doc_to_choice: c\noutput_type: multiple_choice\n");
    assert_eq!(folder.samples(&text)[0].gold, Gold::Choices(vec![1]));
    let said = folder.refusal(&format!("{text}metric_list: [{{metric: f1}}]\n"));
    assert!(said.contains("there are 3 choices, and `f1` is of two"), "{said}");
}

#[test]
fn blanks_are_no_context() {
    let fixture = Fixture::new();
    let runner = fixture.runner(Precision::F32, 256);
    for blanks in [" ", "\n \t"] {
        let ask = runner.encoder.pair(blanks, "cold").expect("tokens");
        let expected = runner.encoder.pair("", &format!("{blanks}cold")).expect("tokens");
        assert_eq!((ask.context.len(), &ask), (1, &expected));
    }
}

#[test]
fn texts_fit_behind_learned_tokens() {
    let mut fixture = Fixture::new();
    fixture.model = led(Beside::Prompt(20));
    let runner = fixture.runner(Precision::F32, 256);
    for name in ["choice", "whole", "write"] {
        fixture.run(name, &runner);
    }
    fixture.model = led(Beside::Prompt(64));
    let doc = "{\"q\": \"Is it?\", \"a\": \"b\"}\n";
    let task = Folder::new(&[("test.jsonl", doc)]).task(WRITTEN).expect("a task");
    let samples = task.samples(&Setting::default()).expect("samples");
    let error = fixture.runner(Precision::F32, 256).prepare(&task, &samples).map(|_| ());
    assert!(error.expect_err("no room").to_string().contains("take every position"));
}

#[test]
fn each_text_is_drawn_by_numbers_of_its_own() {
    let fixture = Fixture::new();
    let writer = fixture.runner(Precision::F32, 256).writer;
    let until = vec!["<never>".to_owned()];
    let how = Generation { until, max_tokens: 8, temperature: 100.0 };
    // So hot, scores say nothing, and the numbers alone say which token comes.
    let prompts: Vec<Vec<u32>> = (5..25).map(|id| vec![id; 1 + id as usize % 3]).collect();
    let mut n_told = 0;
    let texts = writer.write(&prompts, &how, |n| n_told += n).expect("texts");
    assert_eq!(n_told, prompts.len());
    let first: std::collections::HashSet<&String> = texts.iter().collect();
    assert!(first.len() > 15, "{texts:?}");
    // The same alone.
    for (prompt, text) in prompts.chunks(1).zip(&texts) {
        assert_eq!(&writer.write(prompt, &how, |_| ()).expect("a text")[0], text);
    }
}

#[test]
fn texts_together_are_as_alone_behind_learned_tokens_too() {
    let mut fixture = Fixture::new();
    for beside in [None, Some(Beside::Prompt(5)), Some(Beside::Prefix(5))] {
        if let Some(beside) = beside {
            fixture.model = led(beside);
        }
        let writer = fixture.runner(Precision::F32, 256).writer;
        let how = Generation { until: vec![], max_tokens: 8, temperature: 1.0 };
        // Those of more than eight tokens are read together.
        let prompt = |i: u32| (0..7 + i % 6).map(|at| 5 + (at * 7 + i) % 20).collect();
        let prompts: Vec<Vec<u32>> = (0..12).map(prompt).collect();
        let texts = writer.write(&prompts, &how, |_| ()).expect("texts");
        for (prompt, text) in prompts.chunks(1).zip(&texts) {
            assert_eq!(&writer.write(prompt, &how, |_| ()).expect("a text")[0], text);
        }
    }
}
