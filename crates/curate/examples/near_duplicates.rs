//! Near-duplicates of a JSONL file with `text` and, of a planted copy, `of` (the line it is of,
//! from 0) and `jaccard`: how fast, and how many copies are found by similarity, as a line of JSON.
//! The peer is `bench/near_duplicates.py`, which makes the file.
//!
//! usage: `near_duplicates FILE.jsonl [SEED]`

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::time::Instant;

use curate::dedup::{Dedup, DedupConfig, Sketcher};
use curate::{Places, ServerConfig};
use serde_json::Value;

fn main() {
    let path = std::env::args().nth(1).expect("a file");
    let lines = std::fs::read_to_string(path).expect("readable");
    let lines: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let texts: Vec<&str> = lines.iter().map(|line| line["text"].as_str().expect("text")).collect();
    let seed = std::env::args().nth(2).map_or(1, |seed| seed.parse().expect("a number"));
    let config = DedupConfig { exact: false, seed, ..DedupConfig::default() };

    let mut sketcher = Sketcher::new(&config);
    let start = Instant::now();
    let keys: Vec<Vec<u128>> = texts
        .iter()
        .map(|text| {
            let mut keys = Vec::new();
            sketcher.keys(text, "", |key| keys.push(key));
            keys
        })
        .collect();
    let signed = start.elapsed();
    let mut tables: HashMap<u128, Vec<u32>> = HashMap::new();
    for (idx, keys) in keys.iter().enumerate() {
        for &key in keys {
            tables.entry(key).or_default().push(idx as u32);
        }
    }
    let in_memory = start.elapsed();

    let dir = tempfile::tempdir().expect("a folder");
    let places = Places::new(&ServerConfig::default(), None);
    let path = dir.path().to_str().expect("UTF-8");
    let start = Instant::now();
    let dedup = Dedup::open(&places, path, &config, 1).expect("opens");
    let mut map = dedup.map(0, "").expect("maps").expect("is new");
    for text in &texts {
        map.push(text, "").expect("is added");
    }
    map.finish().expect("ends");
    (0..dedup.n_partitions()).for_each(|partition| dedup.merge(partition).expect("merges"));
    let report = dedup.reduce().expect("reduces");
    let on_disk = start.elapsed();

    let mut found: BTreeMap<u64, (u32, u32)> = BTreeMap::new();
    for (line, keys_of_copy) in lines.iter().zip(&keys) {
        let Some(of) = line["of"].as_u64() else { continue };
        let bucket = (line["jaccard"].as_f64().expect("a similarity") * 20.0) as u64;
        let (n_found, n) = found.entry(bucket).or_default();
        *n_found += u32::from(keys_of_copy.iter().any(|key| keys[of as usize].contains(key)));
        *n += 1;
    }
    let rate = |time: std::time::Duration| (texts.len() as f64 / time.as_secs_f64()) as u64;
    let (signed, in_memory, on_disk) = (rate(signed), rate(in_memory), rate(on_disk));
    let found: BTreeMap<String, [u32; 2]> = found
        .into_iter()
        .map(|(bucket, (n_found, n))| (format!("{:.2}", bucket as f64 / 20.0), [n_found, n]))
        .collect();
    let scratch: u64 =
        ["map", "pairs", "gone"].iter().map(|stage| size(&dir.path().join(stage))).sum();
    let facts = serde_json::json!({
        "documents": texts.len(), "gone": report.n_gone, "signed_per_s": signed,
        "looked_up_per_s": in_memory, "on_disk_per_s": on_disk, "found": found,
        "scratch_bytes": scratch,
    });
    writeln!(std::io::stdout(), "{facts}").expect("written");
}

/// What the files of a folder take.
fn size(folder: &std::path::Path) -> u64 {
    let files = std::fs::read_dir(folder).expect("a folder");
    files.map(|file| file.and_then(|file| file.metadata()).expect("a file").len()).sum()
}
