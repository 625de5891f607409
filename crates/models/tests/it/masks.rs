//! Padding, packing and caches: the same tokens shown in another way. Within rounding: other
//! shapes are cut into other tiles.

use nn::Context;
use tensor::{NO_TARGET, Precision};
use testing::assert_same_bits;

use crate::families::{Case, decoders, readers};
use crate::pass::{Input, cache, device, distance, hidden, hidden_with, learn, max_error, tokens};

/// Hidden states are of the order of one.
const STATES: f32 = 2e-5;
/// The same where activations, keys and values are rounded to 8 bits.
const STATES_BF16: f32 = 5e-2;
/// Of the length of the gradient.
const GRADIENTS: f64 = 1e-5;

/// Two rows of 9 tokens in rows of 14, from column `at` on; what is around them is garbage.
pub fn padded(ids: &[u32], at: usize, garbage: u32) -> Input {
    let place = |row: usize, column: usize| {
        column.checked_sub(at).filter(|i| *i < 9).map(|i| (row * 9 + i, i as u32))
    };
    let cells: Vec<_> = (0..28).map(|i| place(i / 14, i % 14)).collect();
    let shown: Vec<u32> = cells.iter().map(|c| c.map_or(garbage, |(i, _)| ids[i])).collect();
    let segments: Vec<u32> = cells.iter().map(|c| u32::from(c.is_some())).collect();
    let positions: Vec<u32> = cells.iter().map(|c| c.map_or(0, |(_, at)| at)).collect();
    Input::plain(&shown, 2).with_segments(&segments, &positions)
}

#[test]
fn padding_changes_nothing() {
    for case in readers() {
        let model = case.model();
        let d_model = model.stack().config().tokens().d_model;
        let ids = tokens(&model, 2 * 9, 1);
        let targets = tokens(&model, 2 * 9, 2);
        let plain = Input::plain(&ids, 2);
        let expected = hidden(&model, &plain);
        let learned = learn(&model, &[(plain, targets.clone())]);
        for at in [0, 2, 5] {
            for garbage in [0, 7] {
                let input = padded(&ids, at, garbage);
                let found = hidden(&model, &input);
                let rows = |b: usize| &found[(b * 14 + at) * d_model..][..9 * d_model];
                let error = max_error(&[rows(0), rows(1)].concat(), &expected);
                assert!(error < STATES, "{}, padded from {at}: {error}", case.name);
                let mut padded = vec![NO_TARGET; 28];
                for b in 0..2 {
                    padded[b * 14 + at..][..9].copy_from_slice(&targets[b * 9..][..9]);
                }
                let again = learn(&model, &[(input, padded)]);
                assert_eq!(again.loss.n_targets, 18);
                let error = distance(again.values(), learned.values());
                assert!(error < GRADIENTS, "{}, gradient: {error}", case.name);
            }
        }
    }
}

#[test]
fn packed_documents_are_as_if_alone() {
    for case in readers() {
        let model = case.model();
        let d_model = model.stack().config().tokens().d_model;
        let lens = [5_usize, 1, 7];
        let ids = tokens(&model, 13, 1);
        let targets = tokens(&model, 13, 2);
        let starts = [0_usize, 5, 6];
        let alone: Vec<(Input, Vec<u32>)> = starts
            .iter()
            .zip(lens)
            .map(|(&at, len)| (Input::plain(&ids[at..at + len], 1), targets[at..at + len].to_vec()))
            .collect();
        let segments = [1, 1, 1, 1, 1, 2, 3, 3, 3, 3, 3, 3, 3];
        let positions = [0, 1, 2, 3, 4, 0, 0, 1, 2, 3, 4, 5, 6];
        let packed = Input::plain(&ids, 1).with_segments(&segments, &positions);
        let found = hidden(&model, &packed);
        for ((input, _), at) in alone.iter().zip(starts) {
            let expected = hidden(&model, input);
            let found = &found[at * d_model..][..expected.len()];
            let error = max_error(found, &expected);
            assert!(error < STATES, "{}, document at {at}: {error}", case.name);
        }
        let (apart, together) = (learn(&model, &alone), learn(&model, &[(packed, targets)]));
        assert!((together.loss.sum - apart.loss.sum).abs() < 1e-4, "{}", case.name);
        let error = distance(together.values(), apart.values());
        assert!(error < GRADIENTS, "{}, gradient: {error}", case.name);
    }
}

