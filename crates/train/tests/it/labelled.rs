//! Labels: the same however texts are laid out, slopes, and what a run of samples goes on with.

use std::sync::Arc;

use models::{BesideConfig, HeadKind, Method, Model, ModelConfig};
use nn::{Beside, BottleneckConfig};
use tasks::{Asked, Example, Label, Labelled, MicroBatch, Row, predict};
use tensor::{Device, Isa, Precision, Rng};

use crate::families::{decoders, encoders};
use crate::support::{assert_alike, pass};

const N_CLASSES: usize = 3;

fn head(asked: Asked) -> HeadKind {
    let labels = ["a", "b", "c"].map(str::to_owned).to_vec();
    match asked {
        Asked::Class => HeadKind::Classes { labels },
        Asked::Value | Asked::Better | Asked::Rank => HeadKind::Score,
        Asked::Choice => HeadKind::Choice,
        Asked::Tag => HeadKind::Tags { labels },
        Asked::Span => HeadKind::Spans,
    }
}

const ALL: [Asked; 7] = [
    Asked::Class,
    Asked::Value,
    Asked::Choice,
    Asked::Tag,
    Asked::Span,
    Asked::Better,
    Asked::Rank,
];

/// Texts of several lengths; of what is chosen from, three side by side.
fn examples(asked: Asked) -> Vec<Example> {
    let row = |lens: &[usize], seed: u32| {
        let mut row = Row { segments: Some(vec![]), positions: Some(vec![]), ..Row::default() };
        for (segment, &len) in (1..).zip(lens) {
            let ids = (0..len as u32).map(|i| 4 + (i * 5 + seed * 3 + segment) % 20);
            row.ids.extend(ids);
            row.segments.as_mut().unwrap().resize(row.ids.len(), segment);
            row.positions.as_mut().unwrap().extend(0..len as u32);
        }
        row
    };
    (0..5u32)
        .map(|i| {
            let n = 3 + i as usize % 4;
            let lens = match asked {
                Asked::Choice | Asked::Rank => vec![n, 4, 2],
                Asked::Better => vec![n, 3],
                _ => vec![n],
            };
            let mut input = row(&lens, i);
            if lens.len() == 1 {
                (input.segments, input.positions) = (None, None);
            }
            let tag = |t: u32| if t.is_multiple_of(2) { t % 3 } else { u32::MAX };
            let n_tags = if asked == Asked::Tag { n as u32 } else { 0 };
            let mut targets: Vec<u32> = (0..n_tags).map(tag).collect();
            if asked == Asked::Rank {
                targets = vec![u32::MAX; n + 6];
                for (at, gain) in [(0, 2.0_f32), (n, 0.0), (n + 4, 1.0)] {
                    targets[at] = gain.to_bits();
                }
            }
            let label = match asked {
                Asked::Class | Asked::Choice => Label::Class(i % N_CLASSES as u32),
                Asked::Better => Label::Class(0),
                Asked::Value => Label::Value(i as f32 - 1.5),
                Asked::Span => Label::Span([1, 2]),
                Asked::Tag | Asked::Rank => Label::None,
            };
            Example { input, targets, label, ..Example::of(u64::from(i)) }
        })
        .collect()
}

fn models(asked: Asked) -> Vec<(&'static str, Model)> {
    let cases = encoders().into_iter().chain(decoders());
    let configs = cases.filter_map(|case| {
        let config = case.without_dropout().family()?.with_head(&head(asked)).ok()?;
        Some((case_name(&config), config))
    });
    configs.map(|(name, config)| (name, Model::new(config, 3).unwrap())).collect()
}

fn case_name(config: &ModelConfig) -> &'static str {
    config.family().model_type()
}

