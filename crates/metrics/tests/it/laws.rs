//! What holds of any input, and input that nobody should give.

use metrics::bleu::{Bleu, Tokenizer};
use metrics::calibration::{Binning, bins, temperature};
use metrics::chrf::Chrf;
use metrics::classes::{Classes, confusion};
use metrics::edits::Edits;
use metrics::paired::{Discordant, randomisation, t_test, wilcoxon};
use metrics::probabilities::{auroc, brier, log_loss};
use metrics::ranking::Ranked;
use metrics::reading::{Answered, multirc, normalize, squad, squad2};
use metrics::rouge::Rouge;
use metrics::{Bootstrap, MetricError, registry, ter, values};
use testing::{Numbers, odd_texts};

#[test]
fn the_nearest_name_is_told() {
    let error = registry::of_classes("f1-macro").unwrap_err();
    let message = "no metric of classes is called `f1-macro`\n\nhint: did you mean `f1_macro`?";
    assert_eq!(error.to_string(), message);
    let nearest = |error: MetricError| match error {
        MetricError::Unknown { nearest, .. } => nearest,
        other => panic!("{other}"),
    };
    assert_eq!(nearest(registry::of_values("spearmanr").unwrap_err()), "spearman");
    assert_eq!(nearest(registry::of_texts("rouge-l").unwrap_err()), "rougeL");
    let score = registry::of_texts("wer").unwrap().score(0.25, 8);
    assert_eq!((score.name.as_ref(), score.value, score.n), ("wer", 0.25, 8));
}

#[test]
fn nothing_is_measured_of_nothing() {
    let empty = |error: MetricError| matches!(error, MetricError::Empty { .. });
    assert!(empty(Classes::new(&[], &[], 2).unwrap_err()));
    assert!(empty(log_loss(&[], &[], 0).unwrap_err()));
    assert!(empty(brier(&[], &[], 3).unwrap_err()));
    assert!(empty(auroc(&[], &[]).unwrap_err()));
    assert!(empty(temperature(&[], &[], 0).unwrap_err()));
    assert!(empty(bins(&[], &[], Binning::Width(10)).unwrap_err()));
    assert!(empty(squad(&[]).unwrap_err()));
    assert!(empty(squad2(&[], 0.5).unwrap_err()));
    assert!(empty(multirc(&[]).unwrap_err()));
    assert!(empty(wilcoxon(&[], &[]).unwrap_err()));
    assert!(empty(Discordant::new(&[], &[]).unwrap_err()));
    assert!(empty(Bootstrap::default().interval(0, |_| Ok(1.0)).unwrap_err()));
    assert!(empty(randomisation(0, &Bootstrap::default(), |_| Ok(1.0)).unwrap_err()));
    assert!(empty(Edits::words("", "x").unwrap().rate().unwrap_err()));
    assert!(
        registry::OF_VALUES.iter().all(|metric| empty((metric.compute)(&[], &[]).unwrap_err()))
    );
}

#[test]
fn what_is_out_of_range_is_named() {
    let error = Classes::new(&[0, 1], &[0, usize::MAX], 2).unwrap_err();
    let message = "prediction 1 is class 18446744073709551615, and there are 2";
    assert_eq!(error.to_string(), message);
    assert!(Classes::new(&[0], &[0], 0).is_err());
    assert!(matches!(
        confusion(&[0], &[0], 1 << 20).unwrap_err(),
        MetricError::TooLong { what: "classes", .. }
    ));
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for metric in registry::OF_VALUES {
            assert!((metric.compute)(&[1.0, bad], &[1.0, 2.0]).is_err(), "{}", metric.name);
            assert!((metric.compute)(&[1.0, 2.0], &[bad, 2.0]).is_err(), "{}", metric.name);
        }
        assert!(auroc(&[true, false], &[bad, 0.0]).is_err());
        assert!(temperature(&[0], &[bad, 0.0], 2).is_err());
        assert!(t_test(&[1.0, bad], &[1.0, 2.0]).is_err());
        assert!(wilcoxon(&[1.0, bad], &[1.0, 2.0]).is_err());
        assert!(Ranked::by_score(&[bad], &[1.0]).is_err());
        assert!(Ranked::new(&[bad], &[1.0]).is_err());
        let question = Answered { answers: vec![], prediction: "", no_answer: bad };
        assert!(squad2(&[question], 0.0).is_err());
        let how = Bootstrap { confidence: bad, ..Bootstrap::default() };
        assert!(how.interval(3, |_| Ok(1.0)).is_err());
    }
    let error = log_loss(&[0], &[1.5, 0.0], 2).unwrap_err();
    assert_eq!(error.to_string(), "probability 0 is 1.5, which is not from 0 to 1");
    assert!(bins(&[-0.1], &[true], Binning::Width(3)).is_err());
    assert!(bins(&[0.1], &[true], Binning::Width(0)).is_err());
    assert!(bins(&[0.1], &[true], Binning::Mass(usize::MAX)).is_err());
    assert!(log_loss(&[0; 3], &[0.5], usize::MAX).is_err());
}

