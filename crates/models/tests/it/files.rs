//! What families are on disk: names, shapes, and what is refused.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use checkpoint::weights::MAX_SHARD_BYTES;
use checkpoint::{Entry, Origin, OsDisk, StagedDir, Values, Weights, weights};
use models::{Model, ModelError};
use serde_json::{Value, json};
use testing::assert_same_bits;

use crate::families::{cases, readers};

fn save(model: &Model, dir: &Path, max_shard_bytes: u64) {
    let mut staged = StagedDir::begin(&OsDisk, dir).unwrap();
    staged.write("config.json", model.config_json().as_bytes()).unwrap();
    weights::save(&mut staged, "model", &model.entries(), max_shard_bytes).unwrap();
    staged.commit(Origin::default()).unwrap();
}

#[test]
fn what_is_saved_is_loaded_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    for (i, case) in readers().iter().filter(|case| case.family().is_some()).enumerate() {
        let model = case.model();
        for max_shard_bytes in [MAX_SHARD_BYTES, 20_000] {
            let dir = folder.path().join(format!("{i}-{max_shard_bytes}"));
            save(&model, &dir, max_shard_bytes);
            let (loaded, unused) = Model::load(&dir).unwrap();
            assert_eq!(unused, [""; 0], "{}", case.name);
            assert_eq!(loaded.config, model.config);
            assert_same_bits(case.name, loaded.params.values(), model.params.values());
        }
    }
}

#[test]
fn external_names_are_the_format() {
    let mut text = String::new();
    let known = ["gpt2", "gpt2, untied, erf", "seed_transformer"];
    let folder = tempfile::tempdir().unwrap();
    for case in cases().iter().filter(|case| known.contains(&case.name)) {
        let dir = folder.path().join(case.name);
        let model = case.model();
        save(&model, &dir, MAX_SHARD_BYTES);
        let stored = Weights::open(&dir).unwrap();
        writeln!(text, "{}", case.name).unwrap();
        for import in model.config.family().imports() {
            let shape = stored.get(&import.name).unwrap().shape;
            writeln!(text, "  {} {shape:?}", import.name).unwrap();
        }
        assert_eq!(stored.names().count(), model.config.family().imports().len());
        writeln!(text, "{}", model.config_json()).unwrap();
    }
    insta::assert_snapshot!(text);
}

/// A copy of a golden model with another config, other names and other values.
struct Altered {
    _folder: tempfile::TempDir,
    dir: PathBuf,
}

/// What is done to a config.
type Change = fn(&mut Value);

impl Altered {
    fn new(change: Change, name_of: fn(&str) -> String) -> Self {
        Self::of("gpt2-tiny", change, |name, _| name_of(name))
    }

    fn of(golden: &str, change: Change, tensor: impl Fn(&str, &mut [f32]) -> String) -> Self {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(golden);
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("model");
        fs::create_dir(&dir).unwrap();
        let text = fs::read(golden.join("config.json")).unwrap();
        let mut json = serde_json::from_slice(&text).unwrap();
        change(&mut json);
        fs::write(dir.join("config.json"), json.to_string()).unwrap();
        let stored = Weights::open(&golden).unwrap();
        let tensors: Vec<(String, Vec<usize>, Vec<f32>)> = stored
            .names()
            .map(|name| {
                let shape = stored.get(name).unwrap().shape.to_vec();
                let mut values = stored.to_f32(name).unwrap();
                (tensor(name, &mut values), shape, values)
            })
            .collect();
        let entries: Vec<Entry> = tensors
            .iter()
            .map(|(name, shape, values)| Entry::new(name, shape, Values::F32(values)))
            .collect();
        weights::save_file(&OsDisk, &dir.join("model.safetensors"), &entries).unwrap();
        Self { _folder: folder, dir }
    }

    fn load(&self) -> Result<(Model, Vec<String>), ModelError> {
        Model::load(&self.dir)
    }

    /// The message, without the place.
    #[track_caller]
    fn refusal(&self) -> String {
        let error = self.load().err().expect("refused");
        let mut message = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            write!(message, ": {cause}").unwrap();
            source = cause.source();
        }
        message.replace(&format!("{}", self.dir.display()), "DIR")
    }
}

fn same(name: &str) -> String {
    name.to_owned()
}

#[test]
fn a_base_model_saved_without_its_head_is_loaded() {
    let base = Altered::new(|_| (), |name| name.replace("transformer.", ""));
    let whole = Altered::new(|_| (), same);
    let [base, whole] = [base, whole].map(|altered| altered.load().unwrap());
    assert_eq!(base.1, [""; 0]);
    assert_same_bits("weights", base.0.params.values(), whole.0.params.values());
}

