//! Steps that are refused, and what is left to look at.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use checkpoint::RunDir;
use data::Batch;
use models::Model;
use nn::{Context, Input};
use tasks::{Example, Losses, MicroBatch, NextToken, Objective, TextObjective};
use tensor::{NotFinite, Tape};
use testing::assert_same_bits;
use train::{Run, RunParts, RunSource, StepError, TrainError};

use crate::families::cases;
use crate::steps::batch;
use crate::support::{Left, NEXT, Plan, Watch, model, step_config, store};
use tensor::{Device, Isa};
use train::Trainer;

fn poison(model: &mut Model, name: &str) {
    let param = model.params.find(name).unwrap().param.clone();
    model.params.get_mut(&param)[1] = f32::NAN;
}

#[test]
fn a_weight_that_is_no_number_is_found_by_op_and_module() {
    let cases = cases();
    for (at, name, expected) in [
        (0, "blocks.1.ffn.up.weight", ("linear", "blocks.1.ffn", false)),
        (0, "blocks.0.attn.query_key_value.bias", ("linear", "blocks.0.attn", false)),
        (0, "final_norm.weight", ("layer_norm", "final_norm", false)),
        (5, "blocks.0.ffn_norm.bias", ("layer_norm", "blocks.0.ffn", false)),
        (6, "blocks.2.attn_norm.weight", ("rms_norm", "blocks.2.attn", false)),
    ] {
        for recompute in [false, true] {
            let case = &cases[at];
            let mut model = case.model();
            poison(&mut model, name);
            let before = model.params.values().to_vec();
            let config = train::StepConfig { recompute, ..step_config() };
            let mut trainer = Trainer::new(model, &NEXT, Device::cpu(Isa::detect()), config);
            let error = trainer.step(&NEXT.examples(&batch(case, 4), 0)).err().unwrap();
            let StepError::NotFinite { step: 1, at: Some(found), sample_ids, .. } = &error else {
                panic!("{}, `{name}`: {error:?}", case.name)
            };
            let (op, path, backward) = expected;
            assert_eq!(*found, NotFinite { op, path: path.into(), backward }, "{}", case.name);
            assert_eq!(*sample_ids, [0, 1], "the first micro-batch");
            assert_same_bits(case.name, trainer.model.params.values(), &before);
            assert_eq!(trainer.state.step, 0);
        }
    }
}

#[test]
fn a_head_that_is_at_fault_is_named() {
    let cases = cases();
    let untied = cases.iter().find_map(|case| {
        let model = case.model();
        let head = model.params.entries().iter().find(|e| e.name.starts_with("head"))?;
        Some((case, head.name.clone()))
    });
    let (case, head) = untied.unwrap();
    let mut model = case.model();
    poison(&mut model, &head);
    let mut trainer = Trainer::new(model, &NEXT, Device::cpu(Isa::detect()), step_config());
    let error = trainer.step(&NEXT.examples(&batch(case, 4), 0)).err().unwrap();
    let StepError::NotFinite { at: Some(found), .. } = &error else { panic!("{error:?}") };
    let (op, path) = ("linear_cross_entropy", "head".into());
    assert_eq!(*found, NotFinite { op, path, backward: false });
}

/// Next token, but the sample `bad` sends back what is no number.
struct Poisoned {
    bad: u64,
}

impl Objective for Poisoned {
    fn loss<'a>(&self, tape: &Tape<'a>, model: &'a Model, batch: &MicroBatch) -> Losses {
        if tape.is_recording() && batch.sample_ids.contains(&self.bad) {
            let (input, stack) = (&batch.input, model.stack());
            let mut ctx = Context { call: input.call.clone(), cache: None };
            let hidden = stack.forward(tape, &input.ids, input.shape, &mut ctx);
            let shape = hidden.value().shape().to_vec();
            let nan = vec![f32::NAN; hidden.value().n_elements()];
            tape.seed(&hidden, tape.device().tensor(&shape, &nan));
        }
        NextToken::default().loss(tape, model, batch)
    }
}

impl TextObjective for Poisoned {
    fn counts_text(&self) -> bool {
        true
    }

