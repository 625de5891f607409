//! The tokens that `generate` of `transformers` finds are found.

use std::fs;
use std::path::{Path, PathBuf};

use checkpoint::Weights;
use generate::{
    Beams, Choice, Decoder, Draw, Finish, Found, GenerateError, Sampling, Search, Segment,
    Settings, Sound, Source, encode, find, transcribe,
};
use models::Model;
use nn::Memory;
use serde_json::Value;
use tensor::{Device, Isa, Precision};
use testing::{Tolerance, assert_close, same_for_any_threads};

fn golden(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/golden").join(case)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("read")).expect("JSON")
}

fn list<T>(value: &Value, of: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().expect("a list").iter().map(of).collect()
}

fn tokens(value: &Value) -> Vec<u32> {
    list(value, |id| id.as_u64().expect("a token") as u32)
}

/// A golden model at work.
struct Case {
    name: &'static str,
    model: Model,
    device: Device,
}

/// What a call of `generate` reads.
enum Inputs {
    Prompt(Vec<u32>),
    Tokens(Vec<Vec<u32>>),
    /// `[B, S, C]`.
    Frames([usize; 3], Vec<f32>),
}

impl Case {
    fn open(name: &'static str) -> Self {
        let (model, unused) = Model::load(&golden(name)).expect("loads");
        assert!(unused.is_empty(), "{unused:?}");
        Self { name, model, device: Device::cpu(Isa::detect()) }
    }

    fn at(&self) -> (&Model, &Device, Precision) {
        (&self.model, &self.device, Precision::F32)
    }

    fn inputs(&self) -> Inputs {
        let call = |name: &str| Weights::open(&golden(self.name).join(name)).expect("opens");
        let rows = |call: &Weights, name: &str| {
            let len = call.get(name).expect("there").shape[1];
            let ids = call.to_i64(name).expect("integers");
            ids.chunks(len).map(<[i64]>::to_vec).collect::<Vec<_>>()
        };
        match self.name {
            "whisper" => {
                let call = call("call-plain.safetensors");
                let shape = call.get("input_features").expect("there").shape.to_vec();
                let [b, c, s] = shape[..] else { panic!("{shape:?}") };
                let by_channel = call.to_f32("input_features").expect("floats");
                let value = |i: usize| by_channel[i / (s * c) * s * c + i % c * s + i / c % s];
                Inputs::Frames([b, s, c], (0..b * s * c).map(value).collect())
            }
            "llama-gqa" => {
                let ids = &rows(&call("call-plain.safetensors"), "input_ids")[0][..5];
                Inputs::Prompt(ids.iter().map(|&id| id as u32).collect())
            }
            _ => {
                let call = call("call-right.safetensors");
                let (ids, mask) = (rows(&call, "input_ids"), rows(&call, "attention_mask"));
                let kept = |(ids, mask): (Vec<i64>, Vec<i64>)| {
                    let kept = ids.into_iter().zip(mask).filter(|(_, mask)| *mask == 1);
                    kept.map(|(id, _)| id as u32).collect()
                };
                Inputs::Tokens(ids.into_iter().zip(mask).map(kept).collect())
            }
        }
    }

    fn memory(&self, inputs: &Inputs) -> Option<Memory> {
        let source = match inputs {
            Inputs::Prompt(_) => return None,
            Inputs::Tokens(rows) => Source::Tokens(rows),
            Inputs::Frames(shape, frames) => Source::Frames(self.device.tensor(shape, frames)),
        };
        Some(encode(self.at(), &source))
    }

    fn find(&self, inputs: &Inputs, settings: &Settings, max_tokens: usize) -> Vec<Found> {
        let prompt = match inputs {
            Inputs::Prompt(ids) => ids.clone(),
            Inputs::Tokens(_) | Inputs::Frames(..) => vec![settings.start.expect("a start")],
        };
        let search =
            Search { max_tokens, ends: settings.ends.clone(), rules: settings.rules(prompt.len()) };
        let how = choice(settings);
        find(self.at(), self.memory(inputs), &prompt, (&search, &how)).expect("finite scores")
    }
}

