//! Laws of everything that is no single trunk over tokens: what sees images, two towers, encoders
//! with decoders, a generator with a discriminator.

use std::cell::RefCell;
use std::sync::Arc;

use models::{Architecture, EncoderDecoder, Model, Stack};
use nn::{AudioStem, Call, Context, EmbedConfig, Head, Input, Memory};
use tensor::{Grads, Precision, Rng, Tape, Tensor, Var};
use testing::{Numbers, assert_same_bits, same_for_any_threads};

use crate::families::golden;
use crate::pass::{DROPPING, device, distance, max_error, norm};

const IMAGES: [&str; 4] = ["vit", "vit-classifier", "clip", "siglip"];
const PAIRS: [&str; 7] =
    ["whisper", "t5", "t5-v1-1", "bart", "bart-scaled", "marian", "marian-apart"];
const DETECTOR: &str = "electra-pair";
/// As in `masks`: what comes out is of the order of one, or of ten.
const BOUND: f32 = 5e-5;

fn all() -> impl Iterator<Item = (&'static str, Model)> {
    IMAGES.into_iter().chain(PAIRS).chain([DETECTOR]).map(|name| (name, golden(name).model()))
}

/// Which inputs a batch has, and how it is shown.
#[derive(Clone)]
struct Shown {
    /// The seed of each row.
    rows: Vec<u64>,
    rng: Option<Rng>,
    recompute: bool,
}

impl Shown {
    fn plain(rows: &[u64]) -> Self {
        Self { rows: rows.to_vec(), rng: None, recompute: false }
    }

    fn call(&self, len: usize) -> Call {
        let plain = Context::plain(self.rows.len(), len).call;
        Call { rng: self.rng, recompute: self.recompute, ..plain }
    }

    fn context(&self, len: usize) -> Context<'static> {
        Context { call: self.call(len), cache: None }
    }

    /// `[B, ..]` of numbers that depend on the row alone.
    fn tensor(&self, tape: &Tape, inner: &[usize]) -> Tensor {
        let n = inner.iter().product();
        let values: Vec<f32> =
            self.rows.iter().flat_map(|&row| Numbers::new(row).normal(n)).collect();
        tape.device().tensor(&[&[self.rows.len()], inner].concat(), &values)
    }

    fn ids(&self, len: usize, of: u64) -> Arc<[u32]> {
        let row = |row: &u64| {
            let mut numbers = Numbers::new(row + of);
            (0..len).map(move |_| 3 + numbers.below(60) as u32)
        };
        self.rows.iter().flat_map(row).collect()
    }
}

/// What comes out: scores, or a vector a row and tower.
fn given<'a>(model: &'a Model, tape: &Tape<'a>, shown: &Shown) -> Vec<Var> {
    let batch = shown.rows.len();
    // Another size of image than that of training.
    let pixels = || shown.tensor(tape, &[3, 13, 20]);
    match &model.architecture {
        Architecture::Stack(stack) => {
            let hidden = stack.read(tape, Input::Pixels(&pixels()), &mut shown.context(16));
            let heads = stack.heads.iter().map(|(_, head)| match head {
                Head::Pooled(head) => {
                    let rows = head.rows(None, [batch, 16]);
                    head.forward(tape, &hidden, &rows, &shown.call(16))
                }
                _ => panic!("a head of a model of images"),
            });
            heads.collect()
        }
        Architecture::DualEncoder(pair) => {
            let patches = pair.vision.config().embed.patches().unwrap();
            let len = patches.n_positions([13, 20]);
            // All positions of the text: its table is written in full, and read in full.
            let ids = shown.ids(17, 100);
            let text = pair.read(tape, &ids, [batch, 17], &mut shown.context(17));
            vec![text.embeds, pair.see(tape, &pixels(), &mut shown.context(len)).embeds]
        }
        Architecture::Detector(pair) => {
            let (ids, shape) = (shown.ids(11, 400), [batch, 11]);
            let read = |stack: &'a Stack| stack.forward(tape, &ids, shape, &mut shown.context(11));
            let (said, found) = (read(&pair.generator), read(&pair.discriminator));
            let tokens = pair.generator.token_head().unwrap().logits(tape, &said);
            vec![
                tokens,
                pair.discriminator.tag_head().unwrap().forward(tape, &found, &shown.call(11)),
            ]
        }
        Architecture::EncoderDecoder(pair) => {
            let mut ctx = shown.context(6);
            ctx.call.memory = Some(memory(pair, tape, shown));
            let hidden = pair.decode(tape, &shown.ids(6, 200), [batch, 6], &mut ctx);
            vec![pair.decoder.token_head().unwrap().logits(tape, &hidden)]
        }
    }
}

fn memory<'a>(pair: &'a EncoderDecoder, tape: &Tape<'a>, shown: &Shown) -> Memory {
    if let EmbedConfig::Audio(audio) = &pair.config().encoder.embed {
        let frames = shown.tensor(tape, &[9, audio.n_channels]);
        return pair.encode(tape, Input::Frames(&frames), shown.call(AudioStem::n_positions(9)));
    }
    let ids = shown.ids(7, 300);
    pair.encode(tape, Input::Tokens(&ids, [shown.rows.len(), 7]), shown.call(7))
}

