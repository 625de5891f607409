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
use train::{StepConfig, Trainer};

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

#[test]
fn fifty_steps_are_those_of_torch() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/golden/gpt2-tiny");
    let io = Weights::open(&golden.join("io.safetensors")).unwrap();
    let ids = io.to_i64("train.input_ids").unwrap();
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
        let mut trainer = Trainer::new(model, &NEXT, Device::cpu(isa), config);
        let reports =
            ids.chunks(2 * LEN).map(|ids| trainer.step(&NEXT.examples(&batch(ids), 0)).unwrap());
        let (losses, norms): (Vec<f64>, Vec<f64>) =
            reports.map(|report| (report.losses.mean().unwrap(), report.grad_norm)).unzip();
        let expected = |name: &str| io.to_f32(name).unwrap();
        let what = |name: &str| format!("{name} on {isa}");
        let tolerance = Tolerance::rel(1e-3);
        assert_close(&what("losses"), &losses, &expected("train.losses"), tolerance);
        assert_close(&what("norms"), &norms, &expected("train.grad_norms"), tolerance);
    }
}
