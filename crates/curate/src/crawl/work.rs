//! One slice: from its records to a shard and its manifest.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};

use rayon::prelude::*;

use super::manifest::{self, Counts, Manifest, Report};
use super::shard::Shard;
use super::{Crawl, CrawlConfig, CrawlError, Reason, Slice, Stages};
use crate::Document;
use crate::place::{self, ALL, Places, join};
use crate::warc::{BodyDecoder, BodyProblem, Kind, Options, Reader, Record};

/// Manifests that are read at once.
const AT_ONCE: usize = 256;

/// A page, as a stage gets it.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// What its record is: of a `conversion`, the body is text.
    pub kind: Kind,
    /// Its address; empty where there is none.
    pub url: &'a str,
    /// What the server said its media type is, with the parameters.
    pub media_type: Option<&'a str>,
    /// Its body, without what was done to send it.
    pub body: &'a [u8],
}

/// Where a stage leaves its shards and manifests, and as what.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub places: &'a Places,
    pub config: &'a CrawlConfig,
    /// The folder of the manifests.
    pub output: &'a str,
    /// What leads from there to the shards.
    pub shards: &'a str,
    pub recipe: &'a str,
    /// What made the shards that are read here, where they are: what they are decides too.
    pub before: Option<&'a Crawl<'a>>,
}

/// Takes the documents of a shard, one after the other.
pub(super) type Push<'a> = &'a mut dyn FnMut(Document) -> Result<(), CrawlError>;

impl Target<'_> {
    /// Writes the shard of slice `i`, which `fill` fills, and then its manifest.
    pub fn write(
        &self,
        (i, slice): (usize, &Slice),
        fill: impl FnOnce(&mut Counts, Push) -> Result<(), CrawlError>,
    ) -> Result<Manifest, CrawlError> {
        let format = self.config.format;
        let address = self.shard(i);
        let write = |source| CrawlError::Write { address: address.clone(), source };
        let draft = self.places.begin(&address).map_err(write)?;
        let out = Hashed { out: BufWriter::new(draft), hasher: blake3::Hasher::new(), n_bytes: 0 };
        let mut shard = Shard::new(format, self.config.level, out).map_err(write)?;
        let mut counts = Counts::default();
        fill(&mut counts, &mut |document| shard.push(document).map_err(write))?;
        let Hashed { out, hasher, n_bytes } = shard.finish().map_err(write)?;
        let draft = out.into_inner().map_err(|error| write(error.into_error()))?;
        draft.finish().map_err(write)?;
        let manifest = Manifest {
            recipe: self.recipe(i)?,
            slice: slice.clone(),
            shard: self.shard_name(i),
            shard_bytes: n_bytes,
            shard_hash: hasher.finalize().to_hex().to_string(),
            counts,
        };
        let address = join(self.output, &format!("{}.json", manifest::name(i)));
        let text = serde_json::to_string_pretty(&manifest).unwrap_or_default() + "\n";
        let written = self.places.write(&address, text.as_bytes());
        written.map_err(|source| CrawlError::Write { address, source })?;
        Ok(manifest)
    }

    /// The address of shard `i`.
    pub fn shard(&self, i: usize) -> String {
        join(self.output, &self.shard_name(i))
    }

    fn shard_name(&self, i: usize) -> String {
        format!("{}{}.{}", self.shards, manifest::name(i), self.config.format.ending())
    }

    /// The manifest of slice `i`, if it is there; see [`manifest::load`].
    pub fn load(&self, i: usize, slice: &Slice) -> Result<Option<Manifest>, CrawlError> {
        manifest::load(self.places, self.output, (i, slice), &self.recipe(i)?)
    }

    /// The same, where the shard is still what was written. One that is not is made again.
    pub fn finished(&self, i: usize, slice: &Slice) -> Result<Option<Manifest>, CrawlError> {
        let Some(manifest) = self.load(i, slice)? else { return Ok(None) };
        let address = self.shard(i);
        let hash = place::hash(&address);
        let hash = hash.map_err(|source| CrawlError::Read { address, source })?;
        let is_whole = hash.is_none_or(|hash| hash == manifest.shard_hash);
        Ok(is_whole.then_some(manifest))
    }

    /// What decides what is written for slice `i`.
    fn recipe(&self, i: usize) -> Result<String, CrawlError> {
        let Some(crawl) = self.before else { return Ok(self.recipe.to_owned()) };
        let both = format!("{}\n{}", self.recipe, crawl.shard_hash(i)?);
        Ok(blake3::hash(both.as_bytes()).to_hex().to_string())
    }

    /// The slices that have a manifest.
    pub fn done(&self) -> Result<BTreeSet<usize>, CrawlError> {
        let read = |source| CrawlError::Read { address: self.output.to_owned(), source };
        self.places.numbers(self.output).map_err(read)
    }

    /// The sum of all manifests.
    pub fn report(&self, slices: &[Slice]) -> Result<Report, CrawlError> {
        let load = |(i, slice): (usize, &Slice)| {
            let address = || join(self.output, &format!("{}.json", manifest::name(i)));
            self.load(i, slice)?.ok_or_else(|| CrawlError::Unfinished { address: address() })
        };
        let mut report = Report::default();
        let mut slices = slices.iter().enumerate();
        loop {
            // A server takes its time for each, and for many at once no more.
            let some: Vec<_> = slices.by_ref().take(AT_ONCE).collect();
            if some.is_empty() {
                return Ok(report);
            }
            let some: Result<Vec<_>, _> = some.into_par_iter().map(load).collect();
            some?.iter().for_each(|manifest| report.push(manifest));
        }
    }
}