/// Greedy with a single beam, as `generate` has it.
fn choice(settings: &Settings) -> Choice {
    if settings.beams.n > 1 {
        return Choice::Beams(settings.beams);
    }
    let repetition_penalty = settings.beams.repetition_penalty;
    let sampling = Sampling { repetition_penalty, ..Sampling::GREEDY };
    Choice::Draw(Draw { sampling, seed: 0, n_samples: 1, first_row: 0 })
}

fn settings(value: &Value) -> Settings {
    let object = value.as_object().expect("an object");
    Settings::read(Some(object), object).expect("settings")
}

fn calls(name: &str) -> Vec<Value> {
    list(&json(&golden(name).join("generation.json"))["calls"], Value::clone)
}

const CASES: [&str; 5] = ["t5", "bart", "marian", "whisper", "llama-gqa"];

#[test]
fn tokens_are_those_of_transformers() {
    let mut n_calls = 0;
    for name in CASES {
        let case = Case::open(name);
        let inputs = case.inputs();
        for call in calls(name) {
            let max_tokens = call["max_new_tokens"].as_u64().expect("a number") as usize;
            let found = case.find(&inputs, &settings(&call["settings"]), max_tokens);
            let expected = list(&call["tokens"], tokens);
            let finish = list(&call["finish"], |finish| match finish.as_str() {
                Some("end") => Finish::End,
                _ => Finish::Length,
            });
            let rows: Vec<_> = found.iter().map(|found| found.tokens.clone()).collect();
            assert_eq!(rows, expected, "{name}: {}", call["settings"]);
            let ends: Vec<_> = found.iter().map(|found| found.finish).collect();
            assert_eq!(ends, finish, "{name}: {}", call["settings"]);
            n_calls += 1;
        }
    }
    assert!(n_calls >= 30, "{n_calls}");
}

#[test]
fn rows_of_a_batch_are_found_as_they_are_alone() {
    for name in ["t5", "bart", "marian", "whisper"] {
        let case = Case::open(name);
        let inputs = case.inputs();
        let alone: Vec<Inputs> = match &inputs {
            Inputs::Prompt(_) => unreachable!("a decoder"),
            Inputs::Tokens(rows) => {
                rows.iter().map(|row| Inputs::Tokens(vec![row.clone()])).collect()
            }
            Inputs::Frames([_, s, c], frames) => {
                let row = |row: &[f32]| Inputs::Frames([1, *s, *c], row.to_vec());
                frames.chunks(s * c).map(row).collect()
            }
        };
        for call in calls(name) {
            let settings = settings(&call["settings"]);
            let together = case.find(&inputs, &settings, 12);
            for (row, inputs) in alone.iter().enumerate() {
                let found = case.find(inputs, &settings, 12);
                assert_eq!(found[0].tokens, together[row].tokens, "{name}, row {row}");
            }
        }
    }
}

#[test]
fn a_long_sound_has_the_segments_of_transformers() {
    let case = Case::open("whisper");
    let golden = json(&golden("whisper").join("long.json"));
    let mut frames = list(&golden["frames"], |x| x.as_f64().expect("a number") as f32);
    let (n_channels, window) = (10, 30);
    let n_frames = frames.len() / n_channels;
    frames.resize((n_frames + window) * n_channels, 0.0);
    let sound = Sound { frames: &frames, n_frames, n_channels, window };
    for call in golden["calls"].as_array().expect("calls") {
        let settings = settings(&call["settings"]);
        let mut rules = settings.rules(1);
        rules.timestamps = settings.timestamps();
        let max_tokens = settings.max_tokens(0).expect("said");
        let search = Search { max_tokens, ends: settings.ends.clone(), rules };
        let (mut found, mut done) = (Vec::<Segment>::new(), Vec::new());
        let at = (&search, &choice(&settings));
        transcribe(case.at(), &sound, &[settings.start.expect("said")], at, |n, segments| {
            done.push(n);
            found.extend_from_slice(segments);
            Ok::<(), GenerateError>(())
        })
        .expect("finite scores");
        let expected = list(&call["segments"], |segment| {
            let frame = |name: &str| (segment[name].as_f64().expect("seconds") * 100.0).round();
            let text = tokens(&segment["tokens"]).into_iter().filter(|token| *token <= 50);
            let (start, end) = (frame("start") as usize, frame("end") as usize);
            Segment { start, end, tokens: text.collect() }
        });
        assert_eq!(found, expected);
        assert!(done.is_sorted() && done.last() == Some(&n_frames), "{done:?}");
    }
}