/// What comes out of each row.
fn rows(model: &Model, batch: &[u64]) -> Vec<Vec<f32>> {
    let device = device();
    let tape = Tape::new(&device, &model.params, Precision::F32);
    let outs = given(model, &tape, &Shown::plain(batch));
    let of = |row: usize| {
        let part = |out: &Var| {
            let all = out.value().to_vec();
            let n = all.len() / batch.len();
            all[row * n..(row + 1) * n].to_vec()
        };
        outs.iter().flat_map(part).collect()
    };
    (0..batch.len()).map(of).collect()
}

/// A weighted sum of what comes out, and its gradients, gathered over some batches.
fn learn(model: &Model, batches: &[Shown]) -> (f64, Grads) {
    let device = device();
    let grads = RefCell::new(Grads::new(&model.params));
    let mut sum = 0.0;
    for shown in batches {
        let tape = Tape::recording(&device, &model.params, Precision::F32, &grads);
        for out in given(model, &tape, shown) {
            let weights = shown.tensor(&tape, &out.value().shape()[1..]);
            let (values, by) = (out.value().to_vec(), weights.to_vec());
            let products = values.iter().zip(&by).map(|(x, w)| f64::from(*x) * f64::from(*w));
            sum += products.sum::<f64>();
            tape.seed(&out, weights);
        }
        tape.backward();
    }
    (sum, grads.into_inner())
}

#[test]
fn what_images_give_moves_along_every_gradient_as_fast_as_it_says() {
    for name in IMAGES {
        let mut model = golden(name).model();
        let batch = [Shown::plain(&[1, 2])];
        let (_, grads) = learn(&model, &batch);
        for entry in model.params.entries().to_vec() {
            // Scale and bias of scores, which no vector depends on.
            let Some(gradient) = grads.get(&entry.param) else {
                assert!(entry.name.starts_with("logit_"), "{name}, `{}`", entry.name);
                continue;
            };
            let length = norm(gradient);
            let here = model.params.get(&entry.param).to_vec();
            let mut at = |h: f64| {
                let moved = here.iter().zip(gradient).map(|(w, g)| w + (h / length) as f32 * g);
                let moved: Vec<f32> = moved.collect();
                model.params.get_mut(&entry.param).copy_from_slice(&moved);
                let sum = learn(&model, &batch).0;
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
fn recomputation_and_threads_change_nothing_and_all_is_written() {
    for (name, model) in all() {
        let shown = Shown { rng: Some(DROPPING), ..Shown::plain(&[1, 2]) };
        let recomputed = Shown { recompute: true, ..shown.clone() };
        let ((sum, kept), (again, other)) =
            (learn(&model, std::slice::from_ref(&shown)), learn(&model, &[recomputed]));
        assert_eq!(sum.to_bits(), again.to_bits(), "{name}");
        assert_same_bits(name, other.values(), kept.values());
        let unwritten = kept.unwritten(&model.params);
        assert!(unwritten.iter().all(|own| own.starts_with("logit_")), "{name}: {unwritten:?}");
        same_for_any_threads(|| {
            let (sum, grads) = learn(&model, std::slice::from_ref(&shown));
            (sum.to_bits(), grads.values().iter().map(|x| x.to_bits()).collect::<Vec<_>>())
        });
    }
}

#[test]
fn rows_of_a_batch_are_as_they_are_alone() {
    for (name, model) in all() {
        let (first, second) = (rows(&model, &[1, 2, 3]), rows(&model, &[4, 2, 1]));
        assert_same_bits(name, &second[1], &first[1]);
        assert_same_bits(name, &second[2], &first[0]);
        assert_ne!(first[0], first[1], "{name}");
        for (row, together) in [1, 2, 3].into_iter().zip(&first) {
            let error = max_error(together, &rows(&model, &[row])[0]);
            assert!(error < BOUND, "{name}: {error}");
        }
    }
}

#[test]
fn micro_batches_add_up_with_the_same_dropout() {
    for (name, model) in all() {
        let part = |rows: &[u64]| {
            let rng = Some(Rng { first_sample: rows[0], ..DROPPING });
            Shown { rng, ..Shown::plain(rows) }
        };
        let (sum, whole) = learn(&model, &[part(&[1, 2, 3])]);
        let (parts, added) = learn(&model, &[part(&[1]), part(&[2, 3])]);
        assert!((parts / sum - 1.0).abs() < 1e-5, "{name}: {parts} for {sum}");
        let error = distance(added.values(), whole.values());
        assert!(error < 1e-5, "{name}: gradient off by {error}");
        let (_, other) =
            learn(&model, &[part(&[1]), Shown { rng: Some(DROPPING), ..part(&[2, 3]) }]);
        let drops = !["clip", "siglip"].contains(&name);
        assert_eq!(distance(other.values(), whole.values()) > 1e-3, drops, "{name}: dropout");
    }
}