/// Losses and gradients of the micro-batches `batches`.
#[test]
fn texts_side_by_side_are_as_texts_alone() {
    for asked in ALL {
        let (objective, examples) = (Labelled::new(asked), examples(asked));
        let all = models(asked);
        assert!(all.len() >= 5, "{asked:?}: {}", all.len());
        for (name, model) in all {
            let flat = [MicroBatch::flat(&examples, 0..5, None)];
            let alone: Vec<_> =
                (0..5).map(|i| MicroBatch::flat(&examples, i..i + 1, None)).collect();
            let what = format!("{name} {asked:?}");
            let found = pass(&model, &objective, &flat);
            assert_alike(&what, &found, &pass(&model, &objective, &alone));
            if matches!(asked, Asked::Class | Asked::Value) {
                let padded = [MicroBatch::new(&examples, 0..5, None)];
                assert_alike(&what, &found, &pass(&model, &objective, &padded));
            }
        }
    }
}

/// Models of classes that learn what goes before each text, or what follows sublayers.
fn beside(with_dropout: bool) -> Vec<(String, Model)> {
    let head = head(Asked::Class);
    let bottleneck = BottleneckConfig { width: 4, after_attention: true };
    let kinds = [Beside::Prompt(3), Beside::Prefix(2), Beside::Bottleneck(bottleneck)];
    let mut all = Vec::new();
    for case in encoders().into_iter().chain(decoders()) {
        let case = if with_dropout { case } else { case.without_dropout() };
        let Some(Ok(config)) = case.family().map(|f| f.with_head(&head)) else { continue };
        let dir = tempfile::tempdir().unwrap();
        let model = Model::new(config, 3).unwrap();
        std::fs::write(dir.path().join("config.json"), model.config_json()).unwrap();
        let file = dir.path().join("model.safetensors");
        checkpoint::weights::save_file(&checkpoint::OsDisk, &file, &model.entries()).unwrap();
        for beside in kinds {
            let (modules_to_save, task_type, base) = (None, None, None);
            let method = BesideConfig { beside, modules_to_save, task_type, base };
            let tuning = Method::Beside(method).into();
            // Not beside experts.
            let Ok((mut model, _)) = Model::load_tuned(dir.path(), None, &tuning, 1) else {
                continue;
            };
            model.params.values_mut().iter_mut().for_each(|w| *w += 0.02);
            all.push((format!("{} {beside:?}", case.name), model));
        }
    }
    assert!(all.len() >= 24, "{}", all.len());
    all
}

#[test]
fn what_is_beside_a_model_goes_with_each_text() {
    let (objective, examples) = (Labelled::new(Asked::Class), examples(Asked::Class));
    for (name, model) in beside(false) {
        let found = pass(&model, &objective, &[MicroBatch::flat(&examples, 0..5, None)]);
        let alone: Vec<_> = (0..5).map(|i| MicroBatch::flat(&examples, i..i + 1, None)).collect();
        assert_alike(&name, &found, &pass(&model, &objective, &alone));
        let padded = [MicroBatch::new(&examples, 0..5, None)];
        assert_alike(&name, &found, &pass(&model, &objective, &padded));
    }
    let rng = Some(Rng { seed: 4, step: 2, first_sample: 0, first_token: 0 });
    for (name, model) in beside(true) {
        let whole = [MicroBatch::flat(&examples, 0..5, rng)];
        let parts = [0..2, 2..3, 3..5].map(|rows| MicroBatch::flat(&examples, rows, rng));
        let found = [pass(&model, &objective, &whole), pass(&model, &objective, &parts)];
        assert_alike(&name, &found[0], &found[1]);
    }
}

