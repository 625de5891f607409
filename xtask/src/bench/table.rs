//! Medians, ratios and the table they are printed in.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde_json::Value;

/// What one process measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Median milliseconds a step.
    pub ms: f64,
    /// Model FLOPs over that time.
    pub gflop_per_s: f64,
    /// Peak resident memory.
    pub peak_mib: f64,
}

/// All that was measured.
#[derive(Default)]
pub struct Runs {
    samples: BTreeMap<(String, String), Vec<Sample>>,
    peaks: BTreeMap<String, Vec<f64>>,
}

/// A pair to hold against each other, with the speed-ups wanted.
struct Pair {
    peer: &'static str,
    ours: &'static str,
    must: f64,
    aim: f64,
}

const fn pair(peer: &'static str, ours: &'static str, must: f64, aim: f64) -> Pair {
    Pair { peer, ours, must, aim }
}

const PAIRS: &[Pair] = &[
    pair("torch compile-bf16", "lyceum bf16", 1.2, 1.4),
    pair("torch bf16", "lyceum bf16", 1.4, 1.6),
    pair("torch f32", "lyceum f32", 1.2, 1.4),
    pair("torch f32 avx2", "lyceum f32 avx2", 1.0, 1.2),
];

/// Share of the peer's memory: size, must, aim.
const MEMORY: &[(&str, f64, f64)] = &[("S", 0.6, 0.5), ("M", 0.75, 0.7), ("BASE", 0.8, 0.7)];

impl Sample {
    /// Reads the line that both programs print.
    ///
    /// # Errors
    /// When it is no JSON or lacks a key.
    pub fn parse(line: &str) -> Result<Self> {
        let value: Value =
            serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))?;
        let number = |key: &str| {
            value.get(key).and_then(Value::as_f64).with_context(|| format!("no `{key}` in {line}"))
        };
        Ok(Self {
            ms: number("ms_median")?,
            gflop_per_s: number("gflop_per_s")?,
            peak_mib: number("peak_mib")?,
        })
    }
}

impl Runs {
    /// Takes one run in.
    pub fn add(&mut self, size: &str, engine: &str, sample: Sample) {
        self.samples.entry((size.to_owned(), engine.to_owned())).or_default().push(sample);
    }

    /// Takes a measured peak in, where there is one.
    pub fn add_peak(&mut self, size: &str, gflop_per_s: Option<f64>) {
        self.peaks.entry(size.to_owned()).or_default().extend(gflop_per_s);
    }

    fn of(&self, size: &str, engine: &str) -> &[Sample] {
        self.samples.get(&(size.to_owned(), engine.to_owned())).map_or(&[], Vec::as_slice)
    }

    fn median(&self, size: &str, engine: &str, of: fn(&Sample) -> f64) -> Option<f64> {
        median(self.of(size, engine).iter().map(of).collect())
    }
}

/// The tables, as they go into `EXPERIMENTS.md`.
pub fn render(runs: &Runs, sizes: &[String]) -> String {
    let mut text = String::new();
    let out = &mut text;
    line(out, "| size | peer, ms | ours, ms | faster (rounds) | must | aim | |");
    line(out, "|---|---|---|---|---|---|---|");
    for size in sizes {
        PAIRS.iter().filter_map(|pair| speed(runs, size, pair)).for_each(|row| line(out, &row));
    }
    line(out, "\n| size | figure | value | must | aim | |\n|---|---|---|---|---|---|");
    for size in sizes {
        memory(runs, size).iter().chain(&share(runs, size)).for_each(|row| line(out, row));
    }
    text
}

fn line(out: &mut String, row: &str) {
    writeln!(out, "{row}").expect("a string takes all");
}

/// The row of one pair: medians over the rounds, and the worst and best round.
fn speed(runs: &Runs, size: &str, pair: &Pair) -> Option<String> {
    let Pair { peer, ours, must, aim } = pair;
    let theirs_ms = runs.median(size, peer, |s| s.ms)?;
    let ours_ms = runs.median(size, ours, |s| s.ms)?;
    let ratio = theirs_ms / ours_ms;
    let rounds = runs.of(size, peer).iter().zip(runs.of(size, ours));
    let ratios: Vec<f64> = rounds.map(|(peer, ours)| peer.ms / ours.ms).collect();
    let low = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let high = ratios.iter().copied().fold(0.0, f64::max);
    Some(format!(
        "| {size} | {peer} {theirs_ms:.0} | {ours} {ours_ms:.0} | {ratio:.2}x ({low:.2}-{high:.2}) \
         | {must:.1}x | {aim:.1}x | {} |",
        verdict(ratio >= *must, ratio >= *aim)
    ))
}

