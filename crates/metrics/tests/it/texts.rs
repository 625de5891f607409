//! Translations, summaries, transcripts and answers.

use std::collections::BTreeMap;

use metrics::bleu::{Bleu, BleuStats, Smoothing, Tokenizer};
use metrics::chrf::{Chrf, ChrfStats};
use metrics::edits::Edits;
use metrics::reading::{Answered, Choice, multirc, normalize, squad, squad2};
use metrics::rouge::Rouge;
use metrics::{registry, ter};
use serde_json::Value;

use crate::golden::{Case, all_close, cases, close, strings, whole};

fn tokenizer(name: &str) -> Tokenizer {
    match name {
        "none" => Tokenizer::None,
        "13a" => Tokenizer::V13a,
        "intl" => Tokenizer::Intl,
        "zh" => Tokenizer::Zh,
        _ => Tokenizer::Char,
    }
}

#[test]
fn words_are_as_in_sacrebleu() {
    for case in cases("tokenized") {
        for (name, words) in case.raw("words").as_object().unwrap() {
            let found = tokenizer(name).words(case.text("text"));
            assert_eq!(found, strings(words), "{name} {:?}", case.text("text"));
        }
    }
}

/// How BLEU is computed; then the score, precisions and the brevity penalty.
type Expected = (String, String, Option<f64>, bool, bool, f64, Vec<f64>, f64);

/// A corpus: each text with its references.
fn corpus(case: &Case) -> Vec<(&'static str, Vec<&'static str>)> {
    case.texts("hypotheses").into_iter().zip(case.lists("references")).collect()
}

#[test]
fn bleu_is_as_in_sacrebleu() {
    for case in cases("translation") {
        let corpus = corpus(&case);
        for (name, smoothing, value, lowercase, effective_order, score, precisions, penalty) in
            case.get::<Vec<Expected>>("bleu")
        {
            let value = value.unwrap_or_default();
            let smoothing = match smoothing.as_str() {
                "none" => Smoothing::None,
                "exp" => Smoothing::Exp,
                "floor" => Smoothing::Floor(value),
                _ => Smoothing::AddK(value),
            };
            let tokenizer = tokenizer(&name);
            let bleu = Bleu { tokenizer, smoothing, lowercase, effective_order };
            let mut sum = BleuStats::default();
            for (text, right) in &corpus {
                sum += bleu.stats(text, right).unwrap();
            }
            let found = bleu.score(&sum);
            close(&name, found.score, score, 1e-12);
            all_close(&name, &found.precisions, &precisions);
            close(&name, found.brevity_penalty, penalty, 1e-12);
        }
        let sentence = Bleu { effective_order: true, ..Bleu::default() };
        for ((text, right), expected) in corpus.iter().zip(case.get::<Vec<f64>>("sentences")) {
            let found = sentence.score(&sentence.stats(text, right).unwrap());
            close("sentence", found.score, expected, 1e-12);
        }
    }
}

#[test]
fn chrf_and_ter_are_as_in_sacrebleu() {
    for case in cases("translation") {
        let corpus = corpus(&case);
        for word_order in 0..3 {
            let chrf = Chrf { word_order, ..Chrf::default() };
            let mut sum = ChrfStats::default();
            for (text, right) in &corpus {
                sum += &chrf.stats(text, right).unwrap();
            }
            case.holds(&format!("chrf{word_order}"), chrf.score(&sum));
        }
        let mut sum = ter::TerStats::default();
        for (text, right) in &corpus {
            sum += ter::stats(text, right).unwrap();
        }
        case.holds("ter", ter::score(&sum));
    }
    for case in cases("ter") {
        let stats = ter::stats(case.text("hypothesis"), &[case.text("reference")]).unwrap();
        case.holds("ter", ter::score(&stats));
    }
}

#[test]
fn rouge_is_as_in_rouge_score() {
    for case in cases("rouge") {
        let (right, text) = (case.text("reference"), case.text("hypothesis"));
        let rouge = Rouge { stem: case.get("stem") };
        let found = [
            rouge.n(right, text, 1),
            rouge.n(right, text, 2),
            rouge.l(right, text).unwrap(),
            rouge.l_sum(right, text).unwrap(),
        ];
        for (found, expected) in found.iter().zip(case.get::<Vec<Vec<f64>>>("scores")) {
            all_close("rouge", &[found.precision, found.recall, found.f1], &expected);
        }
    }
}

