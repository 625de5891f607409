//! `lyceum data crawl` from and to a store of S3 that nobody here wrote: `s3s-fs`, on loopback.

use std::error::Error;
use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use curate::crawl::{Crawl, CrawlConfig, CrawlError, Stages};
use curate::{Document, Keys, Places, Secret, ServerConfig};

use crate::crawl::{Web, kill_twice};
use crate::fixture::{Ran, arg, lyceum};

const ACCESS: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI+bPxRfiCYEXAMPLEKEY";

/// A server with the archives of a web in `s3://bucket/warcs/`. Its buckets are folders of `store`.
struct Store {
    web: Web,
    server: Child,
    endpoint: String,
}

impl Store {
    /// `None` where the server is not installed, which is said.
    #[allow(clippy::print_stderr)] // A test that is skipped says so.
    fn start() -> Option<Self> {
        let web = Web::new();
        fs::create_dir_all(web.path("store/bucket/warcs")).expect("made");
        fs::create_dir(web.path("scratch")).expect("made");
        for name in ["a.warc.gz", "b.warc", "c.warc"] {
            let [from, to] = ["warcs", "store/bucket/warcs"].map(|dir| web.path(dir).join(name));
            fs::copy(from, to).expect("copied");
        }
        let log = web.path("server.log");
        let home = std::env::var_os("CARGO_HOME").map(|home| Path::new(&home).join("bin/s3s-fs"));
        let server = home.into_iter().chain(["s3s-fs".into()]).find_map(|program| {
            Command::new(program)
                .args(["--host", "127.0.0.1", "--port", "0"])
                .args(["--access-key", ACCESS, "--secret-key", SECRET])
                .arg(web.path("store"))
                .env("RUST_LOG", "info")
                .stdout(File::create(&log).expect("made"))
                .stderr(Stdio::null())
                .spawn()
                .ok()
        });
        let Some(server) = server else {
            eprintln!("skipped: there is no `s3s-fs`; see `.ci/run`");
            return None;
        };
        let mut store = Self { web, server, endpoint: String::new() };
        let began = Instant::now();
        while store.endpoint.is_empty() {
            assert!(began.elapsed() < Duration::from_mins(1), "no server within a minute");
            sleep(Duration::from_millis(10));
            let said = fs::read_to_string(&log).expect("there");
            let line = said.lines().find_map(|line| line.split_once("running at "));
            store.endpoint = line.map(|(_, url)| url.trim().to_owned()).unwrap_or_default();
        }
        Some(store)
    }

    /// From the store to `out`, a folder beside it or one of the store.
    fn command(&self, out: &str, more: &[&str]) -> Command {
        let out = match out.strip_prefix("s3://") {
            Some(_) => out.to_owned(),
            None => arg(self.web.path(out)),
        };
        let recipe = arg(self.web.path("recipe.toml"));
        let endpoint = format!("crawl.servers.s3_endpoint={}", self.endpoint);
        let args = [
            &["data", "crawl", &recipe, "--out", &out][..],
            &["--set", "crawl.inputs=['s3://bucket/warcs/']", "--set", &endpoint],
            &["--set", "crawl.servers.allow_private=true"],
            &["--set", "crawl.servers.n_retries=1"],
            more,
        ];
        let args = args.concat();
        let mut command = lyceum(&args);
        command.env("AWS_ACCESS_KEY_ID", ACCESS).env("AWS_SECRET_ACCESS_KEY", SECRET);
        command.env_remove("AWS_SESSION_TOKEN").env("TMPDIR", self.web.path("scratch"));
        command
    }

    fn crawl(&self, out: &str, more: &[&str]) -> Ran {
        Ran::new(self.command(out, more).output().expect("runs"))
    }

    fn start_rank(&self, out: &str, more: &[&str]) -> Child {
        let mut command = self.command(out, more);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("runs")
    }