/// What a slice is worked on with.
pub(super) struct Worker<'a> {
    pub target: Target<'a>,
    pub stages: &'a Stages<'a>,
}

impl Worker<'_> {
    /// Works on slice `i`, and writes its shard and then its manifest.
    pub fn run(&self, i: usize, slice: &Slice) -> Result<Manifest, CrawlError> {
        self.target.write((i, slice), |counts, push| self.read(slice, counts, push))
    }

    fn read(&self, slice: &Slice, counts: &mut Counts, push: Push) -> Result<(), CrawlError> {
        let Target { places, config, .. } = self.target;
        let read = |source| CrawlError::Read { address: slice.source.clone(), source };
        let options = Options {
            range: slice.start..slice.end,
            kinds: &config.kinds,
            record_max: config.record_max,
        };
        let (range, tag) = (slice.start..ALL.end, slice.tag.as_deref());
        let source = places.open(&slice.source, range, tag).map_err(read)?;
        let mut reader = Reader::new(source, options).map_err(read)?;
        let mut decoder = BodyDecoder::new(config.body);
        while let Some(record) = reader.next().map_err(read)? {
            counts.records += 1;
            counts.record_bytes += record.payload.len() as u64;
            match self.document(slice, &record, &mut decoder, counts) {
                Ok(document) => {
                    counts.push(&document);
                    push(document)?;
                }
                Err(reason) => counts.gone.add(reason, record.offset),
            }
        }
        counts.skipped = reader.tally().clone();
        counts.notes.merge(reader.passed());
        Ok(())
    }

    /// What stages make of a record.
    fn document(
        &self,
        slice: &Slice,
        record: &Record,
        decoder: &mut BodyDecoder,
        counts: &mut Counts,
    ) -> Result<Document, Reason> {
        let (url, mut media_type) = (record.uri(), record.media_type());
        let body = match record.http() {
            Some(http) => {
                if !self.target.config.statuses.contains(&http.status) {
                    return Err("status");
                }
                media_type = http.media_type();
                decoder.decode(&http).map_err(BodyProblem::name)?
            }
            None if record.kind == Kind::Response => return Err("not an answer of HTTP"),
            None => record.payload,
        };
        let media_type = media_type.as_deref();
        let page = Page { kind: record.kind, url: &url, media_type, body };
        let mut document = (self.stages.extract)(&page)?;
        if document.text.is_empty() {
            return Err("no text");
        }
        (document.source, document.offset) = (slice.source.clone(), record.offset);
        (document.url, document.date) = (url.clone().into_owned(), Cow::into_owned(record.date()));
        for stage in &self.stages.judge {
            stage(&mut document, &mut counts.notes)?;
        }
        Ok(document)
    }
}

/// Hashes and counts what is written.
struct Hashed<W> {
    out: W,
    hasher: blake3::Hasher,
    n_bytes: u64,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        self.n_bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
