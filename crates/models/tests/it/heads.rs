//! Heads for tasks, over every family that has them.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use checkpoint::{Dtype, OsDisk, Weights, gguf, weights};
use models::{Fitted, HeadKind, Model, ModelConfig, SPANS};
use nn::{Call, Context, Head, Mask, Pool};
use tensor::{Grads, NO_TARGET, Precision, Rng, Tape, Var};
use testing::{Tolerance, assert_close, assert_same_bits};

use crate::assembled::{Case, all};
use crate::families::golden;
use crate::pass::{DROPPING, device, max_error, norm};

/// As in `masks`: what comes out is of the order of one, or of ten.
const BOUND: f32 = 5e-5;

fn ids_of(call: &Weights, name: &str) -> Vec<u32> {
    let id = |id: i64| if id < 0 { NO_TARGET } else { id as u32 };
    call.to_i64(name).unwrap().into_iter().map(id).collect()
}

/// `[B, T]`'s sizes; of choices, those of all together.
fn shape_of(call: &Weights) -> [usize; 2] {
    match *call.get("input_ids").unwrap().shape {
        [batch, len] => [batch, len],
        [batch, n, len] => [batch * n, len],
        ref other => panic!("{other:?}"),
    }
}

/// Every position or every text, as it is scored.
fn hidden<'a>(
    model: &'a Model,
    tape: &Tape<'a>,
    (ids, shape): (&Arc<[u32]>, [usize; 2]),
    ctx: &mut Context,
) -> (Var, &'a Head) {
    let x = model.hidden(tape, ids, shape, ctx);
    let (_, head) = &model.head_stack().heads[0];
    let hidden = match head {
        Head::Tag(head) => head.hidden(tape, &x, &ctx.call),
        Head::Pooled(head) => {
            let rows = head.rows(ctx.call.mask.segments.as_deref(), shape);
            head.hidden(tape, &x, &rows, &ctx.call)
        }
        _ => panic!("no head for a task"),
    };
    (hidden, head)
}

/// What is scored.
fn scores<'a>(
    model: &'a Model,
    tape: &Tape<'a>,
    input: (&Arc<[u32]>, [usize; 2]),
    ctx: &mut Context,
) -> Var {
    let x = model.hidden(tape, input.0, input.1, ctx);
    match &model.head_stack().heads[0].1 {
        Head::Tag(head) => head.forward(tape, &x, &ctx.call),
        Head::Pooled(head) => {
            let rows = head.rows(ctx.call.mask.segments.as_deref(), input.1);
            head.forward(tape, &x, &rows, &ctx.call)
        }
        _ => panic!("no head for a task"),
    }
}

fn is_stack(case: &Case) -> bool {
    !case.name.starts_with("t5") && !case.name.starts_with("bart")
}

/// The config is that of `transformers`, but for what its trunk says otherwise; what is drawn is
/// what its trunk's file lacks.
#[test]
fn a_head_is_what_transformers_makes_of_it() {
    let cases = all();
    assert_eq!(cases.len(), 58);
    for case in &cases {
        let (model, fitted) = case.fresh(1);
        let json = model.config.family().to_json();
        for (key, theirs) in case.said["config"].as_object().unwrap() {
            assert_eq!(&json[key], theirs, "{} `{key}`", case.name);
        }
        let head = Weights::open(&case.dir.join("head.safetensors")).unwrap();
        let mut fresh = fitted.fresh.clone();
        fresh.sort();
        let mut names: Vec<_> = head.names().collect();
        names.sort_unstable();
        assert_eq!(fresh, names, "{}", case.name);
        assert_eq!(fitted.unused, [""; 0], "{}", case.name);
        let entries = model.config.family().imports();
        for name in names.into_iter().chain([case.said["table"].as_str().unwrap()]) {
            assert!(entries.iter().any(|entry| entry.name == name), "{}: {name}", case.name);
        }
        let kind = model.config.head();
        assert_eq!(kind, Some(case.kind()), "{}", case.name);
    }
}

