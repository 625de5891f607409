//! What models that see images owe every parameter: another size of image than that of training,
//! and texts beside them.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use models::{Architecture, Model};
use nn::{Context, Head, Input};
use tensor::{Grads, Precision, Tape, Tensor, Var};
use testing::{Numbers, assert_same_bits, same_for_any_threads};

use crate::pass::{device, norm};

const MODELS: [&str; 4] = ["vit", "vit-classifier", "clip", "siglip"];

fn load(name: &str) -> Model {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    Model::load(&dir).unwrap().0
}

/// What two wide images, and two texts where there are such, give.
fn given<'a>(model: &'a Model, tape: &Tape<'a>, recompute: bool) -> Vec<Var> {
    let pixels = tape.device().tensor(&[2, 3, 13, 20], &Numbers::new(1).normal(2 * 3 * 13 * 20));
    let context = |len| {
        let mut ctx = Context::plain(2, len);
        ctx.call.recompute = recompute;
        ctx
    };
    match &model.architecture {
        Architecture::Stack(stack) => {
            let hidden = stack.read(tape, Input::Pixels(&pixels), &mut context(16));
            let heads = stack.heads.iter().map(|(_, head)| match head {
                Head::Pooled(head) => head.forward(tape, &hidden),
                _ => panic!("a head of a model of images"),
            });
            heads.collect()
        }
        Architecture::DualEncoder(pair) => {
            let patches = pair.vision.config().embed.patches().unwrap();
            let len = patches.n_positions([13, 20]);
            // All positions of the text: its table is written in full, and read in full.
            let mut numbers = Numbers::new(2);
            let ids: Arc<[u32]> = (0..2 * 17).map(|_| numbers.below(67) as u32).collect();
            let text = pair.read(tape, &ids, [2, 17], &mut context(17));
            vec![text.embeds, pair.see(tape, &pixels, &mut context(len)).embeds]
        }
        Architecture::EncoderDecoder(_) => panic!("no images"),
    }
}

/// Weights of the sum that is differentiated.
fn weights(x: &Tensor) -> Vec<f32> {
    Numbers::new(3).normal(x.n_elements())
}

fn learn(model: &Model, recompute: bool) -> (f64, Grads) {
    let device = device();
    let grads = RefCell::new(Grads::new(&model.params));
    let tape = Tape::recording(&device, &model.params, Precision::F32, &grads);
    let mut sum = 0.0;
    for out in given(model, &tape, recompute) {
        let (values, weights) = (out.value().to_vec(), weights(out.value()));
        let products = values.iter().zip(&weights).map(|(x, w)| f64::from(*x) * f64::from(*w));
        sum += products.sum::<f64>();
        tape.seed(&out, device.tensor(out.value().shape(), &weights));
    }
    tape.backward();
    (sum, grads.into_inner())
}

/// All but scale and bias of scores, which no vector depends on.
fn learned(model: &Model) -> Vec<tensor::Entry> {
    let entries = model.params.entries().iter();
    entries.filter(|entry| !entry.name.starts_with("logit_")).cloned().collect()
}

#[test]
fn what_images_give_moves_along_every_gradient_as_fast_as_it_says() {
    for name in MODELS {
        let mut model = load(name);
        let (_, grads) = learn(&model, false);
        for entry in learned(&model) {
            let gradient = grads.get(&entry.param).expect(&entry.name).to_vec();
            let length = norm(&gradient);
            let here = model.params.get(&entry.param).to_vec();
            let mut at = |h: f64| {
                let moved = here.iter().zip(&gradient).map(|(w, g)| w + (h / length) as f32 * g);
                let moved: Vec<f32> = moved.collect();
                model.params.get_mut(&entry.param).copy_from_slice(&moved);
                let sum = learn(&model, false).0;
                model.params.get_mut(&entry.param).copy_from_slice(&here);
                sum
            };
            let mut slope = |h: f64| (at(h) - at(-h)) / (2.0 * h);
            let (wide, narrow) = (slope(0.02), slope(0.01));
            let error = ((4.0 * narrow - wide) / 3.0 - length).abs() / length;
            assert!(error < 0.02, "{name}, `{}`: off by {error}", entry.name);
        }
    }
}

#[test]
fn recomputation_and_threads_change_nothing() {
    for name in MODELS {
        let model = load(name);
        let ((sum, kept), (again, recomputed)) = (learn(&model, false), learn(&model, true));
        assert_eq!(sum.to_bits(), again.to_bits(), "{name}");
        for entry in learned(&model) {
            let [a, b] = [&kept, &recomputed].map(|grads| grads.get(&entry.param).unwrap());
            assert_same_bits(&entry.name, a, b);
        }
        same_for_any_threads(|| {
            let grads = learn(&model, false).1;
            let bits = |e: &tensor::Entry| grads.get(&e.param).unwrap().iter().map(|x| x.to_bits());
            learned(&model).iter().flat_map(bits).collect::<Vec<u32>>()
        });
    }
}
