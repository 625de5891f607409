//! Losses of answers, held against `PyTorch` (`golden/preferences.py`), against slopes, and
//! against themselves in other company.

use std::path::{Path, PathBuf};

use checkpoint::Weights;
use models::Model;
use optim::{AdamWConfig, Schedule};
use tasks::{Example, Grouped, Label, MicroBatch, Objective, Preference, Row, log_probs};
use tensor::{Device, Isa, Precision};
use testing::{Tolerance, assert_close};
use train::{StepConfig, Trainer};

use crate::support::pass;

const N: usize = 6;
const LEN: usize = 7;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

fn model() -> Model {
    Model::load(&folder("models/tests/golden/gpt2-tiny")).unwrap().0
}

fn golden() -> Weights {
    Weights::open(&folder("tasks/tests/golden/preferences/io.safetensors")).unwrap()
}

/// A prompt with each of some answers, side by side: their tokens are the targets.
fn example(prompt: &[u32], answers: &[(&[u32], &[f32])], label: Label) -> Example {
    let mut example = Example { label, ..Example::of(0) };
    let (mut segments, mut positions) = (Vec::new(), Vec::new());
    for (segment, (answer, reference)) in (1..).zip(answers) {
        let n = prompt.len() + answer.len();
        example.input.ids.extend(prompt.iter().chain(*answer));
        example.targets.resize(example.targets.len() + prompt.len() - 1, data::IGNORED);
        example.targets.extend(answer.iter().chain([&data::IGNORED]));
        let start = example.reference.len() + prompt.len() - 1;
        example.reference.resize(start, 0.0);
        example.reference.extend(*reference);
        example.reference.resize(example.targets.len(), 0.0);
        segments.resize(segments.len() + n, segment);
        positions.extend(0..n as u32);
    }
    let ids = std::mem::take(&mut example.input.ids);
    let (segments, positions) = (Some(segments), Some(positions));
    example.input = Row { segments, positions, ..Row::plain(ids) };
    example
}

fn examples(io: &Weights, objective: &str) -> Vec<Example> {
    let texts = |name: &str| -> Vec<Vec<u32>> {
        let rows = io.to_i64(name).unwrap();
        let row = |row: &[i64]| row.iter().filter(|id| **id >= 0).map(|id| *id as u32).collect();
        rows.chunks(LEN).map(row).collect()
    };
    let [prompts, chosen, rejected] = ["prompts", "chosen", "rejected"].map(texts);
    let reference = |name: &str, i: usize, n: usize| {
        let all = io.to_f32(&format!("reference.{name}")).unwrap();
        all[i * LEN..][..n].to_vec()
    };
    let advantages = io.to_f32("advantages").unwrap();
    let of = |i: usize| {
        let other = &chosen[(i + N - 1) % N];
        let known = |name: &str, ids: &[u32]| reference(name, i, ids.len());
        let all = [
            (&chosen[i][..], &known("chosen", &chosen[i])[..]),
            (&rejected[i], &known("rejected", &rejected[i])),
            (other, &known("other", other)),
        ];
        match objective {
            "grouped" => example(&prompts[i], &all[..1], Label::Value(advantages[i])),
            "kto" => {
                let answers = [all[i % 2], all[2]];
                example(&prompts[i], &answers, Label::Class(1 - i as u32 % 2))
            }
            _ => example(&prompts[i], &all[..2], Label::None),
        }
    };
    (0..N).map(of).collect()
}

fn objectives() -> Vec<(&'static str, Box<dyn Objective>)> {
    let all = [
        Preference::Dpo { beta: 0.3, smoothing: 0.1 },
        Preference::Ipo { beta: 0.4 },
        Preference::Orpo { beta: 0.25 },
        Preference::Simpo { beta: 2.0, margin: 0.5 },
        Preference::Kto { beta: 0.3, weights: [1.5, 0.5] },
    ];
    let named = |p: Preference| (p.name(), Box::new(p) as Box<dyn Objective>);
    let mut all: Vec<_> = all.into_iter().map(named).collect();
    all.push(("grouped", Box::new(Grouped { beta: 0.04, temperature: 1.0 })));
    all
}

