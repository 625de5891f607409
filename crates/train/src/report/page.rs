//! The page around the curves.

use super::curves::curves;
use super::energy::Energy;
use super::format::{bytes, compact, duration, escape, grouped, percent};
use super::series::median;
use super::{Named, ReportFacts};
use crate::metrics::{EvalRow, SampleRow};

const STYLE: &str = include_str!("style.css");
const UNKNOWN: &str = "unknown";

/// The whole page.
pub(super) fn page(facts: &ReportFacts) -> String {
    let charts: String = curves(facts).iter().map(super::chart::Chart::html).collect();
    let sections = [
        section("Next", &commands(facts.next_commands)),
        section("Curves", &format!("<div class=\"charts\">\n{charts}</div>\n")),
        section("Evaluation", &table(&scores(facts))),
        section("Samples", &samples(facts.samples)),
        section("Sources", &table(facts.sources)),
        section("Machine", &table(facts.machine)),
        section("Hashes", &table(facts.hashes)),
        section("Recipe", &recipe(facts.recipe_toml)),
    ]
    .concat();
    document(facts.title, facts.outcome, &(figures(facts) + &sections))
}

/// A page with a title, a sentence below it, and a body of HTML.
pub fn document(title: &str, lead: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <header><h1>{title}</h1>\n<p>{}</p></header>\n{body}</main>\n</body>\n</html>\n",
        escape(lead),
    )
}

/// A section of a page; one with nothing to say is left out.
pub fn section(title: &str, body: &str) -> String {
    wrapped(&format!("<section>\n<h2>{title}</h2>\n"), body, "</section>\n")
}

/// The last evaluation as a whole, by part and by source.
fn scores<'f>(facts: &ReportFacts<'f>) -> Vec<Named<'f>> {
    let Some(EvalRow { eval, .. }) = facts.evals.last() else { return Vec::new() };
    let said = |loss: f64, accuracy: f64, n: u64| {
        format!("{loss:.4} nats, {} right of {}", percent(accuracy), grouped(n))
    };
    let by = eval.parts.iter().chain(&eval.sources);
    let by = by.map(|(name, s)| (name.as_str(), said(s.loss, s.accuracy, s.targets)));
    [("all", said(eval.loss, eval.accuracy, eval.targets))].into_iter().chain(by).collect()
}

/// The figures to see first.
fn figures(facts: &ReportFacts) -> String {
    let totals = &facts.totals;
    let rows = facts.steps;
    let best_of = |noted| match facts.evals.last() {
        Some(row) => row.eval.best_of(noted),
        None => ("nats", noted),
    };
    let unknown = || UNKNOWN.to_owned();
    let last = rows.last();
    let share = median(rows.iter().filter_map(|row| row.share_of_peak));
    let sessions = rows.iter().map(|row| row.memory_bytes);
    let memory = sessions.chain([totals.peak_memory_bytes]).flatten().max();
    let speed = median(rows.iter().map(|row| row.tokens_per_s));
    let tokens = last.map_or(0, |row| row.tokens);
    let (energy, energy_note) = energy(&totals.energy, tokens);
    tiles(&[
        (
            &match best_of(0.0).0 {
                "bits/byte" => "validation, bits per byte".to_owned(),
                "nats" => "validation loss, nats".to_owned(),
                metric => format!("validation, {metric}"),
            },
            facts.best.map_or_else(unknown, |best| format!("{:.4}", best_of(best.metric).1)),
            facts.best.map_or("no checkpoint was judged".into(), |best| {
                format!("best checkpoint, at step {}", grouped(best.step))
            }),
        ),
        (
            "training loss",
            last.map_or_else(unknown, |row| format!("{:.4}", row.loss)),
            last.map_or_else(String::new, |row| format!("step {}", grouped(row.step))),
        ),
        ("tokens a second", speed.map_or_else(unknown, compact), "median of the steps".into()),
        ("of the machine's peak", share.map_or_else(unknown, percent), "model FLOPs".into()),
        ("peak memory", memory.map_or_else(unknown, bytes), "resident".into()),
        ("time", duration(totals.seconds), format!("{} tokens", compact(tokens as f64))),
        ("parameters", compact(totals.n_params as f64), grouped(totals.n_params)),
        ("energy", energy, energy_note),
    ])
}

/// Figures to see first: name, value, and what more there is to say.
pub fn tiles(figures: &[(&str, String, String)]) -> String {
    let tile = |(name, value, note): &(&str, String, String)| {
        format!(
            "<div><small>{}</small><strong>{}</strong><small>{}</small></div>\n",
            escape(name),
            escape(value),
            escape(note)
        )
    };
    let tiles: String = figures.iter().map(tile).collect();
    wrapped("<div class=\"tiles\">\n", &tiles, "</div>\n")
}

/// Value and note of the energy tile.
fn energy(energy: &Energy, tokens: u64) -> (String, String) {
    match energy {
        Energy::Measured { joules, since_step, .. } => {
            let since = match since_step {
                0 => String::new(),
                step => format!(", since step {}", grouped(*step)),
            };
            let each = joules / tokens.max(1) as f64;
            let each = if *since_step == 0 { format!(", {each:.2e} J a token") } else { since };
            (format!("{} Wh", compact(joules / 3600.0)), format!("whole CPU packages{each}"))
        }
        Energy::Unknown { why } => (UNKNOWN.into(), why.clone()),
    }
}

fn commands(commands: &[Named]) -> String {
    let line = |(purpose, command): &Named| {
        format!("<dt>{}</dt><dd><code>{}</code></dd>\n", escape(purpose), escape(command))
    };
    wrapped("<dl class=\"next\">\n", &commands.iter().map(line).collect::<String>(), "</dl>\n")
}

/// The newest sample open, the earlier ones folded.
fn samples(samples: &[SampleRow]) -> String {
    let sample = |(at, SampleRow { step, text }): (usize, &SampleRow)| {
        let open = if at == 0 { " open" } else { "" };
        format!(
            "<details{open}><summary>step {}</summary><pre dir=\"auto\">{}</pre></details>\n",
            grouped(*step),
            escape(text)
        )
    };
    samples.iter().rev().enumerate().map(sample).collect()
}

fn table(rows: &[Named]) -> String {
    let row = |(name, value): &Named| {
        format!("<tr><th>{}</th><td>{}</td></tr>\n", escape(name), escape(value))
    };
    wrapped("<table>\n", &rows.iter().map(row).collect::<String>(), "</table>\n")
}

/// A table with a head; all cells are texts.
pub fn rows(head: &[&str], rows: &[Vec<String>]) -> String {
    let cells = |tag: &str, cells: &mut dyn Iterator<Item = &str>| {
        let cell = |cell: &str| format!("<{tag}>{}</{tag}>", escape(cell));
        cells.map(cell).collect::<String>()
    };
    let row = |row: &Vec<String>| {
        format!("<tr>{}</tr>\n", cells("td", &mut row.iter().map(String::as_str)))
    };
    let head = format!("<table>\n<tr>{}</tr>\n", cells("th", &mut head.iter().copied()));
    wrapped(&head, &rows.iter().map(row).collect::<String>(), "</table>\n")
}

fn recipe(toml: &str) -> String {
    // A parser drops a newline right after `<pre>`: one is given up so that none is lost.
    let before = "<details open><summary>recipe.toml</summary><pre>\n";
    wrapped(before, &escape(toml), "</pre></details>\n")
}

/// `body` inside of a tag; nothing without one.
fn wrapped(before: &str, body: &str, after: &str) -> String {
    if body.is_empty() { String::new() } else { [before, body, after].concat() }
}
