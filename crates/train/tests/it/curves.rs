//! Fifty steps of tuning beside `PyTorch`: the same model, samples and rates give the same losses.

use std::fs;
use std::path::{Path, PathBuf};

use data::IGNORED;
use models::{AdapterConfig, Method, Model, ModelConfig, TRAINED, Tuning, open_adapter};
use optim::{AdamWConfig, Schedule};
use serde_json::Value;
use tasks::{Asked, Example, Label, Labelled, NextToken, Objective, Row};
use tensor::{Device, Isa, Precision};
use train::{StepConfig, Trainer};

/// Relative, in f32: ten times what was measured with AVX-512.
const BOUND: f64 = 1e-5;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/curves").join(name)
}

fn base(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/golden").join(name)
}

/// The config of a model, in which nothing is dropped.
fn config(dir: &Path) -> ModelConfig {
    let mut config = Model::load_config(dir).unwrap();
    let ModelConfig::Hf(hf) = &mut config else { panic!("a family of `transformers`") };
    for key in ["attention_dropout", "attention_probs_dropout_prob", "hidden_dropout_prob"] {
        if hf.fields.0.contains_key(key) {
            hf.fields.0.insert(key.into(), 0.0.into());
        }
    }
    config
}

/// One that is asked for its class, or for each next token.
fn example(i: usize, ids: &Value, label: Option<&Value>) -> Example {
    let ids: Vec<u32> = serde_json::from_value(ids.clone()).unwrap();
    let (label, targets) = match label {
        Some(label) => (Label::Class(label.as_u64().unwrap() as u32), vec![]),
        None => (Label::None, ids[1..].iter().copied().chain([IGNORED]).collect()),
    };
    Example { input: Row::plain(ids), targets, label, ..Example::of(i as u64) }
}

/// Takes the steps of a curve, and holds each loss against what it was there.
fn follow(name: &str, model: Model, objective: &dyn Objective) {
    let text = fs::read_to_string(golden(&format!("{name}.json"))).unwrap();
    let curve: Value = serde_json::from_str(&text).unwrap();
    let steps = curve["steps"].as_array().unwrap();
    let number = |key: &str| curve[key].as_f64().unwrap();
    let config = StepConfig {
        precision: Precision::F32,
        schedule: Schedule::WarmupLinear {
            peak_lr: number("rate") as f32,
            last_lr: 0.0,
            warmup_steps: number("warmup") as u64,
            total_steps: steps.len() as u64,
        },
        adamw: AdamWConfig {
            beta2: 0.999,
            weight_decay: number("decay") as f32,
            ..AdamWConfig::default()
        },
        max_grad_norm: number("clip"),
        // Two passes a step: sums, not means, are what adds up.
        micro_batch: 4,
        flat: true,
        recompute: false,
        seed: 0,
    };
    let mut trainer = Trainer::new(model, objective, Device::cpu(Isa::detect()), config);
    let mut largest: f64 = 0.0;
    for (step, wanted) in steps.iter().zip(curve["losses"].as_array().unwrap()) {
        let ids = step["ids"].as_array().unwrap();
        let of = |i: usize| example(i, &ids[i], step.get("labels").map(|labels| &labels[i]));
        let examples: Vec<Example> = (0..ids.len()).map(of).collect();
        let loss = trainer.step(&examples).unwrap().losses.mean().unwrap();
        let wanted = wanted.as_f64().unwrap();
        largest = largest.max((loss - wanted).abs() / wanted);
    }
    assert_eq!(steps.len(), 50);
    assert!(largest < BOUND, "{name}: {largest:.2e} apart");
}

#[test]
fn every_weight_learns_as_in_pytorch() {
    let dir = base("bert-classifier");
    let (model, _) = Model::load_tuned(&dir, Some(config(&dir)), &Tuning::default(), 0).unwrap();
    follow("classes", model, &Labelled::new(Asked::Class));
}

#[test]
fn changes_of_low_rank_learn_as_in_peft() {
    let dir = base("llama-gqa");
    let (adapter, weights) = open_adapter(&golden("low-rank")).unwrap();
    let AdapterConfig::Lora(lora) = adapter else { panic!("changes of low rank") };
    let tuning = Method::Lora(lora).into();
    let (mut model, _) = Model::load_tuned(&dir, Some(config(&dir)), &tuning, 0).unwrap();
    model.read_adapter(TRAINED, &weights).unwrap();
    follow("low-rank", model, &NextToken::default());
}
