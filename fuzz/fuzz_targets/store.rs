//! A token store whose hashes are as they should be, and nothing else need be.
#![no_main]

use std::sync::Arc;

use data::{BatchConfig, Batches, Cursor, EvalBatches, Mode, Store};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    if bytes.len() >= 128 {
        let payload_hash = blake3::hash(&bytes[128..]);
        bytes[80..112].copy_from_slice(payload_hash.as_bytes());
        let own_hash = blake3::hash(&bytes[..112]);
        bytes[112..128].copy_from_slice(&own_hash.as_bytes()[..16]);
    }
    let dir = lyceum_fuzz::folder(&[("tokens", &bytes)]);
    let Ok(store) = Store::open(&dir.path().join("tokens")).map(Arc::new) else { return };
    let _ = store.verify();
    for (mode, around) in [(Mode::Stream, 0), (Mode::Documents, 1)] {
        let config = BatchConfig { batch: 2, seq_len: 3, around, seed: 1, mode };
        if let Ok(batches) = EvalBatches::new(Arc::clone(&store), config) {
            batches.for_each(drop);
        }
        if let Ok(mut batches) = Batches::new(Arc::clone(&store), config, Cursor::default()) {
            let _ = batches.next_batch();
        }
    }
});