#[test]
fn what_is_undefined_is_no_number() {
    let undefined = |error: MetricError| matches!(error, MetricError::Undefined { .. });
    for metric in registry::OF_VALUES {
        let constant = (metric.compute)(&[2.0; 4], &[1.0, 2.0, 3.0, 4.0]);
        match metric.name {
            "pearson" | "spearman" | "kendall" => assert!(undefined(constant.unwrap_err())),
            _ => assert!(constant.unwrap().is_finite()),
        }
        // Sums of the largest numbers are not finite, and no metric says so as a number.
        let huge = (metric.compute)(&[f64::MAX, f64::MIN, 0.0], &[f64::MIN, f64::MAX, 1.0]);
        assert!(huge.is_err() || huge.unwrap().is_finite(), "{}", metric.name);
    }
    assert!(undefined(auroc(&[true, true], &[0.1, 0.2]).unwrap_err()));
    assert!(undefined(t_test(&[1.0, 2.0], &[0.5, 1.5]).unwrap_err()));
    assert!(undefined(t_test(&[f64::MAX; 2], &[f64::MIN_POSITIVE, 0.0]).unwrap_err()));
    assert_eq!(wilcoxon(&[1.0; 60], &[1.0; 60]).unwrap().p, 1.0);
    assert!(undefined(temperature(&[0], &[f64::MAX, f64::MIN], 2).unwrap_err()));
    assert_eq!(values::r2(&[1.0, 1.0], &[1.0, 1.0]).unwrap(), 1.0);
}

#[test]
fn any_text_has_scores_in_their_range() {
    let mut texts = odd_texts();
    texts.truncate(600);
    texts.extend(
        ["", " ", "\u{1c}", "\n\n", "-", "a", "\u{1f468}\u{200d}\u{1f469}"].map(String::from),
    );
    let mut numbers = Numbers::new(1);
    for text in &texts {
        let other = texts[numbers.below(texts.len())].as_str();
        let within = |name: &str, value: f64, max: f64| {
            assert!((0.0..=max).contains(&value), "{name} is {value} of {text:?} and {other:?}");
        };
        for tokenizer in [Tokenizer::V13a, Tokenizer::Intl, Tokenizer::Zh, Tokenizer::Char] {
            let bleu = Bleu { tokenizer, effective_order: true, ..Bleu::default() };
            within("bleu", bleu.score(&bleu.stats(text, &[other]).unwrap()).score, 100.0 + 1e-9);
        }
        for chrf in [Chrf::default(), Chrf::PLUS_PLUS] {
            within("chrf", chrf.score(&chrf.stats(text, &[other]).unwrap()), 100.0 + 1e-9);
        }
        let stats = ter::stats(text, &[other]).unwrap();
        within("ter", ter::score(&stats), f64::MAX);
        assert_eq!(ter::stats(text, &[text]).unwrap().edits, 0, "{text:?}");
        for stem in [false, true] {
            let rouge = Rouge { stem };
            within("rouge", rouge.l(text, other).unwrap().f1, 1.0);
            within("rouge", rouge.l_sum(text, other).unwrap().f1, 1.0);
            within("rouge", rouge.n(text, other, 0).f1, 1.0);
        }
        assert_eq!(Edits::chars(text, text).unwrap().edits, 0);
        let [there, back] =
            [(text.as_str(), other), (other, text)].map(|(a, b)| Edits::words(a, b).unwrap().edits);
        assert_eq!(there, back);
        assert!(ter::stats(text, &[other]).unwrap().edits <= there);
        let normal = normalize(text);
        assert_eq!(normalize(&normal), normal);
    }
}

#[test]
fn what_would_not_end_is_refused() {
    let long = "a ".repeat(1 << 18);
    let other = "b ".repeat(1 << 18);
    let is_long = |error: MetricError| matches!(error, MetricError::TooLong { .. });
    assert!(is_long(Edits::words(&long, &other).unwrap_err()));
    assert!(is_long(Edits::chars(&long, &other).unwrap_err()));
    assert!(is_long(Rouge::default().l(&long, &other).unwrap_err()));
    assert!(is_long(Rouge::default().l_sum(&long, &other).unwrap_err()));
    let line = "a ".repeat(20_000);
    assert!(is_long(Rouge::default().l_sum(&line, &line).unwrap_err()));
    // What differs nowhere is not compared.
    assert_eq!(Edits::words(&long, &long).unwrap().edits, 0);
}

#[test]
fn long_texts_of_few_words_end() {
    let mut numbers = Numbers::new(2);
    let mut text = |n| (0..n).map(|_| ["a ", "b ", "c "][numbers.below(3)]).collect::<String>();
    let (hypothesis, reference) = (text(500), text(400));
    let stats = ter::stats(&hypothesis, &[&reference]).unwrap();
    assert!(ter::score(&stats) < 100.0);
}
