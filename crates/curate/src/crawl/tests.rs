use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;
use tempfile::TempDir;

use super::*;
use crate::ServerConfig;
use crate::contamination::{Contamination, ContaminationConfig};
use crate::dedup::{Dedup, DedupConfig};
use crate::place::{ALL, join};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("written");
    encoder.finish().expect("written")
}

fn record(kind: &str, url: &str, payload: &str) -> Vec<u8> {
    let n = payload.len();
    let head = format!(
        "WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\n\
         WARC-Date: 2024-05-06T07:08:09Z\r\nContent-Length: {n}\r\n\r\n"
    );
    gzip(format!("{head}{payload}\r\n\r\n").as_bytes())
}

/// A folder of archives: answers good and bad, requests, texts, something damaged.
fn inputs() -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let mut file = Vec::new();
    for i in 0..60 {
        let url = format!("http://example.org/{i}");
        let status = if i % 10 == 3 { "404 Not Found" } else { "200 OK" };
        let word = ["a", "much longer ", "bad"][i % 3];
        let answer = format!("HTTP/1.1 {status}\r\nContent-Type: text/html\r\n\r\n");
        file.extend(record("request", &url, "GET / HTTP/1.1\r\n\r\n"));
        file.extend(record("response", &url, &format!("{answer}<p>{i} {}", word.repeat(i))));
    }
    fs::write(dir.path().join("a.warc.gz"), &file).expect("written");
    fs::create_dir(dir.path().join("b")).expect("made");
    let mut wet = record("conversion", "http://example.org/text", "some text");
    wet.extend(record("response", "dns:example.org", "192.0.2.1"));
    wet.extend(b"garbage");
    wet.extend(record("conversion", "http://example.org/empty", ""));
    fs::write(dir.path().join("b/c.warc.wet.gz"), &wet).expect("written");
    fs::write(dir.path().join("b/readme.txt"), "no archive").expect("written");
    dir
}

fn extract(page: &Page) -> Result<Document, Reason> {
    let text = String::from_utf8_lossy(page.body).trim_start_matches("<p>").to_owned();
    if text.contains('\0') {
        return Err("NUL");
    }
    assert!(page.kind == Kind::Conversion || page.media_type == Some("text/html"));
    Ok(Document { text, language: "en".to_owned(), language_score: 0.75, ..Document::default() })
}

fn judge(document: &mut Document, notes: &mut Notes) -> Result<(), Reason> {
    notes.add("seen", 1);
    if document.text.contains("bad") { Err("a bad word") } else { Ok(()) }
}

fn stages() -> Stages<'static> {
    Stages { extract: &extract, judge: vec![&judge] }
}

fn config(inputs: &Path) -> CrawlConfig {
    let inputs = vec![inputs.to_str().expect("UTF-8").to_owned()];
    CrawlConfig { inputs, slice_bytes: 2048, ..CrawlConfig::default() }
}

fn places() -> Places {
    Places::new(&ServerConfig::default(), None)
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).expect("there").map(|entry| entry.expect("there").path());
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    let entries = entries.filter(|path| path.is_file());
    entries.map(|path| (name(&path), fs::read(&path).expect("read"))).collect()
}

fn go_on(_: usize, _: &Manifest) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Runs all ranks into a new folder.
fn crawl(config: &CrawlConfig, world: usize) -> (TempDir, Report) {
    let dir = tempfile::tempdir().expect("a folder");
    let output = dir.path().to_str().expect("UTF-8");
    let places = places();
    let crawl = Crawl::new(&places, config, stages(), "recipe", output).expect("a crawl");
    for rank in (0..world).rev() {
        crawl.run(rank, world, &go_on).expect("runs");
        assert_eq!(crawl.report().is_ok(), rank == 0 || crawl.slices().len() < world);
    }
    let report = crawl.report().expect("all there");
    (dir, report)
}