#[test]
fn one_beam_and_greedy_drawing_agree_on_what_does_not_end() {
    for name in ["t5", "llama-gqa"] {
        let case = Case::open(name);
        let inputs = case.inputs();
        let settings = settings(&serde_json::json!({ "decoder_start_token_id": 0 }));
        let greedy = case.find(&inputs, &settings, 9);
        let prompt = match &inputs {
            Inputs::Prompt(ids) => ids.clone(),
            _ => vec![0],
        };
        let search = Search { max_tokens: 9, ..Search::default() };
        let one = Choice::Beams(Beams::default());
        let found =
            find(case.at(), case.memory(&inputs), &prompt, (&search, &one)).expect("finite");
        assert_eq!(greedy.len(), found.len());
        for (a, b) in greedy.iter().zip(&found) {
            assert_eq!((&a.tokens, a.finish), (&b.tokens, b.finish), "{name}");
            assert!(b.score.is_some_and(f32::is_finite));
        }
    }
}

#[test]
fn a_search_where_everything_ends_or_the_context_is_full_ends() {
    let case = Case::open("whisper");
    let inputs = case.inputs();
    let beams = Choice::Beams(Beams { n: 3, ..Beams::default() });
    let look = |max_tokens, ends: Vec<u32>| {
        let search = Search { max_tokens, ends, ..Search::default() };
        find(case.at(), case.memory(&inputs), &[1], (&search, &beams)).expect("finite scores")
    };
    for found in look(9, (0..67).collect()) {
        assert_eq!((found.tokens.len(), found.finish), (0, Finish::End));
    }
    for found in look(500, vec![]) {
        // Twenty positions, and one that is not shown to the model any more.
        assert_eq!((found.tokens.len(), found.finish), (20, Finish::ContextFull));
    }
    for found in look(0, vec![]) {
        assert_eq!((found.tokens.len(), found.finish, found.score), (0, Finish::Length, None));
    }
}

#[test]
fn what_a_decoder_scores_does_not_depend_on_how_it_is_shown() {
    let ids = [1, 40, 9, 33, 12, 57, 4];
    for name in ["t5", "bart", "marian", "whisper"] {
        let case = Case::open(name);
        // Rounding to 8 bits, block after block, on both sides.
        for (precision, tolerance) in [(Precision::F32, 1e-4), (Precision::BF16, 6e-2)] {
            let memory = match case.inputs() {
                Inputs::Prompt(_) => unreachable!("a decoder"),
                Inputs::Tokens(rows) => {
                    encode((&case.model, &case.device, precision), &Source::Tokens(&rows[..1]))
                }
                Inputs::Frames([_, s, c], frames) => {
                    let frames = case.device.tensor(&[1, s, c], &frames[..s * c]);
                    encode((&case.model, &case.device, precision), &Source::Frames(frames))
                }
            };
            let fresh = || {
                let decoder = Decoder::new(&case.model, &case.device, precision, [1, ids.len()]);
                decoder.reading(memory.clone())
            };
            let expected = fresh().advance(&ids).expect("finite");
            for split in 1..ids.len() {
                let mut decoder = fresh();
                decoder.advance(&ids[..split]).expect("finite");
                let found = decoder.advance(&ids[split..]).expect("finite");
                assert_close(name, &found, &expected, Tolerance::both(tolerance));
            }
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_beam() {
    for name in ["bart", "whisper"] {
        let case = Case::open(name);
        let inputs = case.inputs();
        let settings = settings(&serde_json::json!({
            "num_beams": 3, "decoder_start_token_id": 1, "eos_token_id": 43,
        }));
        same_for_any_threads(|| case.find(&inputs, &settings, 9));
    }
}
