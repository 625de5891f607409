//! Models that `transformers` wrote: read in place or copied, written again, as GGUF and back.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use checkpoint::{Dtype, OsDisk, Weights, gguf, weights};
use models::{Model, ModelError};
use nn::{Context, Embed};
use tensor::{Grads, NO_TARGET, Pattern, Precision, Tape};
use testing::{Tolerance, assert_close, assert_same_bits};

use crate::pass::{Input, device, hidden_with};

/// Folders of golden models that are read, with their names.
pub fn golden() -> Vec<(String, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), path))
        .filter(|(_, path)| {
            !matches!(
                Model::load_config(path),
                Err(ModelError::UnknownModelType { .. } | ModelError::Config { .. })
            )
        })
        .collect();
    found.sort();
    found
}

/// Whether a model reads tokens alone.
pub fn is_stack(model: &Model) -> bool {
    model.architecture.stack().is_ok_and(|stack| matches!(stack.embed, Embed::Token(_)))
}

fn some_ids(model: &Model) -> Input {
    let vocab_size = model.stack().config().tokens().vocab_size as u32;
    let ids: Vec<u32> = (0..18).map(|i| 3 + i * 7 % (vocab_size - 3)).collect();
    Input::plain(&ids, 2)
}

fn last_hidden(model: &Model, precision: Precision) -> Vec<f32> {
    hidden_with((model, &device(), precision), &some_ids(model), None)
}

#[test]
fn weights_in_their_file_compute_the_same_bits() {
    for (name, dir) in golden() {
        let (copied, unused) = Model::load(&dir).unwrap();
        let (mapped, _) = Model::load_frozen(&dir).unwrap();
        if !is_stack(&mapped) {
            continue;
        }
        assert_eq!(unused, [""; 0], "{name}");
        assert!(mapped.params.values().len() < copied.params.values().len() / 2, "{name}");
        for precision in [Precision::F32, Precision::BF16] {
            let what = format!("{name} {precision:?}");
            let [found, expected] = [&mapped, &copied].map(|model| last_hidden(model, precision));
            assert_same_bits(&what, &found, &expected);
        }
    }
}

/// Names, shapes and values: `transformers` wrote the first, which makes it the format's snapshot.
#[test]
fn what_was_read_is_written_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut n_models = 0;
    for (name, dir) in golden() {
        let path = folder.path().join(format!("{name}.safetensors"));
        for load in [Model::load, Model::load_frozen] {
            let (model, unused) = load(&dir).unwrap();
            assert_eq!(unused, [""; 0], "{name}");
            weights::save_file(&OsDisk, &path, &model.entries()).unwrap();
            let [found, expected] = [&path, &dir].map(|path| Weights::open(path).unwrap());
            let names =
                [&found, &expected].map(|w| w.names().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(names[0], names[1], "{name}");
            for tensor in &names[0] {
                let shapes = [&found, &expected].map(|w| w.get(tensor).unwrap().shape.to_vec());
                assert_eq!(shapes[0], shapes[1], "{name} {tensor}");
                let [found, expected] = [&found, &expected].map(|w| w.to_f32(tensor).unwrap());
                assert_same_bits(&format!("{name} {tensor}"), &found, &expected);
            }
        }
        n_models += 1;
    }
    assert!(n_models >= 54, "{n_models}");
}

#[test]
fn gguf_and_back_changes_no_bit() {
    let folder = tempfile::tempdir().unwrap();
    let known = ["llama-gqa", "llama-mha", "llama-linear", "smollm", "qwen2", "qwen3", "gemma"];
    for (name, dir) in golden().into_iter().filter(|(name, _)| known.contains(&name.as_str())) {
        let (model, _) = Model::load_frozen(&dir).unwrap();
        let path = folder.path().join(format!("{name}.gguf"));
        let (metadata, entries) = model.gguf(|_, _| Dtype::F32.into()).unwrap();
        let metadata: Vec<_> = metadata.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
        gguf::save_file(&OsDisk, &path, &metadata, &entries).unwrap();
        let (again, unused) = Model::load_frozen(&path).unwrap();
        assert_eq!(unused, [""; 0], "{name}");
        let [found, expected] = [&again, &model].map(|model| last_hidden(model, Precision::F32));
        assert_close(&name, &found, &expected, Tolerance::both(1e-6));
    }
}

#[test]
fn what_gguf_cannot_say_is_refused() {
    let refused = |wanted: &str| {
        let (_, dir) = golden().into_iter().find(|(name, _)| name == wanted).unwrap();
        let (model, _) = Model::load_frozen(&dir).unwrap();
        model.gguf(|_, _| Dtype::F32.into()).map(|_| ()).expect_err("refused").to_string()
    };
    assert_eq!(refused("gemma3"), "`layer_types`: GGUF has no words for these layers");
    assert_eq!(refused("mistral"), "`rope`: Window { size: 6 } without turning is not written");
    assert_eq!(refused("bert-mlm"), "`model_type`: a `bert` is not written as GGUF");
}

#[test]
fn gradients_are_those_of_transformers() {
    for (name, dir) in golden() {
        let Ok(call) = Weights::open(&dir.join("call-grad.safetensors")) else { continue };
        let (model, _) = Model::load(&dir).unwrap();
        if !is_stack(&model) {
            continue;
        }
        let Some(head) = model.stack().token_head() else { continue };
        // What sees every token names those that are masked, the rest the next one.
        let shift = usize::from(model.stack().config().trunk.layer(0).pattern != Pattern::Full);
        let to_u32 = |name: &str| -> Vec<u32> {
            call.to_i64(name).unwrap().into_iter().map(|id| id as u32).collect()
        };
        let shape = call.get("input_ids").unwrap().shape.to_vec();
        let (batch, len) = (shape[0], shape[1]);
        let ids: Arc<[u32]> = to_u32("input_ids").into();
        let next = |row: &[i64]| {
            let target = |&id: &i64| if id < 0 { NO_TARGET } else { id as u32 };
            row[shift..].iter().map(target).chain([NO_TARGET]).take(len).collect::<Vec<_>>()
        };
        let targets: Vec<u32> = call.to_i64("labels").unwrap().chunks(len).flat_map(next).collect();
        let device = device();
        let grads = RefCell::new(Grads::new(&model.params));
        let tape = Tape::recording(&device, &model.params, Precision::F32, &grads);
        let mut ctx = Context::plain(batch, len);
        let hidden = model.stack().forward(&tape, &ids, [batch, len], &mut ctx);
        let hidden = head.hidden(&tape, &hidden);
        let loss = tape.linear_cross_entropy(&hidden, head.cross_entropy(&targets));
        let expected = call.to_f32("loss").unwrap();
        assert_close(&name, &[loss.mean().unwrap() as f32], &expected, Tolerance::both(1e-5));
        tape.backward();
        let (grads, n) = (grads.borrow(), loss.n_targets as f32);
        for import in model.config.family().imports() {
            let expected = call.to_f32(&format!("grad.{}", import.name)).unwrap();
            let param = &model.params.find(import.source.own().unwrap()).unwrap().param;
            let found: Vec<f32> = grads.get(param).unwrap().iter().map(|g| g / n).collect();
            let found = import.source.external(param, &found);
            let scale = expected.iter().fold(0.0_f64, |m, g| m.max(f64::from(g.abs())));
            let tolerance = Tolerance { abs: 2e-5 * scale + 1e-7, rel: 1e-4 };
            assert_close(&format!("{name} {}", import.name), &found, &expected, tolerance);
        }
    }
}
