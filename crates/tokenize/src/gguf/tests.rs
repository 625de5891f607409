use std::fs;
use std::path::PathBuf;

use super::*;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn json(name: &str) -> Value {
    serde_json::from_slice(&fs::read(golden(name)).unwrap()).unwrap()
}

fn texts() -> Vec<String> {
    let texts = json("texts.json");
    texts.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn expected(folder: &str) -> Vec<Vec<u32>> {
    let ids = json(&format!("{folder}/golden.json"))["ids"].clone();
    let list = |ids: &Value| -> Vec<u32> {
        ids.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
    };
    ids.as_array().unwrap().iter().map(list).collect()
}

fn load(vocab: &GgufVocab) -> Result<Tokenizer, TokenizeError> {
    Tokenizer::from_gguf(Path::new("tiny.gguf"), vocab)
}

fn pieces(folder: &str, name: &str) -> GgufVocab {
    let model = Model::read(&fs::read(golden(folder).join(name)).unwrap()).unwrap();
    let number = |role| {
        let roles = [Role::Normal, Role::Unknown, Role::Control, Role::UserDefined, Role::Unused];
        roles.iter().position(|r| *r == role).map_or(6, |at| at as i32 + 1)
    };
    GgufVocab {
        tokens: model.pieces.iter().map(|piece| piece.text.clone()).collect(),
        scores: model.pieces.iter().map(|piece| piece.score).collect(),
        token_types: model.pieces.iter().map(|piece| number(piece.role)).collect(),
        charsmap: model.charsmap,
        ..GgufVocab::default()
    }
}

fn ending(eos: Option<u32>) -> SpecialIds {
    SpecialIds { eos, ..SpecialIds::default() }
}

fn llama() -> GgufVocab {
    let vocab = pieces("llama-model", "tokenizer.model");
    let (bos, eos, unk) = (Some(1), Some(2), Some(0));
    let special = SpecialIds { bos, eos, unk, ..SpecialIds::default() };
    GgufVocab { model: "llama".to_owned(), special, ..vocab }
}

fn gpt2() -> GgufVocab {
    let vocab = json("byte-level/vocab.json");
    let mut tokens: Vec<(u64, String)> = vocab
        .as_object()
        .unwrap()
        .iter()
        .map(|(t, id)| (id.as_u64().unwrap(), t.clone()))
        .collect();
    tokens.sort();
    let merges = fs::read_to_string(golden("byte-level/merges.txt")).unwrap();
    GgufVocab {
        model: "gpt2".to_owned(),
        pre: Some("gpt-2".to_owned()),
        tokens: tokens.into_iter().map(|(_, token)| token).collect(),
        merges: merges.lines().skip(1).map(str::to_owned).collect(),
        special: ending(Some(5)),
        ..GgufVocab::default()
    }
}

#[test]
fn ids_are_those_of_the_other_formats() {
    let t5 = GgufVocab {
        model: "t5".to_owned(),
        special: SpecialIds { unk: Some(2), ..ending(Some(1)) },
        ..pieces("t5", "spiece.model")
    };
    let words = fs::read_to_string(golden("bert/vocab.txt")).unwrap();
    let word = |word: &str| match word.strip_prefix("##") {
        Some(tail) => tail.to_owned(),
        None if word.starts_with('[') && word.len() > 1 => word.to_owned(),
        None => format!("{SPACE}{word}"),
    };
    let bert = GgufVocab {
        model: "bert".to_owned(),
        tokens: words.lines().map(word).collect(),
        ..GgufVocab::default()
    };
    let qwen2 = GgufVocab { pre: Some("qwen2".to_owned()), ..gpt2() };
    let cases =
        [(llama(), "llama"), (gpt2(), "gpt2"), (qwen2, "qwen2"), (t5, "t5"), (bert, "bert")];
    for (vocab, folder) in cases {
        let tokenizer = load(&vocab).unwrap_or_else(|error| panic!("{folder}: {error}"));
        for (text, wanted) in texts().iter().zip(expected(folder)) {
            assert_eq!(tokenizer.encode(text).unwrap(), wanted, "{folder} {text:?}");
        }
    }
}

#[test]
fn flags_say_what_goes_around() {
    let single = |vocab: &GgufVocab| load(vocab).unwrap().encode_for_model("a", None).unwrap().ids;
    let plain = load(&llama()).unwrap().encode("a").unwrap();
    assert_eq!(single(&llama()), [&[1], plain.as_slice()].concat());
    let both = GgufVocab { add_eos: Some(true), ..llama() };
    assert_eq!(single(&both), [&[1], plain.as_slice(), &[2]].concat());
    assert_eq!(load(&llama()).unwrap().beginning(), Some(1));
    let none = GgufVocab { add_bos: Some(false), ..llama() };
    assert_eq!(single(&none), plain);
}

#[test]
fn control_tokens_are_special_and_ids_have_their_names() {
    let mut vocab = gpt2();
    vocab.token_types = vec![1; vocab.tokens.len()];
    vocab.token_types[5] = 3;
    let tokenizer = load(&vocab).unwrap();
    assert!(tokenizer.is_special(5));
    assert_eq!(tokenizer.end_of_text(), Some(5));
    assert_eq!(tokenizer.encode_with_specials("<|endoftext|>").unwrap(), [5]);
    assert!(!tokenizer.encode("<|endoftext|>").unwrap().contains(&5));
}

#[test]
fn hostile_pieces_are_refused() {
    let refuse = |vocab: GgufVocab, expected: &str| {
        let error = load(&vocab).unwrap_err();
        assert!(error.to_string().contains(expected), "{expected} in {error}");
        assert!(error.to_string().contains("tiny.gguf") && error.hint().is_some(), "{error}");
    };
    refuse(GgufVocab::default(), "`tokenizer.ggml.model` is ``");
    refuse(GgufVocab { pre: Some("mine".to_owned()), ..gpt2() }, "`tokenizer.ggml.pre` is `mine`");
    refuse(
        GgufVocab { special: ending(Some(9999)), ..gpt2() },
        "`eos_token` is 9999, which is no token",
    );
    refuse(GgufVocab { merges: vec!["a zz".to_owned()], ..gpt2() }, "merge 0: `zz`");
    refuse(
        GgufVocab { tokens: vec!["a".to_owned(); 2], special: ending(None), ..gpt2() },
        "0 and 1 are both `a`",
    );
    refuse(GgufVocab { token_types: vec![1], ..gpt2() }, "and 1 of `token_type`");
    refuse(GgufVocab { scores: vec![], ..llama() }, "and 0 of `scores`");
    let none = GgufVocab { tokens: vec![], scores: vec![], token_types: vec![], ..llama() };
    refuse(none, "`bos_token` is 1");
    let mut nan = llama();
    nan.scores[300] = f32::NAN;
    refuse(nan, "the score of piece 300");
    let mut odd = llama();
    odd.token_types[300] = 77;
    refuse(odd, "the token 300 has the type 77");
}
