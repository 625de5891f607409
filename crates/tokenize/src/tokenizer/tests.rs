use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::END_OF_TEXT;

const TEXT: &str = "The family of Dashwood had long been settled in Sussex.  Their estate\nwas \
    large, and their residence was at Norland Park, in the centre of\ntheir property, where, for \
    many generations, they had lived.\n\n\u{79e6}\u{5ddd}\u{96c4}\u{5e1d}\u{5b85}\u{ff0c}\
    \u{51fd}\u{8c37}\u{58ef}\u{7687}\u{5c45}\u{3002}\n";

fn trained(vocab_size: usize) -> Tokenizer {
    Tokenizer::train(std::iter::repeat_n(TEXT.to_owned(), 8), vocab_size).unwrap()
}

fn save(tokenizer: &Tokenizer, dir: &Path) {
    for (name, bytes) in tokenizer.files().unwrap() {
        fs::write(dir.join(name), bytes).unwrap();
    }
}

fn written(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join(name), text).unwrap();
}

#[test]
fn training_is_deterministic_whatever_the_threads() {
    let hash = |n_threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| trained(400).hash().to_owned())
    };
    assert_eq!(hash(1), hash(4));
    assert_ne!(trained(300).hash(), trained(301).hash());
}

#[test]
fn end_of_text_is_the_last_id() {
    let tokenizer = trained(300);
    assert_eq!(tokenizer.vocab_size(), 300);
    assert_eq!(tokenizer.end_of_text(), Some(299));
    assert!(tokenizer.is_special(299));
    let [a, b] = ["a", "b"].map(|text| tokenizer.encode(text).unwrap()[0]);
    assert_eq!(tokenizer.decode(&[a, 299, b]).unwrap(), "ab");
}

#[test]
fn a_small_corpus_gives_a_small_vocabulary() {
    let tokenizer = Tokenizer::train(["abab".to_owned()].into_iter(), 5000).unwrap();
    assert_eq!(tokenizer.vocab_size(), 258, "256 bytes, `ab`, end of text");
    let none = Tokenizer::train(std::iter::empty(), 257).unwrap();
    assert_eq!((none.vocab_size(), none.end_of_text()), (257, Some(256)));
}

#[test]
fn vocabulary_sizes_out_of_range_are_refused() {
    for vocab_size in [0, 256, usize::MAX] {
        let error = Tokenizer::train(std::iter::empty(), vocab_size).unwrap_err();
        assert!(matches!(error, TokenizeError::VocabSize { .. }), "{error}");
        assert!(error.hint().is_some());
    }
}

#[test]
fn text_cannot_inject_the_special_token() {
    let tokenizer = trained(400);
    for text in [END_OF_TEXT, "a<|endoftext|>b", "<|endoftext|><|endoftext|>"] {
        let ids = tokenizer.encode(text).unwrap();
        assert!(!ids.contains(&tokenizer.end_of_text().unwrap()), "{text}");
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
    }
}

#[test]
fn encoding_in_parts_changes_no_token() {
    let tokenizer = trained(400);
    let text = TEXT.repeat(2000) + " \n\n  end  ";
    let whole = tokenizer.plain.encode(&text).unwrap();
    assert!(parts(&text).len() > 4);
    assert_eq!(tokenizer.encode(&text).unwrap(), whole);
    assert_eq!(tokenizer.encode_batch(&[&text, ""]).unwrap(), [whole, vec![]]);
}

#[test]
fn a_saved_tokenizer_is_the_same_tokenizer() {
    let (dir, again) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let tokenizer = trained(350);
    save(&tokenizer, dir.path());
    let loaded = Tokenizer::load(dir.path()).unwrap();
    assert_eq!(loaded.hash(), tokenizer.hash());
    assert_eq!(loaded.end_of_text(), tokenizer.end_of_text());
    assert_eq!(loaded.encode(TEXT).unwrap(), tokenizer.encode(TEXT).unwrap());
    save(&loaded, again.path());
    for (name, bytes) in tokenizer.files().unwrap() {
        assert_eq!(fs::read(again.path().join(name)).unwrap(), bytes, "{name}");
    }
}

