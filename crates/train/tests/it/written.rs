//! What is written: the same however texts are laid out, however much is shown, and slopes.

use std::fs;
use std::path::{Path, PathBuf};

use datasets::Message;
use models::{Architecture, Model};
use serde_json::Value;
use tasks::{Dialogue, Example, MicroBatch, NextToken, Row, Spoken, losses_of};
use tensor::{Device, Entry, Isa, NO_TARGET, Precision, Rng};
use tokenize::Tokenizer;

use crate::families::{Case, decoders, golden as golden_case};
use crate::support::{NEXT, assert_alike, pass};

/// Conversations of several lengths, of which parts are learned; of one, nothing.
fn dialogues() -> Vec<Example> {
    let of = |i: u64| {
        let n = 4 + 3 * i as u32 % 7;
        let ids: Vec<u32> = (0..n).map(|at| 4 + (at * 5 + i as u32 * 3) % 20).collect();
        let is_asked = |at: u32| i != 2 && (at + i as u32) % 4 > 1;
        let asked = |at: u32| if is_asked(at) { 4 + (at * 7) % 20 } else { NO_TARGET };
        example(i, (ids, None), (0..n).map(asked).collect())
    };
    (0..5).map(of).collect()
}

/// Texts and what a decoder makes of them.
fn pairs() -> Vec<Example> {
    let of = |i: u64| {
        let ids = |n: u64, by: u64| (0..n).map(|at| 4 + ((at * by + i) % 20) as u32).collect();
        let targets: Vec<u32> = ids(2 + i * 3 % 5, 7);
        let shifted = [0].into_iter().chain(targets[..targets.len() - 1].iter().copied());
        example(i, (ids(3 + i % 4, 5), Some(shifted.collect())), targets)
    };
    (0..5).map(of).collect()
}

fn example(
    sample_id: u64,
    (input, output): (Vec<u32>, Option<Vec<u32>>),
    targets: Vec<u32>,
) -> Example {
    let (input, output) = (Row::plain(input), output.map(Row::plain));
    let (reference, label) = (vec![], tasks::Label::None);
    Example { sample_id, input, output, targets, reference, label, prefix: 0 }
}

/// Decoders whose loss is that of each text: how evenly experts are used is a matter of a batch.
fn speakers() -> Vec<Case> {
    let is_apart = |case: &Case| {
        let model = case.model();
        let experts = model.stack().config().trunk.experts.as_ref();
        experts.is_none_or(|experts| experts.balance == 0.0)
    };
    decoders().into_iter().map(Case::without_balance).filter(is_apart).collect()
}

/// Encoder-decoders of texts.
fn writers() -> Vec<Case> {
    ["t5", "t5-v1-1", "bart", "marian"].map(golden_case).into()
}

#[test]
fn conversations_side_by_side_are_as_each_alone() {
    let (examples, all) = (dialogues(), speakers());
    assert!(all.len() >= 5);
    for case in all {
        let model = case.without_dropout().model();
        let name = model.config.family().model_type();
        let flat = pass(&model, &NEXT, &[MicroBatch::flat(&examples, 0..5, None)]);
        let alone: Vec<_> = (0..5).map(|i| MicroBatch::flat(&examples, i..i + 1, None)).collect();
        assert_alike(name, &flat, &pass(&model, &NEXT, &alone));
        assert_alike(name, &flat, &pass(&model, &NEXT, &[MicroBatch::new(&examples, 0..5, None)]));
    }
}

#[test]
fn pairs_together_are_as_each_alone() {
    let (examples, all) = (pairs(), writers());
    assert!(all.len() >= 2);
    for case in all {
        let model = case.without_dropout().model();
        let name = model.config.family().model_type();
        let alone: Vec<_> = (0..5).map(|i| MicroBatch::new(&examples[i..=i], 0..1, None)).collect();
        let alone = pass(&model, &NEXT, &alone);
        for lay_out in [MicroBatch::new, MicroBatch::flat] {
            assert_alike(name, &pass(&model, &NEXT, &[lay_out(&examples, 0..5, None)]), &alone);
        }
    }
}

#[test]
fn micro_batches_drop_what_the_batch_drops() {
    let rng = Some(Rng { seed: 4, step: 2, first_sample: 0, first_token: 0 });
    let parts = [0..2, 2..3, 3..5];
    for (examples, all, lay_out) in [
        (dialogues(), speakers(), MicroBatch::flat as fn(&[Example], _, _) -> MicroBatch),
        (pairs(), writers(), MicroBatch::new),
        (pairs(), writers(), MicroBatch::flat),
    ] {
        for case in all {
            let model = case.model();
            let whole = pass(&model, &NEXT, &[lay_out(&examples, 0..5, rng)]);
            let parts = parts.clone().map(|rows| lay_out(&examples, rows, rng));
            assert_alike(model.config.family().model_type(), &whole, &pass(&model, &NEXT, &parts));
        }
    }
}

#[test]
fn what_is_judged_does_not_depend_on_how_much_is_shown() {
    let device = Device::cpu(Isa::detect());
    for (examples, all) in [(dialogues(), speakers()), (pairs(), writers())] {
        let model = all.into_iter().next().unwrap().model();
        let of = |n| {
            let parts = (&model, &device, Precision::F32);
            losses_of(parts, &NextToken { smoothing: 0.1, ..NEXT }, &examples, n).first()
        };
        let (whole, single) = (of(1000), of(1));
        assert_eq!((whole.n_targets, whole.n_right), (single.n_targets, single.n_right));
        assert!((whole.sum - single.sum).abs() < 1e-4 * whole.sum);
    }
}

