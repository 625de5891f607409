//! Laws of encoders with decoders, over the models that `transformers` wrote.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use checkpoint::Weights;
use models::{Architecture, EncoderDecoder, Model};
use nn::{AudioStem, Call, Context, EmbedConfig, KvCache, Memory};
use tensor::{DType, Grads, Loss, Precision, Tape};
use testing::{Tolerance, assert_close, assert_same_bits};

use crate::masks::padded;
use crate::pass::{Input, Learned, device, max_error, step_by_sign};

const OF_TOKENS: [&str; 6] = ["t5", "t5-v1-1", "bart", "bart-scaled", "marian", "marian-apart"];
const ALL: [&str; 7] =
    ["whisper", "t5", "t5-v1-1", "bart", "bart-scaled", "marian", "marian-apart"];
/// As in `masks`: hidden states are of the order of one.
const STATES: f32 = 2e-5;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn load(name: &str) -> Model {
    let (model, unused) = Model::load(&folder(name)).unwrap();
    assert_eq!(unused, [""; 0], "{name}");
    model
}

fn pair(model: &Model) -> &EncoderDecoder {
    match &model.architecture {
        Architecture::EncoderDecoder(pair) => pair,
        _ => panic!("another architecture"),
    }
}

fn ids(io: &Weights, name: &str) -> Vec<u32> {
    io.to_i64(name).unwrap().into_iter().map(|id| id as u32).collect()
}

/// Tokens that every vocabulary has.
fn tokens(n: usize, step: usize) -> Vec<u32> {
    (0..n).map(|i| (i * step % 60) as u32 + 3).collect()
}

/// What two rows of anything become, of which the second is padded on the left where it can be.
fn encode_some<'a>(pair: &'a EncoderDecoder, tape: &Tape<'a>, call: &Call) -> Memory {
    if let EmbedConfig::Audio(audio) = &pair.config().encoder.embed {
        let n = 2 * 9 * audio.n_channels;
        let frames: Vec<f32> = (0..n).map(|i| (i * 37 % 19) as f32 / 9.0 - 1.0).collect();
        let frames = tape.device().tensor(&[2, 9, audio.n_channels], &frames);
        let call = Call { rng: call.rng, recompute: call.recompute, ..Context::plain(2, 5).call };
        return pair.encode(tape, nn::Input::Frames(&frames), call);
    }
    let segments = [1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1];
    let positions = [0, 1, 2, 3, 4, 5, 6, 0, 0, 0, 1, 2, 3, 4];
    let mut source = Input::plain(&tokens(14, 7), 2).with_segments(&segments, &positions);
    (source.call.rng, source.call.recompute) = (call.rng, call.recompute);
    encode(pair, tape, &source)
}

fn encode<'a>(pair: &'a EncoderDecoder, tape: &Tape<'a>, input: &Input) -> Memory {
    let ids: Arc<[u32]> = input.ids.as_slice().into();
    pair.encode(tape, nn::Input::Tokens(&ids, input.shape), input.call.clone())
}

/// Two sounds, `[2, C, S]` as `transformers` has them.
fn encode_sound<'a>(
    pair: &'a EncoderDecoder,
    tape: &Tape<'a>,
    sound: &[f32],
    recompute: bool,
) -> Memory {
    let EmbedConfig::Audio(audio) = &pair.config().encoder.embed else { panic!("no sound") };
    let (n, len) = (audio.n_channels, sound.len() / 2 / audio.n_channels);
    let at = |i: usize| sound[i / (n * len) * n * len + i % n * len + i / n % len];
    let frames: Vec<f32> = (0..sound.len()).map(at).collect();
    let frames = tape.device().tensor(&[2, len, n], &frames);
    let call = Call { recompute, ..Context::plain(2, AudioStem::n_positions(len)).call };
    pair.encode(tape, nn::Input::Frames(&frames), call)
}

/// The decoder's last hidden state of what follows `memory`.
fn decode<'a>(
    pair: &'a EncoderDecoder,
    tape: &Tape<'a>,
    memory: &Memory,
    input: &Input,
    cache: Option<&mut KvCache>,
) -> Vec<f32> {
    let ids: Arc<[u32]> = input.ids.as_slice().into();
    let mut ctx = Context { call: input.call.clone(), cache };
    ctx.call.memory = Some(memory.clone());
    pair.decode(tape, &ids, input.shape, &mut ctx).value().to_vec()
}

