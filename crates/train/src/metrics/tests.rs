use std::collections::BTreeMap;

use std::fs;
use std::path::PathBuf;

use super::MetricsRow::{Eval, Step};
use super::*;

fn step(step: u64) -> StepRow {
    StepRow {
        step,
        loss: 4.0 / step as f64,
        accuracy: 0.25,
        targets: 8,
        grad_norm: 1.5,
        lr: 3e-4,
        tokens: step * 2048,
        tokens_per_s: 2.5,
        share_of_peak: None,
        memory_bytes: None,
        told: BTreeMap::new(),
    }
}

fn eval(step: u64) -> EvalRow {
    EvalRow {
        step,
        eval: Scores {
            loss: 2.5,
            bits_per_byte: Some(1.25),
            accuracy: 0.25,
            targets: 8,
            parts: BTreeMap::new(),
            sources: BTreeMap::new(),
            metrics: vec![],
            is_better_small: false,
        },
    }
}

/// A log of `n_steps` steps, with an evaluation after every second one.
fn written(n_steps: u64) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(METRICS_FILE);
    let mut log = MetricsLog::create(&path).unwrap();
    for s in 1..=n_steps {
        log.append(&Step(step(s))).unwrap();
        if s % 2 == 0 {
            log.append(&Eval(eval(s))).unwrap();
        }
    }
    log.sync().unwrap();
    (dir, path)
}

#[test]
fn a_step_and_an_evaluation_are_objects_of_their_own() {
    let (_dir, path) = written(2);
    assert_eq!(
        fs::read_to_string(&path).unwrap().lines().skip(1).collect::<Vec<_>>(),
        [
            concat!(
                r#"{"step":2,"loss":2.0,"accuracy":0.25,"targets":8,"grad_norm":1.5,"lr":0.0003,"#,
                r#""tokens":4096,"tokens_per_s":2.5}"#,
            ),
            r#"{"step":2,"eval":{"loss":2.5,"bits_per_byte":1.25,"accuracy":0.25,"targets":8}}"#,
        ]
    );
}

#[test]
fn what_is_written_is_read() {
    let (_dir, path) = written(3);
    let read = read::<MetricsRow>(&path).unwrap();
    assert_eq!(split(read), (vec![step(1), step(2), step(3)], vec![eval(2)]));
}

#[test]
fn unknown_keys_are_read_over_and_optional_ones_may_miss() {
    let line = r#"{"step":1,"loss":1,"grad_norm":2,"lr":3,"tokens":4,"tokens_per_s":5,"new":[]}"#;
    let Step(row) = serde_json::from_str(line).unwrap() else { panic!("a step") };
    assert_eq!((row.step, row.tokens, row.tokens_per_s, row.memory_bytes), (1, 4, 5.0, None));
}

