//! Requests, and bodies that go on where a connection ended.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::ops::Range;
use std::thread;
use std::time::{Duration, SystemTime};

use ring::digest::{Context, SHA256};
use ureq::config::RedirectAuthHeaders;
use ureq::http::{Response, Uri, header};
use ureq::unversioned::resolver::Resolver;
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, BodyReader, RequestExt, SendBody};

use crate::guard::{Guard, Private};
use crate::s3::{self, Keys, Page, Signed};
use crate::{RemoteError, is_remote};

/// All of a file, however long it is.
pub const ALL: Range<u64> = 0..u64::MAX;

const USER_AGENT: &str = concat!("lyceum/", env!("CARGO_PKG_VERSION"));
/// A server that says nothing for so long has gone.
const SILENCE: Duration = Duration::from_mins(1);
/// How long at most between two tries.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// More redirects lead nowhere.
const REDIRECTS_MAX: u32 = 5;
/// A page of a list, or what a server says about an error, in bytes.
const ANSWER_MAX: u64 = 16 << 20;
/// More objects below one address are refused.
const OBJECTS_MAX: usize = 10_000_000;
/// What S3 takes in one piece, in bytes.
const OBJECT_MAX: u64 = 5 << 30;

/// How servers are reached.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether addresses that are not public may be connected to: loopback, private networks, the
    /// host's own. Where they may not, no proxy is asked either: only here is known what it would
    /// connect to.
    pub allow_private: bool,
    /// How often a request is made again that failed for a moment.
    pub n_retries: u32,
    /// The wait before the first of them; it doubles each time.
    pub wait: Duration,
    /// The S3 server; without one, Amazon's of the region.
    pub s3_endpoint: Option<String>,
    /// Its region.
    pub s3_region: String,
    /// Who asks it; without, nobody does.
    pub s3_keys: Option<Keys>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allow_private: false,
            n_retries: 5,
            wait: Duration::from_millis(500),
            s3_endpoint: None,
            s3_region: "us-east-1".to_owned(),
            s3_keys: None,
        }
    }
}

/// A file, as a server tells of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Its address.
    pub url: String,
    /// In bytes; the largest number where the server does not tell.
    pub size: u64,
    /// What says which one it is, where the server tells.
    pub tag: Option<String>,
}

/// Asks servers.
#[derive(Clone, Debug)]
pub struct Client {
    agent: Agent,
    settings: Settings,
}

/// What is asked for, of an address.
struct Ask<'a> {
    method: &'static str,
    url: &'a str,
    query: &'a str,
    range: Range<u64>,
}