fn memory(runs: &Runs, size: &str) -> Option<String> {
    let theirs = runs.median(size, "torch compile-bf16", |s| s.peak_mib)?;
    let ours = runs.median(size, "lyceum bf16", |s| s.peak_mib)?;
    let (_, must, aim) = MEMORY.iter().find(|(name, ..)| *name == size)?;
    let ratio = ours / theirs;
    Some(format!(
        "| {size} | peak MiB: {ours:.0} of {theirs:.0} | {ratio:.2}x | {must:.2}x | {aim:.2}x \
         | {} |",
        verdict(ratio <= *must, ratio <= *aim)
    ))
}

fn share(runs: &Runs, size: &str) -> Option<String> {
    let peak = median(runs.peaks.get(size)?.clone())?;
    let ours = runs.median(size, "lyceum bf16", |s| s.gflop_per_s)?;
    let share = 100.0 * ours / peak;
    let wanted = if size == "S" {
        format!("82 % | 92 % | {}", verdict(share >= 82.0, share >= 92.0))
    } else {
        "| |".to_owned()
    };
    Some(format!(
        "| {size} | model FLOPs: {ours:.0} of {peak:.0} GFLOP/s | {share:.0} % | {wanted} |"
    ))
}

pub(super) fn verdict(must: bool, aim: bool) -> &'static str {
    match (must, aim) {
        (_, true) => "aim reached",
        (true, false) => "reached",
        (false, false) => "MISSED",
    }
}

/// The middle value, the mean of the two middle ones when they are even in number.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    (n > 0).then(|| f64::midpoint(values[(n - 1) / 2], values[n / 2]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(ms: f64) -> Sample {
        Sample { ms, gflop_per_s: 400.0, peak_mib: ms }
    }

    #[test]
    fn medians() {
        let cases = [
            (vec![], None),
            (vec![3.0], Some(3.0)),
            (vec![9.0, 1.0, 3.0], Some(3.0)),
            (vec![4.0, 1.0], Some(2.5)),
        ];
        for (values, expected) in cases {
            assert_eq!(median(values), expected);
        }
    }

    #[test]
    fn a_line_is_read_or_named() {
        let line = r#"{"ms_median": 1.5, "gflop_per_s": 2, "peak_mib": 3, "loss": 9.0}"#;
        let expected = Sample { ms: 1.5, gflop_per_s: 2.0, peak_mib: 3.0 };
        assert_eq!(Sample::parse(line).unwrap(), expected);
        let error = Sample::parse(r#"{"ms_median": 1}"#).unwrap_err().to_string();
        assert_eq!(error, r#"no `gflop_per_s` in {"ms_median": 1}"#);
    }

    #[test]
    fn the_table_shows_medians_rounds_and_verdicts() {
        let mut runs = Runs::default();
        for (theirs, ours) in [(1300.0, 1000.0), (1400.0, 1000.0), (1500.0, 1000.0)] {
            runs.add("S", "torch compile-bf16", sample(theirs));
            runs.add("S", "lyceum bf16", sample(ours));
            runs.add_peak("S", Some(500.0));
        }
        let text = render(&runs, &["S".to_owned()]);
        let rows = [
            "| S | torch compile-bf16 1400 | lyceum bf16 1000 | 1.40x (1.30-1.50) \
             | 1.2x | 1.4x | aim reached |",
            "| S | peak MiB: 1000 of 1400 | 0.71x | 0.60x | 0.50x | MISSED |",
            "| S | model FLOPs: 400 of 500 GFLOP/s | 80 % | 82 % | 92 % | MISSED |",
        ];
        for row in rows {
            assert!(text.contains(row), "{row}\nis not in\n{text}");
        }
        assert!(!text.contains("f32"), "what was not run has no row:\n{text}");
    }
}
