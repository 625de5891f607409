//! `lyceum forward`, held against the reference implementations.

use std::path::Path;

use checkpoint::Weights;

use crate::fixture::{Ran, arg, golden, run, write_ids};

fn forward(model: &str, inputs: &Path, outputs: &Path, more: &[&str]) -> Ran {
    let (model, inputs, outputs) = (arg(golden(model)), arg(inputs), arg(outputs));
    let args = ["forward", &model, "--inputs", &inputs, "--outputs", &outputs];
    run(&[&args[..], more].concat())
}

#[track_caller]
fn assert_close(found: &Weights, expected: &Weights, name: &str, tolerance: f32) {
    let shapes = [found, expected].map(|w| w.get(name).expect("there").shape.to_vec());
    assert_eq!(shapes[0], shapes[1], "{name}");
    let [found, expected] = [found, expected].map(|w| w.to_f32(name).expect("floats"));
    let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= tolerance, "{name}: differs by {worst:e}");
}

#[test]
fn gpt2_agrees_with_transformers() {
    let dir = tempfile::tempdir().expect("a directory");
    let (inputs, out) = (golden("gpt2-tiny/io.safetensors"), dir.path().join("out.safetensors"));
    let ran = forward("gpt2-tiny", &inputs, &out, &["--hidden-states", "--attentions"]);
    assert!(ran.stderr.contains("are no inputs of this model"), "{}", ran.stderr);
    ran.done();
    let (found, expected) =
        (Weights::open(&out).expect("opens"), Weights::open(&inputs).expect(""));
    for name in ["logits", "hidden_states.0", "hidden_states.1", "hidden_states.2"] {
        assert_close(&found, &expected, name, 1e-4);
    }
    let names: Vec<&str> = found.names().collect();
    assert_eq!(names.len(), 6, "{names:?}");
    let attentions = found.get("attentions.1").expect("there");
    assert_eq!(attentions.shape, [2, 3, 17, 17]);
    let p = found.to_f32("attentions.1").expect("floats");
    for (row, p) in p.chunks(17).enumerate() {
        let t = row % 17;
        assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert!(p[t + 1..].iter().all(|&p| p == 0.0));
    }
}

#[test]
fn the_seed_agrees_with_its_own_code() {
    let dir = tempfile::tempdir().expect("a directory");
    let (inputs, out) = (golden("seed-tiny/io.safetensors"), dir.path().join("out.safetensors"));
    forward("seed-tiny", &inputs, &out, &["--hidden-states"]).done();
    let (found, expected) =
        (Weights::open(&out).expect("opens"), Weights::open(&inputs).expect(""));
    assert_close(&found, &expected, "output", 2e-5);
    assert_eq!(found.get("hidden_states.2").expect("there").shape, [17, 3, 32]);
    assert_eq!(found.to_f32("hidden_states.2").expect("f32"), found.to_f32("output").expect("f32"));
}

#[test]
fn left_padding_with_its_positions_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    write_ids(&path("plain"), &[("input_ids", &[1, 4], &[5, 6, 7, 8])]);
    write_ids(
        &path("padded"),
        &[
            ("input_ids", &[1, 6], &[9, 9, 5, 6, 7, 8]),
            ("attention_mask", &[1, 6], &[0, 0, 1, 1, 1, 1]),
            ("position_ids", &[1, 6], &[0, 0, 0, 1, 2, 3]),
        ],
    );
    let logits = |name: &str| {
        forward("gpt2-tiny", &path(name), &path("out"), &[]).done();
        Weights::open(&path("out")).expect("opens").to_f32("logits").expect("floats")
    };
    let (plain, padded) = (logits("plain"), logits("padded"));
    let worst = plain.iter().zip(&padded[2 * 101..]).map(|(a, b)| (a - b).abs());
    assert!(worst.fold(0.0, f32::max) < 1e-5);
}

/// A tensor of integers: name, shape, values.
type Ids<'a> = (&'a str, &'a [usize], &'a [i64]);