type Answer = Response<ureq::Body>;
type Fields = Vec<(&'static str, String)>;

impl Client {
    /// Connects to nothing yet.
    pub fn new(settings: Settings) -> Self {
        let guard = Guard { allow_private: settings.allow_private, ..Guard::default() };
        Self::guarded(settings, guard)
    }

    pub(crate) fn guarded(settings: Settings, guard: impl Resolver) -> Self {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(USER_AGENT)
            .accept_encoding("identity")
            .redirect_auth_headers(RedirectAuthHeaders::Never)
            .max_redirects(REDIRECTS_MAX)
            .timeout_connect(Some(SILENCE))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE));
        if !settings.allow_private {
            config = config.proxy(None);
        }
        let agent = Agent::with_parts(config.build(), DefaultConnector::default(), guard);
        Self { agent, settings }
    }

    /// The bytes of `range` of what is at an address, as far as there are. Where the connection
    /// ends before its time, a new one goes on there, unless the file is another one by then; with
    /// `tag`, it is refused from the start where it is another than that.
    ///
    /// # Errors
    /// [`RemoteError`]; while reading, one inside of an [`io::Error`].
    pub fn open(
        &self,
        url: &str,
        range: Range<u64>,
        tag: Option<&str>,
    ) -> Result<Body, RemoteError> {
        let mut body = Body {
            client: self.clone(),
            url: url.to_owned(),
            range,
            size: None,
            tag: tag.map(str::to_owned),
            reader: None,
            n_failed: 0,
        };
        body.connect()?;
        Ok(body)
    }

    /// What is at an address.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub fn find(&self, url: &str) -> Result<Found, RemoteError> {
        let answer = self.ask(&Ask { method: "HEAD", url, query: "", range: ALL }, None)?;
        let size = number(&answer, header::CONTENT_LENGTH.as_str()).unwrap_or(u64::MAX);
        Ok(Found { url: url.to_owned(), size, tag: tag(&answer) })
    }

    /// All objects whose address begins with this one of S3, by name.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub fn list(&self, url: &str) -> Result<Vec<Found>, RemoteError> {
        let (bucket, prefix) = s3::parse(url)?;
        let bad = |problem| RemoteError::Answer { url: url.to_owned(), problem };
        let prefix = format!("list-type=2&prefix={}", s3::encode(prefix, false));
        let root = format!("s3://{bucket}/");
        let mut found = Vec::new();
        let mut query = prefix.clone();
        loop {
            let ask = Ask { method: "GET", url: &root, query: &query, range: ALL };
            let mut answer = self.ask(&ask, None)?;
            let text = answer.body_mut().with_config().limit(ANSWER_MAX).read_to_string();
            let text = text.map_err(|error| failed(url, error))?;
            let page = s3::page(&text).ok_or(bad("no list of S3"))?;
            let Page { objects, next } = page;
            let is_empty = objects.is_empty();
            found.extend(
                objects
                    .into_iter()
                    .map(|object| Found { url: format!("{root}{}", object.url), ..object }),
            );
            match next {
                None => break,
                Some(_) if is_empty || found.len() > OBJECTS_MAX => {
                    return Err(bad("a list without end"));
                }
                // The fields of what is signed are sorted.
                Some(token) => {
                    query = format!("continuation-token={}&{prefix}", s3::encode(&token, false));
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Writes a whole file to an address of S3, where it is there whole or not at all.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub fn put(&self, url: &str, file: &mut File) -> Result<(), RemoteError> {
        let read = |source| RemoteError::Read { url: url.to_owned(), source };
        s3::parse(url)?;
        let mut context = Context::new(&SHA256);
        let mut buffer = vec![0; 1 << 18];
        let mut n_bytes = 0;
        file.rewind().map_err(read)?;
        loop {
            let n = file.read(&mut buffer).map_err(read)?;
            if n == 0 {
                break;
            }
            context.update(&buffer[..n]);
            n_bytes += n as u64;
        }
        if n_bytes > OBJECT_MAX {
            return Err(RemoteError::TooLarge { url: url.to_owned(), n_bytes });
        }
        let hash = s3::hex(context.finish().as_ref());
        let ask = Ask { method: "PUT", url, query: "", range: ALL };
        self.ask(&ask, Some((file, &hash))).map(drop)
    }

    /// Asks until there is an answer that is one, or it is clear that there will be none.
    fn ask(&self, ask: &Ask, mut sent: Option<(&mut File, &str)>) -> Result<Answer, RemoteError> {
        let mut n_failed = 0;
        loop {
            let result = self.ask_once(ask, sent.as_mut().map(|(file, hash)| (&mut **file, *hash)));
            match result {
                Err(error) if error.is_passing() && n_failed < self.settings.n_retries => {
                    self.wait(n_failed);
                    n_failed += 1;
                }
                result => return result,
            }
        }
    }

    fn wait(&self, n_failed: u32) {
        let wait = self.settings.wait.saturating_mul(1 << n_failed.min(16));
        thread::sleep(wait.min(WAIT_MAX));
    }

    fn ask_once(&self, ask: &Ask, sent: Option<(&mut File, &str)>) -> Result<Answer, RemoteError> {
        let Ask { method, url, ref range, .. } = *ask;
        let (address, fields) = self.address(ask, sent.as_ref().map(|(_, hash)| *hash))?;
        let mut request = ureq::http::Request::builder().method(method).uri(address);
        for (name, value) in fields {
            request = request.header(name, value);
        }
        if *range != ALL && !range.is_empty() {
            let (from, to) = (range.start, range.end - 1);
            let to = if range.end == ALL.end { String::new() } else { to.to_string() };
            request = request.header(header::RANGE, format!("bytes={from}-{to}"));
        }
        let body = match sent {
            None => SendBody::none(),
            Some((file, _)) => {
                let read = |source| RemoteError::Read { url: url.to_owned(), source };
                file.rewind().map_err(read)?;
                let n_bytes = file.metadata().map_err(read)?.len();
                request = request.header(header::CONTENT_LENGTH, n_bytes);
                SendBody::from_owned_reader(file.try_clone().map_err(read)?)
            }
        };
        let bad = |_| RemoteError::Address { url: url.to_owned(), problem: "it is none" };
        let request = request.body(body).map_err(bad)?.with_agent(&self.agent);
        // What is signed for one host is no other's business.
        let request = if url.starts_with("s3://") {
            request.configure().max_redirects(0).build()
        } else {
            request
        };
        let mut answer = request.run().map_err(|error| failed(url, error))?;
        let status = answer.status().as_u16();
        if matches!(status, 200 | 206) {
            return Ok(answer);
        }
        let text = answer.body_mut().with_config().limit(1 << 16).read_to_string();
        let message = text.ok().and_then(|text| s3::tag(&text, "Code")).unwrap_or_default();
        Err(RemoteError::Status { url: url.to_owned(), status, message })
    }

    /// Where an address is, and the fields that go there.
    fn address(&self, ask: &Ask, hash: Option<&str>) -> Result<(String, Fields), RemoteError> {
        const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let Ask { method, url, query, .. } = *ask;
        let bad = |problem| RemoteError::Address { url: url.to_owned(), problem };
        if !url.starts_with("s3://") {
            let is_right = is_remote(url) && method != "PUT";
            return if is_right { Ok((url.to_owned(), vec![])) } else { Err(bad("not of S3")) };
        }
        let (bucket, key) = s3::parse(url)?;
        let region = &self.settings.s3_region;
        let endpoint = match &self.settings.s3_endpoint {
            Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
            None => format!("https://s3.{region}.amazonaws.com"),
        };
        let uri: Uri = endpoint.parse().map_err(|_| bad("that of the server is none"))?;
        let host = uri.authority().ok_or(bad("that of the server is none"))?.as_str();
        let path =
            format!("{}/{bucket}/{}", uri.path().trim_end_matches('/'), s3::encode(key, true));
        let mark = if query.is_empty() { "" } else { "?" };
        let origin = &endpoint[..endpoint.len() - uri.path().trim_end_matches('/').len()];
        let address = format!("{origin}{path}{mark}{query}");
        let Some(keys) = &self.settings.s3_keys else { return Ok((address, vec![])) };
        let (hash, date) = (hash.unwrap_or(EMPTY), s3::date(SystemTime::now()));
        let path = &path;
        let signed = Signed { method, host, path, query, hash, date: &date, region };
        Ok((address, signed.headers(keys)))
    }
}

fn failed(url: &str, error: ureq::Error) -> RemoteError {
    let url = url.to_owned();
    match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
            RemoteError::Address { url, problem: "it is none" }
        }
        ureq::Error::TooManyRedirects => {
            RemoteError::Answer { url, problem: "its redirects end nowhere" }
        }
        error => match Private::behind(&error) {
            Some(address) => RemoteError::Private { url, address: address.to_string() },
            None => RemoteError::Network { url, source: Box::new(error) },
        },
    }
}

