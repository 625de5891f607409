use std::collections::{BTreeMap, HashMap};
use std::fs;

use proptest::prelude::*;

use std::path::{Path, PathBuf};

use super::*;
use crate::ServerConfig;

fn open(dir: &Path, config: &DedupConfig, n_shards: u32) -> Result<Dedup, DedupError> {
    let places = Places::new(&ServerConfig::default(), None);
    Dedup::open(&places, dir.to_str().unwrap(), config, n_shards)
}

/// Texts of which some are the same, some nearly, some both by way of a third.
fn texts(n: usize) -> Vec<String> {
    let text = |idx: usize| {
        let (family, version) = (idx % (n / 3 + 1), idx / (n / 3 + 1));
        let words = (0..60).map(|at| {
            if at == 59 && version % 3 == 1 {
                format!("other{idx} ")
            } else {
                format!("word{} ", (family * 31 + at) * (family + 7) % 997)
            }
        });
        words.collect::<String>()
    };
    (0..n).map(text).collect()
}

fn config() -> DedupConfig {
    DedupConfig { partitions: 3, memory_mib: 1, ..DedupConfig::default() }
}

/// Runs all stages over shards of these sizes; what goes, by number over all shards.
fn run(
    dir: &Path,
    config: &DedupConfig,
    texts: &[String],
    sizes: &[usize],
) -> BTreeMap<usize, usize> {
    let dedup = open(dir, config, sizes.len() as u32).unwrap();
    let mut rest = texts;
    let mut bases = vec![0];
    for (shard, &size) in sizes.iter().enumerate() {
        let (texts, after) = rest.split_at(size);
        if let Some(mut map) = dedup.map(shard as u32, "").unwrap() {
            for text in texts {
                map.push(text, "").unwrap();
            }
            map.finish().unwrap();
        }
        bases.push(bases[shard] + size);
        rest = after;
    }
    assert!(rest.is_empty());
    (0..dedup.n_partitions()).for_each(|partition| dedup.merge(partition).unwrap());
    let report = dedup.reduce().unwrap();
    let mut gone = BTreeMap::new();
    for shard in 0..sizes.len() {
        for one in dedup.gone(shard as u32).unwrap() {
            let kept = bases[one.kept.0 as usize] + one.kept.1 as usize;
            gone.insert(bases[shard] + one.idx as usize, kept);
        }
    }
    assert_eq!((report.n_documents, report.n_gone), (texts.len() as u64, gone.len() as u64));
    gone
}

/// The same by the definition: the first of all that are joined by keys, looked at all together.
fn expected(config: &DedupConfig, texts: &[String]) -> BTreeMap<usize, usize> {
    let mut roots: Vec<usize> = (0..texts.len()).collect();
    let mut by_key: HashMap<u128, usize> = HashMap::new();
    let mut sketcher = Sketcher::new(config);
    for (idx, text) in texts.iter().enumerate() {
        let mut keys = Vec::new();
        sketcher.keys(text, "", |key| keys.push(key));
        for key in keys {
            let (a, b) = (roots[idx], roots[*by_key.entry(key).or_insert(idx)]);
            roots.iter_mut().filter(|root| **root == a.max(b)).for_each(|root| *root = a.min(b));
        }
    }
    roots.into_iter().enumerate().filter(|(idx, root)| idx != root).collect()
}

/// Every file of a folder and its bytes.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn no_split_into_shards_changes_what_goes(
        cuts in proptest::collection::vec(0_usize..=90, 0..6),
    ) {
        let texts = texts(90);
        let mut cuts = [vec![0, 90], cuts].concat();
        cuts.sort_unstable();
        let sizes: Vec<usize> = cuts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let dir = tempfile::tempdir().unwrap();
        let gone = run(dir.path(), &config(), &texts, &sizes);
        prop_assert!(gone.len() > 30);
        prop_assert_eq!(gone, expected(&config(), &texts));
    }

    #[test]
    fn a_run_that_was_killed_ends_with_the_same_bytes(lost: u64, junk: u8) {
        let (texts, sizes) = (texts(60), [20, 0, 40]);
        let dir = tempfile::tempdir().unwrap();
        run(dir.path(), &config(), &texts, &sizes);
        let whole = files(dir.path());
        // A stage writes its description last, and a later stage begins after an earlier one.
        let stages = ["map", "pairs", "gone"];
        let from = stages[(lost % 3) as usize];
        for (idx, path) in whole.keys().enumerate() {
            let stage = path.parent().and_then(Path::file_name).unwrap().to_str().unwrap();
            let at = |name: &str| stages.iter().position(|stage| *stage == name);
            let later = at(stage) > at(from);
            if later || stage == from && lost >> (idx % 61 + 2) & 1 == 1 {
                let description = path.with_file_name(match stage {
                    "gone" => "report.json".to_owned(),
                    _ => format!("{}.json", &path.file_name().unwrap().to_str().unwrap()[..5]),
                });
                let _ = fs::remove_file(description);
                let _ = fs::remove_file(path);
                let name = path.file_name().unwrap().to_str().unwrap();
                fs::write(path.with_file_name(format!(".{name}.partial")), [junk; 40]).unwrap();
            }
        }
        run(dir.path(), &config(), &texts, &sizes);
        prop_assert_eq!(files(dir.path()), whole);
    }
}

