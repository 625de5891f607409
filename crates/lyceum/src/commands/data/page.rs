//! What `lyceum data stats` counted, as a page that needs nothing beside it: no script, no font, no
//! request. Bars are inline SVG; what came from outside is escaped.

use std::fmt::Write;

use ::data::{Lengths, Survey};
use serde_json::Value;
use train::report::format::{escape, grouped};

use super::units;

const STYLE: &str = "\
:root { color-scheme: light dark; --soft: #6d6a64; --bar: #1f5fa8; }
@media (prefers-color-scheme: dark) { :root { --soft: #9a978f; --bar: #6cb0f5; } }
body {
  max-width: 60rem; margin: 0 auto; padding: 2rem 1.25rem;
  font: 15px/1.5 system-ui, sans-serif;
}
h1 { font-size: 1.5rem; overflow-wrap: anywhere; }
svg { display: block; width: 100%; height: auto; }
rect { fill: var(--bar); }
text { fill: var(--soft); font-size: 11px; text-anchor: middle; }
td, th { padding: .15rem .8rem; text-align: right; font-variant-numeric: tabular-nums; }
";

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 220.0;
/// Above the highest bar its count, below each where it begins.
const MARGIN: f64 = 18.0;

/// The page, of the survey and of what is printed as JSON.
pub(super) fn page(title: &str, survey: &Survey, shown: &Value) -> String {
    let mut body = format!("<p>{} documents</p>\n", grouped(survey.n_documents));
    for (unit, lengths) in units(survey) {
        let median = grouped(lengths.quantile(0.5));
        let _ = write!(
            body,
            "<h2>{unit} a document</h2>\n<p>{} in all, median {median}, at most {}</p>\n{}",
            grouped(lengths.total()),
            grouped(lengths.quantile(1.0)),
            bars(unit, lengths),
        );
    }
    if let Some(tokens) = shown["most_frequent"].as_array() {
        body += "<h2>The most frequent tokens</h2>\n<table>\n\
                 <tr><th>id</th><th>token</th><th>count</th></tr>\n";
        for token in tokens {
            let text = token["token"].as_str().unwrap_or("-");
            let n = token["count"].as_u64().unwrap_or(0);
            let (id, text, n) = (&token["id"], escape(text), grouped(n));
            let _ = writeln!(body, "<tr><td>{id}</td><td>{text}</td><td>{n}</td></tr>");
        }
        body += "</table>\n";
    }
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n\
         {body}</body>\n</html>\n"
    )
}

/// A bar a power of two, its number as a hover title.
fn bars(unit: &str, lengths: &Lengths) -> String {
    let bars = lengths.histogram();
    let most = bars.iter().map(|(_, n)| *n).max().unwrap_or(0).max(1) as f64;
    let step = WIDTH / bars.len().max(1) as f64;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{unit} a document\">\n"
    );
    for ((range, n), at) in bars.iter().zip(0..) {
        let height = *n as f64 / most * (HEIGHT - 2.0 * MARGIN);
        let (x, y) = (f64::from(at) * step, HEIGHT - MARGIN - height);
        let (from, n) = (grouped(range.start), grouped(*n));
        let (width, middle) = (step * 0.8, x + step * 0.4);
        let _ = writeln!(
            svg,
            "<g><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>\
             <text x=\"{middle:.1}\" y=\"{HEIGHT}\">{from}</text>\
             <title>from {from} {unit}: {n} documents</title></g>"
        );
    }
    svg + "</svg>\n"
}