    fn examples(&self, batch: &Batch, seed: u64) -> Vec<Example> {
        NextToken::default().examples(batch, seed)
    }
}

#[test]
fn a_refused_step_leaves_the_run_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (run, other) = (folder.path().join("run"), folder.path().join("other"));
    // Four samples a step, two at once: 10 is in the second micro-batch of step 3.
    let plan = Plan { objective: &Poisoned { bad: 10 }, ..Plan::default() };
    let error = plan.go(&run, 8).err().unwrap();
    let TrainError::Refused { step, replay, checkpoint } = &error else { panic!("{error:?}") };
    let StepError::NotFinite { step: 3, at: Some(at), sample_ids, .. } = step else {
        panic!("{step:?}")
    };
    assert!(at.backward && *sample_ids == [10, 11], "{at:?}, samples {sample_ids:?}");
    assert_eq!(*replay, run.join("replay-step-3.json"));
    assert_eq!(*checkpoint, run.join("checkpoints/step-2"));
    assert!(error.hint().unwrap().contains("replay-step-3.json"));
    let message = step.to_string();
    let end = "gradient norm NaN; the gradient of `seed` is not finite";
    assert!(message.starts_with("step 3: loss 3.") && message.ends_with(end), "{message}");

    let json: serde_json::Value = serde_json::from_slice(&fs::read(replay).unwrap()).unwrap();
    assert_eq!(json["found"]["samples"], serde_json::json!([10, 11]));
    let examples = json["examples"].as_array().unwrap();
    let sample_ids: Vec<_> = examples.iter().map(|e| e["sample_id"].as_u64().unwrap()).collect();
    assert_eq!(sample_ids, [8, 9, 10, 11]);
    assert!(examples.iter().all(|e| e["input"]["ids"].as_array().unwrap().len() == 8));

    Plan::default().go(&other, 2).unwrap();
    Left::by(&run, 2).assert_same(&Left::by(&other, 2), "two steps");
    // And from there a sound objective goes on as if nothing had been.
    Plan::default().go(&run, 8).unwrap();
    Plan::default().go(&other, 8).unwrap();
    Left::by(&run, 8).assert_same(&Left::by(&other, 8), "eight steps");
}

/// Predicts from the embedding alone.
struct Shallow;

impl Objective for Shallow {
    fn loss<'a>(&self, tape: &Tape<'a>, model: &'a Model, batch: &MicroBatch) -> Losses {
        let (stack, shown) = (model.stack(), &batch.input);
        let input = Input::Tokens(&shown.ids, shown.shape);
        let x = stack.embed.forward(tape, input, &shown.call);
        let head = stack.token_head().expect("a head over the vocabulary");
        let loss = tape.linear_cross_entropy(&x, head.cross_entropy(&batch.targets));
        Losses::one("next", loss)
    }
}

impl TextObjective for Shallow {
    fn examples(&self, batch: &Batch, seed: u64) -> Vec<Example> {
        NextToken::default().examples(batch, seed)
    }
}

#[test]
fn a_parameter_without_a_gradient_fails_the_run_before_the_first_update() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan { objective: &Shallow, ..Plan::default() };
    let error = plan.go(&folder.path().join("run"), 8).err().unwrap();
    let TrainError::Step(StepError::Unwritten { step: 1, names }) = &error else {
        panic!("{error:?}")
    };
    let untouched = model().params;
    let blind = untouched.entries().iter().filter(|e| !e.name.starts_with("embed."));
    assert_eq!(*names, blind.map(|e| format!("`{}`", e.name)).collect::<Vec<_>>());
    let message = error.to_string();
    assert!(message.starts_with("step 1: no gradient reaches `blocks.0."), "{message}");
    assert!(error.hint().is_some());
}

/// Sees the last norm, but not always.
struct Fickle;

impl Objective for Fickle {
    fn loss<'a>(&self, tape: &Tape<'a>, model: &'a Model, batch: &MicroBatch) -> Losses {
        let first = batch.input.call.rng.is_none_or(|rng| rng.step == 0);
        if first { NEXT.loss(tape, model, batch) } else { Shallow.loss(tape, model, batch) }
    }
}

impl TextObjective for Fickle {
    fn examples(&self, batch: &Batch, seed: u64) -> Vec<Example> {
        NextToken::default().examples(batch, seed)
    }
}

