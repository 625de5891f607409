use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::StoreMeta;

const END: u32 = 0;

/// Documents whose tokens are all different: 1, 2, 3 .. through all of them.
fn store(lens: &[usize], has_end: bool) -> Arc<Store> {
    let mut next = 1..;
    let documents: Vec<Vec<u32>> =
        lens.iter().map(|&len| next.by_ref().take(len).collect()).collect();
    let end_of_text = has_end.then_some(END);
    let meta =
        StoreMeta { vocab_size: 1 << 20, end_of_text, tokenizer_hash: [0; 32], has_marks: false };
    Arc::new(Store::in_memory(&documents, &meta))
}

fn config(batch: usize, seq_len: usize, mode: Mode) -> BatchConfig {
    BatchConfig { batch, seq_len, seed: 42, mode, around: 0 }
}

fn batches(store: &Arc<Store>, config: BatchConfig) -> Batches {
    Batches::new(Arc::clone(store), config, Cursor::default()).unwrap()
}

fn epoch(store: &Arc<Store>, config: BatchConfig, cursor: Cursor) -> Vec<Batch> {
    let one = BatchConfig { batch: 1, ..config };
    let mut batches = Batches::new(Arc::clone(store), one, cursor).unwrap();
    (cursor.window..batches.n_windows()[0]).map(|_| batches.next_batch().unwrap()).collect()
}

/// How often each token is a target.
fn target_counts(batches: &[Batch]) -> BTreeMap<u32, usize> {
    let mut counts = BTreeMap::new();
    for &target in batches.iter().flat_map(|batch| &batch.targets) {
        if target != IGNORED {
            *counts.entry(target).or_default() += 1;
        }
    }
    counts
}

fn token_counts(store: &Store, from: u64) -> BTreeMap<u32, usize> {
    let mut ids = vec![0; (store.n_tokens() - from) as usize];
    store.read(from, &mut ids).unwrap();
    let mut counts = BTreeMap::new();
    for id in ids {
        *counts.entry(id).or_default() += 1;
    }
    counts
}

#[test]
fn a_stream_window_is_its_tokens_and_the_next() {
    let store = store(&[5, 3], true);
    let rows: Vec<_> = EvalBatches::new(store, config(1, 4, Mode::Stream))
        .unwrap()
        .map(|batch| batch.unwrap())
        .map(|batch| (batch.inputs, batch.targets))
        .collect();
    let no = IGNORED;
    let expected = [
        (vec![0, 1, 2, 3], vec![1, 2, 3, 4]),
        (vec![4, 5, 0, 6], vec![5, 0, 6, 7]),
        (vec![7, 8, 0, 0], vec![8, 0, no, no]),
    ];
    assert_eq!(rows, expected);
}

