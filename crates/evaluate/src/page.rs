//! What was found of a head, as a page by itself.

use std::fmt::Write;

use train::report::format::{escape, grouped};
use train::report::{document, section, tiles};

use crate::heads::{Calibration, HeadReport};

/// Pixels of the diagram, and around it.
const SIZE: f64 = 320.0;
const EDGE: f64 = 36.0;

impl HeadReport {
    /// A page of reports; `name` is the model's.
    pub fn html(reports: &[Self], name: &str, lead: &str) -> String {
        document(name, lead, &reports.iter().map(Self::body).collect::<String>())
    }

    fn body(&self) -> String {
        let mut figures = Vec::new();
        for metric in &self.metrics {
            let value = metric.value.map_or("undefined".to_owned(), |value| format!("{value:.4}"));
            let interval = metric.interval.map(|[a, b]| format!("{a:.4} .. {b:.4}"));
            let note = interval.or(metric.undefined.clone()).unwrap_or_default();
            figures.push((&*metric.metric, value, note));
        }
        figures.push(("records", grouped(self.n as u64), String::new()));
        let mut body = section(&escape(&self.split), &tiles(&figures));
        if let Some(calibration) = &self.calibration {
            body += &section("Calibration", &calibration.html());
        }
        if let Some(matrix) = &self.confusion {
            body += &section("Confusion", &self.matrix(matrix));
        }
        let rows = self.slices.iter().map(|slice| {
            let error = format!("{:.4}", slice.error);
            vec![slice.column.clone(), slice.value.clone(), slice.n.to_string(), error]
        });
        let head = ["column", "value", "records", "mean error"];
        body += &section("Errors by slice", &table(&head, rows));
        let rows = self.worst.iter().map(|worst| {
            let weight = format!("{:.3}", worst.error);
            let [text, right, said, at] = [&worst.text, &worst.right, &worst.said, &worst.at];
            vec![text.clone(), right.clone(), said.clone(), weight, at.clone()]
        });
        let head = ["text", "right", "said", "confidence or distance", "where"];
        body + &section("Worst errors", &table(&head, rows))
    }

    fn matrix(&self, matrix: &[Vec<u64>]) -> String {
        let mut head = vec!["right \\ said"];
        head.extend(self.labels.iter().map(String::as_str));
        let rows = self.labels.iter().zip(matrix).map(|(label, row)| {
            let mut cells = vec![label.clone()];
            cells.extend(row.iter().map(ToString::to_string));
            cells
        });
        table(&head, rows)
    }
}

impl Calibration {
    /// The numbers, and the reliability diagram: Guo et al., arXiv:1706.04599, figure 1.
    fn html(&self) -> String {
        let temperature = self.temperature.map_or("none".to_owned(), |t| format!("{t:.3}"));
        let facts = [
            ("expected calibration error", format!("{:.4}", self.ece)),
            ("maximum", format!("{:.4}", self.mce)),
            ("Brier score", format!("{:.4}", self.brier)),
            ("log loss, nats", format!("{:.4}", self.log_loss)),
            ("best temperature", temperature),
        ];
        let rows = facts.iter().map(|(name, value)| vec![(*name).to_owned(), value.clone()]);
        let (x, y) = (|at: f64| EDGE + at * SIZE, |at: f64| EDGE + (1.0 - at) * SIZE);
        let mut bars = String::new();
        for [low, high, n, confidence, accuracy] in &self.bins {
            let _ = write!(
                bars,
                "<rect class=\"bar\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\">\
                 <title>{n} records, confidence {confidence:.3}, right {accuracy:.3}</title>\
                 </rect>",
                x(*low) + 1.0,
                y(*accuracy),
                (high - low) * SIZE - 2.0,
                accuracy * SIZE,
            );
        }
        let all = SIZE + 2.0 * EDGE;
        format!(
            "{}<figure style=\"max-width:26rem\"><figcaption>share that is right, by confidence\
             </figcaption><svg viewBox=\"0 0 {all} {all}\" role=\"img\" \
             aria-label=\"reliability diagram\">{bars}<path class=\"axis\" d=\"M{a} {b}L{b} {a}\"/>\
             <path class=\"axis\" d=\"M{a} {a}V{b}H{b}\"/><text class=\"x\" x=\"{a}\" y=\"{c}\">0\
             </text><text class=\"x\" x=\"{b}\" y=\"{c}\">1</text><text class=\"y\" x=\"{d}\" \
             y=\"{a}\">1</text></svg></figure>\n",
            table(&["", ""], rows),
            a = EDGE,
            b = EDGE + SIZE,
            c = EDGE + SIZE + 16.0,
            d = EDGE - 6.0,
        )
    }
}

/// A table of plain texts.
fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut body = String::new();
    for row in rows {
        body += "<tr>";
        for cell in &row {
            let _ = write!(body, "<td>{}</td>", escape(cell));
        }
        body += "</tr>\n";
    }
    if body.is_empty() {
        return String::new();
    }
    let mut names = String::new();
    for cell in head {
        let _ = write!(names, "<th>{}</th>", escape(cell));
    }
    format!("<table>\n<tr>{names}</tr>\n{body}</table>\n")
}
