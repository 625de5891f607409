//! What came of every record: for programs, on standard output, and as a page.

use std::fmt::Write as _;
use std::path::Path;

use curate::crawl::{CrawlError, Report};
use curate::{Places, Tally, dedup, join};
use serde::Serialize;
use serde_json::Value;
use train::report::format::{bytes, compact, escape, grouped, percent};
use train::report::{REPORT_FILE, bars, document, section, tiles};

use crate::commands::Shown;
use crate::commands::table::Table;
use crate::failure::{Context, Failure};
use recipe::{self, CrawlRecipe};

/// For programs.
const FILE: &str = "report.json";
/// Languages that are shown; of the rest their number.
const LANGUAGES: usize = 20;
/// Characters of the longest bar.
const BAR: f64 = 30.0;

/// What came of every record. `records` = `documents` + those of `gone` in both stages.
#[derive(Serialize)]
pub struct Summary {
    records: u64,
    documents: u64,
    text_bytes: u64,
    /// From slices to shards.
    crawl: Report,
    /// From shards to the corpus.
    corpus: Report,
    /// What was taken for the same, where that was looked for.
    duplicates: Option<dedup::Report>,
}

/// Why records went.
struct Reason<'s> {
    stage: &'static str,
    name: &'s str,
    n: u64,
    /// Places, as far as they are known.
    places: Vec<String>,
}

impl Summary {
    /// Of both stages.
    pub fn new(crawl: Report, corpus: Report, duplicates: Option<dedup::Report>) -> Self {
        let (records, documents) = (crawl.counts.records, corpus.counts.documents);
        let text_bytes = corpus.counts.text_bytes;
        Self { records, documents, text_bytes, crawl, corpus, duplicates }
    }

