//! `lyceum pull`, from a small hub of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fixture::{Ran, arg, lyceum, model, run};
use crate::recipe::refusal;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A request, as far as it matters.
#[derive(Clone, Debug)]
struct Asked {
    path: String,
    headers: BTreeMap<String, String>,
}

/// An answer.
struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Only so many bytes of the body are sent.
    sent: usize,
    /// After them the connection stays open until the other side ends it.
    holds: bool,
}

impl Reply {
    fn new(status: u16, headers: &[(&'static str, &str)], body: &[u8]) -> Self {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self { status, headers, body: body.to_vec(), sent: body.len(), holds: false }
    }

    fn error(status: u16, code: &str) -> Self {
        Self::new(status, &[("X-Error-Code", code)], b"")
    }

    fn cut(self, sent: usize) -> Self {
        Self { sent: sent.min(self.body.len()), ..self }
    }
}

/// A server, and what it was asked.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let (log, answer) = (Arc::clone(&asked), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                thread::spawn(move || {
                    let request = read_request(&stream)?;
                    log.lock().expect("no panic").push(request.clone());
                    send(stream, &answer(&request)).ok()
                });
            }
        });
        Self { address, asked }
    }

    /// A hub with this model.
    fn of(repo: Repo) -> Self {
        Self::start(move |asked| repo.answer(asked))
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }

    /// The ranges that were asked of a file.
    fn ranges(&self, name: &str) -> Vec<Option<String>> {
        let of_file = self.asked().into_iter().filter(|asked| asked.path.ends_with(name));
        of_file.map(|asked| asked.headers.get("range").cloned()).collect()
    }
}

fn read_request(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers = lines.take_while(|line| !line.is_empty()).filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        Some((name.to_ascii_lowercase(), value.to_owned()))
    });
    Some(Asked { path, headers: headers.collect() })
}

fn send(mut stream: TcpStream, reply: &Reply) -> std::io::Result<()> {
    let Reply { status, headers, body, sent, holds } = reply;
    write!(stream, "HTTP/1.1 {status} x\r\nContent-Length: {}\r\n", body.len())?;
    for (name, value) in headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    stream.write_all(b"Connection: close\r\n\r\n")?;
    stream.write_all(&body[..*sent])?;
    if *holds {
        stream.read(&mut [0]).map(drop)?;
    }
    Ok(())
}

/// The model `o/m` of a hub.
#[derive(Clone)]
struct Repo {
    files: BTreeMap<String, Vec<u8>>,
    /// What is listed otherwise than it is.
    listed: Vec<Value>,
}

impl Repo {
    /// The tiny model, with weights in more formats than one.
    fn new() -> Self {
        let read = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().expect("text");
            (name, fs::read(entry.path()).expect("read"))
        };
        let mut files: BTreeMap<_, _> =
            fs::read_dir(model()).expect("there").flatten().map(read).collect();
        for name in ["pytorch_model.bin", "tf_model.h5", "onnx/model.onnx", ".gitattributes"] {
            files.insert(name.to_owned(), b"not to be fetched".to_vec());
        }
        Self { files, listed: vec![] }
    }

    fn of(files: &[(&str, &[u8])]) -> Self {
        let own = |(name, bytes): &(&str, &[u8])| ((*name).to_owned(), bytes.to_vec());
        Self { files: files.iter().map(own).collect(), listed: vec![] }
    }

    fn listing(&self) -> Reply {
        let mut siblings = self.listed.clone();
        for (name, bytes) in &self.files {
            siblings.push(entry(name, bytes, bytes.len() as u64));
        }
        let body = json!({ "sha": COMMIT, "siblings": siblings, "more": [1, null] }).to_string();
        Reply::new(200, &[], body.as_bytes())
    }

    fn answer(&self, asked: &Asked) -> Reply {
        match asked.path.as_str() {
            "/api/models/o/m/revision/main?blobs=true"
            | "/api/models/o/m/revision/refs%2Fpr%2F1?blobs=true" => return self.listing(),
            path if path.starts_with("/api/models/o/m/") => {
                return Reply::error(404, "RevisionNotFound");
            }
            path if path.starts_with("/api/") => return Reply::error(404, "RepoNotFound"),
            _ => {}
        }
        let resolve = format!("/o/m/resolve/{COMMIT}/");
        if let Some(name) = asked.path.strip_prefix(&resolve).filter(|name| is_large(name)) {
            return Reply::new(302, &[("Location", &format!("/cdn/{name}"))], b"");
        }
        let name = asked.path.strip_prefix(&resolve).or(asked.path.strip_prefix("/cdn/"));
        match name.and_then(|name| self.files.get(name)) {
            Some(bytes) => ranged(asked, bytes),
            None => Reply::error(404, "EntryNotFound"),
        }
    }
}