#[test]
fn packed_documents_restart_and_end_by_themselves() {
    let store = store(&[2, 6, 1], true);
    let mut batches = EvalBatches::new(store, config(4, 5, Mode::Documents)).unwrap();
    let batch = batches.next().unwrap().unwrap();
    let no = IGNORED;
    // Rows: document 1; document 2's first five tokens; its last two and document 3.
    assert_eq!(batch.inputs, [0, 1, 2, 0, 0, 0, 3, 4, 5, 6, 7, 8, 0, 9, 0]);
    assert_eq!(batch.targets, [1, 2, 0, no, no, 3, 4, 5, 6, 7, 8, 0, 9, 0, no]);
    assert_eq!(batch.segments.unwrap(), [1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1, 2, 2, 0]);
    assert_eq!(batch.positions.unwrap(), [0, 1, 2, 0, 0, 0, 1, 2, 3, 4, 0, 1, 0, 1, 0]);
    assert_eq!((batch.n_targets, batch.sample_ids), (12, vec![0, 1, 2]));
    assert!(batches.next().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn packing_predicts_every_token_once_an_epoch(
        lens in proptest::collection::vec(1usize..40, 1..60),
        seq_len in 1usize..32, seed: u64, has_end: bool, epoch_idx in 0u64..3,
    ) {
        prop_assume!(has_end || lens.iter().any(|&len| len > 1));
        let store = store(&lens, has_end);
        prop_assume!(store.n_tokens() >= 2);
        let config = BatchConfig { batch: 1, seq_len, seed, mode: Mode::Documents, around: 0 };
        let rows = epoch(&store, config, Cursor { epoch: epoch_idx, window: 0 });
        let mut expected = token_counts(&store, 0);
        if !has_end {
            for i in 0..store.n_documents() {
                expected.remove(&(store.document(i).unwrap().start as u32 + 1));
            }
        }
        prop_assert_eq!(target_counts(&rows), expected);
        let counts: Vec<usize> = (0..3)
            .map(|i| epoch(&store, config, Cursor { epoch: i, window: 0 }).len())
            .collect();
        prop_assert!(counts.iter().all(|&n| n == rows.len()), "{:?}", counts);
        for row in &rows {
            check_row(row)?;
        }
    }

    #[test]
    fn evaluation_predicts_every_token_once(
        lens in proptest::collection::vec(1usize..40, 1..40),
        seq_len in 1usize..32, batch in 1usize..5, has_end: bool, is_packed: bool,
    ) {
        prop_assume!(has_end || lens.iter().any(|&len| len > 1));
        let store = store(&lens, has_end);
        let mode = if is_packed { Mode::Documents } else { Mode::Stream };
        let all: Result<Vec<Batch>, _> =
            EvalBatches::new(Arc::clone(&store), config(batch, seq_len, mode)).unwrap().collect();
        let all = all.unwrap();
        if has_end {
            prop_assert_eq!(target_counts(&all), token_counts(&store, 0));
        } else if !is_packed {
            prop_assert_eq!(target_counts(&all), token_counts(&store, 1));
        }
        let n_targets: u64 = all.iter().map(|batch| batch.n_targets).sum();
        prop_assert_eq!(n_targets as usize, target_counts(&all).values().sum::<usize>());
    }

    #[test]
    fn any_cursor_goes_on_where_it_stands(n_done in 0usize..40, is_packed: bool) {
        let store = store(&[9, 4, 17, 3, 3, 8, 1], true);
        let mode = if is_packed { Mode::Documents } else { Mode::Stream };
        let config = config(3, 6, mode);
        let mut straight = batches(&store, config);
        (0..n_done).for_each(|_| drop(straight.next_batch().unwrap()));
        let mut resumed = Batches::new(Arc::clone(&store), config, straight.cursors()).unwrap();
        for _ in 0..5 {
            prop_assert_eq!(resumed.next_batch().unwrap(), straight.next_batch().unwrap());
        }
    }
}

/// No target comes from another document, and positions count within one.
fn check_row(row: &Batch) -> Result<(), TestCaseError> {
    let (segments, positions) = (row.segments.as_ref().unwrap(), row.positions.as_ref().unwrap());
    for i in 0..row.seq_len {
        let is_padding = segments[i] == 0;
        prop_assert_eq!(is_padding, row.targets[i] == IGNORED);
        if i + 1 < row.seq_len && segments[i + 1] == segments[i] && !is_padding {
            prop_assert_eq!(row.inputs[i + 1], row.targets[i]);
            prop_assert_eq!(positions[i + 1], positions[i] + 1);
        } else if i + 1 < row.seq_len && segments[i + 1] != 0 {
            prop_assert_eq!(segments[i + 1], segments[i] + 1);
            prop_assert_eq!(positions[i + 1], 0);
        }
    }
    Ok(())
}

#[test]
fn a_stream_epoch_has_every_full_window_once() {
    let store = store(&[50, 33, 20], true);
    let rows = epoch(&store, config(1, 7, Mode::Stream), Cursor::default());
    assert_eq!(rows.len(), 15);
    let counts = target_counts(&rows);
    assert_eq!(counts.values().sum::<usize>(), 105);
    assert!(counts.iter().all(|(&token, &n)| n == 1 || token == END));
}

#[test]
fn best_fit_leaves_little_padding() {
    let lens: Vec<usize> = (0..2000).map(|i| 20 + (i * 37) % 180).collect();
    let store = store(&lens, true);
    let batches = batches(&store, config(1, 256, Mode::Documents));
    let share = store.n_tokens() as f64 / (batches.n_windows()[0] * 256) as f64;
    assert!(share > 0.97, "{share}");
}

#[test]
fn a_batch_is_its_micro_batches() {
    let store = store(&[9, 4, 17, 3, 3, 8, 1, 30], true);
    for mode in [Mode::Stream, Mode::Documents] {
        let mut whole = batches(&store, config(8, 5, mode));
        let mut halves = batches(&store, config(4, 5, mode));
        for _ in 0..6 {
            let whole = whole.next_batch().unwrap();
            let (a, b) = (halves.next_batch().unwrap(), halves.next_batch().unwrap());
            assert_eq!(whole.inputs, [a.inputs, b.inputs].concat());
            assert_eq!(whole.targets, [a.targets, b.targets].concat());
            assert_eq!(whole.sample_ids, [a.sample_ids, b.sample_ids].concat());
            assert_eq!(whole.n_targets, a.n_targets + b.n_targets);
        }
    }
}

#[test]
fn seed_and_epoch_decide_the_order() {
    let store = store(&[200], true);
    let first = |seed, epoch| {
        let config = BatchConfig { seed, ..config(6, 5, Mode::Stream) };
        let cursor = Cursor { epoch, window: 0 };
        Batches::new(Arc::clone(&store), config, cursor).unwrap().next_batch().unwrap().inputs
    };
    assert_eq!(first(1, 0), first(1, 0));
    assert_ne!(first(1, 0), first(2, 0));
    assert_ne!(first(1, 0), first(1, 1));
}

#[test]
fn epochs_follow_one_another_inside_a_batch() {
    let store = store(&[19], true);
    let mut batches = batches(&store, config(3, 5, Mode::Stream));
    assert_eq!(batches.n_windows(), [4]);
    batches.next_batch().unwrap();
    let batch = batches.next_batch().unwrap();
    assert_eq!(batch.sample_ids, [3, 1 << 40, 1 << 40 | 1]);
    assert_eq!(batches.cursors(), Cursor { epoch: 1, window: 2 }.into());
}

fn refused(lens: &[usize], seq_len: usize, mode: Mode) -> DataError {
    let config = config(1, seq_len, mode);
    Batches::new(store(lens, true), config, Cursor::default()).unwrap_err()
}

#[test]
fn a_corpus_shorter_than_a_window_says_what_would_fit() {
    let error = refused(&[29], 36, Mode::Stream);
    let expected = "the text has 30 tokens, one window of seq_len = 36 needs 36";
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.hint().unwrap(), "`data.seq_len=30` would do, or add text");
    batches(&store(&[29], true), config(1, 30, Mode::Stream));
    let without_end =
        Batches::new(store(&[30], false), config(1, 30, Mode::Stream), Cursor::default());
    let hint = without_end.unwrap_err().hint().unwrap();
    assert_eq!(hint, "`data.seq_len=29` would do, or add text");
    batches(&store(&[30], false), config(1, 29, Mode::Stream));
    // Windows of a few tokens teach nothing: they are not suggested.
    let hint = refused(&[9], 256, Mode::Stream).hint().unwrap();
    assert_eq!(hint, "add text: this is too little to learn from");
}

