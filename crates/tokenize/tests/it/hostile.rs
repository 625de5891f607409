//! Files that were damaged, or made to do harm: refused, by name, and without a panic.

use std::fs;

use tokenize::{TokenizeError, Tokenizer};

use crate::{golden, model};

/// Names and contents.
type Files<'a> = &'a [(&'a str, &'a [u8])];

fn refusal(files: Files) -> String {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    let error = Tokenizer::load(dir.path()).unwrap_err();
    assert!(matches!(error, TokenizeError::Malformed { .. }), "{error}");
    assert!(error.hint().is_some());
    let message = error.to_string();
    assert!(files.iter().any(|(name, _)| message.contains(name)), "{message}");
    message
}

/// A length-delimited field.
fn bytes_field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut len = bytes.len();
    while len >= 0x80 {
        field.push(len as u8 | 0x80);
        len >>= 7;
    }
    field.push(len as u8);
    field.extend_from_slice(bytes);
    field
}

fn piece(text: &[u8], score: f32, role: u8) -> Vec<u8> {
    let mut piece = bytes_field(1, text);
    piece.push(0x15);
    piece.extend_from_slice(&score.to_le_bytes());
    piece.extend_from_slice(&[0x18, role]);
    bytes_field(1, &piece)
}

#[test]
fn hostile_sentencepiece_models_are_refused() {
    let unk = || piece(b"<unk>", 0.0, 2);
    let charsmap =
        |map: &[u8]| [unk(), piece(b"a", -1.0, 1), bytes_field(3, &bytes_field(2, map))].concat();
    let mut wild = vec![0, 4, 0, 0];
    wild.extend(std::iter::repeat_n([0xff, 0xff, 0xff, 0x7f], 256).flatten());
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (vec![], "0 pieces are the unknown token"),
        (piece(b"a", 0.0, 1), "0 pieces are the unknown token"),
        ([unk(), piece(b"<unk2>", 0.0, 2)].concat(), "2 pieces"),
        ([unk(), piece(b"a", f32::NAN, 1)].concat(), "the score of piece 1, `a`, is NaN"),
        ([unk(), piece(b"a", f32::NEG_INFINITY, 1)].concat(), "is -inf"),
        ([unk(), piece(b"a", 0.0, 1), piece(b"a", 0.0, 1)].concat(), "1 and 2 are both `a`"),
        ([unk(), piece(b"", 0.0, 1)].concat(), "the piece 1 is empty"),
        ([unk(), piece(b"\xff", 0.0, 1)].concat(), "piece 1: invalid utf-8"),
        ([unk(), piece(b"a", 0.0, 9)].concat(), "piece 1: the type 9"),
        ([unk(), bytes_field(2, &[0x18, 3])].concat(), "a model of type 3"),
        ([unk(), bytes_field(2, &[0xc0, 0x01, 1])].concat(), "suffixes of words"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01".to_vec(), "are left"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01".to_vec(), "more than 64 bits"),
        (b"\x0b".to_vec(), "wire type 3"),
        (charsmap(b"\xff"), "no size"),
        (charsmap(b"\xff\xff\xff\xff"), "cut off"),
        (charsmap(b"\x00\x00\x00\x00"), "the size of the trie"),
        (charsmap(&[4, 0, 0, 0, 0, 0, 0, 0]), "leads outside"),
        (charsmap(&wild), "leads outside"),
    ];
    for (bytes, expected) in cases {
        let message = refusal(&[("tokenizer.model", &bytes)]);
        assert!(message.contains(expected), "{expected} in {message}");
    }
}

