//! From the answers in a web archive to clean documents: how long each stage takes, in seconds of
//! one core, and what comes out, as a line of JSON. `bench/web_archive.py text` does the first two
//! with others' code.
//!
//! usage: `pages FILE.warc.gz [PASSES]`
#![allow(clippy::print_stdout)]

mod clock;

use std::fs::File;
use std::io;

use curate::dedup::{DedupConfig, Sketcher};
use curate::filter::Filter;
use curate::html::{Options, main_text};
use curate::personal::Personal;
use curate::warc::{self, BodyDecoder, Kind, Reader, Record};
use curate::{Document, Notes, language};

fn main() -> io::Result<()> {
    let path = std::env::args().nth(1).expect("a web archive");
    let n = std::env::args().nth(2).map_or(3, |n| n.parse().expect("a count of passes"));
    let (iterate, n_pages) = clock::passes(n, || {
        let mut n_pages = 0;
        each(&path, |_| n_pages += 1)?;
        Ok(n_pages)
    })?;
    let (text, mut documents) = clock::passes(n, || documents(&path))?;
    let (identify, languages) = clock::passes(n, || {
        Ok(documents.iter().map(|d| language::identify(&d.text)).collect::<Vec<_>>())
    })?;
    for (document, language) in documents.iter_mut().zip(languages) {
        let (language, score) = language.unwrap_or_default();
        (document.language, document.language_score) = (language.to_owned(), score);
    }
    let (filter, (n_kept, gone)) = clock::passes(n, || {
        let (filter, mut notes) = (Filter::default(), Notes::default());
        let mut kept = 0;
        for document in &documents {
            kept += u32::from(filter.judge(&mut document.clone(), &mut notes).is_ok());
        }
        Ok((kept, notes))
    })?;
    let (personal, _) = clock::passes(n, || {
        let (personal, mut notes) = (Personal::default(), Notes::default());
        Ok(documents.iter().map(|d| personal.scrub(&d.text, &mut notes).len()).sum::<usize>())
    })?;
    let (sketch, n_keys) = clock::passes(n, || {
        let mut sketcher = Sketcher::new(&DedupConfig::default());
        let mut n_keys = 0;
        for document in &documents {
            sketcher.keys(&document.text, &document.url, |_| n_keys += 1);
        }
        Ok(n_keys)
    })?;
    let (write, shard) = clock::passes(n, || {
        let mut shard = zstd::Encoder::new(Vec::new(), 3)?;
        for document in &documents {
            serde_json::to_writer(&mut shard, document)?;
            io::Write::write_all(&mut shard, b"\n")?;
        }
        shard.finish()
    })?;
    let facts = serde_json::json!({
        "pages": n_pages, "with_text": documents.len(), "kept": n_kept, "gone": gone,
        "keys": n_keys,
        "file_bytes": File::open(&path)?.metadata()?.len(),
        "text_bytes": documents.iter().map(|document| document.text.len()).sum::<usize>(),
        "shard_bytes": shard.len(), "text_pages_per_s": f64::from(n_pages) / text,
        "seconds": {
            "iterate": iterate, "iterate and text": text, "language": identify, "filter": filter,
            "personal": personal, "sketch": sketch, "write": write,
        },
    });
    println!("{facts}");
    Ok(())
}

/// Every answer of an archive.
fn each(path: &str, mut of: impl FnMut(&Record)) -> io::Result<()> {
    let options = warc::Options { kinds: &[Kind::Response], ..warc::Options::default() };
    let mut reader = Reader::new(File::open(path)?, options)?;
    while let Some(record) = reader.next()? {
        of(&record);
    }
    Ok(())
}

fn documents(path: &str) -> io::Result<Vec<Document>> {
    let mut decoder = BodyDecoder::default();
    let mut documents = Vec::new();
    each(path, |record| {
        let Some(http) = record.http() else { return };
        let Ok(body) = decoder.decode(&http) else { return };
        let text = main_text(body, http.media_type().as_deref(), Options::default()).text;
        if !text.is_empty() {
            let (url, date) = (record.uri().into_owned(), record.date().into_owned());
            let source = path.to_owned();
            let offset = record.offset;
            documents.push(Document { text, source, offset, url, date, ..Document::default() });
        }
    })?;
    Ok(documents)
}
