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
    let validation = Chart { title: "Validation", floats: true, ..validation };
    let lr = Chart { title: "Learning rate", ..plain(steps, |row| row.lr) };
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
    [loss, validation, lr, grad_norm, tokens_per_s].map(|chart| Chart { span, ..chart }).into()
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
