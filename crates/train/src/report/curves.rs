//! Which curves a report shows.

use std::collections::BTreeSet;

use super::ReportFacts;
use super::chart::{Chart, Look, Series};
use super::series::{Point, smooth};
use crate::metrics::{EvalRow, Scores, StepRow};

/// Above this many steps a noisy curve gets a smoothed one over it.
const SMOOTH_ABOVE: usize = 40;

/// The charts, in the order they are read.
pub(super) fn curves(facts: &ReportFacts) -> Vec<Chart> {
    let (steps, evals) = (facts.steps, facts.evals);
    let mut loss = Chart {
        title: "Loss".into(),
        unit: "nats a token",
        wide: true,
        floats: true,
        ..noisy(steps, |row| row.loss)
    };
    let judged = evaluated(evals.iter(), |eval| eval.loss);
    loss.n_left_out += judged.n_left_out;
    loss.series.extend(judged.series);
    let validation = if facts.in_bits() {
        let bits = |eval: &Scores| eval.bits_per_byte.unwrap_or(f64::NAN);
        Chart { unit: "bits per byte", ..evaluated(evals.iter(), bits) }
    } else {
        let right = |eval: &Scores| eval.accuracy;
        Chart { unit: "share of targets that are right", ..evaluated(evals.iter(), right) }
    };
    let validation = Chart { title: "Validation".into(), floats: true, ..validation };
    let lr = Chart { title: "Learning rate".into(), ..plain(steps, |row| row.lr) };
    let grad_norm = Chart {
        title: "Gradient norm".into(),
        unit: "before clipping",
        ..noisy(steps, |row| row.grad_norm)
    };
    let tokens_per_s = Chart {
        title: "Throughput".into(),
        unit: "tokens a second",
        ..noisy(steps, |row| row.tokens_per_s)
    };
    let told = told(facts);
    let all_steps = steps.iter().map(|row| row.step).chain(evals.iter().map(|row| row.step));
    let first = all_steps.clone().min().unwrap_or(0) as f64;
    let span = (first, all_steps.max().unwrap_or(0) as f64);
    let all = [loss, validation].into_iter().chain(told).chain([lr, grad_norm, tokens_per_s]);
    all.map(|chart| Chart { span, ..chart }).collect()
}

/// What objectives tell beside losses, each in a chart of its own: rewards, divergences.
fn told(facts: &ReportFacts) -> Vec<Chart> {
    let names: BTreeSet<&String> = facts.steps.iter().flat_map(|row| row.told.keys()).collect();
    let chart = |name: &String| {
        let value = |row: &StepRow| row.told.get(name).copied();
        let rows: Vec<StepRow> =
            facts.steps.iter().filter(|row| value(row).is_some()).cloned().collect();
        let mut chart = noisy(&rows, |row| value(row).unwrap_or(f64::NAN));
        let judged = facts.evals.iter().filter(|row| metric(&row.eval, name).is_some());
        let judged = evaluated(judged, |eval| metric(eval, name).unwrap_or(f64::NAN));
        chart.series.extend(judged.series);
        Chart { title: name.clone(), floats: true, ..chart }
    };
    names.into_iter().map(chart).collect()
}

fn metric(eval: &Scores, name: &str) -> Option<f64> {
    eval.metrics.iter().find(|(own, _)| own == name)?.1
}

/// A chart of one series: what of its points is finite.
fn line(name: &'static str, look: Look, points: impl Iterator<Item = Point>) -> Chart {
    let (points, other): (Vec<Point>, Vec<Point>) = points.partition(|point| point.1.is_finite());
    let series = vec![Series { name, look, points }];
    Chart { series, n_left_out: other.len(), ..Chart::default() }
}

fn plain(steps: &[StepRow], value: impl Fn(&StepRow) -> f64) -> Chart {
    line("train", Look::Main, steps.iter().map(|row| (row.step as f64, value(row))))
}

fn evaluated<'e>(
    evals: impl Iterator<Item = &'e EvalRow>,
    value: impl Fn(&Scores) -> f64,
) -> Chart {
    line("validation", Look::Dots, evals.map(|row| (row.step as f64, value(&row.eval))))
}

/// Every value, thin, under the smoothed curve.
fn noisy(steps: &[StepRow], value: impl Fn(&StepRow) -> f64) -> Chart {
    let mut chart = plain(steps, value);
    let every = &mut chart.series[0];
    if every.points.len() > SMOOTH_ABOVE {
        let reach = (every.points.len() / 100).max(4);
        let points = smooth(&every.points, reach);
        every.look = Look::Raw;
        chart.series.push(Series { name: "train, smoothed", look: Look::Main, points });
    }
    chart
}
