//! A line chart as inline SVG: axes, ticks, legend, and the values as hover titles, no script.

use super::format::{compact, escape, grouped};
use super::series::{Axis, Point, nearest, thin};

/// How a series is drawn. The colours are in `style.css`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// A thin, pale line: every value.
    Raw,
    /// A strong line.
    Main,
    /// A line with a dot at each value, in a second colour.
    Dots,
}

/// One curve. Points are finite and in order of step.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) look: Look,
    pub(super) points: Vec<Point>,
}

/// Curves over the steps of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Chart {
    pub(super) title: String,
    /// What is drawn, with its unit; ends the title.
    pub(super) unit: &'static str,
    pub(super) series: Vec<Series>,
    /// Whether it takes a row of its own.
    pub(super) wide: bool,
    /// Whether the value axis may start elsewhere than at zero.
    pub(super) floats: bool,
    /// First and last step, the same in every chart of a report.
    pub(super) span: (f64, f64),
    /// Values left out because they are not finite.
    pub(super) n_left_out: usize,
}

const WIDTH: f64 = 640.0;
const WIDE_WIDTH: f64 = 900.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 52.0;
const RIGHT_MARGIN: f64 = 20.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 212.0;
/// Two points each: about one a pixel.
const N_CHUNKS: usize = 300;
/// Vertical strips that carry a hover title.
const N_STRIPS: usize = 120;

impl Chart {
    /// A figure with a caption, a legend and the drawing.
    pub(super) fn html(&self) -> String {
        format!(
            "<figure{}>\n<figcaption><b>{}</b> <span class=\"unit\">{}</span>{}</figcaption>\n\
             {}{}</figure>\n",
            if self.wide { " class=\"wide\"" } else { "" },
            escape(&self.title),
            escape(self.unit),
            self.legend(),
            self.drawing(),
            self.note(),
        )
    }

    fn drawn(&self) -> impl Iterator<Item = &Series> {
        self.series.iter().filter(|series| !series.points.is_empty())
    }

    fn legend(&self) -> String {
        if self.drawn().count() < 2 {
            return String::new();
        }
        let key = |series: &Series| {
            format!("<span class=\"key {}\">{}</span>", class(series.look), escape(series.name))
        };
        format!("<span class=\"legend\">{}</span>", self.drawn().map(key).collect::<String>())
    }

    fn note(&self) -> String {
        match self.n_left_out {
            0 => String::new(),
            1 => "<p class=\"note\">1 value is not finite and is not drawn.</p>\n".into(),
            n => format!("<p class=\"note\">{n} values are not finite and are not drawn.</p>\n"),
        }
    }

    fn drawing(&self) -> String {
        if self.drawn().count() == 0 {
            return "<p class=\"note\">Nothing recorded.</p>\n".into();
        }
        let values = self.drawn().flat_map(|series| &series.points).map(|point| point.1);
        let zero = (!self.floats).then_some(0.0);
        let width = if self.wide { WIDE_WIDTH } else { WIDTH };
        let plot = Plot {
            x_axis: Axis::over([self.span.0, self.span.1].into_iter(), 8),
            y_axis: Axis::over(values.chain(zero), 5),
            right: width - RIGHT_MARGIN,
        };
        format!(
            "<svg viewBox=\"0 0 {width} {HEIGHT}\" role=\"img\" \
             aria-label=\"{}, {}\">\n{}{}{}</svg>\n",
            escape(&self.title),
            escape(self.unit),
            plot.grid(),
            self.drawn().map(|series| plot.curve(series)).collect::<String>(),
            self.strips(&plot),
        )
    }

