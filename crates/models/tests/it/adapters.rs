//! Adapters beside models, held against `peft`: its files are read and written again, and what
//! models say and learn with them is what it says.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use checkpoint::{OsDisk, Weights, weights};
use models::{
    AdapterConfig, Architecture, BesideConfig, LoraConfig, Method, Model, ModelError, Quantised,
    TRAINED, Targets, Tuning, open_adapter,
};
use nn::{Beside, BottleneckConfig, Context};
use tensor::{Grads, Loss, NO_TARGET, Precision, Rng, Tape};
use testing::{Tolerance, assert_close, assert_same_bits, same_for_any_threads};

use crate::foreign::{golden, is_stack};
use crate::pass::{Input, device, distance, learn_in, logits, max_error, tokens};

/// Changes of low rank, which can be merged.
pub const CASES: [(&str, &str); 5] = [
    ("llama-embed", "llama-gqa"),
    ("gpt2-lora", "gpt2-tiny"),
    ("llama-dora", "llama-gqa"),
    ("bert-lora", "bert-classifier"),
    ("t5-lora", "t5"),
];

/// Learned tokens.
pub const LED: [(&str, &str); 4] = [
    ("gpt2-prompt", "gpt2-tiny"),
    ("llama-prefix", "llama-gqa"),
    ("bert-prompt", "bert-classifier"),
    ("bert-prefix", "bert-classifier"),
];

fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    CASES.into_iter().chain(LED)
}

/// What learns in a case.
fn method(config: AdapterConfig) -> Method {
    match config {
        AdapterConfig::Lora(config) => Method::Lora(config),
        AdapterConfig::Beside(config) => Method::Beside(config),
    }
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

pub fn base(name: &str) -> PathBuf {
    tests().join("golden").join(name)
}

pub fn adapter(name: &str) -> PathBuf {
    tests().join("peft").join(name)
}

/// The model of a case, its adapter learning.
fn trained(name: &str, from: &str) -> Model {
    let (config, weights) = open_adapter(&adapter(name)).unwrap();
    let (mut model, _) = Model::load_for(&base(from), &method(config).into(), 3).unwrap();
    model.read_adapter(TRAINED, &weights).unwrap();
    model
}

/// Loss of a batch of a case, and all logits.
pub fn run<'a>(
    tape: &Tape<'a>,
    model: &'a Model,
    io: &Weights,
    rng: Option<Rng>,
) -> (Loss, Vec<f32>) {
    let to_u32 = |name: &str| -> Vec<u32> {
        io.to_i64(name).unwrap().into_iter().map(|id| id as u32).collect()
    };
    let (ids, labels) = (to_u32("input_ids"), to_u32("labels"));
    let shape = io.get("input_ids").unwrap().shape.to_vec();
    let [batch, len] = shape[..] else { panic!("{shape:?}") };
    let rows: Arc<[u32]> = ids.as_slice().into();
    let mut ctx = Context::plain(batch, len);
    ctx.call.rng = rng;
    if let Architecture::EncoderDecoder(pair) = &model.architecture {
        let memory = pair.encode(tape, nn::Input::Tokens(&rows, [batch, len]), ctx.call.clone());
        ctx.call.memory = Some(memory);
        // What `transformers` shows of labels: each row behind a zero.
        let shown = labels.chunks(len).flat_map(|row| [&[0], &row[..len - 1]].concat());
        let shown: Arc<[u32]> = shown.collect();
        let x = pair.decode(tape, &shown, [batch, len], &mut ctx);
        let head = pair.decoder.token_head().unwrap();
        let logits = head.logits(tape, &x).value().to_vec();
        let hidden = head.hidden(tape, &x);
        return (tape.linear_cross_entropy(&hidden, head.cross_entropy(&labels)), logits);
    }
    let stack = model.stack();
    let x = stack.forward(tape, &rows, [batch, len], &mut ctx);
    if let Some(head) = stack.class_head() {
        let rows = head.rows(None, [batch, len]);
        let logits = head.forward(tape, &x, &rows, &ctx.call).value().to_vec();
        let hidden = head.hidden(tape, &x, &rows, &ctx.call);
        let loss = tape.linear_cross_entropy(&hidden, head.cross_entropy(&labels).unwrap());
        return (loss, logits);
    }
    let next = |row: &[u32]| row[1..].iter().copied().chain([NO_TARGET]).collect::<Vec<_>>();
    let targets: Vec<u32> = labels.chunks(len).flat_map(next).collect();
    let head = stack.token_head().unwrap();
    let logits = head.logits(tape, &x).value().to_vec();
    let hidden = head.hidden(tape, &x);
    (tape.linear_cross_entropy(&hidden, head.cross_entropy(&targets)), logits)
}

