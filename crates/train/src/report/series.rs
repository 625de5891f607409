//! What a curve is drawn from: points thinned to what a screen can show, means, axes.

/// A point of a curve: step and value.
pub(super) type Point = (f64, f64);

/// At most about `2 * n_chunks` points that look like all of them: the smallest and the largest of
/// each of `n_chunks` runs, in their order, so that no spike is lost.
pub(super) fn thin(points: &[Point], n_chunks: usize) -> Vec<Point> {
    if points.len() <= 2 * n_chunks {
        return points.to_vec();
    }
    let by_value = |a: &&Point, b: &&Point| a.1.total_cmp(&b.1);
    points
        .chunks(points.len().div_ceil(n_chunks))
        .flat_map(|chunk| {
            let low = *chunk.iter().min_by(by_value).expect("a chunk is not empty");
            let high = *chunk.iter().max_by(by_value).expect("a chunk is not empty");
            if low.0 <= high.0 { [low, high] } else { [high, low] }
        })
        .collect()
}

/// The mean over up to `reach` points before and as many after each point. Centred, since an
/// average over the past alone lags behind a falling loss. At the start, where curves are steep, it
/// reaches less far to both sides; at the end only forwards, so that it does not end in the noise.
pub(super) fn smooth(points: &[Point], reach: usize) -> Vec<Point> {
    let mut sums = vec![0.0];
    sums.extend(points.iter().scan(0.0, |sum, point| {
        *sum += point.1;
        Some(*sum)
    }));
    let mean = |(i, &(x, _)): (usize, &Point)| {
        let reach = reach.min(i);
        let (from, to) = (i - reach, points.len().min(i + reach + 1));
        (x, (sums[to] - sums[from]) / (to - from) as f64)
    };
    points.iter().enumerate().map(mean).collect()
}

/// The middle value, or the upper of the two; `None` without any.
pub fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.filter(|x| x.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The point at `x`, or the nearest before or after it. `points` are in order of `x`.
pub(super) fn nearest(points: &[Point], x: f64) -> Option<Point> {
    let after = points.partition_point(|point| point.0 < x);
    let candidates = [after.checked_sub(1), Some(after)];
    let near = candidates.into_iter().flatten().filter_map(|i| points.get(i));
    near.min_by(|a, b| (a.0 - x).abs().total_cmp(&(b.0 - x).abs())).copied()
}

/// A range of values and the round numbers to mark in it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) ticks: Vec<f64>,
}

impl Axis {
    /// An axis over `values`, which are finite, with about `n_ticks` ticks at multiples of 1, 2 or
    /// 5 times a power of ten.
    pub(super) fn over(values: impl Iterator<Item = f64>, n_ticks: usize) -> Self {
        let (mut low, mut high) = values
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        if high - low <= high.abs().max(low.abs()) * 1e-9 {
            let half = if high == 0.0 { 0.5 } else { high.abs() * 0.05 };
            (low, high) = (low - half, high + half);
        }
        let step = round_step((high - low) / n_ticks as f64);
        // A tick that rounding pushed off an end is still one.
        let first = (low / step - 1e-9).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        Self { low, high, ticks: (first..=last).map(|i| i as f64 * step).collect() }
    }

    /// Where `x` lies, 0 at `low` and 1 at `high`.
    pub(super) fn share(&self, x: f64) -> f64 {
        (x - self.low) / (self.high - self.low)
    }

    /// The labels of the ticks, with as many decimals as tell them apart.
    pub(super) fn labels(&self) -> Vec<String> {
        let largest = self.ticks.iter().fold(0.0, |a: f64, x| a.max(x.abs()));
        let step = self.ticks.windows(2).next().map_or(largest, |pair| pair[1] - pair[0]);
        self.ticks.iter().map(|&x| label(x, step, largest)).collect()
    }
}

/// The smallest of 1, 2, 5 times a power of ten that is not below `x`.
fn round_step(x: f64) -> f64 {
    let power = 10f64.powf(x.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= x * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

fn label(x: f64, step: f64, largest: f64) -> String {
    if x == 0.0 {
        return "0".into();
    }
    if step < 1e-3 && largest < 0.1 {
        let text = format!("{x:.2e}");
        let (digits, power) = text.split_once('e').expect("`e` format has an exponent");
        return format!("{}e{power}", digits.trim_end_matches('0').trim_end_matches('.'));
    }
    let (factor, name) = match largest {
        a if a >= 1e9 => (1e9, "G"),
        a if a >= 1e6 => (1e6, "M"),
        a if a >= 1e4 => (1e3, "k"),
        _ => (1.0, ""),
    };
    let decimals = (-(step / factor).log10() - 1e-6).ceil().max(0.0) as usize;
    format!("{:.decimals$}{name}", x / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(low: f64, high: f64) -> String {
        Axis::over([low, high].into_iter(), 5).labels().join(" ")
    }

    #[test]
    fn ticks_are_round_and_told_apart() {
        assert_eq!(labels(1.0, 1000.0), "200 400 600 800 1000");
        assert_eq!(labels(0.0, 48_211.0), "0 10k 20k 30k 40k");
        assert_eq!(labels(3.02, 9.31), "4 6 8");
        assert_eq!(labels(1.6, 1.92), "1.6 1.7 1.8 1.9");
        assert_eq!(labels(0.0, 6e-4), "0 2e-4 4e-4 6e-4");
        assert_eq!(labels(0.0, 0.0035), "0 0.001 0.002 0.003");
        assert_eq!(labels(5.0, 5.0), "4.8 4.9 5.0 5.1 5.2");
        assert_eq!(Axis::over(std::iter::empty(), 5).labels().join(" "), "0 0.2 0.4 0.6 0.8 1.0");
    }

    #[test]
    fn thinning_keeps_every_spike_and_the_order() {
        let mut points: Vec<Point> = (0..10_000).map(|i| (f64::from(i), 1.0)).collect();
        points[4711].1 = 9.0;
        points[4712].1 = -9.0;
        let thinned = thin(&points, 100);
        assert!(thinned.len() <= 200);
        assert!(thinned.contains(&(4711.0, 9.0)) && thinned.contains(&(4712.0, -9.0)));
        assert!(thinned.is_sorted_by(|a, b| a.0 <= b.0));
        assert_eq!(thin(&points[..50], 100), points[..50]);
    }

    #[test]
    fn smoothing_keeps_a_line_and_its_start_and_takes_off_noise() {
        let noise = [0.5, -0.5].into_iter().cycle();
        let points: Vec<Point> =
            (0..100).zip(noise).map(|(i, noise)| (f64::from(i), f64::from(i) + noise)).collect();
        let smoothed = smooth(&points, 5);
        assert_eq!((smoothed[0], smoothed[99].1), (points[0], 96.5));
        assert!(smoothed[5..95].iter().all(|(x, y)| (x - y).abs() < 0.1));
        assert_eq!(smooth(&points, 0), points);
        assert_eq!(smooth(&[], 5), []);
    }

    #[test]
    fn the_median_leaves_out_what_is_not_finite() {
        assert_eq!(median([3.0, f64::NAN, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([f64::INFINITY].into_iter()), None);
    }

    #[test]
    fn the_nearest_point_is_found_on_both_sides() {
        let points = [(10.0, 1.0), (20.0, 2.0)];
        let found: Vec<_> = [0.0, 14.0, 16.0, 99.0].map(|x| nearest(&points, x).unwrap().1).into();
        assert_eq!(found, [1.0, 1.0, 2.0, 2.0]);
        assert_eq!(nearest(&[], 1.0), None);
    }
}
