//! What an adapter finds in its base, and what it has to bring.

use std::fs;

use checkpoint::Weights;
use models::{Model, TRAINED};
use nn::Beside;
use tensor::{Precision, Tape};
use testing::{Tolerance, assert_close};

use crate::adapters::{CASES, LED, adapter, base, beside, run};
use crate::pass::device;

/// A copy of a base whose config says something else.
fn changed(name: &str, change: impl Fn(&mut serde_json::Value)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(base(name).join("model.safetensors"), folder.path().join("model.safetensors"))
        .unwrap();
    let mut json = serde_json::from_slice(&fs::read(base(name).join("config.json")).unwrap());
    change(json.as_mut().unwrap());
    fs::write(folder.path().join("config.json"), json.unwrap().to_string()).unwrap();
    folder
}

#[test]
fn a_head_that_the_base_lacks_comes_with_the_adapter_or_is_refused() {
    let trunk = changed("bert-classifier", |json| {
        json["architectures"] = ["BertModel"].into();
        json.as_object_mut().unwrap().remove("id2label");
    });
    for (name, from) in [CASES[3], LED[2], LED[3]] {
        let io = Weights::open(&adapter(name).join("io.safetensors")).unwrap();
        let (model, _) = Model::load_adapted(trunk.path(), &[("it", &adapter(name))]).unwrap();
        assert_eq!(model.config.head(), Model::load_config(&base(from)).unwrap().head());
        let device = device();
        let tape = Tape::new(&device, &model.params, Precision::F32);
        let (_, logits) = run(&tape, &model, &io, None);
        assert_close(name, &logits, &io.to_f32("logits").unwrap(), Tolerance::both(1e-4));
    }
    // What a pooler was that nobody stored, nobody knows.
    let pooled = Model::load_adapted(&base("bert-mlm"), &[("it", &adapter("bert-prompt"))]);
    let refusal = pooled.err().unwrap().to_string();
    assert!(refusal.contains("has `bert.pooler.dense.weight`"), "{refusal}");
    let config = Model::load_config(&base("bert-classifier")).unwrap();
    let lacks = |name: &str| Model::lacking(&base(name), &config).unwrap();
    let pooler = ["weight", "bias"].map(|leaf| format!("bert.pooler.dense.{leaf}"));
    let classes = ["weight", "bias"].map(|leaf| format!("classifier.{leaf}"));
    assert_eq!(lacks("bert-mlm"), [pooler, classes.clone()].concat());
    assert_eq!(lacks("bert-base"), classes);
}

#[test]
fn learned_tokens_start_as_the_trunk_reads_tokens_and_say_their_width() {
    let mut n_scaled = 0;
    for name in ["gemma", "seed-tiny", "gpt2-tiny", "albert-mlm"] {
        let tuning = beside(Beside::Prompt(3)).into();
        let (model, _) = Model::load_for(&base(name), &tuning, 3).unwrap();
        let (plain, _) = Model::load(&base(name)).unwrap();
        let prompt = &model.params.find("lead.prompt").unwrap().param;
        let table = &plain.params.find("embed.tokens").unwrap().param;
        let (scale, width) = {
            let tokens = plain.stack().config().tokens();
            (tokens.scale, tokens.width())
        };
        n_scaled += usize::from(scale > 1.0);
        let rows: Vec<f32> = plain.params.get(table).iter().map(|x| x * scale).collect();
        for row in model.params.get(prompt).chunks_exact(width) {
            assert!(rows.chunks_exact(width).any(|there| there == row), "{name}");
        }
        let (config, _) = model.adapter_files(TRAINED).unwrap();
        let config: serde_json::Value = serde_json::from_str(&config).unwrap();
        assert_eq!(config["token_dim"], width, "{name}");
    }
    assert_eq!(n_scaled, 2);
}