fn learn(model: &Model, io: &Weights, precision: Precision, rng: Option<Rng>) -> (Loss, Grads) {
    let (device, grads) = (device(), RefCell::new(Grads::new(&model.params)));
    let tape = Tape::recording(&device, &model.params, precision, &grads);
    let (loss, _) = run(&tape, model, io, rng);
    tape.backward();
    (loss, grads.into_inner())
}

#[test]
fn models_say_and_learn_with_adapters_what_they_do_in_peft() {
    for (name, from) in all() {
        let io = Weights::open(&adapter(name).join("io.safetensors")).unwrap();
        let (frozen, _) = Model::load_adapted(&base(from), &[("it", &adapter(name))]).unwrap();
        let device = device();
        let tape = Tape::new(&device, &frozen.params, Precision::F32);
        let (_, logits) = run(&tape, &frozen, &io, None);
        let expected = io.to_f32("logits").unwrap();
        assert_close(name, &logits, &expected, Tolerance::both(1e-4));

        let mut model = trained(name, from);
        let losses = io.to_f32("losses").unwrap();
        for (step, expected) in losses.into_iter().enumerate() {
            let (loss, grads) = learn(&model, &io, Precision::F32, None);
            assert_eq!(grads.unwritten(&model.params), [""; 0], "{name}");
            let what = format!("{name}, step {step}");
            let found = loss.mean().unwrap() as f32;
            assert_close(&what, &[found], &[expected], Tolerance { abs: 0.0, rel: 1e-4 });
            let n = loss.n_targets as f32;
            if step == 0 {
                for import in model.adapters[0].table() {
                    let own = import.source.own().unwrap();
                    let param = &model.params.find(own).unwrap().param;
                    let expected = io.to_f32(&format!("grad.{}", import.name)).unwrap();
                    let found: Vec<f32> = grads.get(param).unwrap().iter().map(|g| g / n).collect();
                    let found = import.source.external(param, &found);
                    let scale = expected.iter().fold(0.0_f64, |m, g| m.max(f64::from(g.abs())));
                    let tolerance = Tolerance { abs: 2e-5 * scale + 1e-7, rel: 1e-4 };
                    assert_close(&format!("{name} {}", import.name), &found, &expected, tolerance);
                }
            }
            let weights = model.params.values_mut().iter_mut().zip(grads.values());
            weights.for_each(|(w, g)| *w -= 0.1 * g / n);
        }
    }
}

#[test]
fn what_peft_wrote_is_written_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    for (name, from) in all() {
        let model = trained(name, from);
        let (config, entries) = model.adapter_files(TRAINED).unwrap();
        fs::write(folder.path().join("adapter_config.json"), &config).unwrap();
        let file = folder.path().join("adapter_model.safetensors");
        weights::save_file(&OsDisk, &file, &entries).unwrap();
        let (again, found) = open_adapter(folder.path()).unwrap();
        let (theirs, expected) = open_adapter(&adapter(name)).unwrap();
        assert_eq!(again, theirs, "{name}");
        // Of a table that is changed, `peft` stores a copy.
        let learned = |name: &&str| !name.ends_with(".base_layer.weight");
        let names = [&found, &expected]
            .map(|w| w.names().filter(learned).map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(names[0], names[1], "{name}");
        for tensor in &names[0] {
            let shapes = [&found, &expected].map(|w| w.get(tensor).unwrap().shape.to_vec());
            assert_eq!(shapes[0], shapes[1], "{name} {tensor}");
            let [found, expected] = [&found, &expected].map(|w| w.to_f32(tensor).unwrap());
            assert_same_bits(&format!("{name} {tensor}"), &found, &expected);
        }
        let text = fs::read_to_string(adapter(name).join("adapter_config.json")).unwrap();
        let [ours, theirs]: [serde_json::Value; 2] =
            [&config, &text].map(|text| serde_json::from_str(text).unwrap());
        assert_eq!(ours["fan_in_fan_out"], theirs["fan_in_fan_out"], "{name}");
    }
}