#[test]
fn gradients_are_those_of_transformers() {
    let mut n_cases = 0;
    for case in all() {
        let Ok(call) = Weights::open(&case.dir.join("call-grad.safetensors")) else { continue };
        let (model, shape) = (case.model(), shape_of(&call));
        let device = device();
        let grads = RefCell::new(Grads::new(&model.params));
        let tape = Tape::recording(&device, &model.params, Precision::F32, &grads);
        let ids: Arc<[u32]> = ids_of(&call, "input_ids").into();
        let mut ctx = Context::plain(shape[0], shape[1]);
        ctx.call.mask = Mask {
            segments: Some(ids_of(&call, "attention_mask").into()),
            keys_only: true,
            prefix: 0,
        };
        if call.contains("token_type_ids") {
            ctx.call.types = vec![Some(ids_of(&call, "token_type_ids").into())];
        }
        let expected = call.to_f32("loss").unwrap()[0];
        let (loss, scale) = match case.kind() {
            HeadKind::Spans | HeadKind::Choice => {
                let out = scores(&model, &tape, (&ids, shape), &mut ctx);
                let (loss, seed) = by_hand(&call, &out, &case.kind());
                tape.seed(&out, device.tensor(out.value().shape(), &seed));
                (loss, 1.0)
            }
            _ => {
                let labels = ids_of(&call, "labels");
                let (x, head) = hidden(&model, &tape, (&ids, shape), &mut ctx);
                let args = match head {
                    Head::Tag(head) => head.cross_entropy(&labels),
                    Head::Pooled(head) => head.cross_entropy(&labels).unwrap(),
                    _ => panic!("no head for a task"),
                };
                let loss = tape.linear_cross_entropy(&x, args);
                (loss.mean().unwrap() as f32, loss.n_targets as f32)
            }
        };
        assert_close(&case.name, &[loss], &[expected], Tolerance::both(1e-5));
        tape.backward();
        let grads = grads.borrow();
        for import in model.config.family().imports() {
            let Ok(expected) = call.to_f32(&format!("grad.{}", import.name)) else { continue };
            let param = &model.params.find(import.source.own().unwrap()).unwrap().param;
            let found: Vec<f32> = grads.get(param).unwrap().iter().map(|g| g / scale).collect();
            let mut found = import.source.external(param, &found);
            // Most classes give the row of padding no gradient, whatever is asked of its places.
            let padding = model.config.padding().filter(|_| import.name == case.said["table"]);
            if let Some(id) = padding {
                let width = param.shape()[1];
                let row = id as usize * width..(id as usize + 1) * width;
                if expected[row.clone()].iter().all(|g| *g == 0.0) {
                    found[row].fill(0.0);
                }
            }
            let largest = expected.iter().fold(0.0_f64, |m, g| m.max(f64::from(g.abs())));
            let tolerance = Tolerance { abs: 2e-5 * largest + 1e-7, rel: 1e-4 };
            assert_close(&format!("{} {}", case.name, import.name), &found, &expected, tolerance);
        }
        n_cases += 1;
    }
    assert_eq!(n_cases, 10);
}

/// The mean cross entropy over positions, or over choices, and its gradient by the scores.
fn by_hand(call: &Weights, out: &Var, kind: &HeadKind) -> (f32, Vec<f32>) {
    let (scores, shape) = (out.value().to_vec(), out.value().shape().to_vec());
    let mut seed = vec![0.0; scores.len()];
    // Which scores are against each other, and the right one.
    let mut asked: Vec<(Vec<usize>, usize)> = Vec::new();
    if *kind == HeadKind::Choice {
        let n = call.get("input_ids").unwrap().shape[1];
        for (row, &label) in ids_of(call, "labels").iter().enumerate() {
            asked.push(((row * n..(row + 1) * n).collect(), label as usize));
        }
    } else {
        let len = shape[1];
        for (part, name) in ["start_positions", "end_positions"].iter().enumerate() {
            for (row, &label) in ids_of(call, name).iter().enumerate() {
                let of_row = (0..len).map(|at| (row * len + at) * 2 + part);
                asked.push((of_row.collect(), label as usize));
            }
        }
    }
    let (mut loss, n) = (0.0, asked.len() as f32);
    for (places, label) in asked {
        let sum: f32 = places.iter().map(|&at| scores[at].exp()).sum();
        loss += sum.ln() - scores[places[label]];
        for (i, &at) in places.iter().enumerate() {
            seed[at] = (scores[at].exp() / sum - f32::from(u8::from(i == label))) / n;
        }
    }
    (loss / n, seed)
}

/// Texts of 5, 1 and 7 tokens.
const LENS: [usize; 3] = [5, 1, 7];

fn text_ids() -> Vec<Vec<u32>> {
    let mut ids = (3..).step_by(3);
    LENS.iter().map(|&len| ids.by_ref().take(len).collect()).collect()
}