    /// Invisible strips over the whole height; their titles are what a pointer reads.
    fn strips(&self, plot: &Plot) -> String {
        let longest = self.drawn().max_by_key(|series| series.points.len()).expect("one is drawn");
        let every = longest.points.len().div_ceil(N_STRIPS);
        let at: Vec<f64> =
            longest.points.iter().skip(every / 2).step_by(every).map(|point| point.0).collect();
        let edge = |i: usize| match i {
            0 => LEFT,
            i if i == at.len() => plot.right,
            i => f64::midpoint(plot.x(at[i - 1]), plot.x(at[i])),
        };
        let strip = |i: usize| {
            let (x, width) = (edge(i), edge(i + 1) - edge(i));
            format!(
                "<g class=\"strip\"><rect x=\"{x:.1}\" y=\"{TOP}\" width=\"{width:.1}\" \
                 height=\"{}\"/><path d=\"M{:.1} {TOP}V{BOTTOM}\"/><title>{}</title></g>\n",
                BOTTOM - TOP,
                plot.x(at[i]),
                escape(&self.values_at(at[i])),
            )
        };
        (0..at.len()).map(strip).collect()
    }

    /// The value of every series at a step, or at its step nearest to it.
    fn values_at(&self, x: f64) -> String {
        let line = |series: &Series| {
            let (at, y) = nearest(&series.points, x).expect("a drawn series has points");
            let other = (at != x).then(|| format!(" (step {})", grouped(at as u64)));
            format!("\n{} {}{}", series.name, value(y), other.unwrap_or_default())
        };
        format!("step {}{}", grouped(x as u64), self.drawn().map(line).collect::<String>())
    }
}

/// Columns of a chart of bars: names, bars, counts.
const NAMES: f64 = 210.0;
const BARS: f64 = 300.0;
const ROW: f64 = 20.0;

/// A figure of horizontal bars, one a row: name, count, and a note that a pointer reads.
pub fn bars(title: &str, unit: &str, rows: &[(String, u64, String)]) -> String {
    let most = rows.iter().map(|(_, n, _)| *n).max().unwrap_or(0).max(1) as f64;
    let bar = |(at, (name, n, note)): (usize, &(String, u64, String))| {
        let (top, width) = (at as f64 * ROW, *n as f64 / most * BARS);
        let (middle, left, n) = (top + ROW * 0.7, NAMES + 8.0, grouped(*n));
        let name = escape(name);
        format!(
            "<g><text class=\"y\" x=\"{NAMES}\" y=\"{middle:.1}\">{name}</text>\
             <rect class=\"bar\" x=\"{left}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{}\"/>\
             <text x=\"{:.1}\" y=\"{middle:.1}\">{n}</text>\
             <title>{name}: {n} {}</title></g>\n",
            top + 3.0,
            ROW - 6.0,
            left + width + 6.0,
            escape(note)
        )
    };
    let drawn: String = rows.iter().enumerate().map(bar).collect();
    let (title, unit, height) = (escape(title), escape(unit), ROW * rows.len() as f64);
    let drawing = if rows.is_empty() {
        "<p class=\"note\">Nothing recorded.</p>\n".to_owned()
    } else {
        format!(
            "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}, {unit}\">\n\
             {drawn}</svg>\n"
        )
    };
    format!(
        "<figure>\n<figcaption><b>{title}</b> <span class=\"unit\">{unit}</span></figcaption>\n\
         {drawing}</figure>\n"
    )
}

