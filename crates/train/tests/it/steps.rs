//! Laws of one step, over every family.

use data::{Batch, IGNORED};
use models::{Gpt2Config, ModelConfig};
use optim::Schedule;
use tasks::NextToken;
use tasks::{Objective as _, TextObjective as _};
use tensor::{Device, Isa, Precision};
use testing::Numbers;
use train::{StepConfig, Trainer};

use crate::families::{Case, Config, cases, decoders, tiny_gpt2};
use crate::support::{NEXT, same_weights_however, step_config};

/// Rows of 10 with some targets left out.
pub fn batch(case: &Case, n_rows: usize) -> Batch {
    let vocab_size = case.model().stack().config().tokens().vocab_size;
    let mut numbers = Numbers::new(4);
    let mut ids = || (0..n_rows * 10).map(|_| numbers.below(vocab_size) as u32).collect();
    let (inputs, mut targets): (Vec<u32>, Vec<u32>) = (ids(), ids());
    targets.iter_mut().step_by(7).for_each(|target| *target = IGNORED);
    Batch {
        seq_len: 10,
        n_targets: targets.iter().filter(|&&target| target != IGNORED).count() as u64,
        inputs,
        targets,
        sample_ids: (0..n_rows as u64).collect(),
        ..Batch::default()
    }
}

fn trainer(case: &Case, config: StepConfig) -> Trainer<'static> {
    Trainer::new(case.model(), &NEXT, Device::cpu(Isa::detect()), config)
}

#[test]
fn every_family_learns_one_batch_by_heart() {
    for case in decoders() {
        let case = case.without_dropout();
        let config = StepConfig {
            schedule: Schedule::WarmupCosine {
                peak_lr: 6e-3,
                last_lr: 6e-4,
                warmup_steps: 5,
                total_steps: 150,
            },
            ..step_config()
        };
        let mut trainer = trainer(&case, config);
        let batch = batch(&case, 2);
        let mut mean = || trainer.step(&NEXT.examples(&batch, 0)).unwrap().losses.mean().unwrap();
        let first = mean();
        let last = (0..150).map(|_| mean()).last().unwrap();
        assert!(last < 0.05 && first > 3.0, "{}: from {first} to {last}", case.name);
    }
}

#[test]
fn micro_batches_change_rounding_alone() {
    for case in cases() {
        let case = case.without_balance();
        let batch = batch(&case, 8);
        let run = |micro_batch| {
            let mut trainer = trainer(&case, StepConfig { micro_batch, ..step_config() });
            let reports = [(); 3].map(|()| trainer.step(&NEXT.examples(&batch, 0)).unwrap());
            (reports, trainer)
        };
        let (whole, _) = run(8);
        for micro_batch in [4, 1, 100] {
            let (parts, _) = run(micro_batch);
            for (part, whole) in parts.iter().zip(&whole) {
                assert_eq!(part.counts, whole.counts);
                for (a, b) in [
                    (part.losses.first().sum, whole.losses.first().sum),
                    (part.grad_norm, whole.grad_norm),
                ] {
                    assert!((a / b - 1.0).abs() < 1e-4, "{}, {micro_batch}: {a} {b}", case.name);
                }
            }
        }
    }
}

#[test]
fn recomputation_and_threads_change_no_weight() {
    for case in cases() {
        let batch = NEXT.examples(&batch(&case, 4), 0);
        same_weights_however(case.name, &batch, |recompute| {
            trainer(&case, StepConfig { recompute, ..step_config() })
        });
    }
}

#[test]
fn smoothing_is_for_training_alone() {
    let case = cases().remove(0).without_dropout();
    let batch = batch(&case, 2);
    let smooth = NextToken { smoothing: 0.2, ..NextToken::default() };
    let step = |objective| {
        let device = Device::cpu(Isa::detect());
        let mut trainer = Trainer::new(case.model(), objective, device, step_config());
        let loss = trainer.step(&NEXT.examples(&batch, 0)).unwrap().losses.first().sum;
        (loss, trainer.model.params.values().to_vec())
    };
    let (plain, smoothed) = (step(&NEXT), step(&smooth));
    assert_ne!(plain.1, smoothed.1);
    assert!((plain.0 - smoothed.0).abs() > 1e-3, "{} {}", plain.0, smoothed.0);

    let model = case.model();
    let device = Device::cpu(Isa::detect());
    let judge = |objective: &NextToken| {
        let tape = tensor::Tape::new(&device, &model.params, Precision::F32);
        let examples = objective.examples(&batch, 1);
        let micro = tasks::MicroBatch::new(&examples, 0..2, None);
        objective.loss(&tape, &model, &micro)
    };
    assert_eq!(judge(&smooth), judge(&NEXT));
}

#[test]
fn the_steady_state_asks_for_no_memory_and_recomputation_for_less() {
    let case = Case { name: "deep", config: deep() };
    let batch = batch(&case, 4);
    let peak = |recompute| {
        let device = Device::cpu(Isa::detect());
        let config = StepConfig { recompute, micro_batch: 4, ..step_config() };
        let mut trainer = Trainer::new(case.model(), &NEXT, device.clone(), config);
        trainer.step(&NEXT.examples(&batch, 0)).unwrap();
        let before = device.pool().stats();
        assert_eq!(before.live_bytes, 0, "a step keeps what it needed");
        trainer.step(&NEXT.examples(&batch, 0)).unwrap();
        trainer.step(&NEXT.examples(&batch, 0)).unwrap();
        assert_eq!(device.pool().stats(), before);
        before.peak_live_bytes
    };
    let (kept, recomputed) = (peak(false), peak(true));
    assert!(recomputed * 2 < kept, "{recomputed} and {kept} bytes");
}

fn deep() -> Config {
    let sizes = Gpt2Config { n_layers: 12, d_model: 64, n_heads: 4, ..tiny_gpt2() };
    Config::Family(ModelConfig::Gpt2(sizes))
}