#[test]
fn what_spills_and_is_merged_in_levels_is_the_same() {
    let texts = texts(4200);
    let all = expected(&DedupConfig { bands: 2, rows: 4, ..config() }, &texts);
    let config = DedupConfig { bands: 2, rows: 4, ..config() };
    let dir = tempfile::tempdir().unwrap();
    let sizes = vec![30; 140];
    assert_eq!(run(dir.path(), &config, &texts, &sizes), all, "140 runs, 128 at once");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4, "nothing is left of the levels");
    assert_eq!(fs::read_dir(dir.path().join("pairs")).unwrap().count(), 6);
    let dir = tempfile::tempdir().unwrap();
    let many = DedupConfig { bands: 20, rows: 1, ..config };
    run(dir.path(), &many, &texts, &[4200]);
    let runs = fs::read_dir(dir.path().join("map")).unwrap().count() - 1;
    assert_eq!(runs, (4200 * 21 * 24_usize).div_ceil(1 << 20));
}

#[test]
fn memory_and_addresses() {
    let dir = tempfile::tempdir().unwrap();
    let config = DedupConfig { url: true, bands: 0, ..config() };
    let dedup = open(dir.path(), &config, 1).unwrap();
    let mut map = dedup.map(0, "").unwrap().unwrap();
    let documents =
        [("one", "http://a.example/x"), ("two", "https://www.A.example/x/#y"), ("ONE!", "")];
    for (text, url) in documents {
        map.push(text, url).unwrap();
    }
    map.finish().unwrap();
    (0..3).for_each(|partition| dedup.merge(partition).unwrap());
    dedup.reduce().unwrap();
    let gone = |idx, reason| Gone { idx, reason, kept: (0, 0) };
    assert_eq!(dedup.gone(0).unwrap(), [gone(1, "dedup.url"), gone(2, "dedup.exact")]);
}

#[test]
fn what_is_wrong_is_named() {
    let (texts, dir) = (texts(30), tempfile::tempdir().unwrap());
    let open = |config: &DedupConfig, n_shards| open(dir.path(), config, n_shards);
    let dedup = open(&config(), 2).unwrap();
    assert!(matches!(open(&config(), 3), Err(DedupError::Other { .. })));
    let seeded = DedupConfig { seed: 2, ..config() };
    assert!(matches!(open(&seeded, 2), Err(DedupError::Other { .. })));
    assert!(open(&DedupConfig { memory_mib: 9, ..config() }, 2).is_ok());
    let config = DedupConfig { rows: 0, ..config() };
    let message = "dedup: `rows` is 0, and must be from 1 to 1000";
    assert_eq!(open(&config, 2).unwrap_err().to_string(), message);
    assert!(matches!(dedup.merge(0), Err(DedupError::Missing { .. })));
    assert!(matches!(dedup.map(2, ""), Err(DedupError::Missing { .. })));
    for shard in 0..2 {
        let mut map = dedup.map(shard, "").unwrap().unwrap();
        for text in &texts {
            map.push(text, "").unwrap();
        }
        map.finish().unwrap();
    }
    assert!(matches!(dedup.reduce(), Err(DedupError::Missing { .. })));
    let run = dir.path().join("map/00001.0000.run");
    let bytes = fs::read(&run).unwrap();
    fs::write(&run, &bytes[..bytes.len() - 8]).unwrap();
    assert!(matches!(dedup.merge(0), Err(DedupError::Damaged { .. })));
    fs::write(&run, bytes).unwrap();
    (0..3).for_each(|partition| dedup.merge(partition).unwrap());
    let pairs = dir.path().join("pairs/00001.pairs");
    let bytes = fs::read(&pairs).unwrap();
    fs::write(&pairs, vec![0xff; bytes.len()]).unwrap();
    assert!(matches!(dedup.reduce(), Err(DedupError::Damaged { .. })));
    fs::write(&pairs, bytes).unwrap();
    let entry = dir.path().join("map/00000.json");
    let json = fs::read_to_string(&entry).unwrap();
    fs::write(&entry, json.replace("\"n_documents\": 30", "\"n_documents\": 300000")).unwrap();
    assert!(matches!(dedup.reduce(), Err(DedupError::Memory { needed_mib: 2, memory_mib: 1, .. })));
    fs::write(&entry, "{").unwrap();
    assert!(matches!(dedup.reduce(), Err(DedupError::Damaged { .. })));
}

#[test]
fn hostile_texts_have_their_keys() {
    let long = |piece: &str| piece.repeat((8 << 20) / piece.len());
    let texts = ["", "\0", "!", "\u{301}", &long("\0"), &long("x"), &long("a "), &long("!"), "x"];
    let texts = texts.map(str::to_owned);
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(run(dir.path(), &config(), &texts, &[4, 5]), BTreeMap::new());
}
