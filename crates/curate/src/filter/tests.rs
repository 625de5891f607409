use serde_json::Value;

use super::*;

/// Our name of a reason of `datatrove`.
fn ours(reason: &str) -> &str {
    match reason {
        "gopher_short_doc" => "gopher.too_few_words",
        "gopher_long_doc" => "gopher.too_many_words",
        "gopher_below_avg_threshold" => "gopher.short_words",
        "gopher_above_avg_threshold" => "gopher.long_words",
        "gopher_too_many_hashes" => "gopher.too_many_hashes",
        "gopher_too_many_ellipsis" => "gopher.too_many_ellipses",
        "gopher_too_many_bullets" => "gopher.too_many_bullets",
        "gopher_too_many_end_ellipsis" => "gopher.too_many_ellipsis_lines",
        "gopher_below_alpha_threshold" => "gopher.too_few_letters",
        "gopher_enough_stop_words" => "gopher.too_few_stop_words",
        "dup_para_frac" => "repetition.paragraphs",
        "dup_para_char_frac" => "repetition.paragraph_chars",
        "dup_line_frac" => "repetition.lines",
        "dup_line_char_frac" => "repetition.line_chars",
        "top_2_gram" => "repetition.top_2_gram",
        "top_3_gram" => "repetition.top_3_gram",
        "top_4_gram" => "repetition.top_4_gram",
        "duplicated_5_n_grams" => "repetition.5_grams",
        "duplicated_6_n_grams" => "repetition.6_grams",
        "duplicated_7_n_grams" => "repetition.7_grams",
        "duplicated_8_n_grams" => "repetition.8_grams",
        "duplicated_9_n_grams" => "repetition.9_grams",
        "duplicated_10_n_grams" => "repetition.10_grams",
        "too_few_sentences" => "c4.too_few_sentences",
        "lorem_ipsum" => "c4.lorem_ipsum",
        "curly_bracket" => "c4.curly_bracket",
        "line_punct_ratio" => "fineweb.too_few_end_marks",
        "short_line_ratio" => "fineweb.short_lines",
        "char_dup_ratio" => "fineweb.duplicate_lines",
        "list_ratio" => "fineweb.list",
        reason => reason,
    }
}

/// Written by `golden/verdicts.py`.
#[test]
fn verdicts_are_those_of_datatrove() {
    let filter = Filter::default();
    let (mut wrong, mut n_texts) = (Vec::new(), 0);
    for line in include_str!("../../tests/golden/verdicts.jsonl").lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = line["text"].as_str().unwrap();
        let words = Words::new(text, usize::MAX).unwrap();
        let left = filter.c4.trim(text, &mut Notes::default());
        let verdicts = [
            ("gopher", filter.gopher.check(text, &words, "")),
            ("repetition", filter.repetition.check(text, &words)),
            ("c4", left.as_ref().map(drop).map_err(|&reason| reason)),
            ("fineweb", filter.fineweb.check(text)),
        ];
        for (name, verdict) in verdicts {
            let expected = ours(line[name].as_str().unwrap());
            let found = verdict.err().unwrap_or_default();
            if found != expected {
                wrong.push(format!("{name}: {found:?}, expected {expected:?}: {text:?}"));
            }
        }
        if let Ok(left) = left {
            assert_eq!(left.as_deref(), line["left"].as_str(), "{text:?}");
        }
        n_texts += 1;
    }
    assert_eq!(wrong, [""; 0], "of {n_texts}");
}

fn judged(text: &str, language: &str) -> (Result<(), Reason>, String, Notes) {
    let mut document =
        Document { text: text.into(), language: language.into(), ..Document::default() };
    let mut notes = Notes::default();
    let verdict = Filter::default().judge(&mut document, &mut notes);
    (verdict, document.text, notes)
}