#[test]
fn a_fresh_adapter_changes_nothing_and_a_frozen_base_stays() {
    for (name, from) in CASES {
        let io = Weights::open(&adapter(name).join("io.safetensors")).unwrap();
        let (config, _) = open_adapter(&adapter(name)).unwrap();
        let (model, _) = Model::load_for(&base(from), &method(config).into(), 3).unwrap();
        let (plain, _) = Model::load(&base(from)).unwrap();
        let device = device();
        let [with, without] = [&model, &plain].map(|model| {
            let tape = Tape::new(&device, &model.params, Precision::F32);
            run(&tape, model, &io, None).1
        });
        assert!(max_error(&with, &without) < 1e-5, "{name}");
        let n_trained: usize = model.params.trained().map(|e| e.param.len()).sum();
        let n_stored: usize = model.adapters[0]
            .table()
            .iter()
            .map(|import| {
                open_adapter(&adapter(name)).unwrap().1.to_f32(&import.name).unwrap().len()
            })
            .sum();
        assert_eq!(n_trained, n_stored, "{name}: only the adapter learns");
    }
}

#[test]
fn merged_says_what_unmerged_says() {
    for (name, from) in CASES {
        let (mut model, _) = Model::load_adapted(&base(from), &[("it", &adapter(name))]).unwrap();
        let probe: Vec<u32> = (3..20).collect();
        let (merged, worst) = model.merged(&device(), &probe, 1e-5).unwrap();
        assert!(merged.adapters.is_empty() && worst < 1e-5, "{name}: {worst}");
        let refusal = model.merged(&device(), &probe, -1.0).err().unwrap();
        assert!(matches!(refusal, ModelError::Merge { .. }), "{name}");
        model.use_adapters(&[("it", 0.0)]).unwrap();
        let (plain, worst) = model.merged(&device(), &probe, 0.0).unwrap();
        assert_eq!(worst, 0.0);
        drop(plain);
    }
}

#[test]
fn what_was_put_in_is_taken_out_again() {
    let (dir, folder) = (adapter("gpt2-lora"), tempfile::tempdir().unwrap());
    let (from, probe) = (base("gpt2-tiny"), (3..20).collect::<Vec<_>>());
    let (model, _) = Model::load_adapted(&from, &[("it", &dir)]).unwrap();
    let (merged, _) = model.merged(&device(), &probe, 1e-5).unwrap();
    fs::copy(from.join("config.json"), folder.path().join("config.json")).unwrap();
    let file = folder.path().join("model.safetensors");
    weights::save_file(&OsDisk, &file, &merged.entries()).unwrap();
    let (mut model, _) = Model::load_adapted(folder.path(), &[("it", &dir)]).unwrap();
    assert!(model.adapters[0].is_a_sum());
    model.use_adapters(&[("it", -1.0)]).unwrap();
    let (back, _) = model.merged(&device(), &probe, 1e-5).unwrap();
    let (plain, _) = Model::load_frozen(&from).unwrap();
    let said = |model: &Model| logits((model, &device(), Precision::F32), &Input::plain(&probe, 1));
    assert!(max_error(&said(&back), &said(&plain)) < 1e-5);
    assert!(max_error(&said(&merged), &said(&plain)) > 1e-3);
    let is_a_sum = |name: &str, from: &str| trained(name, from).adapters[0].is_a_sum();
    assert!(!is_a_sum("llama-dora", "llama-gqa") && !is_a_sum("bert-lora", "bert-classifier"));
}