#[test]
fn tensors_that_are_of_no_use_are_named() {
    let lost = |name: &str| name.replace("h.1.mlp.c_fc.bias", "extra");
    let message = Altered::new(|_| (), lost).refusal();
    assert_eq!(
        message,
        "missing tensor `transformer.h.1.mlp.c_fc.bias` in `DIR/model.safetensors`"
    );
    // One layer less: its tensors are left over, the buffers of old files are not.
    let shallow = Altered::new(
        |json| json["n_layer"] = 1.into(),
        |name| name.replace("h.1.ln_1.bias", "h.0.attn.masked_bias"),
    );
    let unused = shallow.load().unwrap().1;
    assert_eq!(unused.len(), 11);
    assert!(unused.iter().all(|name| name.starts_with("transformer.h.1.")), "{unused:?}");
}

#[test]
fn a_model_that_does_not_fit_its_config_is_refused() {
    let cases: [(&str, Change, &str); 10] = [
        (
            "another width",
            |json| json["n_embd"] = 96.into(),
            "tensor `transformer.wte.weight` has shape [101, 48], expected [101, 96]",
        ),
        (
            "transposed where it should not be",
            |json| json["n_inner"] = 96.into(),
            "tensor `transformer.h.0.mlp.c_fc.weight` has shape [48, 192], expected [48, 96]",
        ),
        (
            "more layers",
            |json| json["n_layer"] = 3.into(),
            "missing tensor `transformer.h.2.ln_1.weight` in `DIR/model.safetensors`",
        ),
        (
            "an unknown family",
            |json| json["model_type"] = "gpt5".into(),
            "`DIR/config.json` is a `gpt5`, which is not known",
        ),
        (
            "no family",
            |json| drop(json.as_object_mut().unwrap().remove("model_type")),
            "`DIR/config.json` has no `model_type`",
        ),
        (
            "heads that do not divide",
            |json| json["n_head"] = 5.into(),
            "`DIR/config.json` cannot be built: `n_heads`: 5 does not divide d_model = 48",
        ),
        (
            "no layer",
            |json| json["n_layer"] = 0.into(),
            "`DIR/config.json` cannot be built: `n_layers`: must be at least 1",
        ),
        (
            "a vocabulary that no machine holds",
            |json| json["vocab_size"] = 1_000_000_000_000_u64.into(),
            "`DIR/config.json` cannot be built: `vocab_size`: 1000000000000 is more than 16777216",
        ),
        (
            "dropout of everything",
            |json| json["attn_pdrop"] = 1.0.into(),
            "`DIR/config.json` cannot be built: `attention_dropout`: 1 is not a probability in \
             [0, 1)",
        ),
        (
            "a size below zero",
            |json| json["n_layer"] = (-2).into(),
            "`DIR/config.json` is not the JSON of a model's config: invalid value: integer `-2`, \
             expected usize",
        ),
    ];
    for (what, change, expected) in cases {
        assert_eq!(Altered::new(change, same).refusal(), expected, "{what}");
    }
}

#[test]
fn an_untied_head_is_asked_for() {
    let altered = Altered::new(|json| json["tie_word_embeddings"] = false.into(), same);
    let message = altered.refusal();
    assert_eq!(message, "missing tensor `lm_head.weight` in `DIR/model.safetensors`");
}

#[test]
fn stored_waves_are_taken_where_they_are_waves() {
    let of = |by: f32| {
        Altered::of(
            "seed-tiny",
            |_| (),
            move |name, values| {
                if name == "pos_encoder.pe" {
                    values[4000 * 32] += by;
                }
                name.to_owned()
            },
        )
    };
    let message = of(0.5).refusal();
    assert_eq!(message, "tensor `pos_encoder.pe` differs from what the config makes of it");
    // As another mathematics library would have it.
    let altered = of(2e-4);
    let (model, _) = altered.load().unwrap();
    let dir = altered.dir.join("again");
    save(&model, &dir, MAX_SHARD_BYTES);
    let [stored, again] = [&altered.dir, &dir]
        .map(|dir| Weights::open(dir).unwrap().to_f32("pos_encoder.pe").unwrap());
    assert_same_bits("pe", &again, &stored);
}

