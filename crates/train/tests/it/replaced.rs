//! A generator and a discriminator that learn together: held against `transformers`, and against
//! the laws of every step and run.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use checkpoint::Weights;
use data::{Batch, IGNORED, Mode};
use models::{HfConfig, Model, ModelConfig, Sizes};
use optim::Schedule;
use tasks::{
    Example, Masked, MicroBatch, Objective, ReplacedTokens, Row, TextObjective, Unit, Vocabulary,
};
use tensor::{Device, Grads, Isa, Precision, Tape};
use testing::{Numbers, Tolerance, assert_close};
use train::{Ended, StepConfig, Trainer};

use crate::support::{Left, Plan, same_weights_however, step_config};

/// Tokens from 4 on are text; the vocabulary is that of the store of [`Plan`].
fn objective() -> ReplacedTokens {
    let masked = Masked {
        vocabulary: Vocabulary { ordinary: (4..32).collect(), ..Vocabulary::default() },
        rate: 0.3,
        unit: Unit::Token,
        replacement: ReplacedTokens::REPLACEMENT,
        mask: 3,
        begin: 1,
        end: 2,
        pair: None,
    };
    ReplacedTokens { masked, weight: ReplacedTokens::WEIGHT }
}

fn sizes(dropout: f32) -> Sizes {
    Sizes {
        vocab_size: 32,
        max_len: 16,
        n_layers: 2,
        d_model: 32,
        n_heads: 4,
        d_ff: Some(48),
        dropout,
        pair: false,
        generator: 0.5,
        ids: [Some(1), Some(2), Some(0)],
    }
}

fn model_with(dropout: f32) -> Model {
    let config = HfConfig::fresh("electra", &sizes(dropout)).unwrap();
    Model::new(ModelConfig::Hf(config), 5).unwrap()
}

fn model() -> Model {
    model_with(0.1)
}

fn batch(n_rows: usize) -> Batch {
    let mut numbers = Numbers::new(4);
    let mut ids = || (0..n_rows * 10).map(|_| 4 + numbers.below(28) as u32).collect();
    let (inputs, targets): (Vec<u32>, Vec<u32>) = (ids(), ids());
    let sample_ids = (0..n_rows as u64).map(|i| 7 * i).collect();
    let n_targets = targets.len() as u64;
    Batch { seq_len: 10, inputs, targets, sample_ids, n_targets, ..Batch::default() }
}

fn trainer(model: Model, objective: &dyn Objective, config: StepConfig) -> Trainer<'_> {
    Trainer::new(model, objective, Device::cpu(Isa::detect()), config)
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/golden/electra-pair")
}

/// The examples of `golden/electra.py`: what is hidden there is drawn by nobody here.
fn golden_examples(io: &Weights) -> Vec<Example> {
    let numbers = |name: &str| io.to_i64(name).unwrap();
    let (ids, mask, labels) = (numbers("input_ids"), numbers("attention_mask"), numbers("labels"));
    let row = |row: usize| {
        let n = mask[row * 17..][..17].iter().filter(|&&is_text| is_text == 1).count();
        let at = row * 17..row * 17 + n;
        let target = |&label: &i64| if label < 0 { IGNORED } else { label as u32 };
        Example {
            input: Row::plain(ids[at.clone()].iter().map(|&id| id as u32).collect()),
            targets: labels[at].iter().map(target).collect(),
            ..Example::of(row as u64)
        }
    };
    (0..2).map(row).collect()
}

#[test]
fn losses_and_gradients_are_those_of_transformers() {
    let (model, unused) = Model::load(&golden()).unwrap();
    assert_eq!(unused, [""; 0]);
    let io = Weights::open(&golden().join("io.safetensors")).unwrap();
    let (objective, examples) = (objective(), golden_examples(&io));
    for isa in Isa::supported() {
        let device = Device::cpu(isa);
        let grads = RefCell::new(Grads::new(&model.params));
        let tape = Tape::recording(&device, &model.params, Precision::F32, &grads);
        let batch = MicroBatch::new(&examples, 0..2, None);
        let losses = objective.loss(&tape, &model, &batch);
        tape.backward();
        assert_eq!(losses.0.iter().map(|part| part.loss.n_targets).collect::<Vec<_>>(), [8, 29]);
        for part in &losses.0 {
            let (what, found) = (format!("{} on {isa}", part.name), part.loss.mean().unwrap());
            assert_close(&what, &[found], &io.to_f32(part.name).unwrap(), Tolerance::rel(1e-5));
        }
        let grads = grads.borrow();
        assert!(grads.unwritten(&model.params).is_empty());
        for import in model.config.family().imports() {
            let expected = io.to_f32(&format!("grad.{}", import.name)).unwrap();
            let param = &model.params.find(import.source.own().unwrap()).unwrap().param;
            let found = import.source.external(param, grads.get(param).unwrap());
            let scale = expected.iter().fold(0.0_f64, |m, g| m.max(f64::from(g.abs())));
            let tolerance = Tolerance { abs: 2e-5 * scale + 2e-4, rel: 1e-4 };
            assert_close(&format!("{} on {isa}", import.name), &found, &expected, tolerance);
        }
    }
}