#[test]
fn micro_batches_drop_what_the_batch_drops() {
    let asked = Asked::Class;
    for case in encoders().into_iter().chain(decoders()) {
        let Some(Ok(config)) = case.family().map(|f| f.with_head(&head(asked))) else { continue };
        let (model, examples) = (Model::new(config, 3).unwrap(), examples(asked));
        let rng = Some(Rng { seed: 4, step: 2, first_sample: 0, first_token: 0 });
        let objective = Labelled::new(asked);
        let whole = [MicroBatch::flat(&examples, 0..5, rng)];
        let parts = [0..2, 2..3, 3..5].map(|rows| MicroBatch::flat(&examples, rows, rng));
        let found = [pass(&model, &objective, &whole), pass(&model, &objective, &parts)];
        assert_alike(case.name, &found[0], &found[1]);
    }
}

#[test]
fn gradients_are_slopes() {
    for asked in ALL {
        let mut objective = Labelled { smoothing: 0.1, ..Labelled::new(asked) };
        let mut examples = examples(asked);
        if asked == Asked::Class {
            objective.class_weights = vec![0.5, 2.0, 1.0];
            // Two passes of each text; without dropout they would be alike.
            objective.r_drop = 0.7;
            for pair in 0..2 {
                examples[2 * pair + 1].label = examples[2 * pair].label;
            }
            examples.truncate(4);
        }
        let n = examples.len();
        let (name, mut model) = models(asked).swap_remove(0);
        let batch = [MicroBatch::flat(&examples, 0..n, None)];
        let total = |model: &Model| -> f64 {
            let parts = pass(model, &objective, &batch).0;
            let first = parts.first().n_targets as f64;
            parts.0.iter().map(|p| p.weight * p.loss.mean().unwrap() * first).sum()
        };
        let (_, grads) = pass(&model, &objective, &batch);
        let gradient = grads.values();
        let head = model.params.entries().iter().rfind(|e| e.name.contains("classes.weight"));
        let range = head.unwrap().param.range();
        for at in range.step_by(3).take(12) {
            let h = 1e-2;
            let at_moved = |by: f32, model: &mut Model| {
                model.params.values_mut()[at] += by;
                let loss = total(model);
                model.params.values_mut()[at] -= by;
                loss
            };
            let slope = (at_moved(h, &mut model) - at_moved(-h, &mut model)) / (2.0 * f64::from(h));
            let found = f64::from(gradient[at]);
            assert!(
                (slope - found).abs() < 2e-3 * slope.abs().max(1.0),
                "{name} {asked:?}: {slope} {found}"
            );
        }
    }
}

#[test]
fn what_is_said_of_a_text_does_not_depend_on_how_much_is_shown() {
    for asked in ALL {
        let (objective, examples) = (Labelled::new(asked), examples(asked));
        let (name, model) = models(asked).swap_remove(0);
        let device = Device::cpu(Isa::detect());
        let of = |n| predict((&model, &device, Precision::F32), &objective, &examples, n);
        let (whole, single) = (of(1000), of(1));
        assert_eq!(whole.0.first().n_targets, single.0.first().n_targets);
        for (a, b) in whole.1.iter().flatten().zip(single.1.iter().flatten()) {
            assert!((a - b).abs() < 1e-4, "{name} {asked:?}: {a} {b}");
        }
        let lens: Vec<usize> = whole.1.iter().map(Vec::len).collect();
        let tokens =
            |per: usize| examples.iter().map(|e| e.input.ids.len() * per).collect::<Vec<_>>();
        match asked {
            Asked::Class => assert_eq!(lens, [N_CLASSES; 5]),
            Asked::Value => assert_eq!(lens, [1; 5]),
            Asked::Choice | Asked::Rank => assert_eq!(lens, [3; 5]),
            Asked::Better => assert_eq!(lens, [2; 5]),
            Asked::Span => assert_eq!(lens, tokens(2)),
            Asked::Tag => {
                let asked = |e: &Example| e.targets.iter().filter(|t| **t != u32::MAX).count();
                let expected: Vec<_> = examples.iter().map(|e| asked(e) * N_CLASSES).collect();
                assert_eq!(lens, expected);
            }
        }
        let shared: Arc<[Example]> = examples.into();
        assert_eq!(shared.len(), 5);
    }
}