#[test]
fn a_field_that_would_change_the_result_is_refused() {
    let cases: [(&str, Change, &str); 11] = [
        (
            "llama-gqa",
            |json| json["quantization_config"] = json!({ "quant_method": "fp8" }),
            "`quantization_config`: {\"quant_method\":\"fp8\"} is not supported, only null",
        ),
        (
            "bert-mlm",
            |json| json["position_embedding_type"] = "relative_key".into(),
            "`position_embedding_type`: \"relative_key\" is not supported, only \"absolute\"",
        ),
        (
            "bert-mlm",
            |json| json["is_decoder"] = true.into(),
            "`is_decoder`: true is not supported, only false",
        ),
        (
            "gpt2-tiny",
            |json| json["add_cross_attention"] = true.into(),
            "`add_cross_attention`: true is not supported, only false",
        ),
        (
            "gpt2-tiny",
            |json| json["architectures"] = json!(["GPT2DoubleHeadsModel"]),
            "`architectures`: `GPT2DoubleHeadsModel` is not one of GPT2Model, GPT2LMHeadModel, \
             GPT2ForSequenceClassification, GPT2ForTokenClassification, GPT2ForQuestionAnswering",
        ),
        (
            "qwen3-tied",
            |json| json["architectures"] = json!(["Qwen3ForAudio"]),
            "`architectures`: a head for `Audio` is not one of CausalLM, SequenceClassification, \
             TokenClassification, QuestionAnswering",
        ),
        (
            "llama-linear",
            |json| json["rope_parameters"]["partial_rotary_factor"] = 0.5.into(),
            "`partial_rotary_factor`: 0.5 is not supported, only 1",
        ),
        (
            "llama-gqa",
            |json| json["partial_rotary_factor"] = 0.5.into(),
            "`partial_rotary_factor`: 0.5 is not supported, only 1",
        ),
        (
            "llama-gqa",
            |json| json["hidden_act"] = "relu2".into(),
            "`hidden_act`: `relu2` is not one of gelu, gelu_new, quick_gelu, relu, silu",
        ),
        (
            "gemma3",
            |json| json["attn_logit_softcapping"] = 50.into(),
            "`attn_logit_softcapping`: soft caps are not supported",
        ),
        (
            "llama-yarn",
            |json| json["rope_parameters"]["rope_type"] = "longrope".into(),
            "`rope_type`: `longrope` is not one of default, linear, dynamic, llama3, yarn",
        ),
    ];
    for (golden, change, expected) in cases {
        let refusal = Altered::of(golden, change, |name, _| same(name)).refusal();
        assert_eq!(refusal, format!("`DIR/config.json` cannot be built: {expected}"), "{golden}");
    }
}

/// What the config classes of `transformers` 5.23 take where a file is silent.
#[test]
fn a_config_that_is_silent_says_what_is_usual() {
    let usual = json!({
        "mistral": { "sliding_window": 4096, "num_key_value_heads": 8 },
        "mixtral": { "num_key_value_heads": 8, "rms_norm_eps": 1e-5, "rope_theta": 1e6 },
        "qwen2-window": { "sliding_window": 4096, "num_key_value_heads": 32 },
        "qwen2-moe": { "num_key_value_heads": 16 },
        "qwen3": { "head_dim": 128, "num_key_value_heads": 32 },
        "qwen3-moe": { "num_key_value_heads": 4 },
        "smollm3": {
            "num_key_value_heads": 4, "rope_theta": 2e6, "tie_word_embeddings": true,
            "no_rope_layers": [1, 1, 1, 0],
        },
        "gemma": { "head_dim": 256, "num_key_value_heads": 16, "tie_word_embeddings": true },
        "gemma3": {
            "head_dim": 256, "num_key_value_heads": 4, "query_pre_attn_scalar": 256,
            "rope_theta": 1e6, "rope_local_base_freq": 1e4, "sliding_window": 4096,
            "tie_word_embeddings": true,
        },
        "roberta-mlm": { "pad_token_id": 1 },
    });
    let dir = tempfile::tempdir().unwrap();
    let architecture = |json: &Value| {
        fs::write(dir.path().join("config.json"), json.to_string()).unwrap();
        Model::load_config(dir.path()).unwrap().family().architecture().unwrap()
    };
    for (name, usual) in usual.as_object().unwrap() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
        let text = fs::read(golden.join("config.json")).unwrap();
        let mut silent: Value = serde_json::from_slice(&text).unwrap();
        let fields = silent.as_object_mut().unwrap();
        fields["architectures"] = json!([]);
        for key in ["layer_types", "rope_parameters", "rope_theta", "no_rope_layers"] {
            fields.remove(key);
        }
        fields.insert("no_rope_layer_interval".into(), 4.into());
        if fields.contains_key("num_hidden_layers") {
            fields["num_hidden_layers"] = 4.into();
            fields["num_attention_heads"] = 32.into();
            fields["hidden_size"] = 64.into();
        }
        for key in usual.as_object().unwrap().keys() {
            fields.remove(key);
        }
        let mut said = silent.clone();
        for (key, value) in usual.as_object().unwrap() {
            said[key] = value.clone();
            let mut other = said.clone();
            other[key] = match value {
                Value::Bool(value) => (!value).into(),
                Value::Array(_) => json!([1, 1, 1, 1]),
                value => match value.as_u64() {
                    Some(n) => (2 * n).into(),
                    None => (2.0 * value.as_f64().unwrap()).into(),
                },
            };
            assert_ne!(architecture(&other), architecture(&said), "{name}, {key}: no effect");
        }
        assert_eq!(architecture(&silent), architecture(&said), "{name}");
    }
}