#[test]
fn ranks_write_what_one_process_writes() {
    let inputs = inputs();
    for format in [ShardFormat::JsonlZst, ShardFormat::Parquet] {
        let config = CrawlConfig { format, ..config(inputs.path()) };
        let (whole, report) = crawl(&config, 1);
        assert!(report.slices > 4, "{}", report.slices);
        for world in [2, 3, 5] {
            let (shared, sum) = crawl(&config, world);
            assert_eq!(files(whole.path()), files(shared.path()), "{world} ranks");
            assert_eq!(sum, report);
        }
    }
}

#[test]
fn counts_add_up_and_do_not_depend_on_the_cuts() {
    let inputs = inputs();
    let (_, report) = crawl(&config(inputs.path()), 1);
    let Counts { records, documents, gone, skipped, .. } = &report.counts;
    assert_eq!(*records, documents + gone.total());
    assert_eq!((*records, *documents), (63, 37));
    let reasons: Vec<_> = gone.iter().map(|(reason, count)| (reason, count.n)).collect();
    let expected =
        [("a bad word", 18), ("no text", 1), ("not an answer of HTTP", 1), ("status", 6)];
    assert_eq!(reasons, expected);
    assert_eq!(skipped.n("garbage between records"), 1);
    assert_eq!(report.counts.notes.n("seen"), 37 + 18);
    assert_eq!(report.counts.text_sizes.iter().sum::<u64>(), 37);
    assert_eq!(report.counts.language_scores[7], 37);
    let example = &report.examples["garbage between records"][0];
    assert!(example.source.ends_with("b/c.warc.wet.gz") && example.offset > 0);
    for slice_bytes in [1 << 10, 5000, 1 << 30] {
        let other = CrawlConfig { slice_bytes, ..config(inputs.path()) };
        let (_, other) = crawl(&other, 1);
        assert_eq!((&other.counts, &other.examples), (&report.counts, &report.examples));
    }
}

#[test]
fn documents_are_the_same_in_both_formats() {
    let inputs = inputs();
    let config = CrawlConfig { slice_bytes: 1 << 30, ..config(inputs.path()) };
    let (jsonl, _) = crawl(&config, 1);
    let text = fs::read(jsonl.path().join("part-000000.jsonl.zst")).expect("there");
    let text = zstd::decode_all(&text[..]).expect("decodes");
    let text = String::from_utf8(text).expect("UTF-8");
    let documents: Vec<Document> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let (parquet, _) = crawl(&CrawlConfig { format: ShardFormat::Parquet, ..config }, 1);
    let file = fs::File::open(parquet.path().join("part-000000.parquet")).expect("there");
    let reader = SerializedFileReader::new(file).expect("opens");
    let mut n_rows = 0;
    for (row, document) in reader.get_row_iter(None).expect("rows").zip(&documents) {
        let row = row.expect("a row");
        let text = |i| row.get_string(i).expect("a text").clone();
        let found = Document {
            text: text(0),
            source: text(1),
            offset: row.get_long(2).expect("a number") as u64,
            url: text(3),
            date: text(4),
            language: text(5),
            language_score: row.get_float(6).expect("a number"),
            personal: serde_json::from_str(&text(7)).expect("JSON"),
        };
        assert_eq!(found, *document);
        n_rows += 1;
    }
    assert_eq!((n_rows, documents.len()), (36, 36));
    assert_eq!(documents[1].url, "http://example.org/1");
    assert_eq!(documents[1].date, "2024-05-06T07:08:09Z");
    assert!(documents[1].source.ends_with("a.warc.gz") && documents[1].offset > 0);
}

