//! What a run writes, keeps and calls its best.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use checkpoint::{Origin, RunDir};
use data::Cursors;
use generate::GenerateError;
use models::Model;
use optim::Schedule;
use tasks::{Example, rewards::RewardError};
use train::metrics::{self, METRICS_FILE, MetricsRow};
use train::{DataHashes, Ended, Evaluation, Feed, Run, TextFeed, TrainError, Trainer};

use crate::support::{Left, Plan, Watch, checkpoints};

fn evals(run: &Path) -> Vec<(u64, f64)> {
    let rows: Vec<MetricsRow> = metrics::read(&run.join(METRICS_FILE)).unwrap();
    metrics::split(rows).1.iter().map(|row| (row.step, row.eval.best_by())).collect()
}

#[test]
fn the_last_and_the_best_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let plan = Plan { checkpoint_every: 1, eval_every: 1, keep_last: 2, ..Plan::default() };
    plan.go(&run, 4).unwrap();
    // From here on the learning rate is far too high.
    let mut parts = plan.parts(RunDir::resume(&run).unwrap());
    parts.trainer.config.schedule = Schedule::Constant { peak_lr: 1.0 };
    let (mut running, _) = Run::start(parts, true).unwrap();
    running.go(&AtomicBool::new(false), &mut Watch::until(u64::MAX)).unwrap();
    let evals = evals(&run);
    let best = evals.iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    assert!(best.0 < 7, "the best is among the last: {evals:?}");
    assert_eq!(checkpoints(&run), [best.0, 7, 8]);
    let noted = RunDir::open(&run).unwrap().best().unwrap().unwrap();
    assert_eq!((noted.step, noted.metric), *best);
    assert!(checkpoint::resolve(&run).unwrap().dir.ends_with(format!("step-{}", best.0)));
}

#[test]
fn a_best_that_nobody_lived_to_note_is_noted_on_resume() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let plan = Plan { checkpoint_every: 2, ..Plan::default() };
    plan.go(&run, 4).unwrap();
    let best = fs::read(run.join("best.json")).unwrap();
    fs::remove_file(run.join("best.json")).unwrap();
    Run::start(plan.parts(RunDir::resume(&run).unwrap()), true).unwrap();
    assert_eq!(fs::read(run.join("best.json")).unwrap(), best);
}

#[test]
fn a_damaged_note_of_the_best_is_said_and_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let plan = Plan { checkpoint_every: 1, keep_last: 1, ..Plan::default() };
    plan.go(&run, 5).unwrap();
    // The best is kept beside the newest, and is not the newest.
    assert_eq!(checkpoints(&run), [4, 5]);
    let best = fs::read(run.join("best.json")).unwrap();
    fs::write(run.join("best.json"), "{").unwrap();
    let (_, started) = Run::start(plan.parts(RunDir::resume(&run).unwrap()), true).unwrap();
    let said: Vec<String> = started.skipped.iter().map(ToString::to_string).collect();
    assert!(said.len() == 1 && said[0].contains("best.json` is not the JSON"), "{said:?}");
    assert_eq!(fs::read(run.join("best.json")).unwrap(), best);
    plan.go(&run, 8).unwrap();
}

#[test]
fn a_checkpoint_is_a_model_directory() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    Plan::default().go(&run, u64::MAX).unwrap();
    let dir = run.join("checkpoints/step-8");
    let mut names: Vec<String> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected =
        ["config.json", "manifest.json", "model.safetensors", "tokenizer.json", "trainer"];
    assert_eq!(names, expected);
    let (model, unused) = Model::load(&dir).unwrap();
    assert!(unused.is_empty());
    let manifest = checkpoint::manifest::verify(&dir).unwrap();
    assert_eq!(manifest.origin, Origin::default());
    let (again, started) =
        Run::start(Plan::default().parts(RunDir::resume(&run).unwrap()), true).unwrap();
    assert_eq!(started.from.unwrap().step, 8);
    assert_eq!(again.trainer().model.params.values(), model.params.values());
}

