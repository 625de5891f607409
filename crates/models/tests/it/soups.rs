//! Means of models.

use models::{HeadKind, Model};
use testing::{Tolerance, assert_close, assert_same_bits};

use crate::families::{decoders, encoders};

#[test]
fn a_mean_is_that_of_each_weight() {
    for case in decoders().into_iter().chain(encoders()) {
        let Some(config) = case.family() else { continue };
        let models = [1, 2, 4].map(|seed| Model::new(config.clone(), seed).unwrap());
        let soup = Model::average(&models).unwrap();
        let values = |model: &Model, name: &str| -> Vec<f32> {
            let param = &model.params.find(name).unwrap().param;
            model.params.rows(param).next().map_or_else(Vec::new, |rows| match rows.values {
                tensor::Values::F32(values) => values.to_vec(),
                other => panic!("{other:?}"),
            })
        };
        for entry in models[0].params.entries() {
            let name = &entry.name;
            let all = models.each_ref().map(|model| values(model, name));
            let mean = |i: usize| all.iter().map(|values| values[i]).sum::<f32>() / 3.0;
            let expected: Vec<f32> = (0..all[0].len()).map(mean).collect();
            assert_close(name, &values(&soup, name), &expected, Tolerance::both(1e-6));
        }
        let [first, ..] = &models;
        let same = Model::average(std::slice::from_ref(first)).unwrap();
        for entry in first.params.entries() {
            let name = &entry.name;
            assert_same_bits(name, &values(&same, name), &values(first, name));
        }
    }
}

#[test]
fn what_is_of_another_kind_has_no_mean() {
    let configs: Vec<_> =
        encoders().into_iter().filter_map(|case| case.family().cloned()).collect();
    let model = |config: &models::ModelConfig| Model::new(config.clone(), 0).unwrap();
    let labels = |labels: [&str; 2]| {
        let labels = labels.map(str::to_owned).to_vec();
        configs.iter().find_map(|c| c.with_head(&HeadKind::Classes { labels: labels.clone() }).ok())
    };
    let [one, other] = [["no", "yes"], ["yes", "no"]].map(|l| model(&labels(l).unwrap()));
    let refusal = |models: &[Model]| Model::average(models).err().unwrap().to_string();
    let [first, second] = [&configs[0], &configs[1]].map(model);
    assert!(refusal(&[first, second]).contains("model 2 has no mean"));
    assert!(refusal(&[one, other]).contains("other labels"));
}
