//! Porter's stemmer, as NLTK extends it and `rouge_score` uses it.
//!
//! Porter, "An algorithm for suffix stripping", 1980. Words of `a` to `z` and digits, longer than
//! three letters.

use std::borrow::Cow;

/// Words that are not stemmed by rules.
const IRREGULAR: &[(&str, &str)] = &[
    ("skies", "sky"),
    ("dying", "die"),
    ("lying", "lie"),
    ("tying", "tie"),
    ("news", "news"),
    ("innings", "inning"),
    ("inning", "inning"),
    ("outings", "outing"),
    ("outing", "outing"),
    ("cannings", "canning"),
    ("canning", "canning"),
    ("howe", "howe"),
    ("proceed", "proceed"),
    ("exceed", "exceed"),
    ("succeed", "succeed"),
];

/// Step 2: endings and what becomes of them. The `l` of `logi` belongs to the stem.
const DOUBLE: &str = "ational ate tional tion enci ence anci ance izer ize bli ble alli al \
    entli ent eli e ousli ous ization ize ation ate ator ate alism al iveness ive fulness ful \
    ousness ous aliti al iviti ive biliti ble fulli ful logi log";
/// Step 3; a dash is nothing.
const SINGLE: &str = "icate ic ative - alize al iciti ic ical ic ful - ness -";
/// Step 4: endings that go.
const LAST: &str = "al ance ence er ic able ible ant ement ment ent ion ou ism ate iti ous ive ize";

/// What is left of a word without its endings.
pub fn stem(word: &str) -> Cow<'_, str> {
    if let Some((_, stem)) = IRREGULAR.iter().find(|(irregular, _)| *irregular == word) {
        return Cow::Borrowed(stem);
    }
    let word = past(plural(word));
    let word = match word.strip_suffix('y') {
        Some(stem) if stem.len() > 1 && ends_in_consonant(stem) => format!("{stem}i"),
        _ => word,
    };
    let word = replaced(&double(word), SINGLE, |stem, _| measure(stem) > 0);
    let word = without_last(&word);
    Cow::Owned(tidied(word))
}

/// Step 1a.
fn plural(word: &str) -> &str {
    let short = word.len() == 4 && word.ends_with("ies");
    if short || word.ends_with("ss") {
        return word.strip_suffix('s').filter(|_| short).unwrap_or(word);
    }
    let cut = if word.ends_with("sses") || word.ends_with("ies") { 2 } else { 1 };
    if word.ends_with('s') { &word[..word.len() - cut] } else { word }
}

/// Step 1b.
fn past(word: &str) -> String {
    if word.ends_with("ied") {
        return word[..word.len() - if word.len() == 4 { 1 } else { 2 }].to_owned();
    }
    if let Some(stem) = word.strip_suffix("eed") {
        let cut = usize::from(measure(stem) > 0);
        return word[..word.len() - cut].to_owned();
    }
    let stems = ["ed", "ing"].iter().filter_map(|ending| word.strip_suffix(ending));
    let Some(stem) = { stems }.find(|stem| consonants(stem).contains(&false)) else {
        return word.to_owned();
    };
    let is_double = ends_in_double(stem);
    if ["at", "bl", "iz"].iter().any(|ending| stem.ends_with(ending)) {
        format!("{stem}e")
    } else if is_double && !stem.ends_with(['l', 's', 'z']) {
        stem[..stem.len() - 1].to_owned()
    } else if !is_double && measure(stem) == 1 && ends_in_cvc(stem) {
        format!("{stem}e")
    } else {
        stem.to_owned()
    }
}

/// Step 2.
fn double(mut word: String) -> String {
    while let Some(stem) = word.strip_suffix("alli").filter(|stem| measure(stem) > 0) {
        word = format!("{stem}al");
    }
    replaced(&word, DOUBLE, |stem, ending| {
        let n_kept = stem.len() + usize::from(ending == "logi");
        measure(&word[..n_kept]) > 0
    })
}

/// Step 4.
fn without_last(word: &str) -> &str {
    let Some(stem) = LAST.split_ascii_whitespace().find_map(|ending| word.strip_suffix(ending))
    else {
        return word;
    };
    let is_ion = word.ends_with("ion");
    let goes = measure(stem) > 1 && (!is_ion || stem.ends_with(['s', 't']));
    if goes { stem } else { word }
}

/// Step 5.
fn tidied(word: &str) -> String {
    let word = match word.strip_suffix('e') {
        Some(stem) if measure(stem) > 1 => stem,
        Some(stem) if measure(stem) == 1 && !ends_in_cvc(stem) => stem,
        _ => word,
    };
    let cut = usize::from(word.ends_with("ll") && measure(&word[..word.len() - 1]) > 1);
    word[..word.len() - cut].to_owned()
}

/// The first ending of a list that the word has is replaced, if the stem before it allows that.
fn replaced(word: &str, rules: &str, allows: impl Fn(&str, &str) -> bool) -> String {
    let mut rules = rules.split_ascii_whitespace();
    while let (Some(ending), Some(new)) = (rules.next(), rules.next()) {
        if let Some(stem) = word.strip_suffix(ending) {
            let new = if new == "-" { "" } else { new };
            return if allows(stem, ending) { format!("{stem}{new}") } else { word.to_owned() };
        }
    }
    word.to_owned()
}

/// Of each letter, whether it is a consonant. A `y` is one where none is before it.
fn consonants(word: &str) -> Vec<bool> {
    let mut before = false;
    let is = |c: u8| {
        before = match c {
            b'a' | b'e' | b'i' | b'o' | b'u' => false,
            b'y' => !before,
            _ => true,
        };
        before
    };
    word.bytes().map(is).collect()
}

/// How often a consonant follows a vowel.
fn measure(stem: &str) -> usize {
    consonants(stem).windows(2).filter(|pair| *pair == [false, true]).count()
}

fn ends_in_consonant(word: &str) -> bool {
    consonants(word).last() == Some(&true)
}

fn ends_in_double(word: &str) -> bool {
    let bytes = word.as_bytes();
    bytes.len() > 1 && bytes[bytes.len() - 1] == bytes[bytes.len() - 2] && ends_in_consonant(word)
}

/// Consonant, vowel, consonant other than `w`, `x`, `y`; or a word of a vowel and a consonant.
fn ends_in_cvc(word: &str) -> bool {
    let consonants = consonants(word);
    consonants.ends_with(&[true, false, true]) && !word.ends_with(['w', 'x', 'y'])
        || consonants == [false, true]
}