#[test]
fn a_truncated_model_is_refused_or_whole() {
    for (folder, name) in [("t5", "spiece.model"), ("llama-model", "tokenizer.model")] {
        let bytes = fs::read(golden(folder).join(name)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        for len in (0..bytes.len()).step_by(131) {
            fs::write(dir.path().join(name), &bytes[..len]).unwrap();
            // A cut between two fields leaves a whole file with fewer of them.
            match Tokenizer::load(dir.path()) {
                Ok(tokenizer) => assert!(tokenizer.vocab_size() > 0),
                Err(error) => assert!(matches!(error, TokenizeError::Malformed { .. }), "{error}"),
            }
        }
    }
}

#[test]
fn hostile_ranks_are_refused() {
    let good = fs::read_to_string(golden("tiktoken").join("tiny.tiktoken")).unwrap();
    let with = |line: &str| format!("{good}{line}\n").into_bytes();
    let cases = [
        (Vec::new(), "the byte 0x00 is no token"),
        (with("YWJj"), "is not `token rank`"),
        (with("Y!== 700"), "is not base64"),
        (with(" 700"), "is not base64"),
        (with("YWJjZGVm x"), "the rank is no number"),
        (with("YWJjZGVm 99999999999999999999"), "the rank is no number"),
        (with("YWJjZGVm -1"), "the rank is no number"),
        (with("YWJjZGVm 3"), "two tokens have the rank 3"),
        (with("YQ== 700"), "again"),
        (with(&format!("{} 700", "YWJj".repeat(999))), "2997 bytes"),
        (b"\xff\xfe".to_vec(), "utf-8"),
    ];
    for (bytes, expected) in cases {
        let message = refusal(&[("x.tiktoken", &bytes)]);
        assert!(message.contains(expected), "{expected} in {message}");
    }
}

#[test]
fn hostile_word_lists_are_refused() {
    let cases: [(&[u8], &str); 5] = [
        (b"", "`unk_token`, `[UNK]`, is on no line"),
        (b"[UNK]\n[CLS]\na\n", "`sep_token`"),
        (b"[UNK]\n[CLS]\n[SEP]\na\na\n", "line 5: the token `a` is on line 4 too"),
        (b"[UNK]\n\xff\n", "utf-8"),
        (b"a\n\n\n", "line 3: the token `` is on line 2 too"),
    ];
    for (bytes, expected) in cases {
        let message = refusal(&[("vocab.txt", bytes)]);
        assert!(message.contains(expected), "{expected} in {message}");
    }
}

#[test]
fn hostile_settings_are_refused() {
    let words = b"[UNK]\n[CLS]\n[SEP]\na\n";
    let cases = [
        (r#"{"added_tokens_decoder": {"2": {"content": "x"}}}"#, "the id 2 of the added token `x`"),
        (r#"{"added_tokens_decoder": {"9": {"content": "a"}}}"#, "`a` has the id 3, and another"),
        (r#"{"added_tokens_decoder": {"9": {"content": ""}}}"#, "an added token is empty"),
        (r#"{"added_tokens_decoder": {"4000000000": {"content": "x"}}}"#, "not in 0 to"),
        (r#"{"cls_token": "nothing"}"#, "`cls_token`, `nothing`, is on no line"),
    ];
    for (config, expected) in cases {
        let message =
            refusal(&[("vocab.txt", words), ("tokenizer_config.json", config.as_bytes())]);
        assert!(message.contains(expected), "{expected} in {message}");
    }
    let message = refusal(&[("vocab.txt", words), ("tokenizer_config.json", b"{")]);
    assert!(message.contains("not JSON"), "{message}");
}

#[test]
fn files_of_a_class_that_is_not_known_are_refused() {
    let words: &[u8] = b"[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n";
    let japanese: &[u8] = br#"{"tokenizer_class": "BertJapaneseTokenizer"}"#;
    let map: &[u8] = br#"{"unk_token": "[UNK]"}"#;
    let cases: [(Files, &str); 3] = [
        (
            &[("vocab.txt", words), ("tokenizer_config.json", japanese)],
            "`tokenizer_class` is `BertJapaneseTokenizer`",
        ),
        (
            &[
                ("vocab.json", b"{\"a\":0}"),
                ("merges.txt", b""),
                ("tokenizer_config.json", japanese),
            ],
            "`tokenizer_class` is `BertJapaneseTokenizer`",
        ),
        (
            &[
                ("vocab.txt", words),
                ("special_tokens_map.json", map),
                ("config.json", br#"{"model_type": "albert"}"#),
            ],
            "words, where the model is of Albert",
        ),
    ];
    for (files, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        let error = Tokenizer::load(dir.path()).unwrap_err();
        assert!(matches!(error, TokenizeError::Unsupported { .. }), "{error}");
        assert!(error.to_string().ends_with(expected), "{error}");
    }
}

#[test]
fn hostile_pairs_of_files_are_refused() {
    let source = fs::read(golden("marian").join("source.spm")).unwrap();
    let cases: [(&[u8], &str); 3] = [
        (br#"{"a": 0}"#, "no unknown token"),
        (br#"{"<unk>": 0, "</s>": 5}"#, "have gaps"),
        (br#"{"<unk>": 0, "x": 1}"#, "`</s>`, which goes around a text"),
    ];
    for (vocab, expected) in cases {
        let message = refusal(&[("vocab.json", vocab), ("source.spm", &source)]);
        assert!(message.contains(expected), "{expected} in {message}");
    }
}

#[test]
fn charsmaps_in_a_tokenizer_file_are_looked_at() {
    let dir = model(&["t5"]);
    let tokenizer = Tokenizer::load(dir.path()).unwrap();
    let (name, json) = tokenizer.files().unwrap().swap_remove(0);
    let mut json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    json["normalizer"]["normalizers"][0]["precompiled_charsmap"] = "/////w==".into();
    let message = refusal(&[(name, json.to_string().as_bytes())]);
    assert!(message.contains("the trie is cut off"), "{message}");
}