#[test]
fn an_interrupted_run_goes_on_with_the_same_bytes() {
    let inputs = inputs();
    let config = config(inputs.path());
    let (whole, _) = crawl(&config, 1);
    let expected = files(whole.path());
    let dir = tempfile::tempdir().expect("a folder");
    let output = dir.path().to_str().expect("UTF-8");
    let places = places();
    let crawl = Crawl::new(&places, &config, stages(), "recipe", output).expect("a crawl");
    let n_done = AtomicUsize::new(0);
    let stop = |_: usize, _: &Manifest| match n_done.fetch_add(1, Ordering::Relaxed) {
        0..2 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    };
    crawl.run(0, 1, &stop).expect("runs");
    let n_files = files(dir.path()).len();
    assert!(n_files < expected.len() && crawl.report().is_err());
    // What a kill leaves: a part of a shard, a shard without its manifest, a manifest without.
    fs::write(dir.path().join(".part-000003.jsonl.zst.partial"), "half").expect("written");
    for name in ["part-000001.json", "part-000002.jsonl.zst"] {
        let _ = fs::remove_file(dir.path().join(name));
    }
    crawl.run(0, 1, &go_on).expect("runs");
    assert_eq!(files(dir.path()), expected);
    // Nothing is done twice.
    let before = fs::metadata(dir.path().join("part-000000.json")).expect("there").modified();
    crawl.run(0, 1, &go_on).expect("runs");
    let after = fs::metadata(dir.path().join("part-000000.json")).expect("there").modified();
    assert_eq!(before.expect("a time"), after.expect("a time"));
}

