use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::faults::{Fault, FaultyDisk};
use crate::weights::{Entry, Values};
use crate::{Damage, Origin, Weights, resolve, trainer};

/// A small checkpoint, different at every step.
fn save(run: &RunDir, step: u64) -> Result<(), CheckpointError> {
    let mut staged = run.stage(step)?;
    staged.write("config.json", format!("{{\"step\": {step}}}").as_bytes())?;
    let weight = [step as f32, 2.0, 3.0];
    let entries = [Entry::new("w", &[3], Values::F32(&weight))];
    crate::weights::save(&mut staged, "model", &entries, u64::MAX)?;
    trainer::save(&mut staged, &[Entry::new("m", &[3], Values::F32(&weight))], &step)?;
    staged.commit(Origin { build: "test".into(), isa: "portable".into() })?;
    Ok(())
}

/// Everything the training loop does at a checkpoint.
fn save_and_tidy(run: &RunDir, step: u64) -> Result<(), CheckpointError> {
    save(run, step)?;
    run.record_best(Best { step, metric: 1.0 / step as f64 })?;
    run.prune(step, 1)?;
    Ok(())
}

fn run_with(steps: &[u64]) -> (tempfile::TempDir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("run");
    let run = RunDir::create(&path).unwrap();
    for &step in steps {
        save(&run, step).unwrap();
    }
    (temp, path)
}

/// Resumes as a new process would, and checks that every checkpoint that is there is whole.
fn resumed_step(path: &Path) -> u64 {
    let run = RunDir::resume(path).unwrap();
    for dir in [path.to_owned(), path.join(CHECKPOINTS)] {
        let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
        let names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        assert!(!names.iter().any(|name| name.contains(".partial-")), "{names:?}");
        assert!(!names.iter().any(|name| name.contains(".replaced-")), "{names:?}");
    }
    for checkpoint in run.checkpoints().unwrap() {
        manifest::verify(&checkpoint.dir).expect("whole or not there");
    }
    let newest = run.newest_valid().unwrap();
    let Checkpoint { step, dir } = newest.checkpoint.expect("a checkpoint");
    let (moments, state) = trainer::load::<u64>(&dir).unwrap();
    assert_eq!((state, moments.to_f32("m").unwrap()[0]), (step, step as f32));
    assert_eq!(Weights::open(&dir).unwrap().to_f32("w").unwrap()[0], step as f32);
    step
}

fn steps_of(run: &RunDir) -> Vec<u64> {
    run.checkpoints().unwrap().iter().map(|checkpoint| checkpoint.step).collect()
}

/// How many disk operations it takes to save and tidy, after `steps` were saved.
fn n_operations(steps: &[u64], step: u64) -> usize {
    let (_temp, path) = run_with(steps);
    let disk = FaultyDisk::new(Fault::Kill, usize::MAX);
    save_and_tidy(&RunDir::resume_on(&path, Arc::new(disk.clone())).unwrap(), step).unwrap();
    disk.n_operations()
}

#[test]
fn a_kill_or_power_loss_at_any_operation_leaves_a_valid_newest() {
    let n = n_operations(&[1], 2);
    for fault in [Fault::Kill, Fault::PowerLoss] {
        let mut reached = BTreeSet::new();
        for at in 1..=n {
            let (_temp, path) = run_with(&[1]);
            let disk = Arc::new(FaultyDisk::new(fault, at));
            let run = RunDir::resume_on(&path, disk.clone());
            let saved = run.and_then(|run| save_and_tidy(&run, 2));
            assert!(saved.is_err() || disk.failed(), "{fault:?} at {at}");
            reached.insert(resumed_step(&path));
            let run = RunDir::resume(&path).unwrap();
            save_and_tidy(&run, 3).expect("goes on");
            assert_eq!(steps_of(&run), [3], "{fault:?} at {at}");
        }
        assert_eq!(Vec::from_iter(reached), [1, 2]);
    }
}

#[test]
fn a_fault_while_a_checkpoint_is_replaced_leaves_a_valid_newest() {
    let n = n_operations(&[1, 2], 2);
    for (fault, at) in (1..=n).flat_map(|at| [(Fault::Kill, at), (Fault::PowerLoss, at)]) {
        let (_temp, path) = run_with(&[1, 2]);
        let disk = Arc::new(FaultyDisk::new(fault, at));
        let run = RunDir::resume_on(&path, disk);
        drop(run.and_then(|run| save_and_tidy(&run, 2)));
        assert_eq!(resumed_step(&path), 2, "{fault:?} at {at}");
    }
}