#[test]
fn lines_that_go_are_counted() {
    let kept = "It is a truth that a man with a fortune must be in want of a wife, they say.\n\
        However little known his feelings may be on his first entering a new place.\n\
        That truth is so well fixed in the minds of the families that live around here!\n\
        He is the property of some one or other of their daughters, is he not?\n\
        And so the long story of the house and all of the people in it began anew.\n";
    let text = format!(
        "{kept}Enable JavaScript to go on with this.\nWe use cookies on this site.\nHome\n"
    );
    let (verdict, left, notes) = judged(&text, "en");
    assert_eq!(verdict, Ok(()));
    assert_eq!(left, kept.trim_end());
    for reason in ["c4.line.javascript", "c4.line.policy", "c4.line.no_end_mark"] {
        assert_eq!(notes.n(reason), 1, "{reason}");
    }
    let (verdict, left, notes) = judged("Too short.", "en");
    assert_eq!((verdict, left.as_str()), (Err("gopher.too_few_words"), "Too short."));
    assert_eq!(notes, Notes::default());
}

#[test]
fn chinese_is_not_refused_for_its_script() {
    let text = "\u{660e}\u{6708}\u{51e0}\u{65f6}\u{6709}\u{ff0c}\u{628a}\u{9152}\u{95ee}\u{9752}\
        \u{5929}\u{3002}\u{4e0d}\u{77e5}\u{5929}\u{4e0a}\u{5bab}\u{9619}\u{ff0c}\u{4eca}\
        \u{5915}\u{662f}\u{4f55}\u{5e74}\u{3002}\u{6211}\u{6b32}\u{4e58}\u{98ce}\u{5f52}\
        \u{53bb}\u{ff0c}\u{53c8}\u{6050}\u{743c}\u{697c}\u{7389}\u{5b87}\u{3002}\u{9ad8}\
        \u{5904}\u{4e0d}\u{80dc}\u{5bd2}\u{ff0c}\u{8d77}\u{821e}\u{5f04}\u{6e05}\u{5f71}\
        \u{3002}\u{4f55}\u{4f3c}\u{5728}\u{4eba}\u{95f4}\u{ff1f}\u{4e0d}\u{5e94}\u{6709}\
        \u{6068}\u{ff0c}\u{4f55}\u{4e8b}\u{957f}\u{5411}\u{522b}\u{65f6}\u{5706}\u{ff1f}\
        \u{4eba}\u{6709}\u{60b2}\u{6b22}\u{79bb}\u{5408}\u{ff0c}\u{6708}\u{6709}\u{9634}\
        \u{6674}\u{5706}\u{7f3a}\u{ff0c}\u{6b64}\u{4e8b}\u{53e4}\u{96be}\u{5168}\u{3002}";
    assert_eq!(judged(text, "zh"), (Ok(()), text.to_owned(), Notes::default()));
    assert_eq!(judged(text, "").0, Err("gopher.too_few_stop_words"));
}

#[test]
fn hostile_texts_have_a_verdict() {
    let mebi = 1 << 20;
    for (text, expected) in [
        (String::new(), "empty"),
        (" \n\t\u{3000}".into(), "empty"),
        ("\0".repeat(mebi), "gopher.too_many_words"),
        ("!".repeat(mebi), "gopher.too_many_words"),
        ("x".repeat(100 * mebi), "gopher.too_few_words"),
        ("\u{4e00}".repeat(mebi), "gopher.too_many_words"),
        ("\u{301}".repeat(mebi), "gopher.too_few_words"),
        ("a:\u{301}".repeat(mebi), "gopher.too_few_words"),
        ("[1".repeat(mebi), "gopher.too_many_words"),
    ] {
        assert_eq!(judged(&text, "").0, Err(expected), "{:?}", text.get(..9));
    }
}

#[test]
fn a_recipe_is_held_to_its_fields() {
    let filter: Filter = toml::from_str("[gopher]\nmin_words = 7\n[c4]\nend_marks = ''").unwrap();
    assert_eq!((filter.gopher.min_words, filter.gopher.max_words), (7, 100_000));
    assert!(toml::from_str::<Filter>("[gopher]\nmin_wrods = 7").is_err());
}