#[test]
fn a_folder_of_something_else_is_refused() {
    let inputs = inputs();
    let config = config(inputs.path());
    let (dir, _) = crawl(&config, 1);
    let output = dir.path().to_str().expect("UTF-8");
    let places = places();
    let error = |config: &CrawlConfig, recipe: &str| {
        let crawl = Crawl::new(&places, config, stages(), recipe, output);
        match crawl.and_then(|crawl| crawl.run(0, 1, &go_on)) {
            Ok(()) => String::new(),
            Err(error) => format!("{error}; hint: {}", error.hint().unwrap_or_default()),
        }
    };
    assert_eq!(error(&config, "recipe"), "");
    let servers = ServerConfig { n_retries: 9, ..ServerConfig::default() };
    assert_eq!(error(&CrawlConfig { servers, ..config.clone() }, "recipe"), "");
    assert!(error(&config, "other").contains("is of another recipe; hint: give another folder"));
    let other = CrawlConfig { record_max: 1000, ..config.clone() };
    assert!(error(&other, "recipe").contains("is of another recipe"));
    let other = CrawlConfig { slice_bytes: 1 << 30, ..config.clone() };
    assert!(error(&other, "recipe").contains("is left over: there are 2 slices"));
    fs::write(inputs.path().join("0.warc"), "").expect("written");
    assert!(error(&config, "recipe").contains("the inputs have changed"));
    fs::remove_file(inputs.path().join("0.warc")).expect("removed");
    fs::write(dir.path().join("part-000000.json"), "{\"recipe\": ").expect("written");
    assert!(error(&config, "recipe").contains("is no manifest"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_and_nothing_is_half_written() {
    let inputs = inputs();
    let config = config(inputs.path());
    let dir = tempfile::tempdir().expect("a folder");
    let output = dir.path().to_str().expect("UTF-8");
    let partial = dir.path().join(".part-000001.jsonl.zst.partial");
    std::os::unix::fs::symlink("/dev/full", partial).expect("made");
    let places = places();
    let crawl = Crawl::new(&places, &config, stages(), "recipe", output).expect("a crawl");
    let error = crawl.run(0, 1, &go_on).expect_err("there is no room");
    assert!(error.to_string().starts_with("failed to write `"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.starts_with("free some space")));
    assert!(files(dir.path()).keys().all(|name| !name.contains("000001")));
    crawl.run(0, 1, &go_on).expect("there is room again");
    assert_eq!(files(dir.path()), files(self::crawl(&config, 1).0.path()));
}

#[test]
fn lists_of_paths_are_read_below_their_base() {
    let inputs = inputs();
    let list = inputs.path().join("warc.paths.gz");
    let base = inputs.path().to_str().expect("UTF-8").to_owned();
    let places = places();
    let crawl = |lines: &str| {
        fs::write(&list, gzip(lines.as_bytes())).expect("written");
        let list = list.to_str().expect("UTF-8").to_owned();
        let path_lists = vec![PathList { list, base: base.clone() }];
        let config = CrawlConfig { path_lists, ..CrawlConfig::default() };
        plan::plan(&places, &config).map_err(|error| error.to_string())
    };
    let slices = crawl("b/c.warc.wet.gz\n\na.warc.gz\n").expect("a list");
    let sources: Vec<_> = slices.iter().map(|slice| slice.source.clone()).collect();
    assert_eq!(sources, [format!("{base}/b/c.warc.wet.gz"), format!("{base}/a.warc.gz")]);
    assert!(crawl("a\n../b").is_err_and(|error| error.ends_with("`../b` leaves its base")));
    assert!(crawl("a\nb\0c").is_err_and(|error| error.ends_with("line 2 is none")));
    assert!(crawl(&"a".repeat(5000)).is_err_and(|error| error.ends_with("line 1 is none")));
}

#[test]
fn configs_are_read_and_checked() {
    let text = "inputs = [\"a\"]\nkinds = [\"response\"]\nformat = \"parquet\"\nbody.ratio_max = 9";
    let config: CrawlConfig = toml::from_str(text).expect("a config");
    assert_eq!((config.format, config.body.ratio_max), (ShardFormat::Parquet, 9));
    let again = toml::to_string(&config).expect("TOML");
    assert_eq!(toml::from_str::<CrawlConfig>(&again).expect("a config"), config);
    assert!(toml::from_str::<CrawlConfig>("input = []").is_err());
    let places = places();
    let error = |config: CrawlConfig| {
        let crawl = Crawl::new(&places, &config, stages(), "", "/nowhere");
        crawl.err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert!(error(CrawlConfig::default()).starts_with("`crawl.inputs` is empty"));
    let inputs = vec!["/nowhere/a.warc".to_owned()];
    assert_eq!(
        error(CrawlConfig { inputs: inputs.clone(), ..CrawlConfig::default() }),
        "failed to read `/nowhere/a.warc`"
    );
    let config = CrawlConfig { inputs, level: 0, ..CrawlConfig::default() };
    assert_eq!(error(config.clone()), "`crawl.level` is 0, expected 1 to 22");
    let config = CrawlConfig { level: 1, ..config };
    let other = CrawlConfig { record_max: 0, ..config.clone() };
    assert_eq!(error(other), "`crawl.record_max` is 0, expected 1 byte to 4 GiB");
    let other = CrawlConfig { statuses: vec![], ..config };
    assert!(error(other).starts_with("`crawl.statuses` is empty, expected "));
    let empty = tempfile::tempdir().expect("a folder");
    let config = self::config(empty.path());
    assert!(error(config).contains("there is no web archive in"));
}

/// A store of S3 in memory on loopback, without keys: puts, reads of ranges, lists.
fn store(objects: BTreeMap<String, Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let objects = Arc::new(Mutex::new(objects));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, objects) = (stream.expect("a connection"), Arc::clone(&objects));
            thread::spawn(move || serve(BufReader::new(stream), &objects));
        }
    });
    format!("http://{address}")
}

