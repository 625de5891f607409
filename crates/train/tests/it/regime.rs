//! Learning rates that differ, running means of weights, weights of the start mixed in, and runs
//! that end when they get no better.

use std::collections::BTreeMap;
use std::fs;

use checkpoint::{RunDir, Weights};
use models::Model;
use optim::{AdamWConfig, Schedule};
use tasks::Example;
use testing::{assert_same_bits, same_for_any_threads};
use train::{Ended, Regime, TrainError, Trainer};

use crate::support::{Left, NEXT, Plan, checkpoints, model, step_config, trainer};

fn examples() -> Vec<Example> {
    let row = |i: u32| {
        let ids: Vec<u32> = (0..8).map(|t| 1 + (i * 7 + t) % 31).collect();
        let targets = ids.iter().map(|id| 1 + id % 31).collect();
        let input = tasks::Row::plain(ids);
        Example { input, targets, ..Example::of(u64::from(i)) }
    };
    (0..4).map(row).collect()
}

/// Some steps of a model, without decay of weights.
fn stepped<'o>(regime: &Regime, n_steps: usize) -> Trainer<'o> {
    let mut trainer = trainer(&NEXT, model()).with_regime(regime).unwrap();
    for _ in 0..n_steps {
        trainer.step(&examples()).unwrap();
    }
    trainer
}

fn rates(all: &[(&str, f64)]) -> Regime {
    let rates = all.iter().map(|(name, by)| ((*name).to_owned(), *by)).collect();
    Regime { rates, ..Regime::default() }
}

#[test]
fn what_learns_at_no_rate_stays_and_what_learns_at_one_moves_as_ever() {
    let plain = stepped(&Regime::default(), 3);
    let before = model();
    // Together they are one.
    let ones = Regime { layer_decay: 1.0, ..rates(&[("blocks.*", 0.5), ("*attn*", 2.0)]) };
    let ones = stepped(&ones, 3);
    for entry in plain.model.params.trained() {
        let of = |model: &Model| model.params.get(&entry.param).to_vec();
        if entry.name.contains("attn") || !entry.name.starts_with("blocks") {
            // After a step all gradients differ.
            continue;
        }
        assert_ne!(of(&plain.model), of(&ones.model), "{}", entry.name);
    }
    let (once, slow) = (stepped(&Regime::default(), 1), stepped(&rates(&[("embed.*", 1e-30)]), 1));
    for entry in once.model.params.trained() {
        let of = |model: &Model| model.params.get(&entry.param).to_vec();
        let expected = if entry.name.starts_with("embed.") { &before } else { &once.model };
        assert_same_bits(&entry.name, &of(&slow.model), &of(expected));
    }
    let refused = trainer(&NEXT, model()).with_regime(&rates(&[("no.such*", 2.0)])).err().unwrap();
    assert!(matches!(&refused, TrainError::Rate { pattern, .. } if pattern == "no.such*"));
}

#[test]
fn a_running_mean_is_what_is_judged_and_stored() {
    let regime = Regime { ema: 0.9, ..Regime::default() };
    let (plain, mut mean) = (stepped(&Regime::default(), 4), stepped(&regime, 4));
    assert_same_bits("weights", mean.model.params.values(), plain.model.params.values());
    let seen = mean.averaged(|trainer| trainer.model.params.values().to_vec());
    assert_same_bits("weights again", mean.model.params.values(), plain.model.params.values());
    let mut expected = model().params.values().to_vec();
    for n in 1..=4 {
        let weights = stepped(&Regime::default(), n).model;
        let d = 0.9_f64.min((1.0 + n as f64) / (10.0 + n as f64));
        for (mean, w) in expected.iter_mut().zip(weights.params.values()) {
            *mean = (d * f64::from(*mean) + (1.0 - d) * f64::from(*w)) as f32;
        }
    }
    for (mean, expected) in seen.iter().zip(&expected) {
        assert!((mean - expected).abs() < 1e-6, "{mean} and {expected}");
    }
}