fn text<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers().get(name)?.to_str().ok()
}

/// What says which file an answer is of.
fn tag(answer: &Answer) -> Option<String> {
    text(answer, header::ETAG.as_str()).map(str::to_owned)
}

fn number(answer: &Answer, name: &str) -> Option<u64> {
    text(answer, name)?.parse().ok()
}

/// What is at an address, as it is read.
pub struct Body {
    client: Client,
    url: String,
    /// What is not read yet.
    range: Range<u64>,
    /// Of the whole file, where the server said so.
    size: Option<u64>,
    /// What says that it is still the same.
    tag: Option<String>,
    reader: Option<BodyReader<'static>>,
    n_failed: u32,
}

impl Body {
    /// The size of the whole file in bytes, where the server said so.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Connects, and goes to where it stands.
    fn connect(&mut self) -> Result<(), RemoteError> {
        let bad = |problem| RemoteError::Answer { url: self.url.clone(), problem };
        let (url, at) = (&self.url, self.range.start);
        let ask = Ask { method: "GET", url, query: "", range: self.range.clone() };
        let answer = self.client.ask(&ask, None)?;
        let tag = tag(&answer);
        let length = number(&answer, "content-length");
        let (start, size) = match text(&answer, "content-range") {
            Some(range) if answer.status() == 206 => {
                let range = range.strip_prefix("bytes ").and_then(|range| range.split_once('/'));
                let (range, size) = range.ok_or(bad("no range of bytes"))?;
                let start = range.split('-').next().and_then(|start| start.parse().ok());
                (start.ok_or(bad("no range of bytes"))?, size.parse().ok())
            }
            _ => (0, length),
        };
        if start > at || start > 0 && start != at {
            return Err(bad("another range of bytes"));
        }
        if self.tag.is_some() && tag != self.tag || self.size.is_some() && size != self.size {
            return Err(RemoteError::Changed { url: url.clone() });
        }
        (self.size, self.tag) = (size, tag);
        let mut reader = answer.into_body().into_with_config().limit(u64::MAX).reader();
        // A server that knows no ranges gives all of it again.
        let n_before = at - start;
        let passed = io::copy(&mut reader.by_ref().take(n_before), &mut io::sink());
        if passed.is_ok_and(|n| n == n_before) {
            self.reader = Some(reader);
        }
        Ok(())
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let end = self.size.map_or(self.range.end, |size| size.min(self.range.end));
            let n_left = end.saturating_sub(self.range.start);
            let n = buffer.len().min(usize::try_from(n_left).unwrap_or(usize::MAX));
            if n == 0 {
                return Ok(0);
            }
            let result = self.reader.as_mut().map(|reader| reader.read(&mut buffer[..n]));
            match result {
                Some(Ok(0)) if self.size.is_none() => return Ok(0),
                Some(Ok(n)) if n > 0 => {
                    (self.range.start, self.n_failed) = (self.range.start + n as u64, 0);
                    return Ok(n);
                }
                Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                ended => {
                    self.reader = None;
                    if self.n_failed == self.client.settings.n_retries {
                        let cut = || io::Error::from(io::ErrorKind::UnexpectedEof);
                        return Err(ended.and_then(Result::err).unwrap_or_else(cut));
                    }
                    self.client.wait(self.n_failed);
                    self.n_failed += 1;
                    self.connect()?;
                }
            }
        }
    }
}
