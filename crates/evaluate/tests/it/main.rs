//! Tasks of a tiny model, as `lm-evaluation-harness` asks and answers them
//! (`golden/lm_eval_files.py`).

use std::path::{Path, PathBuf};

use evaluate::{
    Ask, Encoder, Logged, Response, Runner, Said, Sample, Setting, Task, TaskFile, TaskResult,
    Writer, log_likelihoods, score,
};
use metrics::Bootstrap;
use models::Model;
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
                Logged::new(sample, responses, &score(&task, sample, responses).expect(name))
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
    for precision in [Precision::F32, Precision::BF16] {
        let of =
            |n| log_likelihoods((&fixture.model, &fixture.device, precision), &asks, n, |_| ());
        let alone = of(1);
        for batch_tokens in [1000, 2000, 4096] {
            assert_eq!(of(batch_tokens), alone, "{batch_tokens}");
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
    let model = (&fixture.model, &fixture.device, Precision::F32);
    let asks = asks();
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
        evaluate::Request::Continuation { context, .. } => context.clone(),
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
