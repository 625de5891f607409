//! A run that was interrupted, by its user, by damage or by a fault, ends as if it had not been.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use checkpoint::{CheckpointError, Disk, RunDir};
use data::Mode;
use train::metrics::StepRow;
use train::{Ended, Observer, Run, TrainError};

use crate::faults::{Fault, FaultyDisk};
use crate::support::{Left, Plan, checkpoints};

/// A run that nobody interrupts.
fn whole(folder: &Path, plan: &Plan) -> Left {
    let run = folder.join("whole");
    let (ended, started) = plan.go(&run, u64::MAX).unwrap();
    assert_eq!((ended, started.from), (Ended::Finished, None));
    Left::by(&run, plan.steps)
}

#[test]
fn a_run_may_stop_at_any_step() {
    let plans = [(Mode::Documents, false), (Mode::Stream, false), (Mode::Documents, true)];
    for (mode, mixed) in plans {
        let folder = tempfile::tempdir().unwrap();
        let plan = Plan { mode, mixed, ..Plan::default() };
        let whole = whole(folder.path(), &plan);
        assert_eq!(whole.steps.len(), 8);
        for stop in 0..plan.steps {
            let run = folder.path().join(format!("stop-{stop}"));
            assert_eq!(plan.go(&run, stop).unwrap().0, Ended::Interrupted);
            let (ended, started) = plan.go(&run, u64::MAX).unwrap();
            assert_eq!(ended, Ended::Finished);
            assert_eq!(started.from.unwrap().step, stop);
            Left::by(&run, plan.steps)
                .assert_same(&whole, &format!("{mode:?}, mixed: {mixed}, stop at {stop}"));
        }
    }
}

#[test]
fn a_source_is_read_as_often_as_it_may_be_and_each_is_judged() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan { mixed: true, steps: 20, ..Plan::default() };
    let run = folder.path().join("run");
    plan.go(&run, u64::MAX).unwrap();
    let state: serde_json::Value = serde_json::from_slice(
        &fs::read(run.join("checkpoints/step-20/trainer/state.json")).unwrap(),
    )
    .unwrap();
    assert_eq!(state["cursors"][1], serde_json::json!({ "epoch": 1, "window": 0 }), "{state}");
    assert!(state["cursors"][0]["epoch"].as_u64().unwrap() > 1);
    let names: Vec<_> = state["data"].as_object().unwrap().keys().cloned().collect();
    assert!(names.contains(&"training tokens of `few`".to_owned()), "{names:?}");
    let log = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let last: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    let (all, sources) = (&last["eval"]["targets"], &last["eval"]["sources"]);
    let sum = ["many", "few"].map(|name| sources[name]["targets"].as_u64().unwrap());
    assert_eq!(all.as_u64(), Some(sum[0] + sum[1]));
}

#[test]
fn a_mixture_that_is_used_up_ends_in_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan { mixed: true, steps: 2000, checkpoint_every: 0, ..Plan::default() };
    let mut parts = plan.parts(RunDir::create(&folder.path().join("run")).unwrap());
    let mut sources = plan.sources();
    sources[0].max_epochs = Some(1.5);
    parts.feed = Box::new(plan.feed(sources));
    let (mut run, _) = Run::start(parts, false).unwrap();
    let error = run.go(&AtomicBool::new(false), &mut Silent).err().unwrap();
    assert!(error.to_string().contains("as often as it may be"), "{error}");
    assert!(error.hint().unwrap().contains("max_epochs"));
}

/// Sees nothing.
struct Silent;

impl Observer for Silent {
    fn step(&mut self, _row: &StepRow) {}
}

#[test]
fn a_run_may_stop_twice_in_an_epoch_and_at_every_step() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan::default();
    let whole = whole(folder.path(), &plan);
    for (i, stops) in [vec![1, 2], vec![3, 4, 6], (0..8).collect()].iter().enumerate() {
        let run = folder.path().join(format!("stops-{i}"));
        for &stop in stops {
            assert_eq!(plan.go(&run, stop).unwrap().0, Ended::Interrupted);
        }
        assert_eq!(plan.go(&run, u64::MAX).unwrap().0, Ended::Finished);
        Left::by(&run, plan.steps).assert_same(&whole, &format!("stops at {stops:?}"));
    }
}