#[test]
fn an_empty_prefix_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let tokenizer = trained(300);
    let mut json: Value = serde_json::from_str(&tokenizer.to_json(false).unwrap()).unwrap();
    json["model"]["continuing_subword_prefix"] = "".into();
    json["model"]["end_of_word_suffix"] = "".into();
    written(dir.path(), "tokenizer.json", &json.to_string());
    let loaded = Tokenizer::load(dir.path()).unwrap();
    assert_eq!(loaded.hash(), tokenizer.hash());
    assert_eq!(loaded.encode(TEXT).unwrap(), tokenizer.encode(TEXT).unwrap());
}

#[test]
fn vocab_and_merges_give_the_same_tokenizer() {
    let dir = tempfile::tempdir().unwrap();
    let tokenizer = trained(350);
    let json: Value = serde_json::from_str(&tokenizer.to_json(false).unwrap()).unwrap();
    written(dir.path(), "vocab.json", &json["model"]["vocab"].to_string());
    let merges = json["model"]["merges"].as_array().unwrap();
    let line = |m: &Value| format!("{} {}\n", m[0].as_str().unwrap(), m[1].as_str().unwrap());
    let merges: String = merges.iter().map(line).collect();
    written(dir.path(), "merges.txt", &format!("#version: 0.2\n{merges}"));
    let loaded = Tokenizer::load(dir.path()).unwrap();
    assert_eq!(loaded.hash(), tokenizer.hash());
}

#[test]
fn the_configuration_names_the_end_token() {
    let dir = tempfile::tempdir().unwrap();
    save(&trained(300), dir.path());
    written(dir.path(), "tokenizer_config.json", r#"{"eos_token": {"content": "!"}}"#);
    let loaded = Tokenizer::load(dir.path()).unwrap();
    assert_eq!(loaded.end_of_text(), loaded.inner().token_to_id("!"));
    written(dir.path(), "tokenizer_config.json", r#"{"eos_token": "<nothing>"}"#);
    let error = Tokenizer::load(dir.path()).unwrap_err();
    assert!(error.to_string().contains("`<nothing>`, which is no token"), "{error}");
}

#[test]
fn streaming_gives_whole_characters_and_all_of_them() {
    let tokenizer = trained(257);
    let text = "a\u{e9}\u{6c34}\u{1f600}\u{fffd}b";
    let mut stream = tokenizer.decode_stream();
    let ids = tokenizer.encode(text).unwrap();
    let pieces: Vec<String> = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
    assert_eq!(pieces.concat(), text);
    assert!(pieces.iter().all(|piece| piece.chars().count() <= 1));
    let mut half = tokenizer.decode_stream();
    assert_eq!(half.push(ids[1]).unwrap(), "");
    assert_eq!(half.push(tokenizer.end_of_text().unwrap()).unwrap(), "");
    assert_eq!(half.push(9999).unwrap(), "");
    assert_eq!(half.finish().unwrap(), "\u{fffd}");
}

#[test]
fn a_word_vocabulary_streams_too() {
    let dir = tempfile::tempdir().unwrap();
    let json = r#"{"version":"1.0","added_tokens":[],"normalizer":null,
        "pre_tokenizer":{"type":"Whitespace"},"post_processor":null,"decoder":null,
        "model":{"type":"WordLevel","vocab":{"a":0,"b":1,"?":2},"unk_token":"?"}}"#;
    written(dir.path(), "tokenizer.json", json);
    let tokenizer = Tokenizer::load(dir.path()).unwrap();
    let mut stream = tokenizer.decode_stream();
    let mut text: String = [0, 1, 1, 0].map(|id| stream.push(id).unwrap()).concat();
    text.push_str(&stream.finish().unwrap());
    assert_eq!(text, tokenizer.decode(&[0, 1, 1, 0]).unwrap());
    assert_eq!(tokenizer.end_of_text(), None);
}

fn refusal(json: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), "tokenizer.json", json);
    let error = Tokenizer::load(dir.path()).unwrap_err();
    assert!(matches!(error, TokenizeError::Malformed { .. }), "{error}");
    assert!(error.hint().is_some());
    error.to_string()
}