/// Losses and gradients of examples, so many at once; the gradient is that of their sum.
/// Micro-batches that begin and end at `cuts`.
fn flat(examples: &[Example], cuts: &[usize]) -> Vec<MicroBatch> {
    cuts.windows(2).map(|cut| MicroBatch::flat(examples, cut[0]..cut[1], None)).collect()
}

#[test]
fn losses_and_gradients_are_those_of_torch() {
    let (io, model) = (golden(), model());
    for (name, objective) in objectives() {
        let examples = examples(&io, name);
        let (losses, grads) = pass(&model, &*objective, &flat(&examples, &[0, N]));
        let expected = io.to_f32(name).unwrap();
        let found = [losses.mean().unwrap() as f32];
        assert_close(name, &found, &expected, Tolerance { abs: 0.0, rel: 1e-5 });
        let n = losses.first().n_targets as f32;
        for import in model.config.family().imports() {
            let Ok(expected) = io.to_f32(&format!("{name}.grad.{}", import.name)) else { continue };
            let param = &model.params.find(import.source.own().unwrap()).unwrap().param;
            let found: Vec<f32> = grads.get(param).unwrap().iter().map(|g| g / n).collect();
            let scale = expected.iter().fold(0.0_f64, |m, g| m.max(f64::from(g.abs())));
            let tolerance = Tolerance { abs: 2e-5 * scale, rel: 1e-4 };
            assert_close(&format!("{name} {}", import.name), &found, &expected, tolerance);
        }
        if name == "dpo" {
            let rewards = io.to_f32("dpo.rewards").unwrap();
            let mean = |side: usize| rewards[side * N..][..N].iter().sum::<f32>() / N as f32;
            let told = losses.0[1..].iter().map(|part| part.loss.mean().unwrap() as f32);
            let expected = [mean(0), mean(1), mean(0) - mean(1)];
            assert_close(name, &told.collect::<Vec<_>>(), &expected, Tolerance::both(1e-5));
            let better = (0..N).filter(|i| rewards[*i] > rewards[N + i]).count() as u64;
            assert_eq!(losses.first().n_right, better);
        }
    }
}

#[test]
fn micro_batches_add_up_but_where_a_batch_is_looked_at() {
    let (io, model) = (golden(), model());
    for (name, objective) in objectives().into_iter().filter(|(name, _)| *name != "kto") {
        let examples = examples(&io, name);
        let (whole, grads) = pass(&model, &*objective, &flat(&examples, &[0, N]));
        let parts = flat(&examples, &[0, 2, 3, N]);
        let (sum, added) = pass(&model, &*objective, &parts);
        assert!((whole.mean().unwrap() - sum.mean().unwrap()).abs() < 1e-5, "{name}");
        let scale = grads.values().iter().fold(0.0f32, |m, g| m.max(g.abs()));
        for (a, b) in grads.values().iter().zip(added.values()) {
            assert!((a - b).abs() < 1e-4 * scale, "{name}: {a} and {b}");
        }
    }
}

#[test]
fn where_learning_began_rewards_are_none_and_answers_are_equally_good() {
    let (io, model) = (golden(), model());
    let device = Device::cpu(Isa::detect());
    for (name, objective) in objectives() {
        let mut examples = examples(&io, name);
        let of = |n| log_probs((&model, &device, Precision::F32), &examples, (n, 1.0));
        let (known, single) = (of(1000), of(1));
        assert_close(name, &known.concat(), &single.concat(), Tolerance::both(1e-5));
        for (example, known) in examples.iter_mut().zip(known) {
            for (target, log_p) in example.targets.iter().zip(&known) {
                assert_eq!(*target == data::IGNORED, *log_p == 0.0);
            }
            example.reference = known;
        }
        let losses = pass(&model, &*objective, &flat(&examples, &[0, N])).0;
        let told = |name: &str| {
            let part = losses.0.iter().find(|part| part.name == name);
            part.and_then(|part| part.loss.mean())
        };
        let close = |found: Option<f64>, expected: f64| {
            assert!(found.is_some_and(|x| (x - expected).abs() < 1e-5), "{name}: {found:?}");
        };
        let mean = losses.mean();
        match name {
            "dpo" => close(mean, 2.0f64.ln()),
            "ipo" => close(mean, 1.25 * 1.25),
            "kto" => close(mean, 0.5),
            "grouped" => close(told("kl"), 0.0),
            _ => continue,
        }
        if name != "grouped" {
            close(told("chosen"), 0.0);
            close(told("rejected"), 0.0);
        }
    }
}