#[test]
fn a_finished_run_has_nothing_to_do_and_can_be_extended() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let short = Plan { steps: 4, ..Plan::default() };
    short.go(&run, u64::MAX).unwrap();
    let before = Left::by(&run, 4);
    let (ended, started) = short.go(&run, u64::MAX).unwrap();
    assert_eq!((ended, started.from.unwrap().step), (Ended::Finished, 4));
    Left::by(&run, 4).assert_same(&before, "nothing to do");
    Plan::default().go(&run, u64::MAX).unwrap();
    Left::by(&run, 8).assert_same(&whole(folder.path(), &Plan::default()), "extended");
}

#[test]
fn a_damaged_newest_checkpoint_is_named_and_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan { checkpoint_every: 2, ..Plan::default() };
    let whole = whole(folder.path(), &plan);
    for (i, name) in ["model.safetensors", "trainer/optimizer.safetensors", "trainer/state.json"]
        .into_iter()
        .enumerate()
    {
        let run = folder.path().join(format!("damaged-{i}"));
        plan.go(&run, 6).unwrap();
        assert_eq!(checkpoints(&run), [2, 4, 6]);
        let file = run.join("checkpoints/step-6").join(name);
        let len = fs::metadata(&file).unwrap().len();
        OpenOptions::new().write(true).open(&file).unwrap().set_len(len - 1).unwrap();
        let (ended, started) = plan.go(&run, u64::MAX).unwrap();
        assert_eq!((ended, started.from.unwrap().step), (Ended::Finished, 4));
        let [CheckpointError::Damaged { dir, file, .. }] = &started.skipped[..] else {
            panic!("{:?}", started.skipped)
        };
        assert_eq!((dir.as_path(), file.as_str()), (&*run.join("checkpoints/step-6"), name));
        Left::by(&run, plan.steps).assert_same(&whole, name);
        assert_eq!(checkpoints(&run), [2, 4, 6, 8]);
    }
}

/// Every operation of every save is once the one that fails: all of them with `SLOW=1`, else one in
/// seven.
#[test]
fn a_run_may_be_killed_at_any_operation_of_a_save() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan { steps: 4, checkpoint_every: 2, keep_last: 1, ..Plan::default() };
    let whole = whole(folder.path(), &plan);
    let counted = FaultyDisk::new(Fault::Kill, usize::MAX);
    let create = |path: &Path, disk: &FaultyDisk| {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        RunDir::create_on(path, disk).map_err(TrainError::from)
    };
    let dir = create(&folder.path().join("counted"), &counted).unwrap();
    plan.go_in(dir, u64::MAX).unwrap();
    let n = counted.n_operations();
    assert!(n > 40, "{n} operations");
    let stride = if std::env::var_os("SLOW").is_some() { 1 } else { 7 };
    for fault in [Fault::Kill, Fault::PowerLoss, Fault::Full] {
        for at in (1..=n).step_by(stride) {
            let what = format!("{fault:?} at {at}");
            let run = folder.path().join(&what);
            let disk = FaultyDisk::new(fault, at);
            let failed = create(&run, &disk).and_then(|dir| plan.go_in(dir, u64::MAX));
            assert!(failed.is_err() || fault == Fault::Full, "{what}: nobody noticed");
            assert!(disk.failed(), "{what}");
            let (ended, started) = plan.go(&run, u64::MAX).unwrap();
            assert_eq!(ended, Ended::Finished, "{what}");
            assert!(started.skipped.is_empty(), "{what}: {:?}", started.skipped);
            Left::by(&run, plan.steps).assert_same(&whole, &what);
            fs::remove_dir_all(&run).unwrap();
        }
    }
}