#[test]
fn a_gradient_of_the_step_before_does_not_count() {
    let case = &cases()[0];
    let batch = batch(case, 4);
    let norm = |objective: &dyn Objective| {
        let device = Device::cpu(Isa::detect());
        let mut trainer = Trainer::new(case.model(), objective, device, step_config());
        trainer.step(&NEXT.examples(&batch, 0)).unwrap();
        trainer.step(&NEXT.examples(&batch, 0)).unwrap();
        let grads = trainer.grads().borrow();
        let norm = trainer.model.params.find("final_norm.weight").unwrap();
        grads.get(&norm.param).unwrap().iter().map(|g| g.abs()).sum::<f32>()
    };
    assert!(norm(&NEXT) > 0.0);
    assert_eq!(norm(&Fickle), 0.0);
}

#[test]
fn a_batch_without_targets_is_refused() {
    let case = &cases()[0];
    let mut batch = batch(case, 4);
    batch.targets.fill(data::IGNORED);
    let mut trainer = Trainer::new(case.model(), &NEXT, Device::cpu(Isa::detect()), step_config());
    let before = trainer.model.params.values().to_vec();
    assert_eq!(
        trainer.step(&NEXT.examples(&batch, 0)).err(),
        Some(StepError::NoTargets { step: 1 })
    );
    assert_same_bits("weights", trainer.model.params.values(), &before);
}

#[test]
fn a_checkpoint_of_another_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    Plan::default().go(&run, 3).unwrap();
    let mut parts = Plan::default().parts(RunDir::resume(Path::new(&run)).unwrap());
    parts.trainer =
        Trainer::new(cases()[0].model(), &NEXT, Device::cpu(Isa::detect()), step_config());
    let error = Run::start(parts, true).err().unwrap();
    assert!(matches!(error, TrainError::Mismatch { .. }), "{error}");
    assert!(error.to_string().ends_with("does not fit: its config is of another model"));
}

#[test]
fn other_data_or_fewer_steps_are_refused_before_any_log_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    Plan::default().go(&run, 5).unwrap();
    let log = fs::read(run.join("metrics.jsonl")).unwrap();
    let refused = |change: &dyn Fn(&mut RunParts)| {
        let mut parts = Plan::default().parts(RunDir::resume(&run).unwrap());
        change(&mut parts);
        let error = Run::start(parts, true).err().unwrap();
        assert!(error.hint().is_some(), "{error}");
        assert!(fs::read(run.join("metrics.jsonl")).unwrap() == log, "{error}: the log differs");
        error.to_string()
    };
    let other = |change: &dyn Fn(&mut RunSource)| {
        refused(&|parts| {
            let mut sources = Plan::default().sources();
            change(&mut sources[0]);
            parts.feed = Box::new(Plan::default().feed(sources));
        })
    };
    let message = other(&|source| source.store = store(24, 7));
    assert!(message.ends_with("is of other data: the hash of the training tokens differs"));
    let message = other(&|source| source.validation = Some(store(5, 7)));
    assert!(message.contains("the hash of the validation tokens"), "{message}");
    let message = refused(&|parts| parts.config.steps = 4);
    assert!(message.ends_with("is at step 5, beyond the 4 that are asked for"), "{message}");
    for name in ["step-3", "step-5"] {
        fs::write(run.join("checkpoints").join(name).join("config.json"), "{}").unwrap();
    }
    let message = refused(&|_| ());
    assert!(message.starts_with("no checkpoint to load in run"), "{message}");
    assert_eq!(crate::support::checkpoints(&run), [3, 5]);
}

#[test]
fn a_run_that_is_stopped_at_once_saves_its_start() {
    let folder = tempfile::tempdir().unwrap();
    let dir = RunDir::create(&folder.path().join("run")).unwrap();
    let (mut run, _) = Run::start(Plan::default().parts(dir), false).unwrap();
    let ended = run.go(&AtomicBool::new(true), &mut Watch::until(0)).unwrap();
    assert_eq!(ended, train::Ended::Interrupted);
    assert_eq!(crate::support::checkpoints(&folder.path().join("run")), [0]);
}
