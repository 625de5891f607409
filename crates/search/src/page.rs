//! A search as a page: the best first, and what each key does to it.

use train::report::{document, rows, scatter, section};

use crate::plan::Standing;

/// Values that are named below an axis.
const MAX_TICKS: usize = 8;
/// Above this many times the smallest, orders of magnitude are drawn.
const WIDE: f64 = 20.0;

/// The page of `ranked` standings, in what `metric` measures; scripts and requests it has none.
pub fn page(title: &str, lead: &str, metric: &str, ranked: &[Standing]) -> String {
    let keys: Vec<&str> = match ranked.first() {
        Some(first) => first.point.settings.iter().map(|(key, _)| key.as_str()).collect(),
        None => vec![],
    };
    let charts: String = (0..keys.len()).map(|at| chart(at, keys[at], metric, ranked)).collect();
    let charts = format!("<div class=\"charts\">\n{charts}</div>\n");
    let (head, lines) = table(&keys, metric, ranked);
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let body =
        section("Trials, the best first", &rows(&head, &lines)) + &section("What matters", &charts);
    document(title, lead, &body)
}

/// The same as rows of a table, and its head.
pub fn table(keys: &[&str], metric: &str, ranked: &[Standing]) -> (Vec<String>, Vec<Vec<String>>) {
    let several = ranked.iter().any(|standing| standing.values.len() > 1);
    let rungs = ranked.iter().any(|standing| standing.rung != ranked[0].rung);
    let mut head = vec!["trial".to_owned()];
    head.extend(keys.iter().map(|key| (*key).to_owned()));
    head.push(metric.to_owned());
    head.extend(several.then(|| "seeds".to_owned()));
    head.extend(rungs.then(|| "rung".to_owned()));
    let row = |standing: &Standing| {
        let mut row = vec![standing.point.number.to_string()];
        row.extend(standing.point.settings.iter().map(|(_, value)| value.clone()));
        row.push(match standing.mean() {
            None => "-".into(),
            Some((mean, None)) => format!("{mean:.4}"),
            Some((mean, Some(spread))) => format!("{mean:.4} ± {spread:.4}"),
        });
        row.extend(several.then(|| standing.values.len().to_string()));
        row.extend(rungs.then(|| (standing.rung + 1).to_string()));
        row
    };
    (head, ranked.iter().map(row).collect())
}

/// Every value that was measured, over those of one key.
fn chart(at: usize, key: &str, metric: &str, ranked: &[Standing]) -> String {
    let value = |standing: &Standing| standing.point.settings[at].1.clone();
    let mut values: Vec<String> = ranked.iter().map(value).collect();
    values.sort();
    values.dedup();
    let numbers: Option<Vec<f64>> = values.iter().map(|value| value.parse().ok()).collect();
    let mut places: Vec<(f64, String)> = match numbers {
        None => (0..).map(f64::from).zip(values).collect(),
        Some(numbers) => {
            let low = numbers.iter().copied().fold(f64::INFINITY, f64::min);
            let high = numbers.iter().copied().fold(0.0, f64::max);
            let is_wide = low > 0.0 && high / low > WIDE;
            let place = |x: f64| if is_wide { x.log10() } else { x };
            numbers.into_iter().map(place).zip(values).collect()
        }
    };
    places.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut points = Vec::new();
    for standing in ranked {
        let own = value(standing);
        let x = places.iter().find(|(_, name)| *name == own).map_or(f64::NAN, |place| place.0);
        let note = |y: f64| format!("trial {}: {metric} {y:.4}", standing.point.number);
        points.extend(standing.values.iter().map(|&y| (x, y, note(y))));
    }
    let every = places.len().div_ceil(MAX_TICKS).max(1);
    let ticks: Vec<_> = places.into_iter().step_by(every).collect();
    scatter((key, metric), &ticks, &points)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Point;

    #[test]
    fn a_page_has_every_trial_and_escapes_what_it_is_given() {
        let standing = |number, rate: &str, values: &[f64]| Standing {
            point: Point {
                number,
                settings: vec![
                    ("optim.peak_lr".into(), rate.into()),
                    ("method.kind".into(), "\"<lora>\"".into()),
                ],
            },
            rung: 0,
            values: values.to_vec(),
        };
        let all = [standing(2, "1e-3", &[0.9, 0.8]), standing(1, "1e-5", &[0.7, f64::NAN])];
        let html = page("search", "2 trials", "accuracy", &all);
        assert!(html.contains("0.8500 ± 0.0707"), "{html}");
        assert!(html.contains("&lt;lora&gt;") && !html.contains("<lora>"));
        // Two keys, three finite values each.
        assert_eq!(html.matches("<circle").count(), 6);
        let places: Vec<&str> = html.split("cx=\"").skip(1).collect();
        assert_ne!(places[0][..6], places[2][..6], "rates lie apart");
    }
}
