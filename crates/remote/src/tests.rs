use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::*;
use crate::guard::Guard;

/// What a server was asked: the first line and the fields in small letters, and the body.
#[derive(Clone, Debug)]
struct Asked {
    line: String,
    fields: Vec<String>,
    body: Vec<u8>,
}

impl Asked {
    fn from(&self) -> usize {
        let range = self.fields.iter().find_map(|field| field.strip_prefix("range: bytes="));
        let from = range.and_then(|range| range.split('-').next());
        from.map_or(0, |from| from.parse().expect("a number"))
    }
}

type Log = Arc<Mutex<Vec<Asked>>>;

/// A server that answers request `i` with what `answer` says, and closes the connection.
fn server(answer: impl Fn(usize, &Asked) -> Vec<u8> + Send + 'static) -> (String, Log) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let log = Log::default();
    let seen = Arc::clone(&log);
    thread::spawn(move || {
        for (i, stream) in listener.incoming().enumerate() {
            let mut stream = BufReader::new(stream.expect("a connection"));
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).expect("a line");
                let line = line.trim_end();
                if line.is_empty() {
                    break;
                }
                let (name, value) = line.split_once(": ").unwrap_or((line, ""));
                lines.push(match value {
                    "" => line.to_owned(),
                    _ => format!("{}: {value}", name.to_ascii_lowercase()),
                });
            }
            if lines.is_empty() {
                continue;
            }
            let length = lines.iter().find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.map_or(0, |n| n.parse().expect("a number"))];
            stream.read_exact(&mut body).expect("a body");
            let asked = Asked { line: lines.remove(0), fields: lines, body };
            seen.lock().expect("a lock").push(asked.clone());
            let _ = stream.get_mut().write_all(&answer(i, &asked));
        }
    });
    (format!("http://{address}"), log)
}

fn answer(status: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let n = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {n}\r\nConnection: close\r\n{fields}\r\n");
    [head.as_bytes(), body].concat()
}

fn part(bytes: &[u8], from: usize) -> Vec<u8> {
    let (last, n) = (bytes.len() - 1, bytes.len());
    let fields = format!("Content-Range: bytes {from}-{last}/{n}\r\nETag: \"1\"\r\n");
    answer("206 Partial Content", &fields, &bytes[from..])
}

fn settings() -> Settings {
    Settings { allow_private: true, wait: Duration::from_millis(1), ..Settings::default() }
}

fn read(client: &Client, url: &str, from: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    client.open(url, from..ALL.end, None)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[test]
fn a_body_goes_on_where_a_connection_ended() {
    let bytes: Vec<u8> = (0..50_000_u32).map(|i| (i % 251) as u8).collect();
    let whole = bytes.clone();
    let (url, log) = server(move |i, asked| {
        let sent = part(&whole, asked.from());
        match i % 3 {
            0 => answer("503 Slow Down", "", b""),
            // It ends in the middle of the head, or of the body.
            1 if i < 4 => sent[..20].to_vec(),
            _ => sent[..sent.len().min(9000)].to_vec(),
        }
    });
    let found = read(&Client::new(settings()), &url, 100).expect("reads");
    assert!(found == bytes[100..]);
    assert!(log.lock().expect("a lock").len() > 10);
}

#[test]
fn a_server_without_ranges_is_read_from_its_start() {
    let (url, _) = server(|_, _| answer("200 OK", "", b"0123456789"));
    assert_eq!(read(&Client::new(settings()), &url, 4).expect("reads"), b"456789");
}

#[test]
fn what_does_not_pass_is_told_at_once_and_what_does_not_end_in_the_end() {
    let (url, log) = server(|_, _| answer("404 Not Found", "", b"<Error><Code>NoKey</Code>"));
    let error = read(&Client::new(settings()), &url, 0).expect_err("it is not there");
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(error.to_string().ends_with("answers with status 404 (`NoKey`)"), "{error}");
    assert_eq!(log.lock().expect("a lock").len(), 1);
    let (url, log) = server(|_, _| answer("500 Trouble", "", b""));
    let client = Client::new(Settings { n_retries: 3, ..settings() });
    assert!(matches!(client.find(&url), Err(RemoteError::Status { status: 500, .. })));
    assert_eq!(log.lock().expect("a lock").len(), 4);
    let (url, _) = server(|_, asked| {
        let sent = part(b"0123456789", asked.from());
        sent[..sent.len() - 10 + asked.from()].to_vec()
    });
    assert!(read(&client, &url, 0).is_err());
}

#[test]
fn a_file_that_changes_while_it_is_read_is_refused() {
    for change in [
        "ETag: \"2\"\r\nContent-Range: bytes 5-9/10\r\n",
        "Content-Range: bytes 5-8/9\r\n",
        "ETag: \"1\"\r\nContent-Range: bytes 6-9/10\r\n",
        "Content-Range: words\r\n",
    ] {
        let (url, _) = server(move |i, asked| match i {
            0 => {
                let sent = answer("200 OK", "ETag: \"1\"\r\n", b"0123456789");
                sent[..sent.len() - 5].to_vec()
            }
            _ => answer("206 Partial Content", change, &b"0123456789"[asked.from()..]),
        });
        let error = read(&Client::new(settings()), &url, 0).expect_err("it changed");
        assert!(error.to_string().contains("is not what was asked for"), "{error}");
    }
}

#[test]
fn private_addresses_are_not_asked_unless_allowed() {
    let (inside, log) = server(|_, _| answer("200 OK", "", b"secret"));
    let port = inside.rsplit(':').next().expect("a port");
    let client = Client::new(Settings { allow_private: false, ..settings() });
    let hosts = ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1"];
    for host in hosts {
        let url = format!("http://{host}:{port}/");
        let error = read(&client, &url, 0).expect_err("it is private");
        let error = error.get_ref().and_then(|error| error.downcast_ref::<RemoteError>());
        assert!(matches!(error, Some(RemoteError::Private { .. })), "{host}: {error:?}");
    }
    let s3 = Settings { s3_endpoint: Some(inside.clone()), allow_private: false, ..settings() };
    assert!(matches!(Client::new(s3).find("s3://a/b"), Err(RemoteError::Private { .. })));
    assert!(log.lock().expect("a lock").is_empty());
    // Allowed, a redirect is followed.
    let target = inside.clone();
    let (url, _) =
        server(move |_, _| answer("302 Found", &format!("Location: {target}/\r\n"), b""));
    assert_eq!(read(&Client::new(settings()), &url, 0).expect("allowed"), b"secret");
    let (url, _) = server(|_, _| answer("302 Found", "Location: /again\r\n", b""));
    assert!(matches!(Client::new(settings()).find(&url), Err(RemoteError::Answer { .. })));
}

/// As if the first address were public.
#[derive(Debug, Default)]
struct FirstIsPublic(AtomicBool);

impl Resolver for FirstIsPublic {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let allow_private = !self.0.swap(true, Ordering::Relaxed);
        Guard { allow_private, ..Guard::default() }.resolve(uri, config, timeout)
    }
}

