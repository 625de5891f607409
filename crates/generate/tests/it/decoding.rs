//! Decoding over a cache says what full passes say, and ends when it should.

use std::ops::ControlFlow;
use std::slice;
use std::sync::Arc;

use generate::{Decoder, Event, Finish, GenerateError, Request, Sampling, generate, generate_all};
use kernels::gemm::FEW_ROWS;
use models::Model;
use nn::Context;
use tensor::{Device, Isa, Precision, Tape};
use testing::{Numbers, Tolerance, assert_close, assert_same_bits, same_for_any_threads};

use crate::families::cases;

fn prompt(model: &Model, n: usize) -> Vec<u32> {
    let mut numbers = Numbers::new(8);
    (0..n).map(|_| numbers.below(model.stack().config().tokens().vocab_size) as u32).collect()
}

fn request(prompt: &[u32]) -> Request {
    Request {
        prompt: prompt.to_vec(),
        max_tokens: 8,
        sampling: Sampling::GREEDY,
        seed: 1,
        ends: vec![],
        n_samples: 1,
    }
}

/// Every row's tokens, and why they ended.
fn write(model: &Model, request: &Request) -> (Vec<Vec<u32>>, Vec<Finish>) {
    let device = Device::cpu(Isa::detect());
    let mut rows = vec![vec![]; request.n_samples];
    let finish = generate((model, &device, Precision::F32), request, |row, token| {
        rows[row].push(token);
        ControlFlow::Continue(())
    });
    (rows, finish.expect("finite scores"))
}

/// Scores after the last token of `ids`, by one pass over all of them.
fn full_pass(model: &Model, precision: Precision, ids: &[u32]) -> Vec<f32> {
    let device = Device::cpu(Isa::detect());
    let tape = Tape::new(&device, &model.params, precision);
    let shared: Arc<[u32]> = ids.into();
    let mut ctx = Context::plain(1, ids.len());
    let hidden = model.stack().forward(&tape, &shared, [1, ids.len()], &mut ctx);
    let logits = model
        .stack()
        .token_head()
        .expect("a head over the vocabulary")
        .logits(&tape, &hidden)
        .value()
        .to_vec();
    logits[logits.len() / ids.len() * (ids.len() - 1)..].to_vec()
}

#[test]
fn any_split_of_the_prompt_gives_the_same_scores() {
    for case in cases() {
        let model = case.model();
        let device = Device::cpu(Isa::detect());
        let ids = prompt(&model, 10);
        // Rounding to 8 bits, block after block.
        for (precision, tolerance) in [(Precision::F32, 1e-4), (Precision::BF16, 3e-2)] {
            let expected = full_pass(&model, precision, &ids);
            for split in 0..10 {
                let mut decoder = Decoder::new(&model, &device, precision, [1, 10]);
                if split > 0 {
                    decoder.advance(&ids[..split]).unwrap();
                }
                let found = decoder.advance(&ids[split..]).unwrap();
                assert_eq!(decoder.len(), 10);
                assert_close(case.name, &found, &expected, Tolerance::both(tolerance));
            }
        }
    }
}

#[test]
fn greedy_decoding_takes_the_best_of_each_full_pass() {
    for case in cases() {
        let model = case.model();
        let ids = prompt(&model, 5);
        let (rows, finish) = write(&model, &request(&ids));
        assert_eq!(finish, [Finish::Length]);
        let mut all = ids;
        for &token in &rows[0] {
            let scores = full_pass(&model, Precision::F32, &all);
            let best = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let found = scores[token as usize];
            assert!(best - found < 1e-4, "{}: {found} is not {best}", case.name);
            all.push(token);
        }
    }
}

#[test]
fn rows_differ_and_do_not_depend_on_how_many_there_are() {
    let model = cases()[0].model();
    let base = Request { sampling: Sampling::default(), ..request(&prompt(&model, 5)) };
    let three = write(&model, &Request { n_samples: 3, ..base.clone() }).0;
    assert!(three[0] != three[1] && three[1] != three[2]);
    let two = write(&model, &Request { n_samples: 2, ..base.clone() }).0;
    assert_eq!(two, three[..2]);
    assert_eq!(write(&model, &base).0, three[..1]);
    assert_ne!(write(&model, &Request { seed: 2, ..base }).0, three[..1]);
}

#[test]
fn rows_go_on_from_a_prompt_that_was_read_once() {
    let device = Device::cpu(Isa::detect());
    for case in cases() {
        let model = case.model();
        let ids = prompt(&model, 6);
        for precision in [Precision::F32, Precision::BF16] {
            let read = || {
                let mut decoder = Decoder::new(&model, &device, precision, [1, 6]);
                decoder.advance(&ids[..5]).unwrap();
                decoder
            };
            let one = read().advance(&ids[5..]).unwrap();
            let mut three = read();
            three.select(&[0; 3], 9);
            assert_same_bits(case.name, &three.advance(&[ids[5]; 3]).unwrap(), &one.repeat(3));
            assert_eq!(three.len(), 6);
        }
    }
}