#[test]
fn a_full_disk_at_any_operation_leaves_what_was_there_and_no_temporary() {
    let n = n_operations(&[1], 2);
    let mut n_refused = 0;
    for at in 1..=n {
        let (_temp, path) = run_with(&[1]);
        let disk = Arc::new(FaultyDisk::new(Fault::Full, at));
        let saved = RunDir::resume_on(&path, disk).and_then(|run| save_and_tidy(&run, 2)).err();
        for entry in fs::read_dir(path.join(CHECKPOINTS)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(parse_step(&name).is_some(), "at {at}: `{name}` stays");
        }
        if let Some(error) = saved {
            n_refused += 1;
            let CheckpointError::Write { source, .. } = &error else { panic!("{error}") };
            assert_eq!(source.kind(), io::ErrorKind::StorageFull);
            assert!(error.hint().unwrap().contains("free some space"), "{:?}", error.hint());
        }
        assert!([1, 2].contains(&resumed_step(&path)), "at {at}");
    }
    assert!(n_refused > n / 2, "{n_refused} of {n}");
}

const FILES: [&str; 5] = [
    "config.json",
    "manifest.json",
    "model.safetensors",
    "trainer/optimizer.safetensors",
    "trainer/state.json",
];

/// Every way `changes` turns the bytes of each file is detected, and that file is named.
fn assert_named(changes: impl Fn(&[u8]) -> Vec<Vec<u8>>) {
    let (_temp, path) = run_with(&[1]);
    let dir = path.join(CHECKPOINTS).join("step-1");
    manifest::verify(&dir).unwrap();
    for name in FILES {
        let whole = fs::read(dir.join(name)).unwrap();
        for (i, changed) in changes(&whole).into_iter().enumerate() {
            fs::write(dir.join(name), changed).unwrap();
            let error = manifest::verify(&dir).expect_err(name).to_string();
            assert!(error.contains(name), "{name}, change {i}: {error}");
        }
        fs::write(dir.join(name), whole).unwrap();
    }
    manifest::verify(&dir).unwrap();
}

#[test]
fn a_flip_of_any_byte_is_detected_and_named() {
    assert_named(|whole| {
        let flip = |i: usize| {
            let mut changed = whole.to_vec();
            changed[i] ^= 1 << (i % 8);
            changed
        };
        (0..whole.len()).map(flip).collect()
    });
}

#[test]
fn a_cut_at_any_byte_is_detected_and_named() {
    assert_named(|whole| (0..whole.len()).map(|len| whole[..len].to_vec()).collect());
    assert_named(|whole| vec![[whole, b"\n"].concat()]);
}

#[test]
fn a_missing_file_is_named() {
    let (_temp, path) = run_with(&[1]);
    let dir = path.join(CHECKPOINTS).join("step-1");
    for name in FILES {
        let whole = fs::read(dir.join(name)).unwrap();
        fs::remove_file(dir.join(name)).unwrap();
        match manifest::verify(&dir).expect_err(name) {
            CheckpointError::Damaged { file, damage: Damage::Missing, .. } => {
                assert_eq!(file, name);
            }
            error => panic!("{error}"),
        }
        fs::write(dir.join(name), whole).unwrap();
    }
}

#[test]
fn a_damaged_newest_is_skipped_and_named() {
    let (_temp, path) = run_with(&[5, 10, 100]);
    fs::write(path.join("checkpoints/step-100/trainer/state.json"), "100 \n").unwrap();
    fs::remove_file(path.join("checkpoints/step-10/manifest.json")).unwrap();
    fs::create_dir(path.join("checkpoints/step-0200")).unwrap(); // No spelling of ours.
    let newest = RunDir::open(&path).unwrap().newest_valid().unwrap();
    assert_eq!(newest.checkpoint.unwrap().step, 5);
    let reasons: Vec<_> = newest.skipped.iter().map(ToString::to_string).collect();
    assert!(
        reasons[0].ends_with("`trainer/state.json` has 5 bytes, 4 were written"),
        "{reasons:?}"
    );
    assert!(reasons[1].ends_with("step-10`: `manifest.json` is missing"), "{reasons:?}");
}