#[test]
fn numbers_that_are_not_finite_come_back_as_they_went() {
    for (x, written) in
        [(f64::NAN, r#""NaN""#), (f64::INFINITY, r#""inf""#), (f64::NEG_INFINITY, r#""-inf""#)]
    {
        let text = serde_json::to_string(&StepRow { loss: x, ..step(1) }).unwrap();
        assert!(text.contains(&format!("\"loss\":{written}")), "{text}");
        let back: StepRow = serde_json::from_str(&text).unwrap();
        assert_eq!(back.loss.to_bits(), x.to_bits());
    }
    let text = r#"{"step":1,"eval":{"loss":null,"bits_per_byte":"inf"}}"#;
    let back: EvalRow = serde_json::from_str(text).unwrap();
    assert!(back.eval.loss.is_nan() && back.eval.bits_per_byte == Some(f64::INFINITY));
    let word = serde_json::from_str::<EvalRow>(&text.replace("inf", "much")).unwrap_err();
    assert!(word.to_string().contains("expected a number"), "{word}");
}

#[test]
fn resume_cuts_back_to_the_step_and_goes_on() {
    let (_dir, path) = written(6);
    let before = fs::read_to_string(&path).unwrap();
    let mut log = MetricsLog::resume(&path, 4).unwrap();
    let kept = fs::read_to_string(&path).unwrap();
    assert!(before.starts_with(&kept));
    assert_eq!(kept.lines().count(), 6);
    log.append(&Step(step(5))).unwrap();
    log.append(&Step(step(6))).unwrap();
    log.append(&Eval(eval(6))).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
}

#[test]
fn damage_in_what_is_cut_off_is_said_and_stands_in_no_way() {
    let (_dir, path) = written(6);
    let whole = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<&str> = whole.lines().collect();
    lines[6] = "{\"step\":5,";
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    assert!(MetricsLog::resume(&path, 5).unwrap().dropped.len() == 1, "5 is the damaged one");
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    let error = MetricsLog::resume(&path, 6).unwrap_err().to_string();
    assert!(error.starts_with("line 7 of"), "{error}");
    let log = MetricsLog::resume(&path, 4).unwrap();
    let said: Vec<String> = log.dropped.iter().map(ToString::to_string).collect();
    assert!(said.len() == 1 && said[0].starts_with("line 7 of"), "{said:?}");
    assert!(whole.starts_with(&fs::read_to_string(&path).unwrap()));
}

#[test]
fn resume_at_step_zero_and_without_a_log_start_over() {
    let (dir, path) = written(3);
    MetricsLog::resume(&path, 0).unwrap();
    assert_eq!(fs::read(&path).unwrap().len(), 0);
    let missing = dir.path().join("other.jsonl");
    MetricsLog::resume(&missing, 7).unwrap();
    assert_eq!(fs::read(&missing).unwrap().len(), 0);
}

#[test]
fn a_log_torn_at_any_byte_is_read_and_resumed() {
    let (_dir, path) = written(2);
    let whole = fs::read(&path).unwrap();
    let newlines: Vec<usize> = (0..whole.len()).filter(|&i| whole[i] == b'\n').collect();
    for len in 0..=whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        // A row is whole with its closing brace, newline or not.
        let n_rows = newlines.iter().filter(|&&at| at <= len).count();
        let read = read::<MetricsRow>(&path).unwrap();
        assert_eq!(read.len(), n_rows, "torn at {len}");
        MetricsLog::resume(&path, 3).unwrap();
        let kept = newlines[..n_rows].last().map_or(0, |at| at + 1);
        assert_eq!(fs::read(&path).unwrap(), whole[..kept], "torn at {len}");
    }
}

#[test]
fn zeros_left_by_a_power_cut_are_a_torn_line() {
    let (_dir, path) = written(2);
    let mut bytes = fs::read(&path).unwrap();
    let len = bytes.len();
    bytes.resize(len + 4096, 0);
    fs::write(&path, &bytes).unwrap();
    MetricsLog::resume(&path, 2).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes[..len]);
}

#[test]
fn a_damaged_line_in_the_middle_is_named_and_nothing_is_changed() {
    let (_dir, path) = written(3);
    let damaged = fs::read_to_string(&path).unwrap().replacen("\"lr\"", "\"l\"", 1);
    fs::write(&path, &damaged).unwrap();
    let error = MetricsLog::resume(&path, 3).unwrap_err();
    assert!(matches!(error, LogError::Row { line: 1, .. }), "{error:?}");
    assert!(error.to_string().ends_with("metrics.jsonl` is damaged"), "{error}");
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("missing field `lr`"));
    assert!(error.hint().unwrap().contains("sed -i 1d"));
    assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
}

#[test]
fn a_new_run_never_takes_the_log_of_another() {
    let (_dir, path) = written(1);
    let error = MetricsLog::create(&path).unwrap_err();
    assert!(matches!(error, LogError::Io { action: "create", .. }), "{error:?}");
}

#[test]
fn a_resume_leaves_nothing_beside_the_log() {
    let (dir, path) = written(4);
    MetricsLog::resume(&path, 1).unwrap();
    assert_eq!(read::<MetricsRow>(&path).unwrap(), [Step(step(1))]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_full_disk_is_an_error_with_a_hint() {
    let full = std::path::Path::new("/dev/full");
    if !full.exists() {
        return;
    }
    let mut log = AppendFile::open(full).unwrap();
    let error = log.append(b"row\n").unwrap_err();
    assert!(error.to_string().contains("append to `/dev/full`"), "{error}");
    assert!(error.hint().unwrap().contains("disk space"));
}

#[test]
fn samples_keep_their_text() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(SAMPLES_FILE);
    let sample = SampleRow { step: 5, text: "It was\n\"a truth\" \u{5e8a}\u{0}".into() };
    SampleLog::create(&path).unwrap().append(&sample).unwrap();
    assert_eq!(read::<SampleRow>(&path).unwrap(), [sample]);
}
