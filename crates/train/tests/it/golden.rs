//! Fifty steps of `torch.optim.AdamW` on a GPT-2 of `transformers`: the same weights, the same
//! batches, the same hyperparameters. The script is `golden/gpt2.py`.

use std::path::Path;

use checkpoint::Weights;
use data::{Batch, IGNORED};
use models::Model;
use optim::{AdamWConfig, Schedule};
use tasks::TextObjective as _;
use tensor::{Device, Isa, Precision};
use testing::{Tolerance, assert_close};
use train::{Regime, StepConfig, Trainer};

use crate::support::NEXT;

const LEN: usize = 17;

fn batch(ids: &[i64]) -> Batch {
    let inputs: Vec<u32> = ids.iter().map(|&id| id as u32).collect();
    let next = |row: &[u32]| row[1..].iter().copied().chain([IGNORED]).collect::<Vec<_>>();
    let targets: Vec<u32> = inputs.chunks(LEN).flat_map(next).collect();
    let n_rows = inputs.len() / LEN;
    Batch {
        seq_len: LEN,
        inputs,
        targets,
        sample_ids: (0..n_rows as u64).collect(),
        n_targets: (n_rows * (LEN - 1)) as u64,
        ..Batch::default()
    }
}

/// Losses and norms of steps in f32, held against those of `torch`.
fn hold(name: &str, regime: &Regime) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/golden/gpt2-tiny");
    let io = Weights::open(&golden.join("io.safetensors")).unwrap();
    let ids = io.to_i64("train.input_ids").unwrap();
    let expected = |what: &str| io.to_f32(&format!("{name}.{what}")).unwrap();
    let n_steps = expected("losses").len();
    for isa in Isa::supported() {
        let (model, _) = Model::load(&golden).unwrap();
        let config = StepConfig {
            precision: Precision::F32,
            schedule: Schedule::Constant { peak_lr: 1e-3 },
            adamw: AdamWConfig { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 },
            max_grad_norm: 1.0,
            micro_batch: 2,
            flat: false,
            recompute: false,
            seed: 0,
        };
        let trainer = Trainer::new(model, &NEXT, Device::cpu(isa), config);
        let mut trainer = trainer.with_regime(regime).unwrap();
        let batches = ids.chunks(2 * LEN).take(n_steps);
        let reports = batches.map(|ids| trainer.step(&NEXT.examples(&batch(ids), 0)).unwrap());
        let (losses, norms): (Vec<f64>, Vec<f64>) =
            reports.map(|report| (report.losses.mean().unwrap(), report.grad_norm)).unzip();
        let what = |what: &str| format!("{name}: {what} on {isa}");
        let tolerance = Tolerance::rel(1e-3);
        assert_close(&what("losses"), &losses, &expected("losses"), tolerance);
        assert_close(&what("norms"), &norms, &expected("grad_norms"), tolerance);
    }
}

#[test]
fn fifty_steps_are_those_of_torch() {
    hold("train", &Regime::default());
}

#[test]
fn rates_by_layer_are_those_of_groups_of_torch() {
    hold("rates", &Regime { layer_decay: 0.6, ..Regime::default() });
}
