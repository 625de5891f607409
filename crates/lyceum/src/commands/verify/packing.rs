//! Documents packed into rows, against one document a row.

use std::sync::Arc;

use data::{Batch, BatchConfig, Batches, Cursor, IGNORED, Mode, Store};
use train::StepConfig;

use super::laws::{Found, gradient, relative};
use super::setup::Setup;
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
    let store = documents(setup)?;
    let (packed, alone) = (packed(&store, seq_len)?, one_a_row(&store, seq_len)?);
    let step = StepConfig { micro_batch: setup.batches.batch, ..setup.step };
    let gradient = |batch| gradient(setup.trainer(&setup.without_dropout, step)?, batch);
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
        let config = BatchConfig { batch, seq_len, seed: 0, mode: Mode::Documents };
        Batches::new(Arc::clone(store), config, Cursor::default())
    };
    let n_rows = rows(1)?.n_windows() as usize;
    Ok(rows(n_rows)?.next_batch()?)
}

/// Each document in a row of its own, the rest of which is padding.
fn one_a_row(store: &Store, seq_len: usize) -> Result<Batch, Failure> {
    let n_rows = store.n_documents() as usize;
    let n = n_rows * seq_len;
    let mut batch = Batch {
        seq_len,
        inputs: vec![0; n],
        targets: vec![IGNORED; n],
        segments: Some(vec![0; n]),
        positions: Some(vec![0; n]),
        sample_ids: (0..n_rows as u64).collect(),
        n_targets: 0,
    };
    for row in 0..n_rows {
        let document = store.document(row as u64)?;
        let mut ids = vec![0; (document.end - document.start) as usize];
        store.read(document.start, &mut ids)?;
        // A document is predicted from the end-of-text id on, where there is one.
        let mut read: Vec<u32> = store.end_of_text().into_iter().collect();
        read.extend_from_slice(&ids);
        let targets = &read[1..];
        let at = row * seq_len..row * seq_len + targets.len();
        batch.inputs[at.clone()].copy_from_slice(&read[..targets.len()]);
        batch.targets[at.clone()].copy_from_slice(targets);
        batch.n_targets += targets.len() as u64;
        batch.segments.iter_mut().for_each(|s| s[at.clone()].fill(1));
        let positions = batch.positions.iter_mut().flat_map(|p| &mut p[at.clone()]);
        positions.zip(0..).for_each(|(p, i)| *p = i);
    }
    Ok(batch)
}

#[cfg(test)]
mod tests {
    use data::StoreMeta;

    use super::*;

    #[test]
    fn both_ways_ask_for_the_same_tokens() {
        for end_of_text in [Some(9), None] {
            let meta = StoreMeta { vocab_size: 10, end_of_text, tokenizer_hash: [0; 32] };
            let documents = [vec![1, 2, 3], vec![4, 5], vec![6, 7, 8, 1]];
            let store = Arc::new(Store::in_memory(&documents, &meta));
            let counted = |batch: &Batch| {
                let pairs = batch.inputs.iter().zip(&batch.targets);
                let mut pairs: Vec<_> = pairs.filter(|(_, t)| **t != IGNORED).collect();
                pairs.sort();
                pairs.into_iter().map(|(i, t)| (*i, *t)).collect::<Vec<_>>()
            };
            let [a, b] = [packed(&store, 12).expect("packed"), one_a_row(&store, 12).expect("cut")];
            assert!(a.n_rows() < b.n_rows());
            assert_eq!((counted(&a), a.n_targets), (counted(&b), b.n_targets));
        }
    }
}