fn is_large(name: &str) -> bool {
    [".safetensors", ".gguf"].iter().any(|end| name.ends_with(end))
}

/// The bytes that were asked for.
fn ranged(asked: &Asked, bytes: &[u8]) -> Reply {
    let Some(range) = asked.headers.get("range") else { return Reply::new(200, &[], bytes) };
    let first = range.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
    let first: usize = first.and_then(|first| first.parse().ok()).expect("a range");
    if first >= bytes.len() {
        return Reply::error(416, "");
    }
    let range = format!("bytes {first}-{}/{}", bytes.len() - 1, bytes.len());
    Reply::new(206, &[("Content-Range", &range)], &bytes[first..])
}

/// A file as it is listed.
fn entry(name: &str, bytes: &[u8], size: u64) -> Value {
    let hex = |hash: ring::digest::Digest| {
        hash.as_ref().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
    };
    if is_large(name) {
        let lfs = json!({ "sha256": hex(digest(&SHA256, bytes)), "size": size, "pointerSize": 9 });
        return json!({ "rfilename": name, "size": size, "blobId": "pointer", "lfs": lfs });
    }
    let object = [format!("blob {size}\0").as_bytes(), bytes].concat();
    let git = hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, &object));
    json!({ "rfilename": name, "size": size, "blobId": git })
}

/// A place to pull to.
struct Lab(TempDir);

impl Lab {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, hub: &str, args: &[&str]) -> Command {
        let mut command = lyceum(&[&["pull"], args].concat());
        command.current_dir(self.0.path()).env("HF_ENDPOINT", hub);
        command.env("HF_HOME", self.path("home"));
        for name in ["HF_TOKEN", "HF_TOKEN_PATH", "SSL_CERT_FILE", "HTTP_PROXY", "ALL_PROXY"] {
            command.env_remove(name).env_remove(name.to_ascii_lowercase());
        }
        command
    }

    fn pull(&self, hub: &Server, args: &[&str]) -> Ran {
        Ran::new(self.command(&hub.address, args).output().expect("runs"))
    }

    /// The names below the place.
    fn names(&self) -> Vec<String> {
        names(self.0.path())
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("there").flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.file_name().into_string().expect("text")).collect();
    names.sort();
    names
}

#[track_caller]
fn assert_is_model(dir: &Path) {
    assert_eq!(names(dir), names(model()));
    for name in names(dir) {
        let [found, expected] = [dir, model()].map(|dir| fs::read(dir.join(&name)).expect("read"));
        assert!(found == expected, "{name}");
    }
}