/// The scores of every text, one after the other.
fn said(case: &Case, model: &Model, ids: &[u32], shape: [usize; 2], call: &Call) -> Vec<f32> {
    let device = device();
    let tape = Tape::new(&device, &model.params, Precision::F32);
    let mut ctx = Context { call: call.clone(), cache: None };
    let out = scores(model, &tape, (&ids.into(), shape), &mut ctx);
    let width = out.value().rows().1;
    let all = out.value().to_vec();
    if matches!(case.kind(), HeadKind::Classes { .. } | HeadKind::Choice) {
        return all;
    }
    let segments = call.mask.segments.as_ref().unwrap();
    let is_text = |(_, segment): &(&[f32], &u32)| **segment != 0;
    let rows = all.chunks_exact(width).zip(&**segments).filter(is_text);
    rows.flat_map(|(row, _)| row.to_vec()).collect()
}

#[test]
fn packed_and_padded_texts_say_what_each_says_alone() {
    for case in all().iter().filter(|case| is_stack(case)) {
        let model = case.model();
        let texts = text_ids();
        let call = |segments: &[u32], positions: &[u32], batch: usize| {
            let mut call = Context::plain(batch, segments.len() / batch).call;
            (call.mask.segments, call.positions) = (Some(segments.into()), positions.into());
            call
        };
        let alone: Vec<f32> = texts
            .iter()
            .flat_map(|ids| {
                let positions: Vec<u32> = (0..ids.len() as u32).collect();
                let call = call(&vec![1; ids.len()], &positions, 1);
                said(case, &model, ids, [1, ids.len()], &call)
            })
            .collect();
        // Two texts in a row and a third below, padding in front of it; each in a row of its own.
        for places in [[(0, 0), (0, 5), (1, 2)], [(0, 0), (1, 3), (2, 2)]] {
            let (batch, len) = (places[2].0 + 1, 9);
            let mut shown = [vec![0; batch * len], vec![0; batch * len], vec![0; batch * len]];
            for (number, (text, (row, column))) in texts.iter().zip(places).enumerate() {
                for (i, &id) in text.iter().enumerate() {
                    let at = row * len + column + i;
                    (shown[0][at], shown[1][at], shown[2][at]) = (id, number as u32 + 1, i as u32);
                }
            }
            let [ids, segments, positions] = &shown;
            let found = said(case, &model, ids, [batch, len], &call(segments, positions, batch));
            let error = max_error(&found, &alone);
            assert!(error < BOUND, "{}, {places:?}: {error}", case.name);
        }
    }
}

/// The gradients of a weighted sum of scores.
fn learn(model: &Model, rng: Option<Rng>, recompute: bool) -> Grads {
    let device = device();
    let grads = RefCell::new(Grads::new(&model.params));
    let tape = Tape::recording(&device, &model.params, Precision::F32, &grads);
    // As many as there are positions in any of the models.
    let ids: Vec<u32> = (0..2 * 17).map(|i| 3 + i * 7 % 60).collect();
    let mut ctx = Context::plain(2, 17);
    (ctx.call.rng, ctx.call.recompute) = (rng, recompute);
    let out = scores(model, &tape, (&ids.into(), [2, 17]), &mut ctx);
    let weights: Vec<f32> = (0..out.value().to_vec().len()).map(|i| (i as f32).sin()).collect();
    tape.seed(&out, device.tensor(out.value().shape(), &weights));
    tape.backward();
    grads.into_inner()
}

#[test]
fn every_parameter_is_written_and_dropout_is_in_training_alone() {
    for case in all() {
        let mut model = case.model();
        let kept = learn(&model, Some(DROPPING), false);
        assert_eq!(kept.unwritten(&model.params), [""; 0], "{}", case.name);
        let again = learn(&model, Some(DROPPING), true);
        assert_same_bits(&case.name, again.values(), kept.values());
        // Of heads that drop, with nothing dropped in the trunk.
        let ModelConfig::Hf(config) = &model.config else { continue };
        let mut config = config.clone();
        for key in ["attention_dropout", "hidden_dropout_prob", "dropout", "dropout_rate"] {
            config.fields.0.insert(key.into(), 0.0.into());
        }
        config.fields.0.insert("attention_probs_dropout_prob".into(), 0.0.into());
        for key in ["classifier_dropout", "classifier_dropout_prob", "seq_classif_dropout"] {
            config.fields.0.insert(key.into(), 0.5.into());
        }
        let (architecture, _) = Model::register(&ModelConfig::Hf(config)).unwrap();
        model.architecture = architecture;
        let [dropped, plain] = [Some(DROPPING), None].map(|rng| learn(&model, rng, false));
        let differ = dropped.values() != plain.values();
        let drops = match (case.kind(), case.name.split_once('-').unwrap().0) {
            (HeadKind::Spans, "distilbert") | (HeadKind::Choice, "electra") => true,
            // Those classes drop nothing, or as much as the trunk.
            (HeadKind::Spans, _)
            | (HeadKind::Choice, "roberta")
            | (HeadKind::Tags { .. }, "distilbert") => false,
            (HeadKind::Classes { .. }, _) => {
                let at = model.head_stack().class_head().map(nn::PooledHead::at);
                at == Some(Pool::First) || !is_stack(&case)
            }
            _ => true,
        };
        assert_eq!(differ, drops, "{}", case.name);
    }
}

