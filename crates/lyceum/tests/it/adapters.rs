//! Adapters and tuned models as files: put into weights, taken out of them, and averaged.

use std::fs;
use std::path::Path;

use checkpoint::Weights;

use crate::finetune::{base, opinions, table};
use crate::fixture::{Ran, arg, run};
use crate::recipe::{Lab, refusal};

/// A few steps that change something.
const SETS: [&str; 4] =
    ["train.steps=3", "optim.peak_lr=1e-2", "optim.schedule=constant", "train.precision=f32"];

fn tune(lab: &Lab, [model, data, out]: [&str; 3], sets: &[&str]) -> Ran {
    let out = arg(lab.path(out));
    let sets = SETS.iter().chain(sets).flat_map(|set| ["--set", set]);
    let own = ["finetune", "--model", model, "--data", data, "--out", &out];
    run(&[&own[..], &sets.collect::<Vec<_>>()].concat())
}

fn convert(from: &str, to: &str, more: &[&str]) -> Ran {
    run(&[&["convert", from, to, "--to", "hf"], more].concat())
}

/// All numbers of a model's file by name.
fn numbers(dir: &Path) -> Vec<(String, Vec<f32>)> {
    let dir = checkpoint::resolve(dir).expect("a model").dir;
    let weights = Weights::open(&dir).expect("saved");
    let mut names: Vec<String> = weights.names().map(str::to_owned).collect();
    names.sort_unstable();
    let values = |name: String| (weights.to_f32(&name).map(|x| (name, x))).expect("floats");
    names.into_iter().map(values).collect()
}

/// The largest difference, relative to the largest number of its tensor.
fn apart(one: &[(String, Vec<f32>)], other: &[(String, Vec<f32>)]) -> f32 {
    assert_eq!(one.len(), other.len());
    let pairs = one.iter().zip(other).map(|((name, a), (other, b))| {
        assert_eq!(name, other);
        let largest = a.iter().fold(f32::MIN_POSITIVE, |m, x| m.max(x.abs()));
        a.iter().zip(b).fold(0.0_f32, |m, (a, b)| m.max((a - b).abs())) / largest
    });
    pairs.fold(0.0, f32::max)
}

#[test]
fn what_is_put_into_weights_is_taken_out_of_these_alone() {
    let lab = Lab::new();
    lab.pretrain("pretrained", &["--set", "train.steps=2", "--set", "data.seq_len=64"]).done();
    let row = |i: usize| format!("{{\"source\":\"the sea {i}\",\"target\":\"a ship {i}\"}}");
    let data = table(&lab, "rows.jsonl", &(0..30).map(row).collect::<Vec<_>>());
    let path = |name: &str| arg(lab.path(name));
    let [base, merged, back] = ["base", "merged", "back"].map(path);
    convert(&path("pretrained"), &base, &["--dtype", "bf16"]).done();
    let lora = ["task.kind=pairs", "method.kind=lora", "data.max_cut=1"];
    tune(&lab, [&base, &data, "lora"], &lora).done();
    let tuned = path("lora");
    let adapter = ["--adapter", &*tuned, "--dtype", "f32"];
    let out = [&adapter[..], &["--unmerge"]].concat();

    let ran = convert(&base, &merged, &adapter);
    assert!(ran.stderr.contains("\nstored as F32: "), "{}", ran.stderr);
    ran.done();
    let of = |name: &str| numbers(&lab.path(name));
    assert!(apart(&of("merged"), &of("base")) > 1e-3);
    convert(&merged, &back, &out).done();
    assert!(apart(&of("back"), &of("base")) < 1e-6);
    // Out of the base itself, and a second time.
    for from in [&base, &back] {
        let stderr = refusal(convert(from, &path("less"), &out));
        assert!(stderr.contains("is not in the weights of") && stderr.contains("hint: "));
        assert!(!lab.path("less").exists());
    }
    // In the base's own type what is stored is what is held against the adapter beside it.
    let narrow = path("narrow");
    let ran = convert(&base, &narrow, &["--adapter", &tuned]);
    let said = ran.stderr.lines().find_map(|line| line.strip_prefix("stored as BF16: "));
    let difference = said.and_then(|said| said.split(' ').next()).expect("a number");
    assert!(difference.parse::<f32>().expect("a number") > 1e-5, "{}", ran.stderr);
    ran.done();
}

#[test]
fn a_model_beside_rounded_weights_merges_as_it_was_judged() {
    let lab = Lab::new();
    let model = arg(base(&lab));
    let data = table(&lab, "opinions.csv", &opinions(60));
    let sets = ["method.kind=lora", "method.quantise=int8"];
    tune(&lab, [&model, &data, "tuned"], &sets).done();
    let mark = lab.path("tuned/checkpoints/step-3/adapter_base.json");
    let mark = fs::read_to_string(mark).expect("saved");
    assert!(mark.contains("\"rounded\":\"int8\""), "{mark}");
    let [tuned, merged] = ["tuned", "merged"].map(|name| arg(lab.path(name)));
    let ran = convert(&tuned, &merged, &[]);
    assert!(ran.stderr.contains("rounded to int8"), "{}", ran.stderr);
    ran.done();
    let of = |model: &str| run(&["run", model, "77 the tea was good"]).done();
    assert_eq!(of(&merged), of(&tuned));
    let stderr =
        refusal(convert(&merged, &arg(lab.path("b")), &["--adapter", &tuned, "--unmerge"]));
    assert!(stderr.contains("cannot be taken out of weights again"), "{stderr}");
}

#[test]
fn runs_are_averaged() {
    let lab = Lab::new();
    let model = arg(base(&lab));
    let data = table(&lab, "opinions.csv", &opinions(60));
    for (name, seed) in [("a", "train.seed=1"), ("b", "train.seed=2")] {
        tune(&lab, [&model, &data, name], &[seed]).done();
    }
    let [a, b, soup] = ["a", "b", "soup"].map(|name| arg(lab.path(name)));
    convert(&a, &soup, &["--average", &b]).done();
    let of = |name: &str| numbers(&lab.path(name));
    let [mut mean, other] = [of("a"), of("b")];
    assert!(apart(&mean, &other) > 1e-3);
    for ((_, values), (_, other)) in mean.iter_mut().zip(other) {
        values
            .iter_mut()
            .zip(other)
            .for_each(|(value, other)| *value = f32::midpoint(*value, other));
    }
    assert!(apart(&of("soup"), &mean) < 1e-6);
    let stderr = refusal(convert(&a, &arg(lab.path("c")), &["--average", &model]));
    assert!(stderr.contains("model 2 has no mean with the first"), "{stderr}");
}

#[test]
fn a_pattern_that_names_nothing_is_told_what_there_is() {
    let lab = Lab::new();
    let model = arg(base(&lab));
    let data = table(&lab, "opinions.csv", &opinions(30));
    for (set, problem) in [
        ("method.freeze=[\"encoder.layer.0.*\"]", "of `freeze` names no parameter"),
        ("optim.rates={\"encoder.layer.0.*\" = 0.5}", "is the name of nothing that learns"),
    ] {
        let stderr = refusal(tune(&lab, [&model, &data, "a"], &[set]));
        let hint = stderr.lines().find(|line| line.starts_with("hint: ")).expect("a hint");
        let is_named = |name| hint.contains(&format!("`{name}"));
        assert!(stderr.contains(problem) && is_named("embed.tokens"), "{stderr}");
        assert!(is_named("blocks.0.") && is_named("heads.") && !is_named("blocks.1."), "{hint}");
    }
}
