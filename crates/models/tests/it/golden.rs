//! Held against PyTorch and `transformers`, with the numbers beside: `golden/` at the top of the
//! repository has the scripts.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use checkpoint::Weights;
use models::Model;
use nn::Context;
use tensor::{Capture, Device, Grads, Isa, NO_TARGET, Precision, Tape};
use testing::{Tolerance, assert_close, assert_same_bits};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn load(name: &str) -> (Model, Weights) {
    let (model, unused) = Model::load(&folder(name)).unwrap();
    assert_eq!(unused, [""; 0]);
    (model, Weights::open(&folder(name).join("io.safetensors")).unwrap())
}

fn ids(io: &Weights, name: &str) -> Vec<u32> {
    io.to_i64(name).unwrap().into_iter().map(|id| id as u32).collect()
}

/// `labels` of `transformers`: each position is asked for the next token.
fn next(ids: &[u32], len: usize) -> Vec<u32> {
    let row = |row: &[u32]| row[1..].iter().copied().chain([NO_TARGET]).collect::<Vec<_>>();
    ids.chunks(len).flat_map(row).collect()
}

#[test]
fn gpt2_says_what_transformers_says() {
    let (model, io) = load("gpt2-tiny");
    let ids = ids(&io, "input_ids");
    let shared: Arc<[u32]> = ids.as_slice().into();
    for isa in Isa::supported() {
        let device = Device::cpu(isa);
        let capture = Capture::new(["hidden"]);
        let tape = Tape::new(&device, &model.params, Precision::F32).with_capture(&capture);
        let last = model.stack().forward(&tape, &shared, [2, 17], &mut Context::plain(2, 17));
        let logits = model
            .stack()
            .token_head()
            .expect("a head over the vocabulary")
            .logits(&tape, &last)
            .value()
            .to_vec();
        let head = model.stack().token_head().expect("a head over the vocabulary");
        let targets = next(&ids, 17);
        let args = head.cross_entropy(&targets);
        let loss = tape.linear_cross_entropy(&last, args);
        let last = last.value().to_vec();
        drop(tape);
        let found = capture.into_found();

        let tolerance = Tolerance::both(1e-4);
        let close = |what: &str, found: &[f32]| {
            let expected = io.to_f32(what).unwrap();
            assert_close(&format!("{what} on {isa}"), found, &expected, tolerance);
        };
        close("hidden_states.0", &found["blocks.0.hidden"].to_vec());
        close("hidden_states.1", &found["blocks.1.hidden"].to_vec());
        close("hidden_states.2", &last);
        close("logits", &logits);
        close("loss", &[loss.mean().unwrap() as f32]);
    }
}

#[test]
fn gpt2_learns_what_torch_learns() {
    let (model, io) = load("gpt2-tiny");
    let ids = ids(&io, "input_ids");
    let targets = next(&ids, 17);
    let shared: Arc<[u32]> = ids.as_slice().into();
    for isa in Isa::supported() {
        for recompute in [false, true] {
            let device = Device::cpu(isa);
            let grads = RefCell::new(Grads::new(&model.params));
            let tape = Tape::recording(&device, &model.params, Precision::F32, &grads);
            let mut ctx = Context::plain(2, 17);
            ctx.call.recompute = recompute;
            let hidden = model.stack().forward(&tape, &shared, [2, 17], &mut ctx);
            let head = model.stack().token_head().expect("a head over the vocabulary");
            let args = head.cross_entropy(&targets);
            let n = tape.linear_cross_entropy(&hidden, args).n_targets as f32;
            tape.backward();
            let grads = grads.borrow();
            for import in model.config.family().imports() {
                let expected = io.to_f32(&format!("grad.{}", import.name)).unwrap();
                let own = import.source.own().expect("gpt2 learns its positions");
                let param = &model.params.find(own).unwrap().param;
                let found: Vec<f32> = grads.get(param).unwrap().iter().map(|g| g / n).collect();
                let found = import.source.external(param, &found);
                let scale = expected.iter().fold(0.0_f64, |m, g| m.max(f64::from(g.abs())));
                let tolerance = Tolerance { abs: 1e-5 * scale + 1e-7, rel: 1e-4 };
                assert_close(&format!("{} on {isa}", import.name), &found, &expected, tolerance);
            }
        }
    }
}

#[test]
fn the_seed_model_says_what_torch_says() {
    let (model, io) = load("seed-tiny");
    // Time first there, rows first here.
    let src = ids(&io, "src");
    let (len, batch, d_model) = (17, 3, 32);
    let ids: Arc<[u32]> = (0..batch * len).map(|i| src[i % len * batch + i / len]).collect();
    let output = io.to_f32("output").unwrap();
    let expected: Vec<f32> = (0..batch * len)
        .flat_map(|i| output[(i % len * batch + i / len) * d_model..][..d_model].to_vec())
        .collect();
    for isa in Isa::supported() {
        let device = Device::cpu(isa);
        let tape = Tape::new(&device, &model.params, Precision::F32);
        let mut ctx = Context::plain(batch, len);
        let found = model.stack().forward(&tape, &ids, [batch, len], &mut ctx).value().to_vec();
        let tolerance = Tolerance { abs: 2e-5, rel: 0.0 };
        assert_close(&format!("output on {isa}"), &found, &expected, tolerance);
    }
}

#[test]
fn the_waves_are_those_of_torch() {
    let (model, _) = load("seed-tiny");
    let stored = Weights::open(&folder("seed-tiny")).unwrap().to_f32("pos_encoder.pe").unwrap();
    let fresh = Model::new(model.config.clone(), 0).unwrap();
    let waves = |model: &Model| model.stack().embed.waves().unwrap().values().to_vec();
    assert_close("pe", &waves(&fresh), &stored, Tolerance { abs: 2e-7, rel: 0.0 });
    assert_same_bits("pe", &waves(&model), &stored);
}