/// A figure of points: where each lies, and a note that a pointer reads. `ticks` name places on the
/// axis to the right.
pub fn scatter(
    (title, unit): (&str, &str),
    ticks: &[(f64, String)],
    points: &[(f64, f64, String)],
) -> String {
    let points: Vec<_> = points.iter().filter(|(x, y, _)| x.is_finite() && y.is_finite()).collect();
    let (title, unit) = (escape(title), escape(unit));
    let xs = points.iter().map(|point| point.0).chain(ticks.iter().map(|tick| tick.0));
    let x_axis = Axis { ticks: vec![], ..Axis::over(xs, 8) };
    let y_axis = Axis::over(points.iter().map(|point| point.1), 5);
    let plot = Plot { x_axis, y_axis, right: WIDTH - RIGHT_MARGIN };
    // Room on both sides, as values lie on the ends.
    let at = |x: f64| {
        LEFT + 20.0 + (plot.x(x) - LEFT) * (plot.right - LEFT - 40.0) / (plot.right - LEFT)
    };
    let tick = |(x, name): &(f64, String)| {
        let (x, end, below) = (at(*x), BOTTOM + 5.0, BOTTOM + 20.0);
        format!(
            "<path class=\"axis\" d=\"M{x:.1} {BOTTOM}V{end}\"/>\
             <text class=\"x\" x=\"{x:.1}\" y=\"{below}\">{}</text>\n",
            escape(name)
        )
    };
    let dot = |(x, y, note): &&(f64, f64, String)| {
        let (x, y, note) = (at(*x), plot.y(*y), escape(note));
        format!(
            "<circle class=\"dots\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\">\
             <title>{note}</title></circle>\n"
        )
    };
    format!(
        "<figure>\n<figcaption><b>{title}</b> <span class=\"unit\">{unit}</span></figcaption>\n\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}, {unit}\">\n\
         {}{}{}</svg>\n</figure>\n",
        plot.grid(),
        ticks.iter().map(tick).collect::<String>(),
        points.iter().map(dot).collect::<String>(),
    )
}

/// Four decimals, where that says anything.
fn value(y: f64) -> String {
    if y == 0.0 || (0.01..1000.0).contains(&y.abs()) { format!("{y:.4}") } else { compact(y) }
}

fn class(look: Look) -> &'static str {
    match look {
        Look::Raw => "raw",
        Look::Main => "main",
        Look::Dots => "dots",
    }
}

/// The two axes, and where values come to lie on the drawing.
struct Plot {
    x_axis: Axis,
    y_axis: Axis,
    right: f64,
}

impl Plot {
    fn x(&self, step: f64) -> f64 {
        LEFT + self.x_axis.share(step) * (self.right - LEFT)
    }

    fn y(&self, value: f64) -> f64 {
        // A little room above the highest and below the lowest value.
        let share = 0.03 + 0.94 * self.y_axis.share(value);
        BOTTOM - share * (BOTTOM - TOP)
    }

    fn grid(&self) -> String {
        let rows = self.y_axis.ticks.iter().zip(self.y_axis.labels()).map(|(&tick, label)| {
            let (y, text_x, right) = (self.y(tick), LEFT - 7.0, self.right);
            format!(
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>\
                 <text class=\"y\" x=\"{text_x}\" y=\"{:.1}\">{label}</text>\n",
                y + 4.0
            )
        });
        let columns = self.x_axis.ticks.iter().zip(self.x_axis.labels()).map(|(&tick, label)| {
            let (x, tick_end, text_y) = (self.x(tick), BOTTOM + 5.0, BOTTOM + 20.0);
            format!(
                "<path class=\"axis\" d=\"M{x:.1} {BOTTOM}V{tick_end}\"/>\
                 <text class=\"x\" x=\"{x:.1}\" y=\"{text_y}\">{label}</text>\n"
            )
        });
        let axis = format!("<path class=\"axis\" d=\"M{LEFT} {TOP}V{BOTTOM}H{}\"/>\n", self.right);
        rows.chain(columns).chain([axis]).collect()
    }

    fn curve(&self, series: &Series) -> String {
        let points = thin(&series.points, N_CHUNKS);
        let at = |&(x, y): &Point| format!("{:.1},{:.1}", self.x(x), self.y(y));
        let class = class(series.look);
        let line = points.iter().map(at).collect::<Vec<_>>().join(" ");
        let mut svg = format!("<polyline class=\"{class}\" points=\"{line}\"/>\n");
        if series.look == Look::Dots || points.len() == 1 {
            svg.extend(points.iter().map(|&(x, y)| {
                let (x, y) = (self.x(x), self.y(y));
                format!("<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>\n")
            }));
        }
        svg
    }
}
