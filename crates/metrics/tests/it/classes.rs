//! Classes, probabilities, numbers, calibration and rankings.

use metrics::calibration::{Bin, Binning, bins, ece, mce, temperature};
use metrics::classes::{Classes, confusion};
use metrics::probabilities::{auroc, brier, log_loss};
use metrics::ranking::Ranked;
use metrics::{Average, MetricError, Prf, registry, values};

use crate::golden::{all_close, cases, close};

fn array(prf: Prf) -> [f64; 3] {
    [prf.precision, prf.recall, prf.f1]
}

#[test]
fn classes_are_as_in_scikit_learn() {
    for case in cases("classes") {
        let (truth, predicted): (Vec<usize>, Vec<usize>) =
            (case.get("truth"), case.get("predicted"));
        let n_classes = case.get("n_classes");
        let classes = Classes::new(&truth, &predicted, n_classes).unwrap();
        for name in ["accuracy", "balanced_accuracy", "matthews"] {
            case.holds(name, (registry::of_classes(name).unwrap().compute)(&classes).unwrap());
        }
        match case.get::<Option<f64>>("kappa") {
            Some(kappa) => close("kappa", classes.kappa().unwrap(), kappa, 1e-12),
            None => assert!(matches!(classes.kappa(), Err(MetricError::Undefined { .. }))),
        }
        let averages = [Average::Micro, Average::Macro, Average::Weighted];
        for (name, how) in ["micro", "macro", "weighted"].into_iter().zip(averages) {
            all_close(name, &array(classes.average(how)), &case.get::<Vec<f64>>(name));
        }
        let expected: Vec<Vec<f64>> = case.get("prf");
        for (counts, expected) in classes.counts().iter().zip(&expected) {
            all_close("a class", &array(counts.prf()), expected);
        }
        match classes.binary() {
            Ok(prf) => all_close("binary", &array(prf), &expected[1]),
            Err(_) => assert_ne!(n_classes, 2),
        }
        let matrix: Vec<u64> = case.get("confusion");
        assert_eq!(confusion(&truth, &predicted, n_classes).unwrap(), matrix);
    }
}

#[test]
fn probabilities_are_as_in_scikit_learn() {
    for case in cases("probabilities") {
        let (truth, n_classes): (Vec<usize>, usize) = (case.get("truth"), case.get("n_classes"));
        let probabilities: Vec<f64> = case.get("probabilities");
        case.holds("log_loss", log_loss(&truth, &probabilities, n_classes).unwrap());
        case.holds("brier", brier(&truth, &probabilities, n_classes).unwrap());
    }
    for case in cases("auroc") {
        let (truth, scores): (Vec<bool>, Vec<f64>) = (case.get("truth"), case.get("scores"));
        case.holds("auroc", auroc(&truth, &scores).unwrap());
    }
}

#[test]
fn numbers_are_as_in_scipy() {
    for case in cases("values") {
        let (truth, predicted): (Vec<f64>, Vec<f64>) = (case.get("truth"), case.get("predicted"));
        for metric in registry::OF_VALUES.iter().filter(|metric| case.raw(metric.name).is_f64()) {
            case.holds(metric.name, (metric.compute)(&truth, &predicted).unwrap());
        }
    }
    // SciPy's squares overflow here; the correlation is that of small numbers.
    let (x, y) = ([1.0, 2.0, 4.0], [1.0, 3.0, 2.0]);
    let [large_x, large_y] = [x, y].map(|values| values.map(|value| value * 1e200));
    let small = values::pearson(&x, &y).unwrap();
    close("pearson", values::pearson(&large_x, &large_y).unwrap(), small, 1e-14);
}

#[test]
fn bins_are_as_in_scikit_learn() {
    for case in cases("calibration") {
        let (confidence, correct): (Vec<f64>, Vec<bool>) =
            (case.get("confidence"), case.get("correct"));
        let n_bins = case.get("n_bins");
        let binning = match case.text("strategy") {
            "uniform" => Binning::Width(n_bins),
            _ => Binning::Mass(n_bins),
        };
        let bins = bins(&confidence, &correct, binning).unwrap();
        let counts: Vec<usize> = case.get("counts");
        assert_eq!(bins.iter().map(|bin| bin.n).collect::<Vec<_>>(), counts);
        let [accuracy, mean]: [Vec<f64>; 2] =
            [|bin: &Bin| bin.accuracy, |bin: &Bin| bin.confidence]
                .map(|of| bins.iter().map(of).collect());
        all_close("accuracy", &accuracy, &case.get::<Vec<f64>>("accuracy"));
        all_close("confidence", &mean, &case.get::<Vec<f64>>("mean"));
        case.holds("ece", ece(&bins));
        case.holds("mce", mce(&bins));
    }
}

#[test]
fn the_temperature_is_that_of_the_least_loss() {
    for case in cases("temperature") {
        let (truth, logits): (Vec<usize>, Vec<f64>) = (case.get("truth"), case.get("logits"));
        let found = temperature(&truth, &logits, case.get("n_classes")).unwrap();
        case.holds("temperature", found);
    }
    // Every sample is right by far, so the colder the better.
    assert!(matches!(temperature(&[0], &[9.0, 1.0], 2), Err(MetricError::Undefined { .. })));
}

#[test]
fn rankings_are_as_in_trec_eval() {
    for case in cases("ranking") {
        let (scores, gains): (Vec<f64>, Vec<f64>) = (case.get("scores"), case.get("gains"));
        let missed: Vec<f64> = case.get("missed");
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        let found: Vec<f64> = order.iter().map(|&idx| gains[idx]).collect();
        let ranked = Ranked::new(&found, &[&gains[..], &missed].concat()).unwrap();
        let expected = |name: &str| case.raw("expected")[name].as_f64().unwrap();
        close("map", ranked.average_precision(), expected("map"), 1e-12);
        close("mrr", ranked.reciprocal_rank_at(usize::MAX), expected("recip_rank"), 1e-12);
        close("ndcg", ranked.ndcg_at(usize::MAX), expected("ndcg"), 1e-12);
        for k in [5, 10] {
            close("ndcg", ranked.ndcg_at(k), expected(&format!("ndcg_cut_{k}")), 1e-12);
            close("recall", ranked.recall_at(k), expected(&format!("recall_{k}")), 1e-12);
        }
        if missed.is_empty() {
            assert_eq!(Ranked::by_score(&scores, &gains).unwrap(), ranked);
        }
    }
}
