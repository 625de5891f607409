//! Pages to main text, for measuring: paths on standard input, one a line; for each a line of JSON
//! with its text on standard output, and at last the seconds of the best of `ROUNDS` rounds, read
//! from memory, on standard error.
//!
//! usage: extract [ROUNDS] [--markdown] [--comments] < PATHS

use std::io::{BufRead, Write};
use std::time::Instant;

use curate::html::{Options, main_text};

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rounds = arguments.iter().find_map(|a| a.parse().ok()).unwrap_or(0);
    let given = |flag| arguments.iter().any(|a| a == flag);
    let options = Options {
        markdown: given("--markdown"),
        comments: given("--comments"),
        ..Options::default()
    };
    let paths = std::io::stdin().lock().lines().collect::<Result<Vec<_>, _>>()?;
    let pages = paths.iter().map(std::fs::read).collect::<Result<Vec<_>, _>>()?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for (path, page) in paths.iter().zip(&pages) {
        let found = main_text(page, None, options);
        let line = serde_json::json!({
            "path": path, "text": found.text, "title": found.title,
            "language": found.language, "encoding": found.encoding,
        });
        writeln!(out, "{line}")?;
    }
    let mut best = f64::INFINITY;
    for _ in 0..rounds {
        let start = Instant::now();
        for page in &pages {
            std::hint::black_box(main_text(page, None, options));
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    if rounds > 0 {
        writeln!(std::io::stderr(), "{best}")?;
    }
    Ok(())
}
