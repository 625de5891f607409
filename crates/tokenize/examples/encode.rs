//! Encoding speed of a tokenizer on texts, in MB/s: `encode DIR TEXT..`, a line of JSON for each.
//!
//! `RAYON_NUM_THREADS=1` measures one core. `bench/encode.py` does the same with others' code, and
//! prints the same digest of the ids.

use std::path::Path;
use std::time::Instant;

use tokenize::Tokenizer;

const ROUNDS: usize = 7;

#[allow(clippy::print_stdout)] // What it is for.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let tokenizer = Tokenizer::load(Path::new(&args.next().ok_or("DIR")?))?;
    for path in args {
        let text = std::fs::read_to_string(&path)?;
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let whole = || tokenizer.encode(&text);
        let each = || Ok(tokenizer.encode_batch(&lines)?.concat());
        let whole = measure(text.len(), whole)?;
        let each = measure(text.len(), each)?;
        println!(r#"{{"text": {path:?}, "whole": {whole}, "lines": {each}}}"#);
    }
    Ok(())
}

/// The median round.
fn measure(
    n_bytes: usize,
    encode: impl Fn() -> Result<Vec<u32>, tokenize::TokenizeError>,
) -> Result<String, tokenize::TokenizeError> {
    let ids = encode()?;
    let mut speeds = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        std::hint::black_box(encode()?);
        speeds.push(n_bytes as f64 / 1e6 / start.elapsed().as_secs_f64());
    }
    speeds.sort_by(f64::total_cmp);
    let digest = ids.iter().fold(0_u64, |hash, &id| hash.wrapping_mul(31).wrapping_add(id.into()));
    let (speed, n) = (speeds[ROUNDS / 2], ids.len());
    Ok(format!(r#"{{"mb_per_s": {speed:.2}, "ids": {n}, "digest": "{digest:016x}"}}"#))
}