fn serve(mut stream: BufReader<TcpStream>, objects: &Mutex<BTreeMap<String, Vec<u8>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_until(b'\n', &mut head).expect("a line") == 0 {
            return;
        }
    }
    let head = String::from_utf8(head).expect("UTF-8").to_ascii_lowercase();
    let field = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name));
        let numbers = line?.split('-').map(|value| value.parse::<usize>().ok());
        Some(numbers.collect::<Vec<_>>())
    };
    let mut words = head.split(' ');
    let (method, path) = (words.next().expect("a method"), words.next().expect("a path"));
    let mut objects = objects.lock().expect("a lock");
    let (mut status, mut fields, mut body) = ("200 OK", String::new(), Vec::new());
    if method == "put" {
        let length = field("content-length: ").and_then(|length| length[0]);
        let mut bytes = vec![0; length.expect("a length")];
        stream.read_exact(&mut bytes).expect("a body");
        objects.insert(path.to_owned(), bytes);
    } else if let Some((_, prefix)) = path.split_once("/?list-type=2&prefix=") {
        let prefix = format!("/bucket/{}", prefix.replace("%2f", "/"));
        let found = objects.iter().filter(|(name, _)| name.starts_with(&prefix));
        let found = found.map(|(name, bytes)| {
            let (key, n) = (&name["/bucket/".len()..], bytes.len());
            format!("<Contents><Key>{key}</Key><Size>{n}</Size></Contents>")
        });
        let found: String = found.collect();
        body = format!("<ListBucketResult>{found}</ListBucketResult>").into_bytes();
    } else if let Some(bytes) = objects.get(path) {
        body.clone_from(bytes);
        if let Some(&[Some(from), to]) = field("range: bytes=").as_deref() {
            let (n, to) = (body.len(), to.map_or(body.len(), |to| body.len().min(to + 1)));
            fields = format!("Content-Range: bytes {from}-{}/{n}\r\n", to - 1);
            (status, body) = ("206 Partial Content", body[from..to].to_vec());
        }
    } else {
        status = "404 Not Found";
    }
    let n = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {n}\r\nConnection: close\r\n{fields}\r\n");
    body.truncate(if method == "head" { 0 } else { n });
    let _ = stream.get_mut().write_all(&[head.as_bytes(), &body].concat());
}