#[test]
fn redirects_to_private_addresses_are_not_followed() {
    let (inside, log) = server(|_, _| answer("200 OK", "", b"secret"));
    let (url, _) =
        server(move |_, _| answer("302 Found", &format!("Location: {inside}/\r\n"), b""));
    let settings = Settings { allow_private: false, ..settings() };
    let client = Client::guarded(settings, FirstIsPublic::default());
    assert!(matches!(client.find(&url), Err(RemoteError::Private { .. })));
    assert!(log.lock().expect("a lock").is_empty());
}

#[test]
fn objects_are_put_read_and_listed() {
    let (endpoint, log) = server(|_, asked| {
        let page = |keys: &[&str], next: &str| {
            let objects = keys.iter().map(|key| {
                format!("<Contents><Key>{key}</Key><Size>{}</Size></Contents>", key.len())
            });
            let objects: String = objects.collect();
            let xml = format!("<ListBucketResult>{objects}{next}</ListBucketResult>");
            answer("200 OK", "", xml.as_bytes())
        };
        let next = "<NextContinuationToken>a+b=</NextContinuationToken>";
        if asked.line.contains("continuation-token=a%2Bb%3D&list-type=2&prefix=p%2F") {
            page(&["p/a", "p/b c"], "")
        } else if asked.line.contains("list-type=2") {
            page(&["p/d"], next)
        } else {
            answer("200 OK", "", b"")
        }
    });
    let keys = Keys { access: "who".to_owned(), secret: Secret("secret".to_owned()), token: None };
    let s3_keys = Some(Keys { token: Some(Secret("token".to_owned())), ..keys });
    let client = Client::new(Settings { s3_endpoint: Some(endpoint), s3_keys, ..settings() });
    let found = client.list("s3://bucket/p/").expect("a list");
    let named = |name: &str, size| Found { url: format!("s3://bucket/p/{name}"), size, tag: None };
    assert_eq!(found, [named("a", 3), named("b c", 5), named("d", 3)]);
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("a"), "content").expect("written");
    let mut file = File::open(dir.path().join("a")).expect("there");
    client.put("s3://bucket/p/b c", &mut file).expect("written");
    let log = log.lock().expect("a lock");
    let put = log.last().expect("it was asked");
    assert_eq!((&*put.line, &put.body[..]), ("PUT /bucket/p/b%20c HTTP/1.1", &b"content"[..]));
    let has = |start: &str| put.fields.iter().any(|field| field.starts_with(start));
    // `printf content | sha256sum`.
    assert!(has(
        "x-amz-content-sha256: ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
    ));
    assert!(has("authorization: AWS4-HMAC-SHA256 Credential=who/"));
    assert!(has("x-amz-security-token: token"));
    assert!(client.put("http://a/b", &mut file).is_err());
}

#[test]
fn a_list_without_end_is_refused() {
    let (endpoint, _) = server(|_, _| {
        let xml = "<ListBucketResult><NextContinuationToken>a</NextContinuationToken>\
                   </ListBucketResult>";
        answer("200 OK", "", xml.as_bytes())
    });
    let client = Client::new(Settings { s3_endpoint: Some(endpoint), ..settings() });
    assert!(matches!(client.list("s3://bucket/"), Err(RemoteError::Answer { .. })));
}