    /// Writes both files, and the recipe beside them.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn write(
        &self,
        (places, out): (&Places, &str),
        recipe: &CrawlRecipe,
    ) -> Result<(), Failure> {
        let recipe = recipe.to_toml();
        let mut text = serde_json::to_string_pretty(self).context("the report is no JSON")?;
        text.push('\n');
        let title = Path::new(out).file_name().unwrap_or_default().to_string_lossy();
        let page = self.page(&title, &recipe);
        for (name, text) in [(recipe::FILE_NAME, &recipe), (FILE, &text), (REPORT_FILE, &page)] {
            let address = join(out, name);
            let written = places.write(&address, text.as_bytes());
            written.map_err(|source| CrawlError::Write { address, source })?;
        }
        Ok(())
    }

    /// What to say of a corpus with nothing in it.
    pub fn warning(&self) -> Option<&'static str> {
        let n_metadata = self.crawl.counts.notes.n("kind.metadata");
        match (self.records, self.documents) {
            (_, 1..) => None,
            (1.., 0) => Some("no document is left\n\nhint: the report says why each record went"),
            (0, 0) if n_metadata > 0 => Some(
                "the inputs have no record of `crawl.kinds`\n\nhint: WAT has metadata and no text: \
                 give WARC or WET",
            ),
            (0, 0) => Some(
                "the inputs have no record of `crawl.kinds`\n\nhint: the report says what was \
                 passed over and could not be read: are they web archives?",
            ),
        }
    }

    /// The commonest first.
    fn reasons(&self) -> Vec<Reason<'_>> {
        let stages = [("crawl", &self.crawl), ("corpus", &self.corpus)];
        let mut all: Vec<_> = stages
            .into_iter()
            .flat_map(|(stage, report)| reasons(stage, report, &report.counts.gone))
            .collect();
        all.sort_by(|a, b| b.n.cmp(&a.n).then(a.name.cmp(b.name)));
        all
    }

    /// The languages of the corpus, the commonest first.
    fn languages(&self) -> Vec<(&str, u64)> {
        let mut all: Vec<_> = self.corpus.counts.languages.iter().collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        all
    }

    /// Documents by the size of their text, from the smallest size that there is.
    fn sizes(&self) -> impl Iterator<Item = (u64, u64)> {
        let sizes = self.corpus.counts.text_sizes.iter().enumerate();
        sizes.skip_while(|(_, n)| **n == 0).map(|(bin, n)| (1 << bin, *n))
    }

    /// A table for people, and all of it for programs.
    pub fn shown(&self) -> Result<Shown, Failure> {
        let share = |n: u64| percent(n as f64 / self.records.max(1) as f64);
        let mut table = Table::new(&["", "records", "share", "the first"]);
        table.row(&["read", &grouped(self.records), &share(self.records)]);
        for Reason { name, n, places, .. } in self.reasons() {
            let first = places.first().map_or("", String::as_str);
            table.row(&[&format!("  {name}"), &grouped(n), &share(n), first]);
        }
        table.row(&["documents", &grouped(self.documents), &share(self.documents)]);
        let mut text = table.text();
        let counts = &self.crawl.counts;
        let mut skipped = Table::default();
        for Reason { name, n, places, .. } in reasons("", &self.crawl, &counts.skipped) {
            let first = places.first().map_or("", String::as_str);
            skipped.row(&[&format!("  {name}"), &grouped(n), first]);
        }
        if counts.skipped.total() > 0 {
            text = text + "\ncould not be read, and is no record\n" + &skipped.text();
        }
        let passed: Vec<_> = counts
            .notes
            .iter()
            .filter_map(|(name, n)| Some((name.strip_prefix("kind.")?, grouped(n))))
            .map(|(kind, n)| format!("{kind} {n}"))
            .collect();
        if !passed.is_empty() {
            let _ = writeln!(text, "\npassed over, not in `crawl.kinds`: {}", passed.join(", "));
        }
        let _ = writeln!(text, "\n{} of text; bytes a document", bytes(self.text_bytes));
        let most = self.sizes().map(|(_, n)| n).max().unwrap_or(0).max(1) as f64;
        let mut table = Table::default();
        for (from, n) in self.sizes() {
            let marks = "#".repeat((n as f64 / most * BAR).ceil() as usize);
            table.row(&[format!("  from {}", grouped(from)), grouped(n), marks]);
        }
        text += &table.text();
        let languages = self.languages();
        let shown = languages.iter().take(LANGUAGES);
        let shown = shown.map(|(code, n)| format!("{code} {}", grouped(*n)));
        if !languages.is_empty() {
            let _ = writeln!(text, "\nlanguages: {}", shown.collect::<Vec<_>>().join(", "));
        }
        let value: Value = serde_json::to_value(self).context("the report is no JSON")?;
        Ok((text, value))
    }

    fn page(&self, title: &str, recipe: &str) -> String {
        let Self { records, documents, crawl, corpus, .. } = self;
        let share = percent(*documents as f64 / (*records).max(1) as f64);
        let groups = self.duplicates.as_ref().map_or(0, |found| found.n_clusters);
        let scrubbed = crawl.counts.notes.iter().filter(|(name, _)| name.starts_with("personal."));
        let figures = tiles(&[
            ("records", compact(*records as f64), bytes(crawl.counts.record_bytes)),
            ("documents", compact(*documents as f64), format!("{share} of the records")),
            ("text", bytes(self.text_bytes), format!("{} in shards", bytes(corpus.shard_bytes))),
            ("slices", grouped(crawl.slices), "and shards".to_owned()),
            ("unreadable", grouped(crawl.counts.skipped.total()), "pieces of files".to_owned()),
            ("groups of duplicates", grouped(groups), "of each the first stays".to_owned()),
            (
                "personal data",
                grouped(scrubbed.map(|(_, n)| n).sum()),
                "found before duplicates went".to_owned(),
            ),
            ("languages", grouped(self.languages().len() as u64), "in the corpus".to_owned()),
        ]);
        let row = |name: &str, n: u64, note: &str| (name.to_owned(), n, note.to_owned());
        let mut fates = vec![row("documents", *documents, "corpus")];
        fates.extend(self.reasons().iter().map(|reason| row(reason.name, reason.n, reason.stage)));
        let top = self.languages();
        let languages: Vec<_> =
            top.iter().take(LANGUAGES).map(|(code, n)| row(code, *n, "")).collect();
        let sizes: Vec<_> =
            self.sizes().map(|(from, n)| row(&format!("from {}", bytes(from)), n, "")).collect();
        let read = crawl
            .counts
            .notes
            .iter()
            .filter_map(|(name, n)| Some((name.strip_prefix("language.")?, n)));
        let mut read: Vec<_> = read.map(|(code, n)| row(code, n, "")).collect();
        read.sort_by_key(|(_, n, _)| std::cmp::Reverse(*n));
        read.truncate(LANGUAGES);
        let notes = crawl.counts.notes.iter().filter(|(name, _)| !name.starts_with("language."));
        let notes: Vec<_> = notes.map(|(name, n)| row(name, n, "")).collect();
        let charts = [
            bars("What came of every record", "records", &fates),
            bars("Length", "documents by the size of their text", &sizes),
            bars("Languages of the corpus", "documents", &languages),
            bars("Languages that were read", "texts, before filters", &read),
            bars(
                "On the way",
                "lines taken out, pieces of personal data, records passed over",
                &notes,
            ),
        ];
        let charts = format!("<div class=\"charts\">\n{}</div>\n", charts.concat());
        let body = [
            figures,
            section("Counts", &charts),
            section("Where", &self.places()),
            section(
                "Recipe",
                &format!(
                    "<details><summary>recipe.toml</summary><pre>\n{}</pre></details>\n",
                    escape(recipe)
                ),
            ),
        ];
        document(title, "a corpus out of web archives", &body.concat())
    }

    /// The first few of each reason, by file and offset.
    fn places(&self) -> String {
        let skipped = &self.crawl.counts.skipped;
        let mut all = self.reasons();
        all.extend(reasons("unreadable", &self.crawl, skipped));
        let row = |reason: &Reason| {
            let places: Vec<_> = reason.places.iter().map(|place| escape(place)).collect();
            format!("<tr><th>{}</th><td>{}</td></tr>\n", escape(reason.name), places.join("<br>"))
        };
        let rows: String = all.iter().map(row).collect();
        if rows.is_empty() { rows } else { format!("<table>\n{rows}</table>\n") }
    }
}

/// The reasons of a tally of `report`.
fn reasons<'r>(
    stage: &'static str,
    report: &'r Report,
    tally: &'r Tally,
) -> impl Iterator<Item = Reason<'r>> {
    tally.iter().map(move |(name, count)| {
        let places = report.examples.get(name).into_iter().flatten();
        let places = places.map(|at| format!("{} at byte {}", at.source, grouped(at.offset)));
        Reason { stage, name, n: count.n, places: places.collect() }
    })
}
