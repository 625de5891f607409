//! What families are on disk: names, shapes, and what is refused.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use checkpoint::weights::MAX_SHARD_BYTES;
use checkpoint::{Entry, Origin, OsDisk, StagedDir, Values, Weights, weights};
use models::{Model, ModelError};
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
type Change = fn(&mut serde_json::Value);

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
