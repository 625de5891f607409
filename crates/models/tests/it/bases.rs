//! What an adapter finds in its base, and what it has to bring.

use std::fs;

use checkpoint::{OsDisk, Weights, weights};
use models::{LoraConfig, Method, Model, ModelError, Quantised, TRAINED, Targets, Tuning};
use nn::Beside;
use tensor::{Precision, Tape};
use testing::{Tolerance, assert_close, assert_same_bits};

use crate::adapters::{CASES, LED, adapter, base, beside, run};
use crate::pass::{Input, device, distance, logits, max_error};

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

#[test]
fn what_learned_beside_rounded_weights_runs_and_merges_beside_them() {
    let wide = changed("llama-gqa", |json| {
        (json["hidden_size"], json["intermediate_size"]) = (128.into(), 64.into());
        json["head_dim"] = 32.into();
    });
    let fresh = Model::new(Model::load_config(wide.path()).unwrap(), 1).unwrap();
    let file = wide.path().join("model.safetensors");
    weights::save_file(&OsDisk, &file, &fresh.entries()).unwrap();
    let probe: Vec<u32> = (3..20).collect();
    let said = |model: &Model| logits((model, &device(), Precision::F32), &Input::plain(&probe, 1));
    let targets = Some(Targets::Pattern("all-linear".into()));
    let method = Method::Lora(LoraConfig { rank: 2, targets, ..LoraConfig::default() });
    for form in [Quantised::Int8, Quantised::Nf4] {
        let tuning = Tuning { quantise: Some(form), ..method.clone().into() };
        let (mut model, _) = Model::load_for(wide.path(), &tuning, 3).unwrap();
        model.params.values_mut().iter_mut().for_each(|w| *w += 0.01);
        let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let [rounded, plain] = folders.each_ref().map(tempfile::TempDir::path);
        for dir in [rounded, plain] {
            let (config, entries) = model.adapter_files(TRAINED).unwrap();
            fs::write(dir.join("adapter_config.json"), config).unwrap();
            let file = dir.join("adapter_model.safetensors");
            weights::save_file(&OsDisk, &file, &entries).unwrap();
        }
        let text = models::base_file(wide.path(), model.adapters[0].rounded).unwrap().unwrap();
        fs::write(rounded.join(models::BASE_FILE), text).unwrap();
        let [judged, other] = [rounded, plain]
            .map(|dir| Model::load_beside(wide.path(), &[(dir.to_owned(), 1.0)]).unwrap().0);
        assert_same_bits("judged", &said(&judged), &said(&model));
        assert!(distance(&said(&other), &said(&model)) > 1e-4, "{form:?}");
        assert!(!judged.adapters[0].is_a_sum() && other.adapters[0].is_a_sum());
        let (merged, _) = judged.merged(&device(), &probe, 1e-5).unwrap();
        assert!(max_error(&said(&merged), &said(&model)) < 1e-4, "{form:?}");
        let both = [("one", rounded), ("two", plain)];
        let refusal = Model::load_adapted(wide.path(), &both).err().unwrap();
        assert!(matches!(refusal, ModelError::Forms { .. }), "{refusal}");
        // What is taken out of weights, in whatever form, rounds nothing.
        let less = Model::load_beside(wide.path(), &[(rounded.to_owned(), -1.0)]).unwrap().0;
        let expected = Model::load_beside(wide.path(), &[(plain.to_owned(), -1.0)]).unwrap().0;
        assert_same_bits("less", &said(&less), &said(&expected));
    }
}

#[test]
fn heads_are_held_against_each_other_beside_the_trunk() {
    let probe: Vec<u32> = (3..20).collect();
    for name in ["bert-base", "bert-classifier", "bert-tagger", "bert-mlm", "t5"] {
        let [plain, mut other] = [(); 2].map(|()| Model::load(&base(name)).unwrap().0);
        assert_eq!(plain.apart(&other, &device(), &probe, 0.0).unwrap(), 0.0);
        for entry in other.params.entries().to_vec() {
            if entry.name.contains("heads.") && entry.name.ends_with(".weight") {
                other.params.get_mut(&entry.param).iter_mut().for_each(|w| *w *= 1.5);
            }
        }
        let apart = plain.apart(&other, &device(), &probe, 1e-2).map_err(|e| e.to_string());
        // The head of T5 is its table of tokens.
        assert_eq!(apart.is_err(), name != "t5", "{name}: {apart:?}");
    }
}