#[test]
fn one_batch_is_learned_by_heart() {
    let (objective, batch) = (objective(), batch(2));
    let config = StepConfig {
        schedule: Schedule::WarmupCosine {
            peak_lr: 6e-3,
            last_lr: 6e-4,
            warmup_steps: 5,
            total_steps: 200,
        },
        max_grad_norm: 5.0,
        ..step_config()
    };
    let mut trainer = trainer(model_with(0.0), &objective, config);
    let mut step = || trainer.step(&objective.examples(&batch, step_config().seed)).unwrap().losses;
    let first = step();
    let last = (0..200).map(|_| step()).last().unwrap();
    let means = |losses: &tasks::Losses| losses.0.iter().map(|p| p.loss.mean().unwrap()).collect();
    let [first, last]: [Vec<f64>; 2] = [means(&first), means(&last)];
    assert!(first[0] > 3.0 && first[1] > 0.3, "{first:?}");
    assert!(last[0] < 0.1 && last[1] < 0.03, "from {first:?} to {last:?}");
}

#[test]
fn micro_batches_change_rounding_alone() {
    let (objective, batch) = (objective(), batch(8));
    let run = |micro_batch| {
        let config = StepConfig { micro_batch, ..step_config() };
        let mut trainer = trainer(model(), &objective, config);
        [(); 3].map(|()| trainer.step(&objective.examples(&batch, step_config().seed)).unwrap())
    };
    let whole = run(8);
    for micro_batch in [4, 3, 1] {
        for (part, whole) in run(micro_batch).iter().zip(&whole) {
            assert_eq!(part.counts, whole.counts);
            assert!((part.grad_norm / whole.grad_norm - 1.0).abs() < 1e-4);
            for (part, whole) in part.losses.0.iter().zip(&whole.losses.0) {
                assert_eq!(part.loss.n_targets, whole.loss.n_targets);
                let ratio = part.loss.sum / whole.loss.sum;
                assert!((ratio - 1.0).abs() < 1e-4, "{micro_batch}, {}: {ratio}", part.name);
            }
        }
    }
}

#[test]
fn recomputation_and_threads_change_no_weight() {
    let objective = objective();
    let batch = objective.examples(&batch(4), step_config().seed);
    same_weights_however("electra", &batch, |recompute| {
        trainer(model(), &objective, StepConfig { recompute, ..step_config() })
    });
}

#[test]
fn steps_draw_anew_and_an_evaluation_always_alike() {
    let (objective, batch, model) = (objective(), batch(8), model_with(0.0));
    let device = Device::cpu(Isa::detect());
    let examples = objective.examples(&batch, 3);
    let replaced = |step: Option<u64>| {
        let rng = step.map(|step| tensor::Rng { seed: 3, step, first_sample: 0, first_token: 0 });
        let tape = Tape::new(&device, &model.params, Precision::F32);
        objective.loss(&tape, &model, &MicroBatch::new(&examples, 0..8, rng)).0[1].loss
    };
    assert_eq!(replaced(Some(1)), replaced(Some(1)));
    assert_ne!(replaced(Some(1)), replaced(Some(2)));
    assert_eq!(replaced(None), replaced(None));
}

#[test]
fn a_run_may_stop_at_any_step() {
    let objective = objective();
    for mode in [Mode::Documents, Mode::Stream] {
        let folder = tempfile::tempdir().unwrap();
        let plan = Plan { objective: &objective, model, mode, steps: 4, ..Plan::default() };
        let whole = folder.path().join("whole");
        assert_eq!(plan.go(&whole, u64::MAX).unwrap().0, Ended::Finished);
        let whole = Left::by(&whole, plan.steps);
        for stop in 0..plan.steps {
            let run = folder.path().join(format!("stop-{stop}"));
            assert_eq!(plan.go(&run, stop).unwrap().0, Ended::Interrupted);
            assert_eq!(plan.go(&run, u64::MAX).unwrap().0, Ended::Finished);
            Left::by(&run, plan.steps).assert_same(&whole, &format!("{mode:?}, stop at {stop}"));
        }
    }
}
