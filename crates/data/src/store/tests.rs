use std::fs;

use super::*;

fn meta(vocab_size: usize) -> StoreMeta {
    StoreMeta { vocab_size, end_of_text: Some(0), tokenizer_hash: [7; 32], has_marks: false }
}

fn documents() -> Vec<Vec<u32>> {
    vec![vec![1, 2, 3], vec![4], vec![5, 6]]
}

fn write(path: &Path, meta: &StoreMeta) {
    let mut writer = StoreWriter::create(path, meta).unwrap();
    for document in documents() {
        let (left, right) = document.split_at(document.len() / 2);
        writer.push(left, 3).unwrap();
        writer.push(right, 2).unwrap();
        writer.end_document().unwrap();
    }
    writer.end_document().unwrap();
    writer.finish().unwrap();
}

#[test]
fn what_is_written_is_read() {
    let dir = tempfile::tempdir().unwrap();
    for vocab_size in [7, 65_536, 65_537, 200_000] {
        let path = dir.path().join("tokens");
        write(&path, &meta(vocab_size));
        let store = Store::open(&path).unwrap();
        assert_eq!((store.n_tokens(), store.n_documents(), store.n_text_bytes()), (9, 3, 15));
        store.verify().unwrap();
        let mut ids = [9; 9];
        store.read(0, &mut ids).unwrap();
        assert_eq!(ids, [1, 2, 3, 0, 4, 0, 5, 6, 0]);
        let ranges: Vec<_> = (0..3).map(|i| store.document(i).unwrap()).collect();
        assert_eq!(ranges, [0..4, 4..6, 6..9]);
        assert_eq!(store.vocab_size(), vocab_size);
        let in_memory = Store::in_memory(&documents(), &meta(vocab_size));
        assert_eq!(in_memory.content_hash(), store.content_hash());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_store_has_the_vocabulary_of_its_tokenizer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens");
    let tokenizer = Tokenizer::train(["It was".to_owned()].into_iter(), 257).unwrap();
    let meta = StoreMeta::of(&tokenizer);
    write(&path, &meta);
    Store::open_for(&path, &tokenizer).unwrap();
    write(&path, &StoreMeta { vocab_size: meta.vocab_size + 1, ..meta });
    let error = Store::open_for(&path, &tokenizer).unwrap_err().to_string();
    assert!(error.ends_with("its vocabulary is 258, of 257 tokens"), "{error}");
}

#[test]
fn large_ids_take_four_bytes() {
    let store = Store::in_memory(&[vec![70_000, 1]], &meta(70_001));
    let mut ids = [0; 3];
    store.read(0, &mut ids).unwrap();
    assert_eq!(ids, [70_000, 1, 0]);
    store.verify().unwrap();
}

#[test]
fn an_empty_store_is_a_store() {
    let store = Store::in_memory(&[], &meta(7));
    assert_eq!((store.n_tokens(), store.n_documents()), (0, 0));
    store.verify().unwrap();
}

#[test]
fn every_flipped_bit_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens");
    write(&path, &meta(7));
    let bytes = fs::read(&path).unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            fs::write(&path, bytes).unwrap();
            let error = Store::open(&path).and_then(|store| store.verify()).unwrap_err();
            assert!(matches!(error, DataError::Store { .. }), "byte {at}: {error}");
            assert!(error.hint().is_some());
        }
    }
}

#[test]
fn every_truncation_is_refused_when_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens");
    write(&path, &meta(7));
    let bytes = fs::read(&path).unwrap();
    for len in 0..bytes.len() {
        fs::write(&path, &bytes[..len]).unwrap();
        assert!(matches!(Store::open(&path).unwrap_err(), DataError::Store { .. }), "{len}");
    }
    fs::write(&path, [&bytes[..], b"x"].concat()).unwrap();
    assert!(Store::open(&path).unwrap_err().to_string().contains("its header says"));
}

/// A header that hashes to what it says, over a payload that does not fit it.
fn forged(change: impl Fn(&mut Header), payload: &[u8]) -> Result<Store, DataError> {
    let mut header = Header {
        width: 2,
        vocab_size: 7,
        end_of_text: None,
        n_tokens: 4,
        n_documents: 1,
        n_text_bytes: 0,
        tokenizer_hash: [0; 32],
        payload_hash: *blake3::hash(payload).as_bytes(),
    };
    change(&mut header);
    let bytes = [&header.to_bytes()[..], payload].concat();
    Store::new(Backing::Owned(bytes), "forged".into())
}

#[test]
fn forged_headers_are_refused() {
    let payload = [0; 16];
    forged(|_| (), &payload).unwrap().verify().unwrap();
    let changes: [fn(&mut Header); 8] = [
        |header| header.width = 3,
        |header| header.width = 0,
        |header| header.n_tokens = u64::MAX,
        |header| header.n_tokens = u64::MAX / 2,
        |header| header.n_documents = u64::MAX / 8,
        |header| header.n_documents = 0,
        |header| (header.n_tokens, header.n_documents) = (0, 2),
        |header| header.end_of_text = Some(7),
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let error = forged(change, &payload).unwrap_err();
        assert!(matches!(error, DataError::Store { .. }), "{i}: {error}");
    }
}

#[test]
fn forged_ids_and_starts_are_refused_when_read() {
    let bad_id = [9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let store = forged(|_| (), &bad_id).unwrap();
    assert!(store.verify().unwrap_err().to_string().contains("the id 9"));
    assert!(store.read(0, &mut [0; 2]).is_err());
    for start in [1, 4, u64::MAX] {
        let payload = [[0; 8], start.to_le_bytes()].concat();
        let store = forged(|_| (), &payload).unwrap();
        assert!(store.document(0).is_err() && store.verify().is_err(), "{start}");
    }
}

#[test]
fn another_tokenizer_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens");
    let tokenizer = |text: &str, size| Tokenizer::train([text.to_owned()].into_iter(), size);
    let (ours, other) = (tokenizer("abab", 258).unwrap(), tokenizer("cdcd", 258).unwrap());
    let writer = StoreWriter::create(&path, &StoreMeta::of(&ours)).unwrap();
    writer.finish().unwrap();
    assert_eq!(Store::open_for(&path, &ours).unwrap().tokenizer_hash(), ours.hash());
    let error = Store::open_for(&path, &other).unwrap_err();
    assert!(matches!(error, DataError::OtherTokenizer { .. }), "{error}");
    assert!(error.to_string().contains(ours.hash()) && error.to_string().contains(other.hash()));
}

#[test]
fn an_unfinished_store_leaves_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens");
    write(&path, &meta(7));
    let before = fs::read(&path).unwrap();
    let mut writer = StoreWriter::create(&path, &meta(7)).unwrap();
    writer.push(&[1, 2, 3], 3).unwrap();
    drop(writer);
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_store_that_cannot_be_written_is_named() {
    let error = StoreWriter::create(Path::new("/no/such/folder/tokens"), &meta(7)).unwrap_err();
    assert_eq!(error.to_string(), "failed to write `/no/such/folder/tokens`");
}
