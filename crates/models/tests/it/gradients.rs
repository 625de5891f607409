//! What backward owes every parameter.

use testing::Numbers;

use crate::families::{cases, encoders, readers};
use crate::pass::{DROPPING, Input, distance, learn, norm, step_by_sign, tokens};
use models::Model;
use tensor::{NO_TARGET, Rng};

/// A batch of `n` rows of 10, some of whose targets do not count.
fn batch(model: &Model, n: usize) -> (Vec<u32>, Vec<u32>) {
    let mut targets = tokens(model, n * 10, 2);
    targets.iter_mut().step_by(7).for_each(|target| *target = NO_TARGET);
    (tokens(model, n * 10, 1), targets)
}

#[test]
fn every_parameter_is_written_by_backward() {
    for case in readers() {
        let model = case.model();
        let (ids, targets) = batch(&model, 2);
        for recompute in [false, true] {
            let mut input = Input::plain(&ids, 2).with_rng(DROPPING);
            input.call.recompute = recompute;
            let learned = learn(&model, &[(input, targets.clone())]);
            assert_eq!(learned.grads.unwritten(&model.params), [""; 0], "{}", case.name);
        }
    }
}

/// The slope of the loss along a parameter's own gradient is that gradient's length; a key bias
/// (part of the packed one) moves nothing, which changes neither side.
#[test]
fn the_loss_falls_along_every_gradient_as_fast_as_it_says() {
    for case in cases() {
        let case = case.sent_everywhere();
        let mut model = case.model();
        let (ids, targets) = batch(&model, 3);
        let parts = [(Input::plain(&ids, 3), targets)];
        let learned = learn(&model, &parts);
        for entry in model.params.entries().to_vec() {
            let gradient = learned.grads.get(&entry.param).unwrap().to_vec();
            let length = norm(&gradient);
            let here = model.params.get(&entry.param).to_vec();
            let mut loss_at = |h: f64| {
                let moved = here.iter().zip(&gradient).map(|(w, g)| w + (h / length) as f32 * g);
                let moved: Vec<f32> = moved.collect();
                model.params.get_mut(&entry.param).copy_from_slice(&moved);
                let loss = learn(&model, &parts).loss.sum;
                model.params.get_mut(&entry.param).copy_from_slice(&here);
                loss
            };
            let mut slope = |h: f64| (loss_at(h) - loss_at(-h)) / (2.0 * h);
            let (wide, narrow) = (slope(0.02), slope(0.01));
            let found = (4.0 * narrow - wide) / 3.0;
            let error = (found - length).abs() / length;
            assert!(error < 0.02, "{}, `{}`: {found} for {length}", case.name, entry.name);
        }
    }
}

#[test]
fn micro_batches_add_up_with_the_same_dropout() {
    for case in readers() {
        let model = case.model();
        let (ids, targets) = batch(&model, 8);
        let cut = |rows: usize| {
            let part = |i: usize| {
                let at = i * rows * 10..(i + 1) * rows * 10;
                let rng = Rng { first_sample: (i * rows) as u64, ..DROPPING };
                let input = Input::plain(&ids[at.clone()], rows).with_rng(rng);
                (input, targets[at].to_vec())
            };
            learn(&model, &(0..8 / rows).map(part).collect::<Vec<_>>())
        };
        let whole = cut(8);
        for rows in [4, 1] {
            let parts = cut(rows);
            assert_eq!(parts.loss.n_targets, whole.loss.n_targets);
            let error = (parts.loss.sum / whole.loss.sum - 1.0).abs();
            assert!(error < 1e-6, "{}, rows of {rows}: loss off by {error}", case.name);
            let error = distance(parts.values(), whole.values());
            assert!(error < 1e-5, "{}, rows of {rows}: gradient off by {error}", case.name);
        }
    }
}

/// Steps by sign, for which no optimizer is needed; `train` has the same law of decoders.
#[test]
fn encoders_learn_one_batch_by_heart() {
    for case in encoders() {
        let mut model = case.model();
        let (ids, targets) = batch(&model, 2);
        let parts = [(Input::plain(&ids, 2), targets)];
        let mut step = |lr| step_by_sign(&mut model, lr, |model| learn(model, &parts));
        let first = step(0.01);
        let last = (1..120).map(|i| step(0.01 * (1.0 - i as f32 / 120.0))).last().unwrap();
        assert!(last < 0.05 && first > 3.0, "{}: from {first} to {last}", case.name);
    }
}

#[test]
fn a_nan_in_any_weight_is_noticed() {
    for case in cases() {
        let mut model = case.model();
        let (ids, targets) = batch(&model, 2);
        let parts = [(Input::plain(&ids, 2), targets)];
        let mut numbers = Numbers::new(9);
        for entry in model.params.entries().to_vec() {
            let width = *entry.param.shape().last().unwrap();
            // Of a table the row that is looked up, of anything else any row.
            let row = match entry.name.as_str() {
                "embed.tokens" => ids[0] as usize,
                "embed.positions" => 0,
                name if name.starts_with("embed.types") => 0,
                _ => numbers.below(entry.param.len() / width),
            };
            let at = row * width + numbers.below(width);
            let before = std::mem::replace(&mut model.params.get_mut(&entry.param)[at], f32::NAN);
            let learned = learn(&model, &parts);
            model.params.get_mut(&entry.param)[at] = before;
            let finite = learned.loss.sum.is_finite() && norm(learned.values()).is_finite();
            assert!(!finite, "{}: a NaN in `{}` is lost", case.name, entry.name);
        }
    }
}
