use std::sync::LazyLock;

use proptest::prelude::*;
use testing::odd_texts;

use super::*;
use crate::formats::patterns::Split;

/// A vocabulary of all bytes and merges that a text of many scripts teaches.
static TRAINED: LazyLock<crate::Tokenizer> = LazyLock::new(|| {
    let texts = odd_texts().into_iter().chain([TRAPS.concat()]);
    crate::Tokenizer::train(texts.flat_map(|text| [text.clone(), text]), 3000).unwrap()
});

const TRAPS: [&str; 12] = [
    "it's IT'S we'LL 'tis '\u{17f} '\u{17f}x l'ART ''s d'",
    "a  b   c\n\n  d \r\n\r\n\te\u{85}f\u{a0}\u{a0}g \u{3000}\u{3000}",
    "1234567890 12 \u{664}\u{665}\u{666}\u{667} x\u{b2}\u{2167}",
    "ABCdef AbCdE ABC's \u{1c5}a a\u{1c5}\u{2b0}\u{2b0}A \u{4e00}A\u{4e00}a",
    "\u{301}a A\u{301}B \u{301}\u{301}AB e\u{301}\u{301} !\u{301}a !!\u{301} \u{301}",
    "\u{4f60}\u{597d}\u{ff0c}\u{4e16}\u{754c}\u{3002}\n\u{4f60}",
    "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} \u{1f1e8}\u{1f1f3}",
    "fn main() { println!(\"{}\", x[0]); }\n// a/b/\n/\r\n",
    "\u{ac00}\u{1100}\u{1161} \u{212b} \u{f900} \u{fb01} a\u{327}\u{301} >\u{338}",
    "\0\u{1}\u{1b}[0m\u{7f}\u{ffff}\u{10ffff}\u{fffd}\u{feff}",
    "<|endoftext|><tool_call>x</tool_call> <|im_start|>",
    "                                        x",
];

/// The trained vocabulary with another way to cut, and with other fields of the model.
fn with(split: Split, change: impl FnOnce(&mut Value)) -> tokenizers::Tokenizer {
    let mut json: Value = serde_json::from_str(&TRAINED.to_json(false).unwrap()).unwrap();
    json["pre_tokenizer"] = split.pre_tokenizer(false);
    change(&mut json);
    let mut inner: tokenizers::Tokenizer = json.to_string().parse().unwrap();
    inner.set_encode_special_tokens(true);
    inner
}

fn all() -> Vec<(Bpe, tokenizers::Tokenizer)> {
    let of = |inner| (Bpe::of(&inner).unwrap(), inner);
    let mut all: Vec<_> = Cut::KNOWN.map(|(split, _)| of(with(split, |_| {}))).into();
    all.push(of(with(Cut::KNOWN[3].0, |json| {
        json["normalizer"] = json!({ "type": "NFC" });
        json["model"]["ignore_merges"] = true.into();
        let token = json!({
            "id": 4000, "content": "<tool_call>", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": false,
        });
        json["added_tokens"].as_array_mut().unwrap().push(token);
    })));
    // A token that is no merge's, and bytes that are none.
    all.push(of(with(Split::Gpt2, |json| {
        let vocab = json["model"]["vocab"].as_object_mut().unwrap();
        vocab.insert("xyzzy".to_owned(), 5000.into());
        let lost = ["\u{100}", "Y", "\u{12f}"];
        let merges = json["model"]["merges"].as_array_mut().unwrap();
        let has = |part: &Value| lost.iter().any(|lost| part.as_str().unwrap().contains(lost));
        merges.retain(|merge| !has(&merge[0]) && !has(&merge[1]));
        json["model"]["vocab"]
            .as_object_mut()
            .unwrap()
            .retain(|token, _| !lost.iter().any(|lost| token.contains(lost)));
    })));
    all
}

fn expected(inner: &tokenizers::Tokenizer, text: &str) -> Vec<u32> {
    inner.encode_fast(text, false).unwrap().get_ids().to_vec()
}

fn check(bpe: &Bpe, inner: &tokenizers::Tokenizer, text: &str) {
    let Some(ids) = bpe.encode(text) else {
        assert!(text.contains("<tool_call>"));
        return;
    };
    assert_eq!(ids, expected(inner, text), "{:?} of {text:?}", bpe.cut);
}

#[test]
fn ids_are_those_of_the_crate() {
    for (bpe, inner) in all() {
        let texts = odd_texts();
        for text in texts.iter().map(String::as_str).chain(TRAPS).chain(["", " ", "\n", "xyzzy"]) {
            check(&bpe, &inner, text);
        }
        check(&bpe, &inner, &texts[..texts.len() / 4].concat().replace("<tool_call>", ""));
    }
}

#[test]
fn parts_change_no_token() {
    let text = TRAPS.concat().replace("<tool_call>", "").repeat(1200);
    assert!(parts(&text).len() > 3);
    assert_eq!(parts(&text).concat(), text);
    for (bpe, _) in all() {
        let ids = bpe.encode(&text).unwrap();
        assert!(ids == bpe.part(&if bpe.is_nfc { nfc(&text) } else { text.as_str().into() }));
    }
}

#[test]
fn a_long_run_is_one_word_and_no_trap() {
    for run in ["a", " ", "\n", "A", "1", "\u{4e00}", "ab", "!", "\u{301}", "aA", "\r\n "] {
        // As the crate has it, where the crate's regular expression does not give up.
        let (text, long) = (run.repeat(5_000), run.repeat(400_000) + "x");
        for (bpe, inner) in all() {
            check(&bpe, &inner, &text);
            assert!(bpe.encode(&long).unwrap().len() > 1000);
        }
    }
}

#[test]
fn what_is_not_known_is_left_alone() {
    let refused = |change: &dyn Fn(&mut Value)| Bpe::of(&with(Split::Gpt2, change)).is_none();
    assert!(!refused(&|_| {}));
    assert!(refused(&|json| json["normalizer"] = json!({ "type": "NFKC" })));
    assert!(refused(&|json| json["pre_tokenizer"]["add_prefix_space"] = true.into()));
    assert!(refused(&|json| json["pre_tokenizer"]["use_regex"] = false.into()));
    assert!(refused(&|json| json["pre_tokenizer"] = json!({ "type": "Whitespace" })));
    assert!(refused(&|json| json["model"]["end_of_word_suffix"] = "</w>".into()));
    // Nothing is unknown where every byte is a token.
    assert!(!refused(&|json| json["model"]["unk_token"] = "Y".into()));
    assert!(refused(&|json| {
        json["model"]["unk_token"] = "Y".into();
        json["model"]["vocab"].as_object_mut().unwrap().remove("\u{100}");
        json["model"]["merges"] = json!([]);
    }));
    let other = Split::Pattern(r"\p{L}+|\P{L}+");
    assert!(Bpe::of(&with(other, |_| {})).is_none());
}

proptest! {
    #[test]
    fn any_text(chars in proptest::collection::vec(
        prop_oneof![
            any::<char>(), prop::sample::select(TRAPS.concat().chars().collect::<Vec<_>>()),
            prop::char::range('\0', '\u{7f}'), Just(' '), Just('\''), Just('s'), Just('\n'),
        ],
        0..120,
    )) {
        static ALL: LazyLock<Vec<(Bpe, tokenizers::Tokenizer)>> = LazyLock::new(all);
        let text: String = chars.into_iter().collect();
        for (bpe, inner) in ALL.iter() {
            if let Some(ids) = bpe.encode(&text) {
                prop_assert_eq!(ids, expected(inner, &text), "{:?}", bpe.cut);
            }
        }
    }
}