#[test]
fn empty_and_one_token_corpora_are_refused() {
    for mode in [Mode::Stream, Mode::Documents] {
        let error = refused(&[], 16, mode);
        assert!(matches!(error, DataError::TooFewTokens { n_tokens: 0, .. }), "{error}");
        let one = Batches::new(store(&[1], false), config(1, 1, mode), Cursor::default());
        let error = one.unwrap_err();
        assert!(matches!(error, DataError::TooFewTokens { n_tokens: 1, .. }), "{error}");
        assert_eq!(error.hint().unwrap(), "add text: this is too little to learn from");
        assert!(EvalBatches::new(store(&[], true), config(1, 4, mode)).is_err());
    }
    let singles =
        Batches::new(store(&[1, 1], false), config(1, 4, Mode::Documents), Cursor::default());
    assert!(matches!(singles.unwrap_err(), DataError::TooFewTokens { .. }));
}

#[test]
fn sizes_of_zero_and_foreign_cursors_are_refused() {
    for (batch, seq_len) in [(0, 4), (1, 0), (1, usize::MAX)] {
        let config = config(batch, seq_len, Mode::Stream);
        let error = Batches::new(store(&[50], true), config, Cursor::default()).unwrap_err();
        assert!(matches!(error, DataError::Config { .. }), "{error}");
    }
    let cursor = Cursor { epoch: 0, window: 12 };
    let error = Batches::new(store(&[50], true), config(1, 4, Mode::Stream), cursor).unwrap_err();
    assert!(matches!(error, DataError::Cursor { window: 12, n_windows: 12 }), "{error}");
}