#[test]
fn rows_of_unequal_lengths_have_the_bits_that_they_have_alone() {
    let device = Device::cpu(Isa::detect());
    for case in cases() {
        let model = case.model();
        let ids = prompt(&model, 9);
        for precision in [Precision::F32, Precision::BF16] {
            let alone = |seen: &[u32]| {
                let mut decoder = Decoder::new(&model, &device, precision, [1, 9]);
                let scores: Vec<Vec<f32>> = [&seen[..seen.len() - 1], &seen[seen.len() - 1..]]
                    .iter()
                    .map(|part| decoder.advance(part).unwrap())
                    .collect();
                scores
            };
            let decoder = Decoder::new(&model, &device, precision, [4, 9]);
            let mut decoder = decoder.without_rows();
            for n in [5, 2, 7] {
                let scores = decoder.begin(&[&ids[..n]]).unwrap();
                assert_same_bits(case.name, &scores, &alone(&ids[..=n])[0]);
            }
            // The second goes, and the last comes into its place; of the first there are two.
            decoder.swap_remove(1);
            decoder.repeat(0);
            assert_eq!((decoder.batch(), decoder.len()), (3, 7));
            let found = decoder.advance(&[ids[5], ids[7], ids[5]]).unwrap();
            let expected = [5, 7, 5].map(|n| alone(&ids[..=n]).remove(1));
            assert_same_bits(case.name, &found, &expected.concat());
        }
    }
}

#[test]
fn prompts_that_are_read_together_have_the_scores_that_each_has_alone() {
    let device = Device::cpu(Isa::detect());
    for case in cases() {
        let model = case.model();
        let ids = prompt(&model, 24);
        let prompts: Vec<&[u32]> = (0..12).map(|i| &ids[i..][..9 + i % 4]).collect();
        for precision in [Precision::F32, Precision::BF16] {
            let scores = |prompts: &[&[u32]]| {
                let decoder = Decoder::new(&model, &device, precision, [prompts.len(), 12]);
                decoder.among(FEW_ROWS + 1).without_rows().begin(prompts).unwrap()
            };
            let alone: Vec<f32> = prompts.iter().flat_map(|&prompt| scores(&[prompt])).collect();
            assert_same_bits(case.name, &scores(&prompts), &alone);
        }
    }
}

/// The rows of a request, and why each ended.
type Written = (Vec<Vec<u32>>, Vec<(usize, Finish)>);

#[test]
fn requests_together_are_as_each_alone() {
    let (device, mut n_ended) = (Device::cpu(Isa::detect()), 0);
    for case in cases() {
        let model = case.model();
        let at = (&model, &device, Precision::F32);
        let ids = prompt(&model, 12);
        let sampling = Sampling { temperature: 1.5, ..Sampling::default() };
        let request = |i: usize| {
            let (n_samples, max_tokens) = (1 + i % 3, [6, 0, 1, 3][i % 4]);
            let ends = vec![ids[i]];
            // Some are read together, as they are of more than a few tokens.
            let prompt = &ids[..[1, 9, 12, 3, 10, 11, 9][i]];
            Request { sampling, seed: i as u64, n_samples, max_tokens, ends, ..request(prompt) }
        };
        let requests: Vec<Request> = (0..7).map(request).collect();
        let together = |requests: &[Request], n_rows: usize| {
            let blank = |request: &Request| (vec![vec![]; request.n_samples], vec![]);
            let mut found: Vec<Written> = requests.iter().map(blank).collect();
            let (mut n_later, mut began) = (0, vec![vec![]; requests.len()]);
            generate_all(at, requests, n_rows, |[i, row], event| {
                match event {
                    Event::Token(token) => {
                        match found[i].0[row][..] {
                            [] => began[i].push(n_later),
                            _ => n_later += 1,
                        }
                        found[i].0[row].push(token);
                    }
                    Event::Ended(why) => found[i].1.push((row, why)),
                }
                ControlFlow::Continue(())
            })
            .unwrap();
            // A prompt is read once for all rows that go on from it, where there is room for them.
            for began in began.iter().filter(|began| began.len() <= n_rows) {
                assert!(began.iter().all(|at| *at == began[0]), "{}: {began:?}", case.name);
            }
            for (_, ended) in &mut found {
                ended.sort_by_key(|(row, _)| *row);
            }
            found
        };
        let each = |request: &Request| together(slice::from_ref(request), 1).remove(0);
        let expected: Vec<_> = requests.iter().map(each).collect();
        for ((_, ended), request) in expected.iter().zip(&requests) {
            let rows: Vec<usize> = ended.iter().map(|(row, _)| *row).collect();
            assert_eq!(rows, (0..request.n_samples).collect::<Vec<_>>(), "{}", case.name);
        }
        let all_ended = expected.iter().flat_map(|(_, ended)| ended);
        n_ended += all_ended.filter(|(_, why)| *why == Finish::End).count();
        for n_rows in [1, 3, 8, 9, 12, 64] {
            assert_eq!(together(&requests, n_rows), expected, "{}, {n_rows}", case.name);
        }
    }
    assert!(n_ended > 0);
}

