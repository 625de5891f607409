//! Which curves a report shows.

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
        title: "Loss",
        unit: "nats a token",
        wide: true,
        from_zero: false,
        ..noisy(steps, |row| row.loss)
    };
    let (validation, n_left_out) = evaluated(evals, |eval| eval.loss);
    loss.n_left_out += n_left_out;
    loss.series.push(validation);
    let (validation, n_left_out) = evaluated(evals, |eval| eval.bits_per_byte);
    let bits = Chart {
        title: "Validation",
        unit: "bits per byte",
        series: vec![validation],
        from_zero: false,
        ..empty(n_left_out)
    };
    let lr = Chart { title: "Learning rate", unit: "", ..plain(steps, |row| row.lr) };
    let grad_norm = Chart {
        title: "Gradient norm",
        unit: "before clipping",
        ..noisy(steps, |row| row.grad_norm)
    };
    let tokens_per_s = Chart {
        title: "Throughput",
        unit: "tokens a second",
        ..noisy(steps, |row| row.tokens_per_s)
    };
    let all_steps = steps.iter().map(|row| row.step).chain(evals.iter().map(|row| row.step));
    let first = all_steps.clone().min().unwrap_or(0) as f64;
    let span = (first, all_steps.max().unwrap_or(0) as f64);
    [loss, bits, lr, grad_norm, tokens_per_s].map(|chart| Chart { span, ..chart }).into()
}

/// The finite points of a series, and how many there are beside them.
fn finite(points: impl Iterator<Item = Point>) -> (Vec<Point>, usize) {
    let (finite, other): (Vec<Point>, Vec<Point>) = points.partition(|point| point.1.is_finite());
    (finite, other.len())
}

fn plain(steps: &[StepRow], value: impl Fn(&StepRow) -> f64) -> Chart {
    let (points, n_left_out) = finite(steps.iter().map(|row| (row.step as f64, value(row))));
    let series = vec![Series { name: "train", look: Look::Main, points }];
    Chart { series, ..empty(n_left_out) }
}

/// What most charts have in common.
fn empty(n_left_out: usize) -> Chart {
    Chart {
        title: "",
        unit: "",
        series: Vec::new(),
        wide: false,
        from_zero: true,
        span: (0.0, 0.0),
        n_left_out,
    }
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

fn evaluated(evals: &[EvalRow], value: impl Fn(&Scores) -> f64) -> (Series, usize) {
    let (points, n_left_out) = finite(evals.iter().map(|row| (row.step as f64, value(&row.eval))));
    (Series { name: "validation", look: Look::Dots, points }, n_left_out)
}