fn bpe(vocab: &str, merges: &str, more: &str) -> String {
    format!(r#"{{"model":{{"type":"BPE","vocab":{vocab},"merges":{merges}{more}}}}}"#)
}

#[test]
fn hostile_files_are_refused_by_name() {
    let deep = "[".repeat(100_000);
    let cases = [
        (String::new(), "not JSON"),
        (deep, "recursion limit"),
        ("{}".to_owned(), "no `model`"),
        (r#"{"model":{"type":"BPE"}}"#.to_owned(), "`model.vocab` is missing"),
        (bpe("{}", "[]", ""), "empty"),
        (bpe(r#"{"a":0,"b":1}"#, r#"["a b"]"#, ""), "merge 0: `ab` is not in the vocabulary"),
        (bpe(r#"{"a":0,"ab":1}"#, r#"[["a","b"]]"#, ""), "merge 0: `b`"),
        (bpe(r#"{"a":0}"#, r#"["a"]"#, ""), "merge 0 is not a pair"),
        (bpe(r#"{"a":0}"#, "7", ""), "not a list"),
        (bpe(r#"{"a":4294967295}"#, "[]", ""), "the id of token `a`"),
        (bpe(r#"{"a":-1}"#, "[]", ""), "the id of token `a`"),
        (bpe(r#"{"a":0,"b":0}"#, "[]", ""), "two tokens have the id 0"),
        (bpe(r#"{"a":0}"#, "[]", r#","dropout":0.5"#), "random"),
        (
            bpe(r#"{"a":0,"b":1}"#, r#"["a b"]"#, r#","continuing_subword_prefix":"@@""#),
            "lacks the subword prefix",
        ),
    ];
    for (json, expected) in cases {
        let message = refusal(&json);
        assert!(message.contains(expected), "{expected} in {message}");
    }
}

#[test]
fn a_normalizer_or_decoder_that_multiplies_a_text_is_refused() {
    let doubles = r#"{"type":"Replace","pattern":{"String":"a"},"content":"aa"}"#;
    let nothing = r#"{"type":"Replace","pattern":{"Regex":""},"content":"aaa"}"#;
    let untold = r#"{"pattern":{"String":"a"},"content":"aa"}"#;
    let sequence = |step: &str, n: usize| {
        let steps = vec![step; n].join(",");
        format!(r#"{{"type":"Sequence","normalizers":[{steps}],"decoders":[{steps}]}}"#)
    };
    let long = format!(r#"{{"type":"Prepend","prepend":"{}"}}"#, "a".repeat(300));
    let nested = (0..9).fold(doubles.to_owned(), |inner, _| sequence(&inner, 1));
    let model = r#""model":{"type":"BPE","vocab":{"a":0},"merges":[]}"#;
    for (steps, expected) in [
        (sequence(doubles, 30), "may make a text more than 256 times longer"),
        (sequence(untold, 30), "may make a text more than 256 times longer"),
        (sequence(nothing, 5), "may make a text more than 256 times longer"),
        (sequence(&sequence(doubles, 3), 3), "may make a text more than 256 times longer"),
        (long, "may make a text more than 256 times longer"),
        (sequence(r#"{"type":"Lowercase"}"#, 65), "has more than 64 steps"),
        (nested, "or 8 levels of them"),
    ] {
        for part in ["normalizer", "decoder"] {
            let message = refusal(&format!(r#"{{"{part}":{steps},{model}}}"#));
            assert!(message.contains(expected), "{expected} in {message}");
        }
    }
    // What Llama has.
    let dir = tempfile::tempdir().unwrap();
    let steps = r#"{"type":"Prepend","prepend":"_"},
        {"type":"Replace","pattern":{"String":" "},"content":"___"}"#;
    let json = format!(r#"{{"normalizer":{},{model}}}"#, sequence(steps, 1));
    written(dir.path(), "tokenizer.json", &json);
    Tokenizer::load(dir.path()).unwrap();
}

#[test]
fn hostile_added_tokens_and_patterns_are_refused() {
    let tail = r#","model":{"type":"BPE","vocab":{"a":0},"merges":[]}}"#;
    let cases = [
        r#"{"added_tokens":[{"id":99999999999,"content":"x"}]"#,
        r#"{"added_tokens":{}"#,
        r#"{"version":"9.0""#,
        r#"{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"("},"behavior":"Isolated",
            "invert":false}"#,
        r#"{"normalizer":{"type":"Precompiled","precompiled_charsmap":"AAAA"}"#,
    ];
    for head in cases {
        refusal(&format!("{head}{tail}"));
    }
}

#[test]
fn a_truncated_file_is_refused_at_every_length() {
    let json = trained(270).to_json(false).unwrap();
    for len in (0..json.len()).step_by(97) {
        if json.is_char_boundary(len) {
            refusal(&json[..len]);
        }
    }
}

#[test]
fn a_file_larger_than_any_tokenizer_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = fs::File::create(dir.path().join("tokenizer.json")).unwrap();
    file.set_len(1 << 40).unwrap();
    let TokenizeError::Read { source, .. } = Tokenizer::load(dir.path()).unwrap_err() else {
        panic!("read")
    };
    assert_eq!(source.kind(), std::io::ErrorKind::FileTooLarge);
}

#[test]
fn a_directory_without_a_tokenizer_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let error = Tokenizer::load(dir.path()).unwrap_err();
    assert!(matches!(error, TokenizeError::Missing { .. }), "{error}");
    assert!(error.hint().unwrap().contains("tokenizer.json"));
}

#[test]
fn hostile_merges_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), "vocab.json", r#"{"a":0,"b":1,"ab":2}"#);
    let cases: [(&[u8], &str); 3] =
        [(b"a b\na c\n", "merge 1"), (b"ab\n", "not a pair"), (b"a \xff\n", "utf-8")];
    for (merges, expected) in cases {
        fs::write(dir.path().join("merges.txt"), merges).unwrap();
        let error = Tokenizer::load(dir.path()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

proptest! {
    #[test]
    fn decoding_undoes_encoding(
        text in proptest::collection::vec(
            prop_oneof![
                any::<char>(), Just('\0'), Just(' '), Just('\n'), Just('\u{1f600}'),
                prop::char::range('\0', '\u{1f}'), prop::char::range('\u{4e00}', '\u{9fff}'),
            ],
            0..200,
        ).prop_map(|chars| chars.into_iter().collect::<String>())
    ) {
        static TOKENIZER: OnceLock<Tokenizer> = OnceLock::new();
        let tokenizer = TOKENIZER.get_or_init(|| trained(400));
        let ids = tokenizer.encode(&text).unwrap();
        prop_assert_eq!(&tokenizer.decode(&ids).unwrap(), &text);
        let mut stream = tokenizer.decode_stream();
        let mut streamed: String = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
        streamed.push_str(&stream.finish().unwrap());
        prop_assert_eq!(&streamed, &text);
        let cut = safe_cut(&text, text.len() / 2);
        if text[..cut].chars().count() > 1 && text[cut..].starts_with(char::is_whitespace) {
            let mut halves = tokenizer.encode(&text[..cut]).unwrap();
            halves.extend(tokenizer.encode(&text[cut..]).unwrap());
            prop_assert_eq!(halves, ids);
        }
    }
}
