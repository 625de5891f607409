//! Laws that hold to the bit: same build, same instruction set.

use testing::{assert_same_bits, same_for_any_threads};

use crate::families::{Case, WINDOW, cases, decoders, readers, tiny_gpt2};
use crate::pass::{DROPPING, Input, hidden, learn, tokens};
use models::{Gpt2Config, Model, ModelConfig};

#[test]
fn the_future_changes_nothing() {
    for case in decoders() {
        let model = case.model();
        let d_model = model.stack().config().tokens().d_model;
        let ids = tokens(&model, 2 * 14, 1);
        let before = hidden(&model, &Input::plain(&ids, 2));
        for at in [0, 5, 13] {
            let mut changed = ids.clone();
            let vocab_size = model.stack().config().tokens().vocab_size as u32;
            changed[14 + at] = (changed[14 + at] + 1) % vocab_size;
            let after = hidden(&model, &Input::plain(&changed, 2));
            let split = (14 + at) * d_model;
            assert_same_bits(case.name, &after[..split], &before[..split]);
            assert_ne!(
                after[split..][..d_model],
                before[split..][..d_model],
                "{}: token {at} has no effect on its own position",
                case.name
            );
            let later = (14 + at + 1) * d_model;
            let sees = at == 13 || after[later..] != before[later..];
            assert!(sees, "{}: token {at} has no effect on later positions", case.name);
        }
    }
}

#[test]
fn a_window_forgets_what_is_behind_it() {
    let case = cases().into_iter().find(|case| case.name.starts_with("window")).unwrap();
    let model = case.model();
    let config = model.stack().config();
    let (d_model, n_layers) = (config.tokens().d_model, config.trunk.n_layers);
    let ids = tokens(&model, 14, 1);
    let mut changed = ids.clone();
    changed[0] = (changed[0] + 1) % config.tokens().vocab_size as u32;
    let [before, after] = [ids, changed].map(|ids| hidden(&model, &Input::plain(&ids, 1)));
    let reach = n_layers * (WINDOW - 1);
    assert_ne!(before[reach * d_model], after[reach * d_model], "reaches {reach} positions");
    let beyond = (reach + 1) * d_model;
    assert_same_bits("beyond the window", &after[beyond..], &before[beyond..]);
}

#[test]
fn rows_of_a_batch_do_not_see_each_other() {
    for case in readers() {
        let model = case.model();
        let d_model = model.stack().config().tokens().d_model;
        let rows: Vec<Vec<u32>> = (0..4).map(|seed| tokens(&model, 11, seed)).collect();
        let of = |batch: [usize; 3]| {
            let ids: Vec<u32> = batch.iter().flat_map(|&row| rows[row].clone()).collect();
            hidden(&model, &Input::plain(&ids, 3))
        };
        let row = |all: &[f32], at: usize| all[at * 11 * d_model..][..11 * d_model].to_vec();
        let (first, second) = (of([0, 1, 2]), of([3, 1, 0]));
        assert_same_bits(case.name, &row(&second, 1), &row(&first, 1));
        assert_same_bits(case.name, &row(&second, 2), &row(&first, 0));
    }
}

#[test]
fn recomputation_changes_nothing() {
    for case in readers() {
        let model = case.model();
        let ids = tokens(&model, 3 * 12, 1);
        let targets = tokens(&model, 3 * 12, 2);
        let mut input = Input::plain(&ids, 3).with_rng(DROPPING);
        let kept = learn(&model, &[(input.clone(), targets.clone())]);
        input.call.recompute = true;
        let again = learn(&model, &[(input.clone(), targets.clone())]);
        assert_eq!(again.loss, kept.loss, "{}", case.name);
        assert_same_bits(case.name, again.values(), kept.values());
        input.call.rng = None;
        let without = learn(&model, &[(input, targets)]);
        assert_ne!(without.loss, kept.loss, "{}: dropout has no effect", case.name);
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let large = ModelConfig::Gpt2(Gpt2Config {
        vocab_size: 1500,
        max_len: 80,
        d_model: 192,
        n_heads: 6,
        ..tiny_gpt2()
    });
    let mut models: Vec<Model> = readers().iter().map(Case::model).collect();
    models.push(Model::new(large, 1).unwrap());
    for model in &models {
        let len = model.stack().config().tokens().max_len.min(80);
        let ids = tokens(model, 4 * len, 1);
        let targets = tokens(model, 4 * len, 2);
        let parts = [(Input::plain(&ids, 4).with_rng(DROPPING), targets)];
        same_for_any_threads(|| {
            let learned = learn(model, &parts);
            let bits: Vec<u32> = learned.values().iter().map(|x| x.to_bits()).collect();
            (learned.loss.sum.to_bits(), bits)
        });
    }
}