/// Gradients of the summed loss of `labels`, whose number is also given.
fn learn(
    model: &Model,
    source: impl for<'a> Fn(&'a EncoderDecoder, &Tape<'a>) -> Memory,
    target: &Input,
    labels: &[u32],
) -> (Grads, f64, u64) {
    let (device, pair) = (device(), pair(model));
    let grads = RefCell::new(Grads::new(&model.params));
    let tape = Tape::recording(&device, &model.params, Precision::F32, &grads);
    let memory = source(pair, &tape);
    let ids: Arc<[u32]> = target.ids.as_slice().into();
    let mut ctx = Context { call: target.call.clone(), cache: None };
    ctx.call.memory = Some(memory);
    let hidden = pair.decode(&tape, &ids, target.shape, &mut ctx);
    let head = pair.decoder.token_head().expect("a head over the vocabulary");
    let hidden = head.hidden(&tape, &hidden);
    let loss = tape.linear_cross_entropy(&hidden, head.cross_entropy(labels));
    tape.backward();
    (grads.into_inner(), loss.sum, loss.n_targets)
}

#[test]
fn they_learn_what_torch_learns() {
    // What `transformers` keeps fixed, and is a parameter here.
    let fixed = ["final_logits_bias", "model.encoder.embed_positions.weight"];
    for (name, recompute) in ALL.iter().flat_map(|name| [(name, false), (name, true)]) {
        let model = load(name);
        let path = folder(name).join("call-grad.safetensors");
        let Some(io) = path.exists().then(|| Weights::open(&path).unwrap()) else { continue };
        let input = |name| {
            let mut input = Input::plain(&ids(&io, name), 2);
            input.call.recompute = recompute;
            input
        };
        let (target, labels) = (input("decoder_input_ids"), ids(&io, "labels"));
        let (grads, sum, n) = if let Ok(sound) = io.to_f32("input_features") {
            learn(&model, |p, t| encode_sound(p, t, &sound, recompute), &target, &labels)
        } else {
            let source = input("input_ids");
            learn(&model, |p, tape| encode(p, tape, &source), &target, &labels)
        };
        let loss = [(sum / n as f64) as f32];
        assert_close("loss", &loss, &io.to_f32("loss").unwrap(), Tolerance::both(1e-5));
        for import in model.config.family().imports() {
            let Ok(expected) = io.to_f32(&format!("grad.{}", import.name)) else {
                assert!(fixed.contains(&&*import.name), "{name} {}", import.name);
                continue;
            };
            let Some(own) = import.source.own() else {
                assert!(fixed.contains(&&*import.name), "{name} {}", import.name);
                continue; // Waves, which are computed.
            };
            let param = &model.params.find(own).unwrap().param;
            let found: Vec<f32> = grads.get(param).unwrap().iter().map(|g| g / n as f32).collect();
            let found = import.source.external(param, &found);
            let scale = expected.iter().fold(0.0_f64, |m, g| m.max(f64::from(g.abs())));
            let tolerance = Tolerance { abs: 1e-5 * scale + 1e-7, rel: 1e-4 };
            assert_close(&format!("{name} {}", import.name), &found, &expected, tolerance);
        }
    }
}

#[test]
fn padding_changes_nothing() {
    for name in ALL {
        let (model, device) = (load(name), device());
        let pair = pair(&model);
        let d_model = pair.config().decoder.trunk.d_model;
        let tape = Tape::new(&device, &model.params, Precision::F32);
        let (source, target) = (tokens(2 * 9, 7), tokens(2 * 9, 11));
        let plain = encode_some(pair, &tape, &Context::plain(2, 9).call);
        let read = OF_TOKENS.contains(&name);
        let memory = |input: &Input| if read { encode(pair, &tape, input) } else { plain.clone() };
        let expected = memory(&Input::plain(&source, 2));
        let expected = decode(pair, &tape, &expected, &Input::plain(&target, 2), None);
        for at in [0, 2, 5] {
            let memory = memory(&padded(&source, at, 5));
            let found = decode(pair, &tape, &memory, &padded(&target, at, 6), None);
            let rows = |b: usize| &found[(b * 14 + at) * d_model..][..9 * d_model];
            let error = max_error(&[rows(0), rows(1)].concat(), &expected);
            assert!(error < STATES, "{name}, padded from {at}: {error}");
        }
    }
}

