//! The shards of a crawl, without what was there before, and without what is asked in a test.

use std::collections::{BTreeMap, BTreeSet};

use super::manifest::{Manifest, Report};
use super::work::Target;
use super::{Crawl, CrawlError, shard};
use crate::Document;
use crate::contamination::Contamination;
use crate::dedup::{Dedup, Gone};
use crate::place::{ALL, join};

/// The last stage: a shard of a crawl becomes one of the corpus, alone and in any order.
pub struct Corpus<'a> {
    crawl: &'a Crawl<'a>,
    dedup: Option<&'a Dedup>,
    contamination: &'a Contamination,
    output: String,
    recipe: String,
}

impl<'a> Corpus<'a> {
    /// The corpus in the folders `final` (shards) and `manifests` of `dir`. `recipe` is all that
    /// decides what `dedup` and `contamination` find; documents that `dedup` names are left out,
    /// and those with a piece of an evaluation set.
    pub fn new(
        crawl: &'a Crawl<'a>,
        (dedup, contamination): (Option<&'a Dedup>, &'a Contamination),
        recipe: &str,
        dir: &str,
    ) -> Self {
        let hash = blake3::hash(format!("{}\n{recipe}", crawl.recipe).as_bytes());
        let (output, recipe) = (join(dir, "manifests"), hash.to_hex().to_string());
        Self { crawl, dedup, contamination, output, recipe }
    }

    /// Adds shard `i` of the crawl to what is known of duplicates; nothing is done where it is.
    ///
    /// # Errors
    /// [`CrawlError`], where the shard cannot be read, or what is known not be written.
    pub fn map(&self, i: usize) -> Result<(), CrawlError> {
        let Some(dedup) = self.dedup else { return Ok(()) };
        let Some(mut map) = dedup.map(i as u32, &self.crawl.shard_hash(i)?)? else {
            return Ok(());
        };
        self.documents(i, |document| Ok(map.push(&document.text, &document.url)?))?;
        Ok(map.finish()?)
    }

    /// Writes shard `i`, and what went of it; nothing is done where it is written. To be called
    /// when duplicates are known.
    ///
    /// # Errors
    /// [`CrawlError`], where a shard cannot be read or written.
    pub fn write(&self, i: usize) -> Result<Manifest, CrawlError> {
        let (target, slice) = (self.target(), &self.crawl.slices[i]);
        if let Some(manifest) = target.finished(i, slice)? {
            return Ok(manifest);
        }
        let gone = self.dedup.map_or(Ok(Vec::new()), |dedup| dedup.gone(i as u32))?;
        let gone: BTreeMap<u32, Gone> = gone.into_iter().map(|gone| (gone.idx, gone)).collect();
        target.write((i, slice), |counts, push| {
            let mut idx = 0;
            self.documents(i, |document| {
                counts.records += 1;
                counts.record_bytes += document.text.len() as u64;
                let duplicate = gone.get(&idx).map(|gone| gone.reason.to_owned());
                idx += 1;
                if let Some(reason) = duplicate.or_else(|| self.contaminated(&document.text)) {
                    counts.gone.add(&reason, document.offset);
                    return Ok(());
                }
                counts.push(&document);
                push(document)
            })
        })
    }

    /// The shards that have a manifest.
    ///
    /// # Errors
    /// [`CrawlError`], where they cannot be listed.
    pub fn done(&self) -> Result<BTreeSet<usize>, CrawlError> {
        self.target().done()
    }

    /// The sum of all manifests.
    ///
    /// # Errors
    /// [`CrawlError`], where one is missing or is none.
    pub fn report(&self) -> Result<Report, CrawlError> {
        self.target().report(&self.crawl.slices)
    }

    /// `contamination.NAME` of the set that most of a text is of.
    fn contaminated(&self, text: &str) -> Option<String> {
        let found = self.contamination.find(text);
        let (set, _) = found.into_iter().rev().max_by_key(|(_, n)| *n)?;
        Some(format!("contamination.{set}"))
    }

    fn documents(
        &self,
        i: usize,
        mut each: impl FnMut(Document) -> Result<(), CrawlError>,
    ) -> Result<(), CrawlError> {
        let (target, format) = (self.crawl.target(), self.crawl.config.format);
        let address = target.shard(i);
        let damaged = |source| CrawlError::Shard { address: address.clone(), source };
        let (file, _) = target.places.fetch(&address, ALL).map_err(damaged)?;
        for document in shard::read(format, file).map_err(damaged)? {
            each(document.map_err(damaged)?)?;
        }
        Ok(())
    }

    fn target(&self) -> Target<'_> {
        let Self { crawl, output, recipe, .. } = self;
        Target { output, shards: "../final/", recipe, before: Some(crawl), ..crawl.target() }
    }
}
