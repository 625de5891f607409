//! Documents packed into rows, against one document a row.

use std::sync::Arc;

use data::{Batch, BatchConfig, Batches, Cursor, Mode, Store};
use train::StepConfig;

use super::laws::{Found, gradient, relative};
use super::setup::Setup;
use crate::commands::eval::text::{batch, windows};
use crate::failure::Failure;

/// Windows shorter than this hold no two documents.
const LEN_MIN: usize = 8;

/// Gradients of the same documents, packed and not.
///
/// # Errors
/// Where a step is refused.
pub fn hold(setup: &mut Setup) -> Result<Found, Failure> {
    let seq_len = setup.batches.seq_len;
    if seq_len < LEN_MIN {
        return Ok((0.0, Some(format!("windows of {seq_len} tokens hold one document"))));
    }
    if !setup.is_plain {
        return Ok((0.0, Some("held for `next_token` alone".into())));
    }
    let store = documents(setup)?;
    let (packed, alone) = (packed(&store, seq_len)?, one_a_row(&store)?);
    let step = StepConfig { micro_batch: setup.batches.batch, ..setup.step };
    let gradient =
        |batch| gradient(setup.trainer(&setup.without_dropout, step)?, &setup.examples(batch));
    let (n, rows) = (alone.n_rows(), packed.n_rows());
    let note = format!("gradients of {n} documents in {rows} windows and in {n}");
    Ok((relative(&gradient(&packed)?, &gradient(&alone)?), Some(note)))
}

/// Short documents, cut from the text: as many as fill half a batch.
fn documents(setup: &Setup) -> Result<Arc<Store>, Failure> {
    let (seq_len, n_tokens) = (setup.batches.seq_len, setup.store.n_tokens());
    let lens = [seq_len / 2, seq_len / 4, seq_len / 3, seq_len / 8, seq_len / 5];
    let wanted = (setup.batches.batch / 2 * seq_len) as u64;
    let (mut documents, mut at) = (vec![], 0);
    for len in lens.into_iter().cycle() {
        let end = at + len as u64;
        if end > wanted.min(n_tokens) {
            break;
        }
        let mut ids = vec![0; len];
        setup.store.read(at, &mut ids)?;
        documents.push(ids);
        at = end;
    }
    Ok(Arc::new(Store::in_memory(&documents, &setup.meta)))
}

/// All documents, in as few rows as can be.
fn packed(store: &Arc<Store>, seq_len: usize) -> Result<Batch, Failure> {
    let rows = |batch| {
        let config = BatchConfig { batch, seq_len, seed: 0, mode: Mode::Documents, around: 0 };
        Batches::new(Arc::clone(store), config, Cursor::default())
    };
    let n_rows = rows(1)?.n_windows()[0] as usize;
    Ok(rows(n_rows)?.next_batch()?)
}

/// Each document in a row of its own, the rest of which is padding: neither segments nor positions
/// are needed then.
fn one_a_row(store: &Store) -> Result<Batch, Failure> {
    let mut rows = vec![];
    for row in 0..store.n_documents() {
        let document = store.document(row)?;
        // A document is predicted from the end-of-text id on, where there is one.
        let mut ids: Vec<u32> = store.end_of_text().into_iter().collect();
        let begin = ids.len();
        ids.resize(begin + (document.end - document.start) as usize, 0);
        store.read(document.start, &mut ids[begin..])?;
        rows.extend(windows(&ids, ids.len(), 1));
    }
    Ok(batch(&rows))
}

#[cfg(test)]
mod tests {
    use data::{IGNORED, StoreMeta};

    use super::*;

    #[test]
    fn both_ways_ask_for_the_same_tokens() {
        for end_of_text in [Some(9), None] {
            let meta = StoreMeta {
                vocab_size: 10,
                end_of_text,
                tokenizer_hash: [0; 32],
                has_marks: false,
            };
            let documents = [vec![1, 2, 3], vec![4, 5], vec![6, 7, 8, 1]];
            let store = Arc::new(Store::in_memory(&documents, &meta));
            let counted = |batch: &Batch| {
                let pairs = batch.inputs.iter().zip(&batch.targets);
                let mut pairs: Vec<_> = pairs.filter(|(_, t)| **t != IGNORED).collect();
                pairs.sort();
                pairs.into_iter().map(|(i, t)| (*i, *t)).collect::<Vec<_>>()
            };
            let [a, b] = [packed(&store, 12).expect("packed"), one_a_row(&store).expect("cut")];
            assert!(a.n_rows() < b.n_rows());
            assert_eq!((counted(&a), a.n_targets), (counted(&b), b.n_targets));
        }
    }
}