#[test]
fn a_temperature_is_that_of_the_logits() {
    const T: f32 = 1.6;
    let (io, model) = (golden(), model());
    // What the head projects comes out of the last norm.
    let mut cooled = self::model();
    let imports = model.config.family().imports();
    let last = imports.iter().filter(|import| import.name.contains("ln_f."));
    let own = last.map(|import| import.source.own().unwrap());
    let last: Vec<_> = own.map(|name| model.params.find(name).unwrap().param.range()).collect();
    for range in &last {
        cooled.params.values_mut()[range.clone()].iter_mut().for_each(|x| *x /= T);
    }
    let (beta, device) = (0.3, Device::cpu(Isa::detect()));
    let of = |model: &Model, temperature| {
        let mut examples = examples(&io, "grouped");
        let began = (&self::model(), &device, Precision::F32);
        let known = log_probs(began, &examples, (50, 1.0));
        for (example, known) in examples.iter_mut().zip(known) {
            example.reference = known;
        }
        let known = log_probs((model, &device, Precision::F32), &examples, (50, temperature));
        let (losses, grads) =
            pass(model, &Grouped { beta, temperature }, &flat(&examples, &[0, N]));
        (known.concat(), losses.mean().unwrap(), grads.values().to_vec())
    };
    let (found, mut expected) = (of(&model, T), of(&cooled, 1.0));
    for range in last {
        expected.2[range].iter_mut().for_each(|g| *g /= T);
    }
    assert_close("log p", &found.0, &expected.0, Tolerance::both(1e-5));
    assert!((found.1 - expected.1).abs() < 1e-5, "{} and {}", found.1, expected.1);
    assert_close("gradients", &found.2, &expected.2, Tolerance { abs: 1e-4, rel: 1e-4 });
}

#[test]
fn fifty_steps_of_dpo_are_those_of_torch() {
    let io = golden();
    let objective = Preference::Dpo { beta: 0.1, smoothing: 0.0 };
    for isa in Isa::supported() {
        let model = model();
        let mut examples = examples(&io, "dpo");
        let device = Device::cpu(isa);
        let known = log_probs((&model, &device, Precision::F32), &examples, (50, 1.0));
        for (example, known) in examples.iter_mut().zip(known) {
            example.reference = known;
        }
        let config = StepConfig {
            precision: Precision::F32,
            schedule: Schedule::Constant { peak_lr: 1e-3 },
            adamw: AdamWConfig { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.0 },
            max_grad_norm: 1.0,
            micro_batch: 2,
            flat: true,
            recompute: false,
            seed: 0,
        };
        let mut trainer = Trainer::new(model, &objective, device, config);
        let steps = (0..50).map(|step| {
            let first = step % 2 * 3;
            let losses = trainer.step(&examples[first..first + 3]).unwrap().losses;
            (losses.mean().unwrap(), losses.0[3].loss.mean().unwrap())
        });
        let (losses, margins): (Vec<f64>, Vec<f64>) = steps.unzip();
        let expected = |name: &str| io.to_f32(name).unwrap();
        let what = |name: &str| format!("{name} on {isa}");
        assert_close(&what("losses"), &losses, &expected("train.losses"), Tolerance::rel(1e-3));
        let tolerance = Tolerance { abs: 1e-4, rel: 1e-3 };
        assert_close(&what("margins"), &margins, &expected("train.margins"), tolerance);
    }
}