#[test]
fn weights_of_another_base_are_known_and_another_type_is_not_another_base() {
    let folder = tempfile::tempdir().unwrap();
    let mark = |dir: &Path| models::base_file(dir, None).unwrap().unwrap();
    let from = base("gpt2-tiny");
    let (model, _) = Model::load(&from).unwrap();
    let save = |name: &str, dtype: checkpoint::Dtype| {
        let dir = folder.path().join(name);
        fs::create_dir_all(&dir).unwrap();
        let entries = model.entries_as(|_, _| dtype.into());
        weights::save_file(&OsDisk, &dir.join("model.safetensors"), &entries).unwrap();
        dir
    };
    let [wide, narrow] = [checkpoint::Dtype::F32, checkpoint::Dtype::BF16]
        .map(|dtype| save(&dtype.to_string(), dtype));
    assert_eq!(mark(&wide), mark(&narrow));
    assert_ne!(mark(&wide), mark(&base("llama-gqa")));
    fs::write(folder.path().join(models::BASE_FILE), mark(&wide)).unwrap();
    models::check_base(folder.path(), &narrow).unwrap();
    let other = models::check_base(folder.path(), &base("llama-gqa")).unwrap_err();
    assert!(matches!(&other, ModelError::OtherBase { .. }), "{other}");
    models::check_merged(folder.path(), &base("llama-gqa")).unwrap();
    let pristine = models::check_merged(folder.path(), &narrow).unwrap_err();
    assert!(matches!(&pristine, ModelError::NotMerged { .. }), "{pristine}");
    fs::write(folder.path().join(models::BASE_FILE), "{\"rounded\": \"int3\"}").unwrap();
    let damaged = models::check_base(folder.path(), &wide).unwrap_err();
    assert!(matches!(&damaged, ModelError::Json { .. }), "{damaged}");
}

#[test]
fn several_adapters_are_chosen_and_summed_without_touching_the_base() {
    let dir = adapter("gpt2-lora");
    let base = base("gpt2-tiny");
    let (mut model, _) = Model::load_adapted(&base, &[("one", &dir), ("two", &dir)]).unwrap();
    let probe: Vec<u32> = tokens(&model, 9, 5);
    let said = |model: &Model| {
        let input = Input::plain(&probe, 1);
        logits((model, &device(), Precision::F32), &input)
    };
    let one = said(&model);
    model.use_adapters(&[("two", 1.0)]).unwrap();
    assert_same_bits("the other", &said(&model), &one);
    model.use_adapters(&[("one", 0.25), ("two", 0.75)]).unwrap();
    assert!(max_error(&said(&model), &one) < 1e-5);
    model.use_adapters(&[]).unwrap();
    let (plain, _) = Model::load_frozen(&base).unwrap();
    assert_same_bits("none", &said(&model), &said(&plain));
    let refusal = model.use_adapters(&[("three", 1.0)]).unwrap_err().to_string();
    assert_eq!(refusal, "adapter `three`: there is none of that name, but `one`, `two`");
}