#[test]
fn samples_and_evaluations_come_when_they_are_due() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let plan = Plan { steps: 7, ..Plan::default() };
    let (mut running, _) = Run::start(plan.parts(RunDir::create(&run).unwrap()), false).unwrap();
    let mut watch = Watch::until(u64::MAX);
    let stop = watch.stop.clone();
    assert_eq!(running.go(&stop, &mut watch).unwrap(), Ended::Finished);
    assert_eq!(watch.samples, [4, 7]);
    let steps: Vec<u64> = evals(&run).iter().map(|eval| eval.0).collect();
    assert_eq!(steps, [2, 4, 6, 7]);
    assert_eq!(checkpoints(&run), [3, 6, 7]);
}

#[test]
fn time_that_is_over_ends_a_run_with_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let mut parts = Plan::default().parts(RunDir::create(&run).unwrap());
    parts.config.max_time = Some(Duration::ZERO);
    let (mut running, _) = Run::start(parts, false).unwrap();
    let mut watch = Watch::until(u64::MAX);
    let stop = watch.stop.clone();
    assert_eq!(running.go(&stop, &mut watch).unwrap(), Ended::OutOfTime);
    assert_eq!(checkpoints(&run), [0]);
}

/// Fails before a step, or where a step is judged.
struct Failing<'o> {
    feed: TextFeed<'o>,
    next_at: u64,
    judge_at: u64,
    error: fn() -> TrainError,
}

impl Failing<'_> {
    fn fails(&self, is: bool) -> Result<(), TrainError> {
        if is { Err((self.error)()) } else { Ok(()) }
    }
}

/// What a run of `plan` ends with that fails where it is told to.
fn failed(run: &Path, plan: &Plan, [next_at, judge_at]: [u64; 2], e: fn() -> TrainError) {
    let feed = plan.feed(plan.sources());
    let mut parts = plan.parts(RunDir::create(run).unwrap());
    parts.feed = Box::new(Failing { feed, next_at, judge_at, error: e });
    let (mut running, _) = Run::start(parts, false).unwrap();
    let mut watch = Watch::until(u64::MAX);
    let stop = watch.stop.clone();
    let ended = running.go(&stop, &mut watch).unwrap_err();
    assert_eq!(ended.to_string(), e().to_string());
}

impl Feed for Failing<'_> {
    fn seek(&mut self, cursors: &Cursors) -> Result<(), TrainError> {
        self.feed.seek(cursors)
    }

    fn next(&mut self, trainer: &Trainer) -> Result<Vec<Example>, TrainError> {
        self.fails(trainer.state.step == self.next_at)?;
        self.feed.next(trainer)
    }

    fn cursors(&self) -> Cursors {
        self.feed.cursors()
    }

    fn read(&self) -> Vec<(&str, u64, u64)> {
        self.feed.read()
    }

    fn hashes(&self) -> DataHashes {
        self.feed.hashes()
    }

    fn judge(&self, trainer: &Trainer) -> Result<Option<Evaluation>, TrainError> {
        self.fails(trainer.state.step == self.judge_at)?;
        self.feed.judge(trainer)
    }
}

#[test]
fn what_was_learned_is_saved_where_data_or_an_evaluation_fail() {
    let plan = Plan { checkpoint_every: 100, ..Plan::default() };
    let error = || RewardError::Failing { n: 1, of: 1, first: "no".into() }.into();
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    plan.go(&whole, u64::MAX).unwrap();
    let whole = Left::by(&whole, 8);
    let cases = [([5, 99], vec![5]), ([99, 4], vec![4]), ([99, 8], vec![8]), ([0, 99], vec![])];
    for (at, saved) in cases {
        let run = folder.path().join(format!("{at:?}"));
        failed(&run, &plan, at, error);
        assert_eq!(checkpoints(&run), saved);
        // What could not be judged is judged after all.
        for _ in 0..2 {
            plan.go(&run, u64::MAX).unwrap();
            Left::by(&run, 8).assert_same(&whole, &format!("{at:?}"));
        }
    }
}

#[test]
fn a_model_that_no_longer_writes_takes_no_place_of_one_that_did() {
    let plan = Plan { checkpoint_every: 3, ..Plan::default() };
    for at in [[4, 99], [99, 4]] {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        failed(&run, &plan, at, || GenerateError::NotFinite { position: 0 }.into());
        assert_eq!(checkpoints(&run), [3]);
    }
}

#[test]
fn a_new_run_does_not_write_over_an_old_log() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    Plan::default().go(&run, 2).unwrap();
    let parts = Plan::default().parts(RunDir::resume(&run).unwrap());
    assert!(Run::start(parts, false).is_err());
}