#[test]
fn a_model_is_pulled_whole_and_every_command_reads_it() {
    let (lab, hub) = (Lab::new(), Server::of(Repo::new()));
    let ran = lab.pull(&hub, &["o/m"]);
    assert!(ran.stderr.contains("o/m at 0123456789ab: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("files are as the hub lists them"), "{}", ran.stderr);
    assert_eq!(ran.done(), "m\n");
    assert_eq!(lab.names(), ["m"]);
    assert_is_model(&lab.path("m"));
    let args = ["generate", &arg(lab.path("m")), "-p", "It was", "-n", "2", "--greedy"];
    run(&args).done();
    let n_asked = hub.asked().len();
    let ran = lab.pull(&hub, &["o/m"]);
    assert!(ran.stderr.contains("`m` is there already, and whole"), "{}", ran.stderr);
    ran.done();
    assert_eq!(hub.asked().len(), n_asked + 1);
}

#[test]
fn a_revision_a_folder_and_a_mirror_are_those_that_are_named() {
    let (lab, repo) = (Lab::new(), Repo::new());
    let hub = Server::start(move |asked| {
        let path = asked.path.strip_prefix("/mirror").unwrap_or_default().to_owned();
        let mut reply = repo.answer(&Asked { path, headers: asked.headers.clone() });
        for (_, location) in reply.headers.iter_mut().filter(|(name, _)| *name == "Location") {
            *location = format!("/mirror{location}");
        }
        reply
    });
    let mirror = format!("{}/mirror/", hub.address);
    let out = lab.path("a/b");
    let args = ["o/m@refs/pr/1", "--out", &arg(&out), "-q"];
    let ran = Ran::new(lab.command(&mirror, &args).output().expect("runs"));
    assert_eq!(ran.stderr, "");
    assert_eq!(ran.done(), format!("{}\n", out.display()));
    assert_is_model(&out);
    assert_eq!(names(&lab.path("a")), ["b"]);
    let stderr = Ran::new(lab.command(&mirror, &["o/m@v9"]).output().expect("runs")).refused();
    assert!(stderr.contains("model `o/m` has no revision `v9`\n\nhint: "), "{stderr}");
}

/// A hub that answers some requests for the weights in its own way, counted from 0.
fn faulty(answer: impl Fn(usize, &Asked, Reply) -> Reply + Send + Sync + 'static) -> Server {
    let (repo, n) = (Repo::new(), Mutex::new(0));
    Server::start(move |asked| {
        let reply = repo.answer(asked);
        if asked.path != "/cdn/model.safetensors" {
            return reply;
        }
        let mut n = n.lock().expect("no panic");
        *n += 1;
        answer(*n - 1, asked, reply)
    })
}

#[test]
fn a_connection_that_ends_is_made_again_from_where_it_ended() {
    let hub = faulty(|n, _, reply| match n {
        0 => reply.cut(1000),
        1 => Reply::error(503, ""),
        2 => reply.cut(234),
        _ => reply,
    });
    let lab = Lab::new();
    let ran = lab.pull(&hub, &["o/m"]);
    let said = "`model.safetensors` ended after 1000 of";
    assert!(ran.stderr.contains(said) && ran.stderr.contains("trying again"), "{}", ran.stderr);
    ran.done();
    assert_is_model(&lab.path("m"));
    let from = |n: usize| Some(format!("bytes={n}-"));
    assert_eq!(hub.ranges("/cdn/model.safetensors"), [None, from(1000), from(1000), from(1234)]);
}

#[test]
fn a_server_that_knows_no_ranges_sends_all_again() {
    let hub = faulty(|n, _, reply| match n {
        0 => reply.cut(1000),
        _ => Reply::new(200, &[], &Repo::new().files["model.safetensors"]),
    });
    let lab = Lab::new();
    lab.pull(&hub, &["o/m"]).done();
    assert_is_model(&lab.path("m"));
    // One that sends another range than was asked for is not believed.
    let hub = faulty(|n, _, reply| match n {
        0 => reply.cut(1000),
        _ => Reply::new(206, &[("Content-Range", "bytes 10-99/100")], &[0; 90]),
    });
    let lab = Lab::new();
    let stderr = refusal(lab.pull(&hub, &["o/m"]));
    assert!(stderr.contains("another range than was asked for"), "{stderr}");
    // What came before stays.
    let kept = fs::read_dir(lab.path(".m.pull")).expect("there").flatten();
    assert!(kept.map(|entry| entry.metadata().expect("a file").len()).any(|n| n == 1000));
}

#[test]
fn ctrl_c_keeps_what_came_and_the_next_pull_goes_on() {
    let hub = faulty(|n, _, reply| match n {
        0 => Reply { holds: true, ..reply.cut(1000) },
        _ => reply,
    });
    let lab = Lab::new();
    let mut command = lab.command(&hub.address, &["o/m"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
    let began = Instant::now();
    let has_part = || {
        let entries = fs::read_dir(lab.path(".m.pull")).into_iter().flatten().flatten();
        let len = |entry: fs::DirEntry| entry.metadata().map_or(0, |found| found.len());
        entries.filter(|entry| arg(entry.path()).contains("/.part-")).any(|e| len(e) == 1000)
    };
    while !has_part() {
        assert!(began.elapsed() < Duration::from_mins(1), "no part within a minute");
        thread::sleep(Duration::from_millis(5));
    }
    let locked = lab.pull(&hub, &["o/m"]).refused();
    assert!(locked.contains("`m` is being fetched by another process\n\nhint: "), "{locked}");
    let kill = format!("kill -INT {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().expect("runs").success());
    let ended = child.wait_with_output().expect("ends");
    assert_eq!(ended.status.code(), Some(130));
    let stderr = String::from_utf8(ended.stderr).expect("text");
    assert!(stderr.contains("stopped: what was fetched stays"), "{stderr}");
    assert_eq!(lab.names(), [".m.pull"]);
    let ran = lab.pull(&hub, &["o/m"]);
    assert!(ran.stderr.contains(" are there"), "{}", ran.stderr);
    ran.done();
    assert_eq!(lab.names(), ["m"]);
    assert_is_model(&lab.path("m"));
    let ranges = hub.ranges("/cdn/model.safetensors");
    assert_eq!(ranges, [None, Some("bytes=1000-".into())]);
    assert_eq!(hub.ranges("/config.json").len(), 1, "what was whole is not fetched again");
}

#[test]
fn what_has_another_hash_is_named_and_does_not_stay() {
    let lab = Lab::new();
    let hub = faulty(|_, _, mut reply| {
        reply.body[100] ^= 1;
        reply
    });
    let stderr = refusal(lab.pull(&hub, &["o/m"]));
    let expected = entry("model.safetensors", &Repo::new().files["model.safetensors"], 0);
    let sha256 = expected["lfs"]["sha256"].as_str().expect("a hash");
    let said = "error: `model.safetensors` has the SHA-256 ";
    assert!(stderr.contains(said), "{stderr}");
    assert!(stderr.contains(&format!(", expected {sha256}\n\nhint: ")), "{stderr}");
    assert_eq!(lab.names(), [".m.pull"]);
    lab.pull(&Server::of(Repo::new()), &["o/m"]).done();
    assert_is_model(&lab.path("m"));
    // Small files have git's hash.
    let mut repo = Repo::new();
    repo.listed = vec![entry("config.json", b"{}", 2)];
    let config = repo.files.remove("config.json").expect("there");
    let hub = Server::start(move |asked| match asked.path.strip_suffix("/config.json") {
        Some(_) => Reply::new(200, &[], &config[..2]),
        None => repo.answer(asked),
    });
    let stderr = refusal(Lab::new().pull(&hub, &["o/m"]));
    assert!(stderr.contains("`config.json` has the git hash "), "{stderr}");
}

#[test]
fn sizes_that_are_not_true_are_bounded() {
    let weights = Repo::new().files["model.safetensors"].clone();
    let with_size = |size: u64| {
        let mut repo = Repo::new();
        repo.listed = vec![entry("model.safetensors", &weights, size)];
        let bytes = repo.files.remove("model.safetensors").expect("there");
        Server::start(move |asked| match asked.path.as_str() {
            "/cdn/model.safetensors" => ranged(asked, &bytes),
            _ => repo.answer(asked),
        })
    };
    for (size, said) in [
        (10, "`model.safetensors` has the SHA-256"),
        (weights.len() as u64 + 1, "answers with status 416"),
        (1 << 60, "of disk are free"),
        (u64::MAX, "of disk are free"),
    ] {
        let lab = Lab::new();
        let stderr = refusal(lab.pull(&with_size(size), &["o/m"]));
        assert!(stderr.contains(said) && stderr.contains("\n\nhint: "), "{size}: {stderr}");
        assert!(!lab.path("m").exists());
    }
}

#[test]
fn a_place_outside_the_folder_is_refused_and_nothing_is_written() {
    for name in
        ["../x.json", "/etc/x.json", "a/../../x.json", "a\\..\\x.json", "C:x.json", "a//b", ""]
    {
        let lab = Lab::new();
        let mut repo = Repo::new();
        repo.listed = vec![entry(name, b"{}", 2)];
        let stderr = lab.pull(&Server::of(repo), &["o/m"]).refused();
        let said = format!("the hub lists a file `{name}`, which is no place inside a folder");
        assert!(stderr.contains(&said) && stderr.contains("\n\nhint: nothing was written"));
        assert_eq!(lab.names(), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn what_is_not_handed_out_says_whether_a_token_helps() {
    let answer =
        |status: u16, code: &'static str| Server::start(move |_| Reply::error(status, code));
    for (status, code, token, said, hint) in [
        (404, "RepoNotFound", None, "there is no model `o/m` at http://", "check the spelling"),
        (404, "", Some("hf_x"), "there is no model `o/m`", "check the spelling"),
        (401, "RepoNotFound", None, "refuses model `o/m` without a token", "set `HF_TOKEN`"),
        (401, "", Some("hf_x"), "to the owner of your token, with status 401", "may be wrong"),
        (403, "GatedRepo", None, "`o/m` is gated", "then make a token"),
        (403, "GatedRepo", Some("hf_x"), "`o/m` is gated", "accept the terms at http://"),
        (429, "", None, "with status 429", "wait a while"),
        (400, "", None, "with status 400", "the server refuses the request"),
        (500, "", None, "with status 500", "the same command goes on"),
    ] {
        let (lab, hub) = (Lab::new(), answer(status, code));
        let mut command = lab.command(&hub.address, &["o/m"]);
        command.envs(token.map(|token| ("HF_TOKEN", token)));
        let stderr = Ran::new(command.output().expect("runs")).refused();
        let (message, advice) = stderr.split_once("\n\nhint: ").expect("a hint");
        assert!(message.contains(said) && advice.contains(hint), "{stderr}");
        let sent = hub.asked()[0].headers.get("authorization").cloned();
        assert_eq!(sent, token.map(|token| format!("Bearer {token}")));
        assert_eq!(lab.names(), Vec::<String>::new());
    }
}

#[test]
fn a_token_comes_from_its_variable_or_its_file_and_goes_to_the_hub_alone() {
    let repo = Repo::new();
    let elsewhere = Server::of(repo.clone());
    let cdn = elsewhere.address.replace("127.0.0.1", "localhost");
    let hub = Server::start(move |asked| {
        let mut reply = repo.answer(asked);
        for (_, location) in reply.headers.iter_mut().filter(|(name, _)| *name == "Location") {
            *location = format!("{cdn}{location}");
        }
        reply
    });
    let lab = Lab::new();
    fs::create_dir(lab.path("home")).expect("made");
    fs::write(lab.path("home/token"), "hf_file\n").expect("written");
    lab.pull(&hub, &["o/m"]).done();
    let sent = |asked: &[Asked]| -> Vec<_> {
        asked.iter().map(|asked| asked.headers.get("authorization").cloned()).collect()
    };
    assert!(sent(&hub.asked()).iter().all(|sent| sent.as_deref() == Some("Bearer hf_file")));
    assert_eq!(sent(&elsewhere.asked()), [None]);
    let mut command = lab.command(&hub.address, &["o/m", "-q"]);
    let ran = Ran::new(command.env("HF_TOKEN", "hf_said").output().expect("runs"));
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(sent(&hub.asked()).last().expect("some").as_deref(), Some("Bearer hf_said"));
    let mut command = lab.command(&hub.address, &["o/m"]);
    let ran = Ran::new(command.env("HF_TOKEN", "two words").output().expect("runs"));
    let stderr = ran.refused();
    assert!(stderr.contains("`HF_TOKEN` holds no token\n\nhint: ") && !stderr.contains("words"));
}

#[test]
fn what_is_in_the_way_stays_as_it_is() {
    let (lab, hub) = (Lab::new(), Server::of(Repo::new()));
    fs::create_dir(lab.path("m")).expect("made");
    fs::write(lab.path("m/config.json"), "mine").expect("written");
    let stderr = lab.pull(&hub, &["o/m"]).refused();
    assert!(stderr.contains("`m` exists, and its `"), "{stderr}");
    assert!(stderr.contains("\n\nhint: give another folder with `--out`"), "{stderr}");
    assert_eq!(fs::read(lab.path("m/config.json")).expect("there"), b"mine");
    assert_eq!(lab.names(), ["m"]);
    fs::write(lab.path("file"), "mine").expect("written");
    let stderr = lab.pull(&hub, &["o/m", "--out", "file"]).refused();
    assert!(stderr.contains("failed to read `file`") && stderr.contains("hint: "), "{stderr}");
    let stderr = lab.pull(&hub, &["o/m", "--out", "m/.."]).refused();
    assert!(stderr.contains("hint: "), "{stderr}");
    // An empty one is nobody's.
    fs::create_dir(lab.path("empty")).expect("made");
    lab.pull(&hub, &["o/m", "--out", "empty"]).done();
    assert_is_model(&lab.path("empty"));
}

#[test]
fn of_several_weights_one_is_named() {
    let files: [(&str, &[u8]); 3] = [("a.gguf", b"GGUF"), ("b.gguf", b"GGUFb"), ("README.md", b"")];
    let hub = Server::of(Repo::of(&files));
    let lab = Lab::new();
    let stderr = lab.pull(&hub, &["o/m"]).refused();
    assert!(stderr.contains("no weights that are read here; there are `a.gguf`, `b.gguf`"));
    assert!(stderr.contains("\n\nhint: name a file of weights with `--weights`"), "{stderr}");
    let stderr = lab.pull(&hub, &["o/m", "--weights", "c.gguf"]).refused();
    assert!(stderr.contains("has no file `c.gguf`"), "{stderr}");
    lab.pull(&hub, &["o/m", "--weights", "b.gguf"]).done();
    assert_eq!(names(&lab.path("m")), ["README.md", "b.gguf"]);
}

#[test]
fn what_is_listed_and_not_there_or_not_enough_is_said() {
    let mut repo = Repo::of(&[("model.safetensors", b"weights")]);
    let warned = Lab::new().pull(&Server::of(repo.clone()), &["o/m"]);
    assert!(warned.stderr.contains("warning: `o/m` has no `config.json`"), "{}", warned.stderr);
    warned.done();
    repo.listed.push(entry("config.json", b"{}", 2));
    let hub = Server::start(move |asked| match repo.answer(asked) {
        reply if reply.status == 404 => Reply::error(404, ""),
        reply => reply,
    });
    let said = refusal(Lab::new().pull(&hub, &["o/m"]));
    assert!(said.contains("config.json answers with status 404"), "{said}");
    assert!(said.contains("hint: the hub lists it"), "{said}");
}

#[test]
fn what_is_no_name_and_what_is_no_hub_is_refused() {
    let lab = Lab::new();
    for name in ["gpt2", "../m", "o/m@", "https://huggingface.co/o/m", "o/m/x", ""] {
        let stderr = Ran::new(lab.command("http://127.0.0.1:9", &[name]).output().expect("runs"));
        let stderr = stderr.refused();
        let said = format!("error: `{name}` is no name of a model, expected `owner/name`");
        assert!(stderr.starts_with(&said) && stderr.contains("\n\nhint: "), "{stderr}");
    }
    // A port that nobody listens at.
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let closed = format!("http://{}", closed.expect("a port"));
    let bare = json!({ "sha": COMMIT, "siblings": [{ "rfilename": "model.safetensors" }] });
    let pages = ["<html>", "{\"sha\":\"..\"}", &bare.to_string()];
    let pages = pages.map(|page| Reply::new(200, &[], page.as_bytes()));
    let pages =
        pages.map(|page| Server::start(move |_| Reply::new(page.status, &[], &page.body)).address);
    for (endpoint, said) in [
        (closed.as_str(), "failed to reach http://127.0.0.1:"),
        ("http://no-such-host.invalid", "failed to reach http://no-such-host.invalid/"),
        ("ftp://x", "`ftp://x` is no address of a hub"),
        ("huggingface.co", "`huggingface.co` is no address of a hub"),
        ("http://a b", "`http://a b` is no address of a hub"),
        (&pages[0], "is not what a hub answers"),
        (&pages[1], "is not what a hub answers"),
        (&pages[2], "`model.safetensors` has no size, or no hash to hold it to"),
    ] {
        let ran = Ran::new(lab.command(endpoint, &["o/m"]).output().expect("runs"));
        let stderr = ran.refused();
        assert!(stderr.contains(said) && stderr.contains("\n\nhint: "), "{endpoint}: {stderr}");
    }
    assert_eq!(lab.names(), Vec::<String>::new());
}