#[test]
fn a_text_goes_on_from_any_part_of_it_as_before() {
    let model = cases()[0].model();
    let base = Request { sampling: Sampling::default(), ..request(&prompt(&model, 5)) };
    let whole = write(&model, &base).0.remove(0);
    for made in 0..base.max_tokens {
        let prompt = [&base.prompt, &whole[..made]].concat();
        let max_tokens = base.max_tokens - made;
        let rest = Request { prompt, max_tokens, ..base.clone() };
        assert_eq!(write(&model, &rest).0[0], whole[made..], "after {made} tokens");
    }
}

#[test]
fn scores_that_are_not_finite_are_refused() {
    let device = Device::cpu(Isa::detect());
    for case in cases() {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut model = case.model();
            let last = model.params.entries().last().unwrap().param.clone();
            model.params.get_mut(&last).fill(bad);
            let request = request(&prompt(&model, 5));
            let mut n = 0;
            let ended = generate((&model, &device, Precision::F32), &request, |_, _| {
                n += 1;
                ControlFlow::Continue(())
            });
            let error = ended.expect_err("not finite");
            assert_eq!(
                (n, &error),
                (0, &GenerateError::NotFinite { position: 4 }),
                "{}",
                case.name
            );
            let message = "the model's scores after position 4 are not finite";
            assert_eq!(error.to_string(), message);
            assert!(error.hint().is_some());
        }
    }
}

#[test]
fn a_row_that_ended_does_not_disturb_the_others() {
    let model = cases()[0].model();
    let free =
        Request { sampling: Sampling::default(), n_samples: 3, ..request(&prompt(&model, 5)) };
    let rows = write(&model, &free).0;
    let end = rows[1][2];
    let (cut, finish) = write(&model, &Request { ends: vec![end], ..free });
    for (row, (found, whole)) in cut.iter().zip(&rows).enumerate() {
        // The end itself is not part of a row.
        let n = whole.iter().position(|&token| token == end).unwrap_or(whole.len());
        assert_eq!(found, &whole[..n], "row {row}");
        let expected = if n < whole.len() { Finish::End } else { Finish::Length };
        assert_eq!(finish[row], expected, "row {row}");
    }
    assert_eq!(finish[1], Finish::End);
}

#[test]
fn the_caller_the_length_and_the_context_end_a_row() {
    let case = &cases()[1];
    let model = case.model();
    let max_len = model.stack().config().tokens().max_len;
    let device = Device::cpu(Isa::detect());
    let at = (&model, &device, Precision::F32);
    let base = request(&prompt(&model, 5));
    let mut n = 0;
    let finish = generate(at, &base, |_, _| {
        n += 1;
        if n == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!((n, finish), (3, Ok(vec![Finish::Stopped])));
    for (prompt_len, max_tokens, made, expected) in [
        (5, 0, 0, Finish::Length),
        (5, 4, 4, Finish::Length),
        // The last token is never shown to the model, so one fits behind the context.
        (max_len, 9, 1, Finish::ContextFull),
        (max_len, 1, 1, Finish::Length),
        (max_len - 2, 9, 3, Finish::ContextFull),
        (max_len - 2, 3, 3, Finish::Length),
        (max_len - 2, usize::MAX, 3, Finish::ContextFull),
    ] {
        let ids = prompt(&model, prompt_len);
        let (rows, finish) = write(&model, &Request { max_tokens, ..request(&ids) });
        let found = (rows[0].len(), finish[0]);
        assert_eq!(found, (made, expected), "{prompt_len} tokens, {max_tokens} more");
    }
}

#[test]
fn the_number_of_threads_changes_no_token() {
    for case in cases() {
        let model = case.model();
        let sampling = Sampling { temperature: 1.3, top_k: Some(20), ..Sampling::default() };
        let base = Request { sampling, n_samples: 2, ..request(&prompt(&model, 5)) };
        same_for_any_threads(|| write(&model, &base));
    }
}