#[test]
fn gradients_of_a_conversation_are_slopes() {
    let (examples, case) = (dialogues(), decoders().remove(0));
    let mut model = case.without_dropout().model();
    let batch = [MicroBatch::flat(&examples, 0..5, None)];
    let (_, grads) = pass(&model, &NEXT, &batch);
    let gradient = grads.values();
    let range = model.params.entries()[0].param.range();
    let (h, mut n) = (1e-2, 0);
    for at in range.step_by(17).filter(|at| gradient[*at].abs() > 0.05).take(12) {
        let mut moved = |by: f32| {
            model.params.values_mut()[at] += by;
            let loss = pass(&model, &NEXT, &batch).0.first().sum;
            model.params.values_mut()[at] -= by;
            loss
        };
        let slope = (moved(h) - moved(-h)) / (2.0 * f64::from(h));
        assert!((slope - f64::from(gradient[at])).abs() < 5e-3 * slope.abs().max(1.0));
        n += 1;
    }
    assert!(n > 3, "{n}");
}

/// What `transformers` made of conversations and pairs: `golden/dialogue.py`.
pub fn golden() -> (PathBuf, Value) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/dialogue");
    let file = fs::read(folder.join("dialogue.json")).unwrap();
    (folder, serde_json::from_slice(&file).unwrap())
}

pub fn ids(value: &Value) -> Vec<u32> {
    let id =
        |id: &Value| id.as_i64().map_or(NO_TARGET, |id| u32::try_from(id).unwrap_or(NO_TARGET));
    value.as_array().unwrap().iter().map(id).collect()
}

#[test]
fn losses_are_those_of_transformers_with_labels_of_minus_100() {
    let (folder, golden) = golden();
    for case in golden["losses"].as_array().unwrap() {
        let name = case["model"].as_str().unwrap();
        let models = folder.join("../../../../models/tests/golden");
        let (model, _) = Model::load(&models.join(name)).unwrap();
        let start = model.config.start();
        let is_pair = matches!(model.architecture, Architecture::EncoderDecoder(_));
        let of = |(i, row): (u64, &Value)| {
            let (ids, labels) = (ids(&row["ids"]), ids(&row["labels"]));
            if is_pair {
                let before = start.into_iter().chain(labels[..labels.len() - 1].iter().copied());
                return example(i, (ids, Some(before.collect())), labels);
            }
            let is_learned = labels.iter().map(|id| *id != NO_TARGET).collect();
            Spoken { ids, is_learned }.example(i)
        };
        let examples: Vec<Example> = (0..).zip(case["rows"].as_array().unwrap()).map(of).collect();
        let (losses, grads) =
            pass(&model, &NEXT, &[MicroBatch::flat(&examples, 0..examples.len(), None)]);
        // What `transformers` adds to logits does not learn there.
        let is_bias = |entry: &&Entry| {
            !(entry.name.contains("heads.") && entry.name.rsplit('.').next() == Some("bias"))
        };
        let learned = model.params.entries().iter().filter(is_bias);
        let squares =
            learned.flat_map(|e| &grads.values()[e.param.range()]).map(|g| f64::from(g * g));
        let norm = squares.sum::<f64>().sqrt();
        assert_eq!(Some(losses.first().n_targets), case["n"].as_u64(), "{name}");
        // Marian begins with its padding, whose row does not learn as an input there.
        let n = if name == "marian" { 1 } else { 2 };
        for (what, found) in [("sum", losses.first().sum), ("norm", norm)].into_iter().take(n) {
            let expected = case[what].as_f64().unwrap();
            assert!(
                (found - expected).abs() < 1e-4 * expected,
                "{name}: {what} {found} {expected}"
            );
        }
    }
}

#[test]
fn what_is_learned_of_a_conversation_is_what_transformers_masks() {
    let (folder, golden) = golden();
    let tokenizer = Tokenizer::load(&folder).unwrap();
    for case in golden["chats"].as_array().unwrap() {
        let name = case["template"].as_str().unwrap();
        let source = golden["templates"][name].as_str().unwrap();
        let template = tokenizer.chat_template_from(source).unwrap();
        let role = |name: &str| ["system", "user", "assistant"].into_iter().find(|r| *r == name);
        let message = |message: &Value| Message {
            role: role(message["role"].as_str().unwrap()).unwrap(),
            content: message["content"].as_str().unwrap().to_owned(),
            more: serde_json::Map::new(),
        };
        let messages: Vec<Message> =
            case["messages"].as_array().unwrap().iter().map(message).collect();
        let (end, template) = (tokenizer.end_of_text().unwrap(), Some(&template));
        let dialogue = Dialogue { tokenizer: &tokenizer, template, max_len: 99, end, start: None };
        let spoken = dialogue.chat(&messages, None).unwrap();
        assert_eq!(spoken.ids, ids(&case["ids"]), "{name}");
        let mask: Vec<bool> = ids(&case["mask"]).iter().map(|is| *is == 1).collect();
        assert_eq!(spoken.is_learned, mask, "{name} {messages:?}");
    }
}
