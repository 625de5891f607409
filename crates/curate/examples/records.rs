//! What is in web archives: a line a record; or, with `--time N`, how fast N passes over them are,
//! by the time that the processor spent (Linux).
#![allow(clippy::print_stdout)]

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
    for kinds in [&[][..], &[Kind::Response]] {
        let mut passes = Vec::new();
        let (mut n_records, mut n_text) = (0, 0);
        for _ in 0..n_passes {
            let begun = cpu_seconds()?;
            (n_records, n_text) = (0, 0);
            let mut reader =
                Reader::new(File::open(path)?, Options { kinds, ..Options::default() })?;
            while let Some(record) = reader.next()? {
                n_records += 1;
                n_text += record.payload.len();
            }
            passes.push(cpu_seconds()? - begun);
        }
        passes.sort_by(f64::total_cmp);
        let median = passes[passes.len() / 2];
        println!(
            "{path} {kinds:?}: {n_records} records, {:.1} MB/s compressed, {:.1} MB/s of payload",
            n_bytes / median / 1e6,
            n_text as f64 / median / 1e6
        );
    }
    Ok(())
}

/// What this thread has run so far: where others are at work, the clock on the wall says less.
fn cpu_seconds() -> io::Result<f64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = stat.split(' ').next().and_then(|word| word.parse::<f64>().ok());
    Ok(nanoseconds.unwrap_or(f64::NAN) / 1e9)
}