#[test]
fn what_may_be_whole_is_not_skipped_and_all_damaged_is_no_fresh_start() {
    let (_temp, path) = run_with(&[5, 10]);
    let run = RunDir::open(&path).unwrap();
    let manifest = path.join("checkpoints/step-10/manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("_version\": 1", "_version\": 2")).unwrap();
    let error = run.newest_valid().unwrap_err();
    assert!(matches!(error, CheckpointError::FormatVersion { found: 2, .. }), "{error}");
    assert!(error.hint().is_some());
    // A path that leads round in circles: an error of the system, not damage.
    fs::remove_file(&manifest).unwrap();
    std::os::unix::fs::symlink(&manifest, &manifest).unwrap();
    let error = run.newest_valid().unwrap_err();
    assert!(matches!(error, CheckpointError::Read { .. }), "{error}");
    fs::remove_file(&manifest).unwrap();
    fs::write(path.join("checkpoints/step-5/config.json"), "{}").unwrap();
    let error = run.newest_valid().unwrap_err();
    let CheckpointError::NoCheckpoint { skipped, .. } = &error else { panic!("{error}") };
    assert_eq!(skipped.len(), 2);
    assert!(error.hint().unwrap().starts_with("restore a file"), "{:?}", error.hint());
}

#[test]
fn pruning_keeps_the_last_and_the_best_and_what_is_ahead() {
    let (_temp, path) = run_with(&[1, 2, 3, 4, 5, 9]);
    let run = RunDir::resume(&path).unwrap();
    run.record_best(Best { step: 2, metric: 0.1 }).unwrap();
    assert_eq!(run.prune(5, 2).unwrap(), [1, 3]);
    assert!(run.prune(5, 2).unwrap().is_empty());
    assert_eq!(steps_of(&run), [2, 4, 5, 9]);
    assert_eq!(run.prune(5, 0).unwrap(), [4], "the one just saved stays");
}

#[test]
fn a_run_is_created_once() {
    let (_temp, path) = run_with(&[]);
    RunDir::create(&path).expect("nothing was written yet");
    save(&RunDir::resume(&path).unwrap(), 1).unwrap();
    let error = RunDir::create(&path).err().unwrap();
    assert!(matches!(error, CheckpointError::Exists { .. }), "{error}");
}

#[test]
fn a_directory_of_something_else_is_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    let notes = temp.path().join("notes.txt");
    fs::write(&notes, "mine").unwrap();
    let error = RunDir::resume(temp.path()).err().unwrap();
    assert!(matches!(error, CheckpointError::NotARun { .. }), "{error}");
    let error = RunDir::create(temp.path()).err().unwrap();
    assert!(matches!(error, CheckpointError::Exists { .. }), "{error}");
    for path in [notes.clone(), notes.join("run")] {
        let CheckpointError::Read { source, .. } = RunDir::create(&path).err().unwrap() else {
            panic!("a file is no directory");
        };
        assert_eq!(source.kind(), io::ErrorKind::NotADirectory);
    }
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
}

#[test]
fn one_process_writes_and_others_read() {
    let (_temp, path) = run_with(&[1]);
    let writer = RunDir::resume(&path).unwrap();
    let error = RunDir::resume(&path).err().unwrap();
    assert!(matches!(error, CheckpointError::Locked { .. }), "{error}");
    assert_eq!(steps_of(&RunDir::open(&path).unwrap()), [1]);
    drop(writer);
    RunDir::resume(&path).expect("free again");
}

#[test]
fn a_path_resolves_to_a_model() {
    let (_temp, path) = run_with(&[1, 2, 3]);
    let step = |n: u64| path.join(CHECKPOINTS).join(step_name(n));
    assert_eq!(resolve(&path).unwrap().dir, step(3));
    assert_eq!(resolve(&step(1)).unwrap().dir, step(1));
    RunDir::open(&path).unwrap().record_best(Best { step: 2, metric: 1.5 }).unwrap();
    assert_eq!(resolve(&path).unwrap().dir, step(2));
    fs::write(step(3).join("trainer/state.json"), "a model needs no state").unwrap();
    fs::write(step(2).join("model.safetensors"), "damaged").unwrap();
    let resolved = resolve(&path).unwrap();
    assert_eq!((resolved.dir, resolved.skipped.len()), (step(3), 1));
    fs::write(path.join(BEST), "{").unwrap();
    assert_eq!(resolve(&path).unwrap().skipped.len(), 1);
}

#[test]
fn what_does_not_resolve_is_said() {
    let (temp, path) = run_with(&[1]);
    let message = |path: &Path| resolve(path).unwrap_err().to_string();
    assert!(message(&path.join("nothing")).starts_with("failed to read"));
    assert!(message(temp.path()).ends_with("is neither a model directory nor a run directory"));
    fs::write(path.join("checkpoints/step-1/config.json"), "{}").unwrap();
    assert!(message(&path).contains("; damaged checkpoint"), "{}", message(&path));
    assert!(message(&path.join("checkpoints/step-1")).contains("`config.json` has 2 bytes"));
}