#[test]
fn runs_with_means_mixtures_and_rates_may_stop_at_any_step() {
    let regime = || Regime {
        layer_decay: 0.7,
        rates: BTreeMap::from([("*norm*".into(), 2.0), ("embed.*".into(), 0.5)]),
        ema: 0.8,
        mixout: 0.3,
    };
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan { regime, ..Plan::default() };
    let whole = folder.path().join("whole");
    plan.go(&whole, u64::MAX).unwrap();
    let expected = Left::by(&whole, plan.steps);
    for stop in [1, 3, 6] {
        let run = folder.path().join(format!("stop-{stop}"));
        assert_eq!(plan.go(&run, stop).unwrap().0, Ended::Interrupted);
        assert_eq!(plan.go(&run, u64::MAX).unwrap().0, Ended::Finished);
        Left::by(&run, plan.steps).assert_same(&expected, &format!("stop at {stop}"));
    }
    let dir = whole.join("checkpoints/step-8");
    let (stored, _) = Model::load(&dir).unwrap();
    let file = dir.join("trainer/optimizer.safetensors");
    let weights = Weights::open(&file).unwrap();
    let name = "blocks.0.attn.output.weight";
    let mean = stored.params.get(&stored.params.find(name).unwrap().param);
    assert_ne!(weights.to_f32(&format!("weights.{name}")).unwrap(), mean);
}

#[test]
fn weights_of_the_start_are_mixed_in_and_learn_nothing() {
    let p = 0.4;
    let regime = Regime { mixout: p, ..Regime::default() };
    let config = AdamWConfig { weight_decay: 0.0, ..AdamWConfig::default() };
    let step = |regime: &Regime| {
        let schedule = Schedule::Constant { peak_lr: 1e-3 };
        let config = train::StepConfig { adamw: config, schedule, ..step_config() };
        let device = tensor::Device::cpu(tensor::Isa::detect());
        let mut trainer = Trainer::new(model(), &NEXT, device, config).with_regime(regime).unwrap();
        let report = trainer.step(&examples()).unwrap();
        (trainer, report.losses.mean().unwrap())
    };
    let ((mixed, loss), (plain, expected)) = (step(&regime), step(&Regime::default()));
    // The first mixture is the start itself.
    assert!((loss - expected).abs() < 1e-5, "{loss} and {expected}");
    let before = model();
    for entry in before.params.trained() {
        let [old, new, all] = [&before, &mixed.model, &plain.model]
            .map(|model| model.params.get(&entry.param).to_vec());
        let stay = |new: &[f32]| old.iter().zip(new).filter(|(a, b)| a == b).count();
        let share = (stay(&new) as f32 - stay(&all) as f32) / old.len() as f32;
        let is_mixed = entry.name.starts_with("blocks") && entry.name.ends_with(".weight");
        let is_mixed = is_mixed && !entry.name.contains("norm");
        let expected = if is_mixed { p } else { 0.0 };
        assert!((share - expected).abs() < 0.08, "{}: {share}", entry.name);
    }
    same_for_any_threads(|| -> Vec<u32> {
        let weights = stepped(&regime, 3).model.params;
        weights.values().iter().map(|w| w.to_bits()).collect()
    });
}

#[test]
fn a_run_ends_when_it_gets_no_better_and_stays_ended() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let plan = Plan {
        steps: 40,
        checkpoint_every: 7,
        eval_every: 1,
        keep_last: 1,
        patience: 3,
        ..Plan::default()
    };
    let go = |run: &std::path::Path, until| {
        let mut parts = plan.parts(RunDir::resume(run).unwrap());
        // Far too high: it gets worse soon.
        parts.trainer.config.schedule = Schedule::Constant { peak_lr: 0.3 };
        let (mut running, _) = train::Run::start(parts, true).unwrap();
        let mut watch = crate::support::Watch::until(until);
        let stop = std::sync::Arc::clone(&watch.stop);
        running.go(&stop, &mut watch).unwrap()
    };
    assert_eq!(go(&run, u64::MAX), Ended::Stopped);
    let last = *checkpoints(&run).last().unwrap();
    let best = RunDir::open(&run).unwrap().best().unwrap().unwrap();
    assert_eq!(last, best.step + 3, "{:?}", checkpoints(&run));
    assert!(checkpoints(&run).contains(&best.step) && last < 40);
    // Asked again, it has nothing to do; stopped on its way, it ends where it would have.
    assert_eq!(go(&run, u64::MAX), Ended::Stopped);
    assert_eq!(*checkpoints(&run).last().unwrap(), last);
    let other = folder.path().join("other");
    assert_eq!(go(&other, last - 1), Ended::Interrupted);
    assert_eq!(go(&other, u64::MAX), Ended::Stopped);
    let weights = |run: &std::path::Path| {
        fs::read(run.join(format!("checkpoints/step-{last}/model.safetensors"))).unwrap()
    };
    assert!(weights(&run) == weights(&other));
}
