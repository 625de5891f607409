//! Every family, held against what `transformers` computes with the same tensors.

use std::fs;
use std::path::{Path, PathBuf};

use checkpoint::weights::{self, save_file};
use checkpoint::{OsDisk, Weights};

use crate::assembled;
use crate::fixture::{arg, golden, run};

/// Families that are not built.
const LATER: [&str; 1] = ["gemma2"];

/// The folders of `transformers` models: those that hold calls.
fn cases() -> Vec<PathBuf> {
    let name = |path: &Path| path.file_name().expect("named").to_string_lossy().into_owned();
    let is_later = |path: &PathBuf| LATER.iter().any(|later| name(path).starts_with(later));
    let mut cases: Vec<_> = entries(&golden(".")).filter(|path| !is_later(path)).collect();
    cases.retain(|path| path.join("call-plain.safetensors").exists());
    cases.sort();
    cases
}

fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(dir).expect("there").map(|entry| entry.expect("readable").path())
}

/// Largest difference of a tensor over the rows that are no padding: what a padded query gives is
/// arbitrary, and nothing reads it.
fn worst(found: &Weights, expected: &Weights, name: &str) -> f32 {
    let shapes = [found, expected].map(|w| w.get(name).expect("there").shape.to_vec());
    assert_eq!(shapes[0], shapes[1], "{name}");
    let written = expected.contains("decoder_input_ids") && !name.starts_with("encoder_");
    let of = if written { "decoder_attention_mask" } else { "attention_mask" };
    let mask = expected
        .contains(of)
        .then(|| (expected.get(of).expect("there").shape, expected.to_i64(of)));
    let [found, wanted] = [found, expected].map(|w| w.to_f32(name).expect("floats"));
    let mask = mask.filter(|(shape, _)| shapes[0].starts_with(shape));
    let rows = match &mask {
        Some((shape, _)) => shape.iter().product(),
        None => shapes[0].iter().rev().skip(1).product::<usize>().max(1),
    };
    let width = wanted.len() / rows;
    let is_kept = |row: usize| match &mask {
        Some((_, Ok(mask))) => mask[row] != 0,
        _ => true,
    };
    let pairs = found.chunks(width).zip(wanted.chunks(width)).enumerate();
    let kept = pairs.filter(|(row, _)| is_kept(*row)).flat_map(|(_, (a, b))| a.iter().zip(b));
    kept.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// The folders of models with heads for tasks, written below `dir`, and those of their calls.
fn with_heads(dir: &Path) -> Vec<(PathBuf, PathBuf)> {
    let write = |case: assembled::Case| {
        let (folder, model) = (dir.join(&case.name), case.model());
        fs::create_dir(&folder).expect("made");
        fs::write(folder.join("config.json"), model.config_json()).expect("written");
        save_file(&OsDisk, &folder.join(weights::FILE_NAME), &model.entries()).expect("saved");
        (folder, case.dir)
    };
    assembled::all().into_iter().map(write).collect()
}

#[test]
fn every_family_agrees_with_transformers() {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("out.safetensors");
    let mut problems = Vec::new();
    let mut cases: Vec<_> = cases().into_iter().map(|case| (case.clone(), case)).collect();
    assert!(cases.len() >= 50, "{cases:?}");
    cases.extend(with_heads(dir.path()));
    for (case, calls) in cases {
        for call in entries(&calls).filter(|path| arg(path).contains("/call-")) {
            if arg(&call).contains("call-grad") {
                continue;
            }
            let expected = Weights::open(&call).expect("opens");
            let outputs: Vec<_> = expected
                .names()
                .filter(|name| expected.get(name).expect("there").dtype.is(checkpoint::Dtype::F32))
                .filter(|name| !["pixel_values", "input_features"].contains(name))
                .collect();
            let mut args = vec!["forward".to_owned(), arg(&case)];
            args.extend(["--inputs".into(), arg(&call), "--outputs".into(), arg(&out)]);
            if outputs.iter().any(|name| name.contains("hidden_states.")) {
                args.push("--hidden-states".into());
            }
            let ran = run(&args);
            if ran.code != Some(0) {
                problems.push(format!("{}: {}", call.display(), ran.stderr));
                continue;
            }
            let found = Weights::open(&out).expect("opens");
            for name in outputs {
                let worst = if found.contains(name) { worst(&found, &expected, name) } else { 9.9 };
                if worst > 1e-4 || worst.is_nan() {
                    problems.push(format!("{}: `{name}` differs by {worst:e}", call.display()));
                }
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_conversion_that_cannot_be_is_refused_and_writes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let target = arg(dir.path().join("out"));
    let convert = |case: &str, target: &str, to: &str| {
        run(&["convert", &arg(golden(case)), target, "--to", to]).refused()
    };
    for (case, why) in [
        ("gpt2-tiny", "`model_type`: a `gpt2` is not written as GGUF"),
        ("gemma3", "`layer_types`: GGUF has no words for these layers"),
        ("clip", "more than one trunk"),
    ] {
        let said = convert(case, &target, "gguf");
        assert!(said.contains(why) && said.contains("hint: `--to hf`"), "{said}");
        assert!(fs::read_dir(dir.path()).expect("there").next().is_none(), "{case}");
    }
    let said = convert("llama-gqa", &arg(dir.path()), "hf");
    assert!(said.contains("exists\n\nhint: give a path"), "{said}");
}