#[test]
fn what_no_class_does_is_refused_by_name() {
    let refused = |name: &'static str, kind: &HeadKind| {
        let crate::families::Config::Family(config) = golden(name).config else { panic!() };
        config.with_head(kind).map(|_| ()).expect_err("refused").to_string()
    };
    let labels = |labels: &[&str]| labels.iter().map(|&label| label.to_owned()).collect();
    assert_eq!(
        refused("whisper", &HeadKind::Choice),
        "`model_type`: `whisper` has no head for multiple choice; those that do: bert, roberta, \
         ernie, distilbert, albert, electra"
    );
    let said = refused("clip", &HeadKind::Classes { labels: labels(&["a", "b"]) });
    assert!(
        said.contains("`clip` has no head for classification; those that do: gpt2, "),
        "{said}"
    );
    let said = refused("gemma3", &HeadKind::Spans);
    assert!(said.contains("`gemma3_text` has no head for question answering"), "{said}");
    let said = refused("bert-mlm", &HeadKind::Classes { labels: labels(&["a", "b", "a"]) });
    assert_eq!(said, "`id2label`: `a` twice");
    let said = refused("bert-mlm", &HeadKind::Classes { labels: labels(&["a"]) });
    assert_eq!(said, "`id2label`: 1 labels, at least 2 are wanted");
}

fn saved(dir: &Path, model: &Model) {
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join("config.json"), model.config_json()).unwrap();
    weights::save_file(&OsDisk, &dir.join(weights::FILE_NAME), &model.entries()).unwrap();
}

#[test]
fn a_head_stays_where_class_and_labels_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for case in all() {
        let dir = folder.path().join(&case.name);
        let model = case.model();
        saved(&dir, &model);
        let as_kind = |kind: &HeadKind| {
            let config = Model::load_config(&dir).unwrap().with_head(kind).unwrap();
            Model::load_as(&dir, config, 9).unwrap()
        };
        let (same, fitted) = as_kind(&case.kind());
        assert_eq!(fitted, Fitted::default(), "{}", case.name);
        assert_same_bits(&case.name, same.params.values(), model.params.values());
        // Other labels are another head, whose pooler is still that of the base model.
        let HeadKind::Classes { .. } = case.kind() else { continue };
        let labels = ["yes", "maybe", "no"].map(str::to_owned).into();
        let (other, fitted) = as_kind(&HeadKind::Classes { labels });
        let is_pooler = |name: &&String| name.contains("pooler");
        assert_eq!(fitted.fresh.iter().find(is_pooler), None, "{}", case.name);
        assert!(!fitted.fresh.is_empty() && fitted.fresh == fitted.dropped, "{}", case.name);
        assert_ne!(other.params.values(), model.params.values(), "{}", case.name);
        let (_, fitted) = as_kind(&HeadKind::Score);
        assert_eq!(fitted.dropped, fitted.fresh, "{}", case.name);
        // Drawn as in a fresh model, and as the seed says.
        let name = format!("heads.{}.classes.weight", "logits");
        let find = |model: &Model| {
            let entries = model.params.entries().iter();
            let entry = entries.clone().find(|entry| entry.name.ends_with(&name)).unwrap();
            model.params.get(&entry.param).to_vec()
        };
        let fresh = Model::new(other.config.clone(), 9).unwrap();
        assert_same_bits(&case.name, &find(&other), &find(&fresh));
        assert!(norm(&find(&other)) > 0.0);
    }
}