#[test]
fn bad_inputs_are_refused_and_nothing_is_written() {
    let ids: Ids = ("input_ids", &[1, 2], &[1, 2]);
    let cases: [(&str, &[Ids], &str); 11] = [
        ("gpt2-tiny", &[], "missing tensor `input_ids`"),
        ("gpt2-tiny", &[("src", &[1, 1], &[1])], "reads `input_ids`; the file has `src`"),
        ("gpt2-tiny", &[("input_ids", &[2], &[1, 2])], "has shape [2], expected [B, T]"),
        ("gpt2-tiny", &[("input_ids", &[1, 0], &[])], "[1, 0]: there is no token in it"),
        (
            "gpt2-tiny",
            &[("input_ids", &[1, 2], &[1, 101])],
            "[0, 1] is 101, the model knows 0 to 100",
        ),
        ("gpt2-tiny", &[("input_ids", &[2, 1], &[1, -1])], "`input_ids`[1, 0] is -1"),
        ("gpt2-tiny", &[("input_ids", &[1, 33], &[1; 33])], "has 33 positions, the model knows 32"),
        ("gpt2-tiny", &[ids, ("attention_mask", &[1, 2], &[1, 2])], "a mask is of 0 and 1"),
        (
            "gpt2-tiny",
            &[ids, ("attention_mask", &[2, 2], &[1; 4])],
            "has shape [2, 2], `input_ids`",
        ),
        ("gpt2-tiny", &[ids, ("position_ids", &[1, 2], &[0, 32])], "knows positions of 0 to 31"),
        ("seed-tiny", &[ids], "this model reads `src`"),
    ];
    for (model, tensors, expected) in cases {
        let dir = tempfile::tempdir().expect("a directory");
        let (inputs, out) = (dir.path().join("in"), dir.path().join("out"));
        write_ids(&inputs, tensors);
        let stderr = forward(model, &inputs, &out, &[]).refused();
        assert!(stderr.contains(expected), "{expected}: {stderr}");
        assert!(!out.exists());
    }
}

#[test]
fn a_pass_that_cannot_fit_is_refused_before_it_runs() {
    let dir = tempfile::tempdir().expect("a directory");
    let (model, len) = (dir.path().join("model"), 1 << 18);
    std::fs::create_dir(&model).expect("made");
    crate::fixture::write_tiny(&model, 101, len);
    let (inputs, out) = (dir.path().join("in"), dir.path().join("out"));
    write_ids(&inputs, &[("input_ids", &[1, len], &vec![1; len])]);
    // Two layers of three heads: terabytes of probabilities.
    let (model, inputs, outputs) = (arg(&model), arg(&inputs), arg(&out));
    let args = ["forward", &model, "--inputs", &inputs, "--outputs", &outputs, "--attentions"];
    let stderr = run(&args).refused();
    assert!(stderr.starts_with("error: the forward pass needs "), "{stderr}");
    assert!(stderr.contains("of memory") && stderr.contains("hint: give fewer"), "{stderr}");
    assert!(!out.exists());
}

#[test]
fn bad_files_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let (floats, out) = (dir.path().join("floats"), dir.path().join("out"));
    let values = checkpoint::Values::F32(&[1.0]);
    let entry = checkpoint::Entry::new("input_ids", &[1, 1], values);
    checkpoint::weights::save_file(&checkpoint::OsDisk, &floats, &[entry]).expect("saved");
    let stderr = forward("gpt2-tiny", &floats, &out, &[]).refused();
    assert!(stderr.contains("stored as F32, expected an integer type"), "{stderr}");
    let stderr = forward("gpt2-tiny", &floats, &floats, &[]).refused();
    assert!(stderr.contains("is both `--inputs` and `--outputs`"), "{stderr}");
    let hostile = dir.path().join("hostile");
    std::fs::write(&hostile, u64::MAX.to_le_bytes()).expect("written");
    let stderr = forward("gpt2-tiny", &hostile, &out, &[]).refused();
    assert!(stderr.contains("no valid safetensors file"), "{stderr}");
    let nowhere = dir.path().join("no/such/dir/out");
    write_ids(&floats, &[("input_ids", &[1, 1], &[1])]);
    let stderr = forward("gpt2-tiny", &floats, &nowhere, &[]).refused();
    assert!(stderr.contains("failed to write"), "{stderr}");
}