    fn places(&self) -> Places {
        let servers = ServerConfig {
            allow_private: true,
            n_retries: 1,
            s3_endpoint: Some(self.endpoint.clone()),
            ..ServerConfig::default()
        };
        let keys =
            Keys { access: ACCESS.to_owned(), secret: Secret(SECRET.to_owned()), token: None };
        Places::new(&servers, Some(keys))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn three_processes_on_a_store_make_what_one_makes_of_files() {
    let Some(store) = Store::start() else { return };
    let web = &store.web;
    // A page of a list has 1000: the archives are on the second.
    for i in 0..1001 {
        fs::write(web.path(&format!("store/bucket/warcs/0-{i:04}.txt")), "").expect("written");
    }
    web.crawl("files", &[]).done();
    let out = "s3://bucket/out/three";
    let all = ["2", "0", "1"].map(|rank| store.start_rank(out, &["--rank", rank, "--world", "3"]));
    for child in all {
        let ended = child.wait_with_output().expect("ends");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    // The same addresses, into a folder: every byte of it.
    store.crawl("one", &[]).done();
    let (one, three) = (web.corpus("one"), web.corpus("store/bucket/out/three"));
    assert_eq!(three, one);
    let dirs = ["one", "store/bucket/out/three"].map(|dir| web.path(dir));
    let [one, three] = dirs.map(|dir| fs::read(dir.join("recipe.toml")).expect("there"));
    assert_eq!(three, one);
    // Of files on disk, the same documents from other addresses.
    let there = "\"source\":\"s3://bucket/warcs/";
    let here = format!("\"source\":\"{}/", arg(web.path("warcs")));
    let text = |out: &str| {
        let shards = web.corpus(out).into_iter().filter(|(name, _)| name.starts_with("final/"));
        let text = shards.map(|(name, shard)| {
            let text = zstd::decode_all(&shard[..]).expect("decodes");
            (name, String::from_utf8(text).expect("text").replace(&here, there))
        });
        text.collect::<Vec<_>>()
    };
    assert!(text("files").iter().any(|(_, text)| text.contains(there)));
    assert_eq!(text("store/bucket/out/three"), text("files"));
    // Nothing is left to do, and nothing is done.
    let shard = web.path("store/bucket/out/three/final/part-000000.jsonl.zst");
    let written = || fs::metadata(&shard).and_then(|it| it.modified()).expect("a time");
    let before = written();
    store.crawl(out, &[]).done();
    assert_eq!(written(), before);
}

#[test]
fn killed_at_any_moment_it_goes_on_in_a_store_to_the_same_bytes() {
    let slow = std::env::var_os("SLOW").is_some_and(|value| value == "1");
    let Some(store) = Store::start() else { return };
    let began = Instant::now();
    store.crawl("s3://bucket/whole", &[]).done();
    let (whole, expected) = (began.elapsed(), store.web.corpus("store/bucket/whole"));
    for i in 0..if slow { 10 } else { 2 } {
        let out = format!("s3://bucket/killed-{i}");
        let share = (f64::from(i) * 0.618_034 + 0.3).fract();
        kill_twice(whole.mul_f64(share), || store.start_rank(&out, &[]));
        store.crawl(&out, &[]).done();
        let found = store.web.corpus(&format!("store/bucket/killed-{i}"));
        assert_eq!(found, expected, "killed at {share} of {whole:?}");
        let left = fs::read_dir(store.web.path("scratch")).expect("there").count();
        assert_eq!(left, 0, "of what was needed for a while");
    }
}

#[test]
fn what_a_store_refuses_is_said() {
    let Some(store) = Store::start() else { return };
    let as_who = |access: &str, secret: &str| {
        let mut command = store.command("a", &[]);
        command.env("AWS_ACCESS_KEY_ID", access).env("AWS_SECRET_ACCESS_KEY", secret);
        Ran::new(command.output().expect("runs")).refused()
    };
    let from = |input: &str| store.crawl("a", &["--set", &format!("crawl.inputs=['{input}']")]);
    let private = ["--set", "crawl.servers.allow_private=false"];
    let cases = [
        (as_who(ACCESS, "wrong"), "status 403 (`SignatureDoesNotMatch`)", "check the keys"),
        (as_who("nobody", SECRET), "answers with status 403", "check the keys"),
        (from("s3://nowhere/").refused(), "404 (`NoSuchBucket`)", "check the name of the bucket"),
        (from("s3://bucket/no.warc").refused(), "answers with status 404", "check the address"),
        (from("s3://bucket/no/").refused(), "there is no web archive in", "names of web archives"),
        (store.crawl("s3://nowhere/a", &[]).refused(), "404 (`NoSuchBucket`)", "check the name"),
        (store.crawl("a", &private).refused(), "leads to 127.0.0.1, which is not", "private"),
    ];
    for (stderr, problem, hint) in cases {
        assert!(stderr.contains(problem) && stderr.contains(&format!("hint: {hint}")), "{stderr}");
        assert!(!store.web.path("a").exists());
    }
}

#[test]
fn an_object_that_changes_or_goes_after_it_was_found_is_not_read() {
    let Some(store) = Store::start() else { return };
    let object = store.web.path("store/bucket/warcs/b.warc");
    let before = fs::read(&object).expect("there");
    let mut after = before.clone();
    let at = before.windows(4).position(|bytes| bytes == b"2024").expect("a date");
    after[at + 3] = b'5';
    let inputs = vec!["s3://bucket/warcs/b.warc".to_owned()];
    let (places, config) = (store.places(), CrawlConfig { inputs, ..CrawlConfig::default() });
    let out = arg(store.web.path("out"));
    let stages = Stages { extract: &|_| Ok(Document::default()), judge: vec![] };
    let found = || Crawl::new(&places, &config, stages.clone(), "", &out);
    let error = |crawl: Result<Crawl, CrawlError>| {
        let ran = crawl.and_then(|crawl| crawl.run(0, 1, &|_, _| ControlFlow::Continue(())));
        let error = ran.expect_err("it is refused");
        let causes = std::iter::successors(Some(&error as &dyn Error), |error| (*error).source());
        causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    };
    let crawl = found();
    fs::write(&object, &after).expect("written");
    assert!(error(crawl).contains("b.warc is not what was asked for: it was written anew"));
    let crawl = found();
    fs::remove_file(&object).expect("removed");
    assert!(error(crawl).contains("b.warc answers with status 404 (`NoSuchKey`)"));
    // From one run to the next.
    fs::write(&object, &before).expect("written");
    found().expect("a crawl").run(0, 1, &|_, _| ControlFlow::Continue(())).expect("runs");
    fs::write(&object, &after).expect("written");
    assert!(error(found()).contains("of `s3://bucket/warcs/b.warc` (tag"));
}