#[test]
fn stems_are_as_in_nltk() {
    let stems: BTreeMap<String, String> = whole("stems");
    assert!(stems.len() > 500);
    for (word, stem) in stems {
        assert_eq!(metrics::rouge::stem(&word), stem, "{word}");
    }
}

#[test]
fn error_rates_are_as_in_jiwer() {
    for case in cases("edits") {
        let (right, text) = (case.texts("references"), case.texts("hypotheses"));
        let mut sums = [Edits::default(); 2];
        for (right, text) in right.iter().zip(&text) {
            sums[0] += Edits::words(right, text).unwrap();
            sums[1] += Edits::chars(right, text).unwrap();
        }
        case.holds("wer", sums[0].rate().unwrap());
        case.holds("cer", sums[1].rate().unwrap());
    }
}

#[test]
fn answers_are_as_in_the_official_scripts() {
    for case in cases("reading") {
        let read = |question: &'static Value| Answered {
            answers: strings(&question[0]),
            prediction: question[1].as_str().unwrap(),
            no_answer: question[2].as_f64().unwrap(),
        };
        let mut questions: Vec<Answered> =
            case.raw("questions").as_array().unwrap().iter().map(read).collect();
        let scores = case.raw("scores");
        let holds = |name: &str, found: f64| {
            close(name, found, scores[name].as_f64().unwrap(), 1e-12);
        };
        let found = squad2(&questions, 0.6).unwrap();
        holds("exact", found.all.exact);
        holds("f1", found.all.f1);
        for (prefix, part) in [("HasAns", found.has_answer), ("NoAns", found.no_answer)] {
            assert_eq!(part.is_some(), scores[format!("{prefix}_f1")].is_f64());
            if let Some(part) = part {
                holds(&format!("{prefix}_exact"), part.exact);
                holds(&format!("{prefix}_f1"), part.f1);
                holds(&format!("{prefix}_total"), part.n as f64);
            }
        }
        holds("best_exact", found.best_exact.score);
        holds("best_exact_thresh", found.best_exact.threshold);
        holds("best_f1", found.best_f1.score);
        holds("best_f1_thresh", found.best_f1.threshold);
        questions.retain(|question| !question.answers.is_empty());
        match squad(&questions) {
            Ok(found) => {
                holds("v1_exact", found.exact);
                holds("v1_f1", found.f1);
            }
            Err(_) => assert!(questions.is_empty()),
        }
    }
    for (text, normal) in whole::<BTreeMap<String, String>>("normalized") {
        assert_eq!(normalize(&text), normal, "{text:?}");
    }
    for case in cases("multirc") {
        let read = |(question, truth, predicted)| Choice { question, truth, predicted };
        let choices = case.get::<Vec<(usize, bool, bool)>>("choices").into_iter().map(read);
        let found = multirc(&choices.collect::<Vec<_>>()).unwrap();
        case.holds("f1", found.answers.f1);
        case.holds("exact", found.exact);
    }
}

#[test]
fn names_give_what_the_functions_give() {
    let case = cases("translation").nth(2).unwrap();
    let (right, text) = (case.lists("references"), case.texts("hypotheses"));
    let value = |name: &str| (registry::of_texts(name).unwrap().compute)(&right, &text).unwrap();
    close("bleu", value("bleu"), case.raw("bleu")[0][5].as_f64().unwrap(), 1e-12);
    case.holds("chrf0", value("chrf"));
    case.holds("chrf2", value("chrf++"));
    case.holds("ter", value("ter"));
    for metric in registry::OF_TEXTS {
        let itself: Vec<&str> = right.iter().map(|right| right[0]).collect();
        let best = (metric.compute)(&right, &itself).unwrap();
        assert!(
            if metric.larger_is_better { best > 0.999 } else { best < 1e-9 },
            "{}",
            metric.name
        );
        assert!((metric.compute)(&[], &[]).is_err());
        assert!((metric.compute)(&[vec![]], &["x"]).is_err());
        assert!((metric.compute)(&[vec!["x"]], &[]).is_err());
    }
}