#[test]
fn a_trunk_that_lacks_a_tensor_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for case in all().iter().filter(|case| case.kind() == HeadKind::Spans) {
        let dir = folder.path().join(&case.name);
        let model = case.model();
        saved(&dir, &model);
        let table = case.said["table"].as_str().unwrap();
        let names = model.config.family().imports().into_iter().map(|import| import.name);
        let entries = model.entries().into_iter().zip(names);
        let entries: Vec<_> = entries.filter(|(_, name)| name != table).map(|(e, _)| e).collect();
        weights::save_file(&OsDisk, &dir.join(weights::FILE_NAME), &entries).unwrap();
        let config = Model::load_config(&dir).unwrap();
        let error = Model::load_as(&dir, config, 1).map(|_| ()).expect_err("refused");
        assert!(error.to_string().contains(&format!("missing tensor `{table}`")), "{error}");
        assert_eq!(model.head_stack().heads[0].0, SPANS);
    }
}

/// The last hidden state of some tokens.
fn trunk(model: &Model) -> Vec<f32> {
    let device = device();
    let tape = Tape::new(&device, &model.params, Precision::F32);
    let ids: Vec<u32> = (3..20).collect();
    let x = model.hidden(&tape, &ids.into(), [1, 17], &mut Context::plain(1, 17));
    x.value().to_vec()
}

#[test]
fn a_head_is_put_on_whatever_has_the_trunk() {
    let folder = tempfile::tempdir().unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let labels = ["a", "b", "c"].map(str::to_owned).into();
    let classes = HeadKind::Classes { labels };
    let as_kind = |dir: &Path, kind: &HeadKind| {
        let config = Model::load_config(dir).unwrap().with_head(kind).unwrap();
        let (model, fitted) = Model::load_as(dir, config, 3).unwrap();
        assert_eq!(fitted.unused, [""; 0], "{}", dir.display());
        (model, fitted)
    };
    // Without a prefix, with a pooler, with other heads, with one that is tied or has its own
    // table, and a pair of which one half is left.
    for (name, kind, fresh, n_dropped) in [
        ("bert-base", &classes, "classifier.weight classifier.bias", 0),
        ("bert-pretraining", &classes, "classifier.weight classifier.bias", 7),
        ("bert-pretraining", &HeadKind::Spans, "qa_outputs.weight qa_outputs.bias", 9),
        ("bert-pretraining", &HeadKind::Tokens, "", 4),
        ("electra-pair", &HeadKind::Spans, "qa_outputs.weight qa_outputs.bias", 30),
        ("llama-gqa", &HeadKind::Spans, "qa_outputs.weight qa_outputs.bias", 1),
        ("llama-tied", &classes, "score.weight", 0),
        ("t5-v1-1", &HeadKind::Spans, "qa_outputs.weight qa_outputs.bias", 1),
    ] {
        let dir = golden.join(name);
        let (model, fitted) = as_kind(&dir, kind);
        assert_eq!(fitted.fresh.join(" "), fresh, "{name}");
        assert_eq!(fitted.dropped.len(), n_dropped, "{name}: {:?}", fitted.dropped);
        let (before, _) = Model::load(&dir).unwrap();
        assert_same_bits(name, &trunk(&model), &trunk(&before));
        // What was put together is a model like any other.
        let again = folder.path().join(format!("{name}-{}", kind.name()));
        saved(&again, &model);
        let (again, unused) = Model::load(&again).unwrap();
        assert_eq!(unused, [""; 0], "{name}");
        assert_eq!(again.config.head().as_ref(), Some(kind), "{name}");
        assert_same_bits(name, again.params.values(), model.params.values());
    }
    let (llama, _) = Model::load(&golden.join("llama-gqa")).unwrap();
    let path = folder.path().join("llama.gguf");
    let (metadata, entries) = llama.gguf(|_, _| Dtype::F32.into()).unwrap();
    let metadata: Vec<_> = metadata.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
    gguf::save_file(&OsDisk, &path, &metadata, &entries).unwrap();
    let (model, fitted) = as_kind(&path, &HeadKind::Spans);
    assert_eq!(fitted.fresh, ["qa_outputs.weight", "qa_outputs.bias"]);
    let error = max_error(&trunk(&model), &trunk(&llama));
    assert!(error < BOUND, "{error}");
    let other = Model::load_config(&golden.join("bert-mlm")).unwrap();
    let error = Model::load_as(&path, other, 1).map(|_| ()).expect_err("refused");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "`model_type`: a `llama`, and not a `bert`");
}
