//! Experts, held against `transformers`: gradients with and without the loss by balance.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use checkpoint::Weights;
use models::Model;
use nn::Context;
use tensor::{Balance, Grads, NO_TARGET, Precision, Tape};
use testing::{Tolerance, assert_close};

use crate::pass::device;

/// `labels` of `transformers`: each position is asked for the label of the next.
fn next(labels: &[i64], len: usize) -> Vec<u32> {
    let target = |&label: &i64| u32::try_from(label).unwrap_or(NO_TARGET);
    let row = |row: &[i64]| row[1..].iter().map(target).chain([NO_TARGET]).collect::<Vec<_>>();
    labels.chunks(len).flat_map(row).collect()
}

#[test]
fn mixtral_learns_what_torch_learns() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/mixtral");
    let (model, unused) = Model::load(&dir).unwrap();
    assert_eq!(unused, [""; 0]);
    for (call, coefficient) in [("call-grad", 0.0), ("call-grad-router", 0.05)] {
        for recompute in [false, true] {
            let io = Weights::open(&dir.join(format!("{call}.safetensors"))).unwrap();
            let ids: Arc<[u32]> =
                io.to_i64("input_ids").unwrap().iter().map(|&id| id as u32).collect();
            let targets = next(&io.to_i64("labels").unwrap(), 17);
            let n = targets.iter().filter(|&&target| target != NO_TARGET).count();
            let balance = Balance::new(coefficient * n as f32, None);
            let (device, grads) = (device(), RefCell::new(Grads::new(&model.params)));
            let tape = Tape::recording(&device, &model.params, Precision::F32, &grads);
            let mut ctx = Context::plain(2, 17);
            (ctx.call.recompute, ctx.call.balance) = (recompute, Some(balance.clone()));
            let hidden = model.stack().forward(&tape, &ids, [2, 17], &mut ctx);
            let args = model.stack().token_head().unwrap().cross_entropy(&targets);
            let loss = tape.linear_cross_entropy(&hidden, args).mean().unwrap();
            tape.backward();
            let aux = balance.loss().unwrap();
            let loss = loss + f64::from(coefficient) * aux;
            let tolerance = Tolerance::both(1e-5);
            assert_close("loss", &[loss as f32], &io.to_f32("loss").unwrap(), tolerance);
            if coefficient > 0.0 {
                assert_close("aux", &[aux as f32], &io.to_f32("aux_loss").unwrap(), tolerance);
            }
            let grads = grads.borrow();
            for import in model.config.family().imports() {
                let expected = io.to_f32(&format!("grad.{}", import.name)).unwrap();
                let param = &model.params.find(import.source.own().unwrap()).unwrap().param;
                let found: Vec<f32> =
                    grads.get(param).unwrap().iter().map(|g| g / n as f32).collect();
                let found = import.source.external(param, &found);
                let scale = expected.iter().fold(0.0_f64, |m, g| m.max(f64::from(g.abs())));
                let tolerance = Tolerance { abs: 1e-5 * scale + 1e-7, rel: 1e-4 };
                assert_close(&format!("{call}, {}", import.name), &found, &expected, tolerance);
            }
        }
    }
}
