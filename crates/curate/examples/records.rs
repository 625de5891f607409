//! What is in web archives: a line a record; or, with `--time N`, how fast N passes over each are,
//! as a line of JSON, in MB/s of the file. `bench/web_archive.py` does the same with others' code.
#![allow(clippy::print_stdout)]

mod clock;

use std::fs::File;
use std::io;

use curate::warc::{Kind, Options, Reader};

fn main() -> io::Result<()> {
    let mut paths: Vec<String> = std::env::args().skip(1).collect();
    let n_passes = match paths.iter().position(|word| word == "--time") {
        Some(at) => paths.drain(at..).nth(1).and_then(|n| n.parse().ok()),
        None => None,
    };
    for path in &paths {
        match n_passes {
            Some(n_passes) => time(path, n_passes)?,
            None => list(path)?,
        }
    }
    Ok(())
}

fn list(path: &str) -> io::Result<()> {
    let mut reader = Reader::new(File::open(path)?, Options::default())?;
    while let Some(record) = reader.next()? {
        let (kind, n) = (format!("{:?}", record.kind).to_lowercase(), record.payload.len());
        let hash = libdeflater::crc32(record.payload);
        let (uri, date) = (record.uri(), record.date());
        println!("{}\t{kind}\t{uri}\t{date}\t{n}\t{hash:08x}", record.offset);
    }
    for (reason, count) in reader.tally().iter() {
        println!("# {reason}: {} at {:?}", count.n, count.first);
    }
    Ok(())
}

fn time(path: &str, n_passes: usize) -> io::Result<()> {
    let n_bytes = File::open(path)?.metadata()?.len() as f64;
    let pass = |kinds: &[Kind]| {
        let mut reader = Reader::new(File::open(path)?, Options { kinds, ..Options::default() })?;
        let (mut n_records, mut n_payload) = (0, 0);
        while let Some(record) = reader.next()? {
            n_records += 1;
            n_payload += record.payload.len();
        }
        Ok((n_records, n_payload))
    };
    let (all, (n_records, n_payload)) = clock::passes(n_passes, || pass(&[]))?;
    let (responses, _) = clock::passes(n_passes, || pass(&[Kind::Response]))?;
    let facts = serde_json::json!({
        "records": n_records, "payload_bytes": n_payload, "file_bytes": n_bytes,
        "all": n_bytes / all / 1e6, "responses": n_bytes / responses / 1e6,
    });
    println!("{facts}");
    Ok(())
}