#[test]
fn what_does_not_fit_is_refused() {
    let load = |from: &str, name: &str| {
        Model::load_adapted(&base(from), &[("it", &adapter(name))]).err().unwrap().to_string()
    };
    assert!(load("bert-classifier", "gpt2-lora").contains("are in none of the names"));
    assert!(
        load("llama-mha", "llama-dora").contains("shape"),
        "{}",
        load("llama-mha", "llama-dora")
    );
    let folder = tempfile::tempdir().unwrap();
    for file in ["adapter_model.safetensors", "adapter_config.json"] {
        fs::copy(adapter("gpt2-lora").join(file), folder.path().join(file)).unwrap();
    }
    let config = fs::read_to_string(folder.path().join("adapter_config.json")).unwrap();
    let huge = config.replace("\"r\": 3", "\"r\": 65536");
    fs::write(folder.path().join("adapter_config.json"), huge).unwrap();
    let huge = Model::load_adapted(&base("gpt2-tiny"), &[("it", folder.path())]).err().unwrap();
    assert!(huge.to_string().contains("is [3, 48], but its rank 65536"), "{huge}");
    let train = |json: serde_json::Value| {
        let config = LoraConfig::from_json(json.as_object().unwrap()).unwrap();
        let loaded = Model::load_for(&base("llama-gqa"), &Method::Lora(config).into(), 0);
        loaded.err().unwrap().to_string()
    };
    let lm_head = train(serde_json::json!({ "target_modules": ["lm_head"] }));
    assert!(lm_head.contains("`lm_head` of `target_modules` is no map that can be changed"));
    let part = serde_json::json!({ "target_modules": ["o_proj"], "modules_to_save": ["q_proj"] });
    assert!(train(part).contains("`q_proj` of `modules_to_save` cannot learn alone"));
    let peft = |json: serde_json::Value| {
        AdapterConfig::from_json(json.as_object().unwrap()).err().unwrap()
    };
    let kind = |kind: &str| serde_json::json!({ "peft_type": kind, "num_virtual_tokens": 0 });
    assert_eq!(peft(kind("PREFIX_TUNING")), "`num_virtual_tokens` is 0; it is from 1 to 65536");
    assert_eq!(peft(kind("BOTTLENECK")), "there is no `width`");
    let mut both = kind("PROMPT_TUNING");
    both["num_transformer_submodules"] = 2.into();
    assert!(peft(both).contains("`num_transformer_submodules` above 1"));
    assert!(load("llama-gqa", "gpt2-prompt").contains("shape"));
    assert!(load("t5", "gpt2-prompt").contains("cannot be built"));
    let two = [("one", &*adapter("gpt2-prompt")), ("two", &*adapter("gpt2-prompt"))];
    let two = Model::load_adapted(&base("gpt2-tiny"), &two).err().unwrap().to_string();
    assert!(two.contains("only one may be of learned tokens"), "{two}");
    let table = serde_json::json!({ "target_modules": ["embed_tokens"], "use_dora": true });
    assert!(train(table).contains("`use_dora` is not supported of `model.embed_tokens`"));
    let freeze = |method: Method, patterns: &[&str]| {
        let freeze = patterns.iter().map(|p| (*p).to_owned()).collect();
        let tuning = Tuning { method, freeze, quantise: None };
        Model::load_for(&base("gpt2-tiny"), &tuning, 0).err().unwrap().to_string()
    };
    assert!(freeze(Method::Full, &["block*", "no.such"]).contains("`no.such` of `freeze`"));
    let names = models::some_names(
        ["embed.tokens", "blocks.0.norm.weight", "blocks.1.norm.weight", "final_norm.bias"]
            .into_iter(),
    );
    assert_eq!(names, "`embed.tokens`, `blocks.0.norm.weight`");
    assert!(freeze(Method::Full, &["*"]).contains("nothing learns"));
    assert!(freeze(Method::Head, &[]).contains("nothing learns"));
    let (config, _) = open_adapter(&adapter("bert-lora")).unwrap();
    let tuning = Tuning { freeze: vec!["heads.*".into()], ..method(config).into() };
    let (some, _) = Model::load_for(&base("bert-classifier"), &tuning, 0).unwrap();
    assert!(some.params.trained().all(|entry| entry.name.contains(".lora.")));
}

#[test]
fn freezing_changes_no_gradient_of_what_is_left() {
    let io = Weights::open(&adapter("gpt2-lora").join("io.safetensors")).unwrap();
    let (all, _) = Model::load(&base("gpt2-tiny")).unwrap();
    let (_, expected) = learn(&all, &io, Precision::F32, None);
    for pattern in ["embed*", "blocks.0.*", "*weight", "*bias", "final_norm.weight"] {
        let tuning = Tuning { freeze: vec![pattern.into()], ..Tuning::default() };
        let (some, _) = Model::load_for(&base("gpt2-tiny"), &tuning, 0).unwrap();
        let (_, found) = learn(&some, &io, Precision::F32, None);
        assert_eq!(found.unwritten(&some.params), [""; 0], "{pattern}");
        assert!(some.params.values().len() < all.params.values().len(), "{pattern}");
        for entry in some.params.trained() {
            let param = &all.params.find(&entry.name).unwrap().param;
            let what = format!("{pattern}: {}", entry.name);
            assert_same_bits(&what, found.get(&entry.param).unwrap(), expected.get(param).unwrap());
        }
    }
}

#[test]
fn an_adapter_learns_the_same_on_any_number_of_threads() {
    for (name, from) in all() {
        let io = Weights::open(&adapter(name).join("io.safetensors")).unwrap();
        let (mut config, weights) = open_adapter(&adapter(name)).unwrap();
        if let AdapterConfig::Lora(config) = &mut config {
            config.dropout = 0.3;
        }
        let (mut model, _) = Model::load_for(&base(from), &method(config).into(), 3).unwrap();
        model.read_adapter(TRAINED, &weights).unwrap();
        for precision in [Precision::F32, Precision::BF16] {
            let rng = Some(Rng { seed: 3, step: 1, first_sample: 0, first_token: 0 });
            let bits = || -> Vec<u32> {
                let (_, grads) = learn(&model, &io, precision, rng);
                assert!(grads.values().iter().all(|g| g.is_finite()));
                grads.values().iter().map(|g| g.to_bits()).collect()
            };
            same_for_any_threads(bits);
        }
    }
}

