//! Vectors of texts: losses of `sentence-transformers`, slopes, rankings.

use models::Model;
use tasks::{
    Contrast, Example, Label, Losses, MicroBatch, Near, Pooling, Row, of_rankings, rankings,
};
use tensor::{Device, Grads, Isa, Precision};

use crate::support::pass;
use crate::written::{golden, ids};

/// Texts side by side.
fn sample(sample_id: u64, texts: &[Vec<u32>], label: Label) -> Example {
    let (mut input, mut segments, mut positions) = (Row::default(), vec![], vec![]);
    for (segment, text) in (1..).zip(texts) {
        input.ids.extend(text);
        segments.resize(input.ids.len(), segment);
        positions.extend(0..text.len() as u32);
    }
    (input.segments, input.positions) = (Some(segments), Some(positions));
    Example { sample_id, input, output: None, targets: vec![], reference: vec![], label, prefix: 0 }
}

fn lab() -> (Model, Vec<Example>, serde_json::Value) {
    let (folder, golden) = golden();
    let near = &golden["near"];
    let models = folder.join("../../../../models/tests/golden");
    let (model, _) = Model::load(&models.join(near["model"].as_str().unwrap())).unwrap();
    let examples = (0..).zip(near["rows"].as_array().unwrap()).map(|(i, row)| {
        let texts: Vec<Vec<u32>> = row.as_array().unwrap().iter().map(ids).collect();
        sample(i, &texts, Label::Value(0.1 * i as f32))
    });
    (model, examples.collect(), near["losses"].clone())
}

const NEAR: [Near; 3] = [Near::Among { scale: 20.0 }, Near::Margin { margin: 5.0 }, Near::Cosine];

fn run(model: &Model, contrast: Contrast, examples: &[Example]) -> (Losses, Grads) {
    pass(model, &contrast, &[MicroBatch::flat(examples, 0..examples.len(), None)])
}

#[test]
fn losses_and_gradients_are_those_of_torch() {
    let (model, examples, golden) = lab();
    for near in NEAR {
        let (losses, grads) = run(&model, Contrast { pooling: Pooling::Mean, near }, &examples);
        let norm = grads.values().iter().map(|g| f64::from(g * g)).sum::<f64>().sqrt();
        for (what, found) in [("sum", losses.first().sum), ("norm", norm)] {
            let expected = golden[near.name()][what].as_f64().unwrap();
            let name = near.name();
            assert!(
                (found - expected).abs() < 2e-4 * expected,
                "{name} {what}: {found} {expected}"
            );
        }
    }
}

#[test]
fn gradients_are_slopes_for_every_pooling() {
    let (mut model, examples, _) = lab();
    let range = model.params.entries()[0].param.range();
    for pooling in [Pooling::Mean, Pooling::Cls, Pooling::Max, Pooling::Last] {
        for near in NEAR {
            let contrast = Contrast { pooling, near };
            let (_, grads) = run(&model, contrast, &examples);
            let gradient = grads.values();
            let most = gradient[range.clone()].iter().fold(0.0_f32, |m, g| m.max(g.abs()));
            let steep: Vec<usize> =
                range.clone().filter(|at| gradient[*at].abs() > 0.3 * most).take(3).collect();
            assert!(!steep.is_empty());
            for at in steep {
                let h = 2e-3;
                let mut moved = |by: f32| {
                    model.params.values_mut()[at] += by;
                    let loss = run(&model, contrast, &examples).0.first().sum;
                    model.params.values_mut()[at] -= by;
                    loss
                };
                let slope = (moved(h) - moved(-h)) / (2.0 * f64::from(h));
                let found = f64::from(gradient[at]);
                let what = format!("{pooling:?} {near:?}: {slope} {found}");
                assert!((slope - found).abs() < 3e-2 * slope.abs().max(0.1), "{what}");
            }
        }
    }
}

#[test]
fn what_is_evaluated_is_what_is_learned_from_and_what_belongs_together_is_found() {
    let (model, examples, golden) = lab();
    let device = Device::cpu(Isa::detect());
    let at = (&model, &device, Precision::F32);
    let contrast = Contrast { pooling: Pooling::Mean, near: NEAR[0] };
    let (losses, vectors) = contrast.evaluate(at, &examples, 5);
    let expected = golden["contrast"]["sum"].as_f64().unwrap();
    assert!((losses.first().sum - expected).abs() < 2e-4 * expected);
    assert_eq!(vectors.iter().map(Vec::len).collect::<Vec<_>>(), [3, 4, 3, 4, 3]);
    // Shown two at a time, vectors are the same.
    let (_, two) = contrast.evaluate(at, &examples, 2);
    for (a, b) in vectors.iter().flatten().flatten().zip(two.iter().flatten().flatten()) {
        assert!((a - b).abs() < 1e-5);
    }
    let ranked = rankings(&examples, &vectors);
    assert_eq!(ranked.len(), 5);
    // Vectors that are what belongs to them are found first.
    let ideal: Vec<_> = vectors.iter().map(|v| [&v[1..2], &v[1..]].concat()).collect();
    let ranked = rankings(&examples, &ideal);
    assert_eq!(of_rankings("recall@1", &ranked), Ok(1.0));
    assert_eq!(of_rankings("mrr@10", &ranked), Ok(1.0));
    assert!(of_rankings("mrr", &ranked).is_err() && of_rankings("mean@3", &ranked).is_err());
    assert!(of_rankings("ndcg@10", &[]).is_err());
}
