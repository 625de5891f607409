//! Intervals and tests of two runs.

use metrics::bootstrap::standard_error;
use metrics::paired::{self, Discordant, Test};
use metrics::{Bootstrap, MetricError};
use testing::Numbers;

use crate::golden::{cases, close};

/// The statistic to 1e-12, the p-value to 1e-9 of itself.
#[track_caller]
fn holds(name: &str, found: Test, [statistic, p]: [f64; 2]) {
    close(name, found.statistic, statistic, 1e-12);
    assert!((found.p - p).abs() <= 1e-9 * p, "{name}: p is {}, expected {p}", found.p);
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn tests_of_two_runs_are_as_in_scipy() {
    for case in cases("paired") {
        let (first, second): (Vec<f64>, Vec<f64>) = (case.get("first"), case.get("second"));
        holds("t", paired::t_test(&first, &second).unwrap(), case.get("t"));
        holds("wilcoxon", paired::wilcoxon(&first, &second).unwrap(), case.get("wilcoxon"));
        case.holds("sem", standard_error(&first).unwrap());
        if case.raw("randomisation").is_array() {
            let how = Bootstrap { n_resamples: 1 << first.len(), ..Bootstrap::default() };
            let score = |of_second: &[bool]| {
                let pick = |(idx, second_s): (usize, &bool)| {
                    if *second_s { second[idx] } else { first[idx] }
                };
                Ok(mean(&of_second.iter().enumerate().map(pick).collect::<Vec<_>>()))
            };
            let found = paired::randomisation(first.len(), &how, score).unwrap();
            holds("randomisation", found, case.get("randomisation"));
            // Drawn instead of enumerated, it is near.
            let drawn = Bootstrap { n_resamples: (1 << first.len()) - 1, ..how };
            let near = paired::randomisation(first.len(), &drawn, score).unwrap();
            assert!((near.p - found.p).abs() < 0.3, "{} is far from {}", near.p, found.p);
        }
    }
    for case in cases("mcnemar") {
        let counts = Discordant { first: case.get("first"), second: case.get("second") };
        let fewer = counts.first.min(counts.second) as f64;
        holds("exact", counts.mcnemar(), [fewer, case.get("exact")]);
        holds("chi2", counts.mcnemar_chi2(), case.get("chi2"));
    }
}

#[test]
fn an_interval_of_a_mean_is_that_of_its_standard_error() {
    let mut numbers = Numbers::new(3);
    let values: Vec<f64> = numbers.normal(400).into_iter().map(f64::from).collect();
    let how = Bootstrap { n_resamples: 4000, ..Bootstrap::default() };
    let of = |samples: &[usize]| Ok(mean(&samples.iter().map(|&i| values[i]).collect::<Vec<_>>()));
    let interval = how.interval(values.len(), of).unwrap();
    let error = standard_error(&values).unwrap();
    // A percentile of 4000 is within 4 of its own standard errors, 0.042 of those of the mean.
    close("low", (interval.low - mean(&values)) / error, -1.96, 0.09);
    close("high", (interval.high - mean(&values)) / error, 1.96, 0.09);
    assert_eq!(interval, how.interval(values.len(), of).unwrap());
    assert_ne!(interval, Bootstrap { seed: 1, ..how }.interval(values.len(), of).unwrap());
}

#[test]
fn an_interval_holds_the_truth_as_often_as_it_says() {
    let mut numbers = Numbers::new(7);
    let how = Bootstrap { n_resamples: 300, confidence: 0.9, seed: 1 };
    let mut n_held = 0;
    for seed in 0..400 {
        let values: Vec<f64> = (0..60).map(|_| numbers.unit()).collect();
        let of = |samples: &[usize]| Ok(samples.iter().map(|&i| values[i]).sum::<f64>() / 60.0);
        let interval = Bootstrap { seed, ..how }.interval(60, of).unwrap();
        n_held += usize::from((interval.low..=interval.high).contains(&0.5));
    }
    // 360 expected, with a standard deviation of 6.
    assert!((335..=380).contains(&n_held), "{n_held} of 400");
}

#[test]
fn resamples_without_a_value_are_counted() {
    let undefined = MetricError::Undefined { metric: "it", reason: "sample 0 is there" };
    let how = Bootstrap { n_resamples: 2000, ..Bootstrap::default() };
    let of = |samples: &[usize]| {
        if samples.contains(&0) { Err(undefined.clone()) } else { Ok(samples[0] as f64) }
    };
    let interval = how.interval(2, of).unwrap();
    assert!((1400..1600).contains(&interval.n_undefined), "{interval:?}");
    assert_eq!((interval.low, interval.high), (1.0, 1.0));
    assert_eq!(how.interval(2, |_| Err(undefined.clone())).unwrap_err(), undefined);
    assert!(how.interval(2, |_| Ok(f64::NAN)).is_err());
}

#[test]
fn a_paired_bootstrap_sees_what_is_there() {
    let mut numbers = Numbers::new(5);
    let noise: Vec<f64> = numbers.normal(200).into_iter().map(f64::from).collect();
    let how = Bootstrap::default();
    let p = |shift: f64| {
        let of = |samples: &[usize]| {
            Ok(samples.iter().map(|&i| noise[i] - mean(&noise) + shift).sum::<f64>() / 200.0)
        };
        paired::bootstrap(200, &how, of).unwrap().p
    };
    assert_eq!(p(0.5), 1.0 / 1001.0);
    assert!(p(0.0) > 0.9);
    // Two standard errors.
    close("p", p(2.0 / 200.0_f64.sqrt()), 0.0455, 0.03);
    assert!(paired::bootstrap(0, &how, |_| Ok(0.0)).is_err());
    assert!(paired::bootstrap(3, &how, |_| Ok(f64::NAN)).is_err());
}
