use proptest::prelude::*;
use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

use super::*;

/// Words as the crate's regular expression has them.
fn expected(split: Split, text: &str) -> Vec<(usize, usize)> {
    let json = split.pre_tokenizer(false).to_string();
    let crate_s: tokenizers::PreTokenizerWrapper = serde_json::from_str(&json).unwrap();
    let mut words = PreTokenizedString::from(text);
    crate_s.pre_tokenize(&mut words).unwrap();
    let splits = words.get_splits(OffsetReferential::Original, OffsetType::Byte);
    splits.into_iter().map(|(_, offsets, _)| offsets).filter(|(from, to)| from < to).collect()
}

fn found(cut: Cut, text: &str) -> Vec<(usize, usize)> {
    let (mut words, mut at) = (Vec::new(), 0);
    cut.words(text, |_, from, to| {
        words.push((at, at + to - from));
        at += to - from;
    });
    assert_eq!(at, text.len());
    words
}

#[test]
fn every_character_alone_and_between_others() {
    for (split, cut) in Cut::KNOWN {
        for codes in (0..0x3_0000_u32).collect::<Vec<_>>().chunks(512) {
            let chars = codes.iter().filter_map(|&code| char::from_u32(code));
            let text: String = chars.flat_map(|c| [c, 'a', c, ' ', c, c, 'B', c, '\n']).collect();
            assert_eq!(found(cut, &text), expected(split, &text), "{split:?} from {}", codes[0]);
        }
    }
}

proptest! {
    #[test]
    fn words_are_matches(
        text in concat!(
            r"[ \t\r\n\x{85}\x{a0}/'a-eltrvmsdA-E\x{17f}019\x{b2}!.",
            r"\x{4e00}\x{301}\x{1c5}\x{2b0}\x{1f600}]{0,40}",
        )
    ) {
        for (split, cut) in Cut::KNOWN {
            prop_assert_eq!(found(cut, &text), expected(split, &text), "{:?}", split);
        }
    }
}