#[test]
fn a_batch_is_as_its_rows_alone() {
    for case in readers() {
        let model = case.model();
        let ids = tokens(&model, 3 * 11, 1);
        let together = hidden(&model, &Input::plain(&ids, 3));
        let apart: Vec<f32> =
            ids.chunks(11).flat_map(|row| hidden(&model, &Input::plain(row, 1))).collect();
        let error = max_error(&together, &apart);
        assert!(error < STATES, "{}: {error}", case.name);
    }
}

#[test]
fn cached_decoding_at_any_split_equals_the_full_pass() {
    for case in decoders() {
        decodes_at_any_split(&case, Precision::F32, STATES);
        decodes_at_any_split(&case, Precision::BF16, STATES_BF16);
    }
}

fn decodes_at_any_split(case: &Case, precision: Precision, bound: f32) {
    const LEN: usize = 12;
    let (model, device) = (case.model(), device());
    let at = (&model, &device, precision);
    let d_model = model.stack().config().tokens().d_model;
    let ids = tokens(&model, 2 * LEN, 1);
    let full = hidden_with(at, &Input::plain(&ids, 2), None);
    let mut splits: Vec<Vec<usize>> = (1..LEN).map(|at| vec![at, LEN]).collect();
    splits.push((1..=LEN).collect());
    splits.push(vec![3, 4, 9, LEN]);
    for ends in splits {
        let mut cache = model.stack().cache(&device, precision.compute, [2, LEN + 3]);
        let mut start = 0;
        for &end in &ends {
            let part = [&ids[start..end], &ids[LEN + start..LEN + end]].concat();
            let mut input = Input::plain(&part, 2);
            input.call = Context::at(2, start, end - start).call;
            let found = hidden_with(at, &input, Some(&mut cache));
            let rows = |b: usize| &full[(b * LEN + start) * d_model..(b * LEN + end) * d_model];
            let error = max_error(&found, &[rows(0), rows(1)].concat());
            let what = format!("{}, {precision:?}, split {ends:?} at {start}", case.name);
            assert!(error < bound, "{what}: {error}");
            start = end;
        }
        assert_eq!(cache.len(), LEN);
    }
}

#[test]
fn a_cache_knows_padding_and_documents() {
    // Padding on the left of row 0, two documents in row 1; pieces of 4, 1 and 3 positions.
    let segments = [0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2];
    let positions = [0, 0, 0, 1, 2, 3, 4, 5, 0, 1, 2, 0, 1, 2, 3, 4];
    for case in decoders() {
        let (model, device) = (case.model(), device());
        let d_model = model.stack().config().tokens().d_model;
        let ids = tokens(&model, 2 * 8, 1);
        let full = hidden(&model, &Input::plain(&ids, 2).with_segments(&segments, &positions));
        let mut cache = cache(&model, [2, 8]);
        for (start, end) in [(0, 4), (4, 5), (5, 8)] {
            let part = |x: &[u32]| [&x[start..end], &x[8 + start..8 + end]].concat();
            let seen = [&segments[..end], &segments[8..8 + end]].concat();
            let input = Input::plain(&part(&ids), 2).with_segments(&seen, &part(&positions));
            let at = (&model, &device, Precision::F32);
            let found = hidden_with(at, &input, Some(&mut cache));
            for b in 0..2 {
                let first = if b == 0 { start.max(2) } else { start };
                let expected = &full[(b * 8 + first) * d_model..(b * 8 + end) * d_model];
                let n = (end - start) * d_model;
                let found = &found[b * n + (first - start) * d_model..(b + 1) * n];
                let error = max_error(found, expected);
                assert!(error < STATES, "{}, row {b} from {start}: {error}", case.name);
            }
        }
    }
}

#[test]
fn a_cache_that_was_cut_goes_on_from_there() {
    for case in decoders() {
        let (model, device) = (case.model(), device());
        let (ids, other) = (tokens(&model, 9, 1), tokens(&model, 9, 2));
        let show = |cache: &mut nn::KvCache, ids: &[u32]| {
            let mut input = Input::plain(ids, 1);
            input.call = Context::at(1, cache.len(), ids.len()).call;
            hidden_with((&model, &device, Precision::F32), &input, Some(cache))
        };
        let mut cache = cache(&model, [1, 9]);
        show(&mut cache, &ids[..4]);
        let expected = show(&mut cache, &ids[4..]);
        cache.truncate(0);
        show(&mut cache, &ids[..4]);
        show(&mut cache, &other[4..]);
        cache.truncate(4);
        assert_same_bits(case.name, &show(&mut cache, &ids[4..]), &expected);
    }
}
