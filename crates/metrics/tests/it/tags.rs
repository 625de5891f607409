//! Entities in tags.

use metrics::spans::{Scheme, compare, spans};
use metrics::{Average, MetricError};

use crate::golden::{all_close, cases};

#[test]
fn entities_are_as_in_seqeval() {
    for case in cases("spans") {
        let scheme = match case.get::<Option<String>>("scheme").as_deref() {
            None => None,
            Some("Iob1") => Some(Scheme::Iob1),
            Some("Iob2") => Some(Scheme::Iob2),
            Some("Ioe2") => Some(Scheme::Ioe2),
            Some("Iobes") => Some(Scheme::Iobes),
            Some(_) => Some(Scheme::Bilou),
        };
        let (truth, predicted) = (case.lists("truth"), case.lists("predicted"));
        let expected: Vec<(String, usize, usize)> = case.get("entities");
        let found = spans(&truth[0], scheme).unwrap();
        let found: Vec<_> = found.iter().map(|s| (s.kind.to_owned(), s.start, s.end)).collect();
        assert_eq!(found, expected, "{scheme:?} {:?}", truth[0]);
        let counts = compare(&truth, &predicted, scheme).unwrap();
        let averages = [Average::Micro, Average::Macro, Average::Weighted];
        for (name, how) in ["micro", "macro", "weighted"].into_iter().zip(averages) {
            let prf = counts.average(how);
            // Of no kinds at all, `seqeval` takes a mean, which is NaN.
            let expected: Vec<Option<f64>> = case.get(name);
            let expected: Vec<f64> = expected.into_iter().map(Option::unwrap_or_default).collect();
            all_close(name, &[prf.precision, prf.recall, prf.f1], &expected);
        }
        let kinds: Vec<[f64; 4]> = case.get("kinds");
        assert_eq!(kinds.len(), counts.0.len());
        for (counts, expected) in counts.0.values().zip(kinds) {
            let prf = counts.prf();
            let found = [prf.precision, prf.recall, prf.f1, counts.actual as f64];
            all_close("a kind", &found, &expected);
        }
    }
}

#[test]
fn a_tag_that_is_none_is_named() {
    let right = vec![vec!["O"], vec!["B-PER", "I-PER"]];
    for (tag, scheme) in [
        ("PER", None),
        ("", None),
        ("OK", None),
        ("B.PER", None),
        ("\u{4eba}", None),
        ("U-PER", None),
        ("S-PER", Some(Scheme::Iob2)),
        ("", Some(Scheme::Iobes)),
        ("\u{4eba}", Some(Scheme::Bilou)),
    ] {
        let wrong = vec![vec!["O"], vec!["B-PER", tag]];
        for error in [compare(&right, &wrong, scheme), compare(&wrong, &right, scheme)] {
            let MetricError::Tag { sentence: 1, idx: 1, tag: found, .. } = error.unwrap_err()
            else {
                panic!("`{tag}` is taken for a tag")
            };
            assert_eq!(found, tag);
        }
    }
    let short = compare(&right, &[vec!["O"], vec!["O"]], None).unwrap_err();
    assert_eq!(short.to_string(), "1 tags of a sentence, expected 2");
}