#[test]
fn a_coded_base_learns_as_the_same_numbers_in_f32() {
    let io = Weights::open(&adapter("llama-dora").join("io.safetensors")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(base("llama-gqa").join("config.json")).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    (json["hidden_size"], json["intermediate_size"]) = (128.into(), 64.into());
    json["head_dim"] = 32.into();
    let save = |at: &Path, model: Option<&Model>| {
        fs::create_dir_all(at).unwrap();
        fs::write(at.join("config.json"), json.to_string()).unwrap();
        let fresh = Model::new(Model::load_config(at).unwrap(), 1).unwrap();
        let entries = model.unwrap_or(&fresh).entries();
        weights::save_file(&OsDisk, &at.join("model.safetensors"), &entries).unwrap();
    };
    let load = |from: &Path, quantise: Option<Quantised>| {
        let targets = Some(Targets::Pattern("all-linear".into()));
        let method = Method::Lora(LoraConfig { rank: 2, targets, ..LoraConfig::default() });
        let tuning = Tuning { method, quantise, ..Tuning::default() };
        let (mut model, _) = Model::load_for(from, &tuning, 3).unwrap();
        model.params.values_mut().iter_mut().for_each(|w| *w += 0.01);
        model
    };
    let n_bytes = |model: &Model| -> usize {
        let maps = model.params.entries().iter().filter(|e| e.param.is_frozen());
        maps.filter(|e| e.name.starts_with("blocks")).map(|e| model.params.n_bytes(&e.param)).sum()
    };
    let (first, again) = (folder.path().join("first"), folder.path().join("again"));
    save(&first, None);
    let plain = load(&first, None);
    for (quantised, bits) in [(Quantised::Int8, 8.5), (Quantised::Nf4, 4.25)] {
        let coded = load(&first, Some(quantised));
        let misfits = |from: &Path| {
            let method = beside(Beside::Prompt(3));
            let tuning = Tuning { method, quantise: Some(quantised), ..Tuning::default() };
            Model::load_tuned(from, None, &tuning, 3).unwrap().1.unrounded
        };
        assert_eq!(misfits(&first), [""; 0]);
        assert!(misfits(&base("llama-gqa")).contains(&"blocks.0.ffn.down.weight".to_owned()));
        assert_eq!(n_bytes(&coded) as f64, n_bytes(&plain) as f64 * bits / 32.0, "{quantised:?}");
        // Its numbers, widened and stored.
        save(&again, Some(&coded));
        let wide = load(&again, None);
        for precision in [Precision::F32, Precision::BF16] {
            let [found, expected] =
                [&coded, &wide].map(|model| learn(model, &io, precision, None).1.values().to_vec());
            assert_same_bits(&format!("{quantised:?}"), &found, &expected);
        }
        let probe: Vec<u32> = (3..20).collect();
        let (merged, _) = coded.merged(&device(), &probe, 1e-5).unwrap();
        assert!(merged.adapters.is_empty());
    }
}

/// What can be learned beside a decoder or an encoder with a head over tokens.
fn kinds() -> [Method; 5] {
    let targets = Some(Targets::Pattern("all-linear".into()));
    // The loss reads the head over the vocabulary alone.
    let exclude = Some(Targets::Names(vec!["pooler.dense".into()]));
    let lora = LoraConfig { rank: 2, targets, exclude, dora: true, ..LoraConfig::default() };
    let bottleneck = |after_attention| BottleneckConfig { width: 5, after_attention };
    let besides = [
        Beside::Prompt(3),
        Beside::Prefix(2),
        Beside::Bottleneck(bottleneck(true)),
        Beside::Bottleneck(bottleneck(false)),
    ];
    let [a, b, c, d] = besides.map(beside);
    [Method::Lora(lora), a, b, c, d]
}

pub fn beside(beside: Beside) -> Method {
    let (modules_to_save, task_type, base) = (None, None, None);
    Method::Beside(BesideConfig { beside, modules_to_save, task_type, base })
}

#[test]
fn every_family_takes_an_adapter() {
    let mut n_models = 0;
    for (name, dir) in golden() {
        let (plain, _) = Model::load_frozen(&dir).unwrap();
        if !is_stack(&plain) || plain.stack().token_head().is_none() {
            continue;
        }
        for method in kinds() {
            let what = format!("{name}, {method:?}");
            let (model, unused) = match Model::load_for(&dir, &method.clone().into(), 3) {
                Err(ModelError::Config { source, .. }) if method != kinds()[0] => {
                    let problem = source.to_string();
                    assert!(problem.contains("has experts") || problem.contains("no single trunk"));
                    continue;
                }
                loaded => loaded.unwrap(),
            };
            assert_eq!(unused, [""; 0], "{what}");
            learns((&what, &method), model, &plain);
            n_models += 1;
        }
    }
    assert!(n_models >= 110, "{n_models}");
}

fn learns((what, method): (&str, &Method), mut model: Model, plain: &Model) {
    let is_led = model.stack().n_lead(&model.params) > 0;
    let ids = tokens(&model, 18, 4);
    let input = Input::plain(&ids, 2);
    let said = |model: &Model| logits((model, &device(), Precision::F32), &input);
    let apart = distance(&said(&model), &said(plain));
    assert_eq!(apart < 1e-5, !is_led, "{what}: fresh, {apart}");
    let batch = [(input.clone(), ids.clone())];
    let again = |recompute| {
        let mut batch = batch.clone();
        batch[0].0.call.recompute = recompute;
        learn_in(Precision::F32, &model, &batch)
    };
    let learned = again(false);
    assert_eq!(learned.grads.unwritten(&model.params), [""; 0], "{what}");
    assert_same_bits(&format!("{what}: recomputed"), again(true).values(), learned.values());
    let rows = [0..9, 9..18].map(|row| (Input::plain(&ids[row.clone()], 1), ids[row].to_vec()));
    let sum = learn_in(Precision::F32, &model, &rows);
    assert!(distance(sum.values(), learned.values()) < 1e-4, "{what}: micro-batches");
    let weights = model.params.values_mut().iter_mut().zip(learned.values());
    weights.for_each(|(w, g)| *w -= 0.01 * g.signum());
    assert!(distance(&said(&model), &said(plain)) > 1e-4, "{what}: learned");
    cached_is_whole(what, &model);
    model.use_adapters(&[]).unwrap();
    assert_same_bits(&format!("{what}: the base"), &said(&model), &said(plain));
    if matches!(method, Method::Beside(_)) {
        let refusal = model.merged(&device(), &ids, 1.0).err().unwrap().to_string();
        assert!(refusal.contains("cannot be put into weights"), "{refusal}");
        let half = model.use_adapters(&[(TRAINED, 0.5)]).map_err(|e| e.to_string());
        assert_eq!(half.is_err(), is_led, "{half:?}");
    }
}

/// What a decoder says token by token is what it says of all at once.
fn cached_is_whole(what: &str, model: &Model) {
    let stack = model.stack();
    let kinds = &stack.config().trunk.cycle;
    if kinds.iter().any(|kind| kind.pattern == tensor::Pattern::Full) {
        return;
    }
    let (device, ids) = (device(), tokens(model, 6, 9));
    let head = stack.token_head().unwrap();
    let n_lead = stack.n_lead(&model.params);
    let mut cache = stack.cache(&device, tensor::DType::F32, [1, ids.len()]);
    let mut found = Vec::new();
    for part in [&ids[..3], &ids[3..4], &ids[4..]] {
        let tape = Tape::new(&device, &model.params, Precision::F32);
        let mut ctx = Context::at(1, cache.len(), part.len());
        ctx.cache = Some(&mut cache);
        let x = stack.forward(&tape, &part.into(), [1, part.len()], &mut ctx);
        found.extend(head.logits(&tape, &x).value().to_vec());
    }
    assert_eq!(cache.len(), ids.len() + n_lead);
    let whole = logits((model, &device, Precision::F32), &Input::plain(&ids, 1));
    assert!(distance(&found, &whole) < 1e-4, "{what}: cached");
}