#[test]
fn servers_are_read_and_written_as_folders_are() {
    let inputs = inputs();
    let names = ["a.warc.gz", "b/c.warc.wet.gz"];
    let object = |name: &str| {
        let bytes = fs::read(inputs.path().join(name)).expect("there");
        (format!("/bucket/in/{name}"), bytes)
    };
    let endpoint = store(names.map(object).into());
    let servers = ServerConfig {
        allow_private: true,
        s3_endpoint: Some(endpoint.clone()),
        ..ServerConfig::default()
    };
    let (whole, _) = crawl(&config(inputs.path()), 1);
    let urls = names.map(|name| format!("{endpoint}/bucket/in/{name}")).to_vec();
    for inputs in [vec!["s3://bucket/in/".to_owned()], urls] {
        let places = Places::new(&servers, None);
        let config = CrawlConfig { inputs, slice_bytes: 2048, ..CrawlConfig::default() };
        let output = format!("s3://bucket/out-{}", config.inputs.len());
        for rank in [0, 1, 0] {
            let crawl = Crawl::new(&places, &config, stages(), "recipe", &output).expect("a crawl");
            crawl.run(rank, 2, &go_on).expect("runs");
        }
        let report = Crawl::new(&places, &config, stages(), "recipe", &output)
            .and_then(|crawl| crawl.report())
            .expect("all there");
        let expected = files(whole.path());
        assert_eq!(report.slices as usize * 2, expected.len());
        for (name, bytes) in &expected {
            let found = places.read(&join(&output, name), 1 << 20).expect("read").expect("there");
            if name.contains(".jsonl") {
                let [found, expected] = [&found, bytes].map(|bytes| {
                    let text = zstd::decode_all(&bytes[..]).expect("decodes");
                    let lines = String::from_utf8(text).expect("UTF-8");
                    let lines = lines.lines().map(|line| serde_json::from_str(line).expect("JSON"));
                    lines.map(|line: Document| (line.offset, line.text)).collect::<Vec<_>>()
                });
                assert_eq!(found, expected, "{name}");
            }
        }
    }
    let places = Places::new(&ServerConfig { allow_private: false, ..servers }, None);
    let error = places.open(&endpoint, ALL, None).err().expect("it is private");
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_named_and_waited_for_by_nobody() {
    use std::os::unix::{fs::symlink, net::UnixListener};
    let inputs = inputs();
    let error = |input: &str| {
        let config = CrawlConfig { inputs: vec![input.to_owned()], ..CrawlConfig::default() };
        plan::plan(&places(), &config).map_err(|error| {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            source.unwrap_or_default()
        })
    };
    let folder = inputs.path().to_str().expect("UTF-8");
    let path = inputs.path().join("b/x.warc.gz");
    let address = path.to_str().expect("UTF-8");
    symlink("/nowhere", inputs.path().join("b/other")).expect("made");
    assert!(error(folder).is_ok());
    symlink("/nowhere", &path).expect("made");
    let found = error(folder).expect_err("it leads nowhere");
    assert!(found.starts_with(&format!("`{address}`: ")), "{found}");
    fs::remove_file(&path).expect("removed");
    let _socket = UnixListener::bind(&path).expect("made");
    let found = error(folder).expect_err("it is no file");
    assert_eq!(found, format!("`{address}`: it is not a regular file"));
    assert_eq!(error(address).expect_err("it is no file"), "it is not a regular file");
    assert!(places().open("/dev/zero", ALL, None).is_err());
    for input in ["ftp://example.org/a.warc", "file:///a.warc"] {
        let found = error(input).expect_err("it is no such server");
        assert!(found.starts_with("servers are asked at `http://`"), "{found}");
    }
}

#[test]
fn what_was_made_of_other_shards_is_not_taken() {
    let inputs = inputs();
    let config = config(inputs.path());
    let (dir, _) = crawl(&config, 1);
    let output = dir.path().to_str().expect("UTF-8");
    let (places, sets) = (places(), Contamination::load(&ContaminationConfig::default()));
    let sets = sets.expect("loads");
    let out = join(output, "out");
    let open = || Crawl::new(&places, &config, stages(), "recipe", output).expect("a crawl");
    let before = open();
    let dedup_config = DedupConfig { memory_mib: 1, ..DedupConfig::default() };
    let n_shards = before.slices().len() as u32;
    let dedup = Dedup::open(&places, &join(&out, "duplicates"), &dedup_config, n_shards);
    let dedup = dedup.expect("begins");
    Corpus::new(&before, (Some(&dedup), &sets), "", &out).map(0).expect("maps");
    let alone = |crawl| Corpus::new(crawl, (None, &sets), "", &out);
    let manifest = alone(&before).write(0).expect("writes");
    let shard = Path::new(&out).join("final/part-000000.jsonl.zst");
    let bytes = fs::read(&shard).expect("there");
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 1;
    fs::write(&shard, damaged).expect("written");
    assert_eq!(alone(&before).write(0).expect("is made again"), manifest);
    assert_eq!(fs::read(&shard).expect("there"), bytes);
    // The input changes, its size does not, and the shards are made anew.
    let input = inputs.path().join("a.warc.gz");
    let mut changed = fs::read(&input).expect("there");
    changed[200] ^= 1;
    fs::write(&input, changed).expect("written");
    for i in 0..n_shards as usize {
        fs::remove_file(dir.path().join(format!("{}.json", manifest::name(i)))).expect("removed");
    }
    let after = open();
    after.run(0, 1, &go_on).expect("runs");
    let error = Corpus::new(&after, (Some(&dedup), &sets), "", &out).map(0).expect_err("stale");
    assert!(error.to_string().contains("when shard 0 was another one"), "{error}");
    let error = alone(&after).write(0).expect_err("stale");
    assert!(error.to_string().ends_with("is of another recipe"), "{error}");
    assert!(alone(&after).report().is_err());
}

/// Runs the second half over a finished crawl in `dir/shards`.
fn corpus(crawl: &Crawl, dir: &str, sets: &Contamination) -> Report {
    let config = DedupConfig { memory_mib: 1, partitions: 2, ..DedupConfig::default() };
    let (places, n_shards) = (crawl.places, crawl.slices().len());
    let open = || Dedup::open(places, &join(dir, "duplicates"), &config, n_shards as u32);
    assert!(!Dedup::is_begun(places, &join(dir, "duplicates")).expect("asked"));
    let dedup = open().expect("begins");
    let corpus = Corpus::new(crawl, (Some(&dedup), sets), "", dir);
    for i in 0..n_shards {
        corpus.map(i).expect("maps");
    }
    assert_eq!(dedup.mapped().expect("listed"), (0..n_shards).collect());
    (0..config.partitions).for_each(|partition| dedup.merge(partition).expect("merges"));
    assert_eq!(dedup.merged().expect("listed"), [0, 1].into());
    assert!(!dedup.is_reduced().expect("asked"));
    let report = dedup.reduce().expect("reduces");
    assert_eq!(open().expect("is there").reduce().expect("is done"), report);
    assert!(corpus.report().is_err());
    for i in (0..n_shards).rev() {
        assert!(!corpus.done().expect("listed").contains(&i));
        let manifest = corpus.write(i).expect("writes");
        assert!(corpus.done().expect("listed").contains(&i));
        assert_eq!(corpus.write(i).expect("is there"), manifest);
    }
    corpus.report().expect("all there")
}

#[test]
fn a_corpus_is_without_duplicates_and_what_is_asked_in_tests() {
    let inputs = inputs();
    let set = inputs.path().join("questions.txt");
    fs::write(&set, "5 much longer 5 much longer 5").expect("written");
    let sets = ContaminationConfig {
        sets: [("set".to_owned(), vec![set])].into(),
        ngram: 7,
        ..ContaminationConfig::default()
    };
    let sets = Contamination::load(&sets).expect("loads");
    let dir = tempfile::tempdir().expect("a folder");
    let s3_endpoint = Some(store(BTreeMap::new()));
    let servers = ServerConfig { allow_private: true, s3_endpoint, ..ServerConfig::default() };
    let places = Places::new(&servers, None);
    // Of every text its number alone is left, and so every other one is the same.
    let number = |document: &mut Document, _: &mut Notes| {
        let number: u32 = document.text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(7);
        document.text = format!("{} much longer ", number % 7).repeat(20);
        Ok(())
    };
    let make = |format, dir: &str| {
        let output = join(dir, "shards");
        let config = CrawlConfig { format, ..config(inputs.path()) };
        let stages = Stages { extract: &extract, judge: vec![&judge, &number] };
        let crawl = Crawl::new(&places, &config, stages, "recipe", &output).expect("a crawl");
        crawl.run(0, 1, &go_on).expect("runs");
        let before = crawl.report().expect("all there").counts;
        let Counts { records, documents, gone, .. } = corpus(&crawl, dir, &sets).counts;
        assert_eq!((records, documents + gone.total()), (before.documents, records));
        assert_eq!((documents, gone.n("contamination.set")), (6, 1));
        let manifests = join(dir, "manifests");
        let target = Target { output: &manifests, shards: "../final/", ..crawl.target() };
        let bytes = |i| places.read(&target.shard(i), 1 << 20).expect("read").expect("there");
        let fetched = |address: &str| places.fetch(address, ALL).expect("opens").0;
        let read = |i| shard::read(format, fetched(&target.shard(i))).expect("opens");
        let all = (0..crawl.slices().len()).flat_map(read).map(|it| it.expect("reads"));
        let all: Vec<Document> = all.collect();
        let first = crawl.target().shard(0);
        places.write(&first, b"no shard").expect("written");
        let damaged = shard::read(format, fetched(&first)).map(|mut all| all.next());
        assert!(damaged.is_err() || matches!(damaged, Ok(Some(Err(_)))));
        (all, (0..crawl.slices().len()).map(bytes).collect::<Vec<_>>())
    };
    let mut texts = Vec::new();
    for format in [ShardFormat::JsonlZst, ShardFormat::Parquet] {
        let here = dir.path().join(format.ending());
        let (all, bytes) = make(format, here.to_str().expect("UTF-8"));
        let (_, there) = make(format, &format!("s3://bucket/{}", format.ending()));
        assert!(bytes == there, "a store of S3 has what a folder has");
        texts.push(all);
    }
    assert_eq!(texts[0].len(), 6);
    assert_eq!(texts[0], texts[1]);
}