#[test]
fn the_future_changes_nothing() {
    for name in ALL {
        let (model, device) = (load(name), device());
        let pair = pair(&model);
        let d_model = pair.config().decoder.trunk.d_model;
        let tape = Tape::new(&device, &model.params, Precision::F32);
        let memory = encode_some(pair, &tape, &Context::plain(2, 8).call);
        let [before, after] = [5, 6].map(|id| {
            let mut ids = tokens(2 * 8, 11);
            ids[8 + 3] = id;
            decode(pair, &tape, &memory, &Input::plain(&ids, 2), None)
        });
        let (at, later) = ((8 + 3) * d_model, (8 + 4) * d_model);
        assert_same_bits(name, &after[..at], &before[..at]);
        assert_ne!(after[at..later], before[at..later], "{name}: itself");
        assert_ne!(after[later..], before[later..], "{name}: what follows");
    }
}

/// As `gradients::encoders_learn_one_batch_by_heart`.
#[test]
fn one_batch_is_learned_by_heart() {
    for name in ALL {
        let mut model = load(name);
        let (target, labels) = (Input::plain(&tokens(10, 11), 2), tokens(10, 13));
        let plain = Context::plain(2, 5).call;
        let mut step = |lr| {
            step_by_sign(&mut model, lr, |model| {
                let (grads, sum, n_targets) =
                    learn(model, |pair, tape| encode_some(pair, tape, &plain), &target, &labels);
                Learned { loss: Loss { sum, n_targets, n_right: 0 }, grads }
            })
        };
        let first = step(0.01);
        let last = (1..120).map(|i| step(0.01 * (1.0 - i as f32 / 120.0))).last().unwrap();
        assert!(last < 0.2 && first > 3.0, "{name}: from {first} to {last}");
    }
}

#[test]
fn cached_decoding_at_any_split_equals_the_full_pass() {
    const LEN: usize = 8;
    for name in ALL {
        let (model, device) = (load(name), device());
        let pair = pair(&model);
        let d_model = pair.config().decoder.trunk.d_model;
        let tape = Tape::new(&device, &model.params, Precision::F32);
        let memory = encode_some(pair, &tape, &Context::plain(2, LEN).call);
        let ids = tokens(2 * LEN, 11);
        let full = decode(pair, &tape, &memory, &Input::plain(&ids, 2), None);
        let mut cache = pair.decoder.cache(&device, DType::F32, [2, LEN]);
        for ends in [vec![LEN], vec![3, 4, LEN], (1..=LEN).collect()] {
            cache.truncate(0);
            assert!(cache.is_empty());
            let mut start = 0;
            for end in ends {
                let part = [&ids[start..end], &ids[LEN + start..LEN + end]].concat();
                let mut input = Input::plain(&part, 2);
                input.call = Context::at(2, start, end - start).call;
                let found = decode(pair, &tape, &memory, &input, Some(&mut cache));
                let rows = |b: usize| &full[(b * LEN + start) * d_model..(b * LEN + end) * d_model];
                let error = max_error(&found, &[rows(0), rows(1)].concat());
                assert!(error < STATES, "{name}, {start} to {end}: {error}");
                start = end;
            }
        }
    }
}

#[test]
fn an_older_config_is_the_same_model() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["t5", "t5-v1-1"] {
        let here = folder(name);
        fs::copy(here.join("config.v4.json"), dir.path().join("config.json")).unwrap();
        fs::copy(here.join("model.safetensors"), dir.path().join("model.safetensors")).unwrap();
        let architecture =
            |dir: &Path| Model::load_config(dir).unwrap().family().architecture().unwrap();
        assert_eq!(architecture(dir.path()), architecture(&here), "{name}");
    }
}
