//! Records of web archives: WARC 0.17 to 1.1 (ISO 28500), WET and WAT, which are WARC, and ARC.
//!
//! ```text
//! window   a stretch of the file in memory
//! codec    gzip, deflate and Zstandard, step by step
//! members  what they give, member by member, and where a record begins
//! header   heads of WARC, ARC and HTTP
//! http     a response, and its body as it was meant
//! ```
//!
//! A [`Reader`] lends one record after the other out of a buffer that it uses again. What cannot be
//! read is counted, and the next record looked for; only the system's own errors end it. It holds
//! no more than the largest record that is allowed, and some 40 MiB.

mod codec;
mod header;
mod http;
mod members;
#[cfg(test)]
mod tests;
mod window;

use std::borrow::Cow;
use std::io::{self, Read};
use std::ops::Range;

pub use header::Headers;
pub use http::{BodyDecoder, BodyLimits, BodyProblem, Http};

use serde::{Deserialize, Serialize};

use crate::{Notes, Tally};
use header::{
    ArcLine, HEAD_MAX, LINE_MAX, arc_line, head_len, is_head, number, split_head, unfold,
};
use members::Members;

/// As much may be between a record and the next one, in bytes.
const BLANK_MAX: usize = 64;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Not at all.
    Plain,
    /// Members of gzip (RFC 1952). The only one that is read in slices.
    Gzip,
    /// Frames of Zstandard (RFC 8878), with a dictionary in front of them or none.
    Zstd,
}

impl Format {
    /// Of a file that begins like this; four bytes are enough.
    pub fn of(bytes: &[u8]) -> Self {
        if bytes.starts_with(&codec::GZIP) {
            Self::Gzip
        } else if codec::is_zstd(bytes) {
            Self::Zstd
        } else {
            Self::Plain
        }
    }
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // The standard's own words.
pub enum Kind {
    Warcinfo,
    Response,
    Request,
    Resource,
    Metadata,
    Revisit,
    Conversion,
    Continuation,
    Other,
}

impl Kind {
    fn of(name: &[u8]) -> Self {
        const NAMES: [(&str, Kind); 8] = [
            ("warcinfo", Kind::Warcinfo),
            ("response", Kind::Response),
            ("request", Kind::Request),
            ("resource", Kind::Resource),
            ("metadata", Kind::Metadata),
            ("revisit", Kind::Revisit),
            ("conversion", Kind::Conversion),
            ("continuation", Kind::Continuation),
        ];
        let found = NAMES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()));
        found.map_or(Self::Other, |(_, kind)| *kind)
    }

    /// What notes call one that is passed over.
    fn note(self) -> &'static str {
        match self {
            Self::Warcinfo => "kind.warcinfo",
            Self::Response => "kind.response",
            Self::Request => "kind.request",
            Self::Resource => "kind.resource",
            Self::Metadata => "kind.metadata",
            Self::Revisit => "kind.revisit",
            Self::Conversion => "kind.conversion",
            Self::Continuation => "kind.continuation",
            Self::Other => "kind.other",
        }
    }
}

/// Why something in a file could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// Bytes that are no record, where one should begin.
    Garbage,
    /// A head without type or length, or one that does not end.
    Head,
    /// A length that is not that of the record.
    Length,
    /// A record that is larger than is allowed.
    Large,
    /// A compressed member that ends before its time.
    Truncated,
    /// A compressed member that is damaged.
    Corrupt,
    /// A Zstandard dictionary that cannot be read, and so the file.
    Dictionary,
}

impl Skip {
    /// What it is counted under.
    pub fn name(self) -> &'static str {
        match self {
            Self::Garbage => "garbage between records",
            Self::Head => "unreadable head",
            Self::Length => "wrong length",
            Self::Large => "too large",
            Self::Truncated => "truncated member",
            Self::Corrupt => "corrupt member",
            Self::Dictionary => "unreadable dictionary",
        }
    }
}

/// What is read of a file.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    /// The bytes of the file that records are read of: those whose member begins there. Slices that
    /// cover a gzip file give each of its records once, wherever it is cut; of a file that is not
    /// gzip everything belongs to the slice that begins at 0.
    ///
    /// A member that holds an archive in turn, uncompressed, and is cut inside of it gives the
    /// records of that archive as well: they look the same.
    pub range: Range<u64>,
    /// The kinds that are wanted; all where it is empty. Of others only the heads are looked at.
    pub kinds: &'a [Kind],
    /// The largest record that is read, in bytes.
    pub record_max: usize,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { range: 0..u64::MAX, kinds: &[], record_max: 64 << 20 }
    }
}

/// A record, in the reader's buffer.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Where it begins in the file, in bytes; of a compressed file, where its member begins.
    pub offset: u64,
    /// What it is; of an ARC file, a response, or a `warcinfo` for the file's own.
    pub kind: Kind,
    /// Its fields; an ARC file has none.
    pub headers: Headers<'a>,
    /// What follows the head: of a response, HTTP's own head included.
    pub payload: &'a [u8],
    arc: Option<ArcLine<'a>>,
}

impl<'a> Record<'a> {
    /// The address it is of; empty where there is none.
    pub fn uri(&self) -> Cow<'a, str> {
        let uri = match self.arc {
            Some(line) => line.uri,
            None => self.headers.get("WARC-Target-URI").unwrap_or_default(),
        };
        // Some programs put the address in brackets, as the standard's first grammar had it.
        let bare = uri.strip_prefix(b"<").and_then(|uri| uri.strip_suffix(b">"));
        String::from_utf8_lossy(bare.unwrap_or(uri))
    }

    /// When it was fetched, as RFC 3339 has it; empty where nobody said.
    pub fn date(&self) -> Cow<'a, str> {
        let Some(line) = self.arc else {
            return self.headers.text("WARC-Date").unwrap_or_default();
        };
        let digits: String =
            line.date.iter().map(|digit| *digit as char).chain("00".chars()).collect();
        let part = |range: Range<usize>| &digits[range];
        format!(
            "{}-{}-{}T{}:{}:{}Z",
            part(0..4),
            part(4..6),
            part(6..8),
            part(8..10),
            part(10..12),
            part(12..14)
        )
        .into()
    }

    /// The media type of the payload; of an ARC file, of what HTTP's head is followed by.
    pub fn media_type(&self) -> Option<Cow<'a, str>> {
        match self.arc {
            Some(line) => Some(String::from_utf8_lossy(line.media_type)),
            None => self.headers.text("Content-Type"),
        }
    }

    /// The payload as an answer of HTTP; `None` where it is none.
    pub fn http(&self) -> Option<Http<'a>> {
        Http::parse(self.payload)
    }
}

/// Reads a file's records.
pub struct Reader<'a, R> {
    members: Members<R>,
    options: Options<'a>,
    /// The length of the record that was lent out.
    lent: usize,
    is_arc: bool,
    passed: Notes,
}

/// The head of a record.
struct Head {
    kind: Kind,
    len: usize,
    length: u64,
    is_arc: bool,
}

impl<'a, R: Read> Reader<'a, R> {
    /// Over a source whose next byte is that at the start of the range.
    ///
    /// # Errors
    /// Those of the source.
    pub fn new(source: R, options: Options<'a>) -> io::Result<Self> {
        let members = Members::new(source, options.range.clone())?;
        Ok(Self { members, options, lent: 0, is_arc: false, passed: Notes::default() })
    }

    /// What could not be read so far, by the names of [`Skip`].
    pub fn tally(&self) -> &Tally {
        &self.members.tally
    }

    /// How many records were of a kind that is not wanted: `kind.request`.
    pub fn passed(&self) -> &Notes {
        &self.passed
    }

    /// The next record of those that are wanted.
    ///
    /// # Errors
    /// Those of the source.
    #[allow(clippy::should_implement_trait)] // It lends, which an iterator cannot.
    pub fn next(&mut self) -> io::Result<Option<Record<'_>>> {
        self.members.consume(std::mem::take(&mut self.lent));
        let Some((offset, head)) = self.find()? else { return Ok(None) };
        let total = head.len + head.length as usize;
        self.lent = total;
        let (bytes, payload) = self.members.bytes_mut()[..total].split_at_mut(head.len);
        unfold(bytes);
        let arc = if head.is_arc { arc_line(bytes) } else { None };
        let headers = if head.is_arc { Headers(&[]) } else { split_head(bytes).1 };
        Ok(Some(Record { offset, kind: head.kind, headers, payload, arc }))
    }

    /// Goes to the next record that is wanted and whole.
    fn find(&mut self) -> io::Result<Option<(u64, Head)>> {
        while self.members.begin()? {
            let is_blank = |byte: &&u8| matches!(byte, b'\r' | b'\n');
            let n_blank = self.members.bytes().iter().take_while(is_blank).count();
            if n_blank > 0 {
                self.members.consume(n_blank);
                continue;
            }
            let offset = self.members.offset();
            let skip = match self.head()? {
                Ok(head) if head.length > self.options.record_max as u64 => {
                    let skip = self.look_through(&head)?;
                    if self.is_wanted(head.kind) {
                        Some(skip)
                    } else {
                        self.passed.add(head.kind.note(), 1);
                        Some(skip).filter(|skip| *skip != Skip::Large)
                    }
                }
                Ok(head) if !self.is_wanted(head.kind) => {
                    self.passed.add(head.kind.note(), 1);
                    self.pass(&head)?
                }
                Ok(head) => match self.check(&head)? {
                    None => return Ok(Some((offset, head))),
                    Some(skip) => {
                        // Of a damaged member nothing may be left.
                        self.members.consume(head.len.min(self.members.bytes().len()));
                        self.resync()?;
                        Some(skip)
                    }
                },
                Err(skip) => {
                    let skip = self.short(skip);
                    self.resync()?;
                    Some(skip)
                }
            };
            // Damage is counted where it is found.
            if let Some(skip) = skip.filter(|skip| *skip != Skip::Corrupt) {
                self.members.tally.add(skip.name(), offset);
            }
        }
        Ok(None)
    }

    fn is_wanted(&self, kind: Kind) -> bool {
        self.options.kinds.is_empty() || self.options.kinds.contains(&kind)
    }

    /// The head of the record that begins here.
    fn head(&mut self) -> io::Result<Result<Head, Skip>> {
        let len = loop {
            let bytes = self.members.bytes();
            let bytes = &bytes[..bytes.len().min(HEAD_MAX)];
            let n = bytes.len();
            let is_warc = bytes.starts_with(b"WARC/");
            match head_len(bytes).filter(|_| is_warc) {
                Some(len) => break len,
                None if is_warc && n == HEAD_MAX => return Ok(Err(Skip::Head)),
                None if !is_warc && (n >= LINE_MAX || bytes.contains(&b'\n')) => {
                    return Ok(self.arc_head());
                }
                None => {}
            }
            if self.members.want(n + 1)? <= n {
                let skip = if is_warc { Skip::Head } else { Skip::Garbage };
                return Ok(Err(skip));
            }
        };
        let (_, headers) = split_head(&self.members.bytes()[..len]);
        let kind = headers.get("WARC-Type").map(Kind::of);
        let length = headers.get("Content-Length").and_then(number);
        self.is_arc = false;
        Ok(match (kind, length) {
            (Some(kind), Some(length)) => Ok(Head { kind, len, length, is_arc: false }),
            _ => Err(Skip::Head),
        })
    }

    fn arc_head(&mut self) -> Result<Head, Skip> {
        let bytes = self.members.bytes();
        let line = arc_line(bytes).ok_or(Skip::Garbage)?;
        let len = memchr::memchr(b'\n', bytes).ok_or(Skip::Garbage)? + 1;
        let is_own = line.uri.starts_with(b"filedesc:");
        let kind = if is_own { Kind::Warcinfo } else { Kind::Response };
        let length = number(line.length).ok_or(Skip::Head)?;
        self.is_arc = true;
        Ok(Head { kind, len, length, is_arc: true })
    }

    /// Why something ended early, `skip` unless the member is damaged.
    fn short(&self, skip: Skip) -> Skip {
        if self.members.is_damaged() { Skip::Corrupt } else { skip }
    }

    /// Goes past a record without keeping it.
    fn pass(&mut self, head: &Head) -> io::Result<Option<Skip>> {
        self.members.consume(head.len);
        let mut n_left = head.length;
        while n_left > 0 {
            let n = self.members.want(n_left.min(HEAD_MAX as u64) as usize)? as u64;
            if n == 0 {
                return Ok(Some(self.short(Skip::Length)));
            }
            self.members.consume(n.min(n_left) as usize);
            n_left -= n.min(n_left);
        }
        Ok(None)
    }

    /// Goes past a record that is too large to be kept, up to the next one, wherever it says that
    /// it ends: so a length that lies costs no other record. An archive that is inside of one,
    /// uncompressed, gives its records.
    fn look_through(&mut self, head: &Head) -> io::Result<Skip> {
        self.members.consume(head.len);
        let n_passed = self.resync()?;
        let is_right =
            (head.length..=head.length.saturating_add(BLANK_MAX as u64)).contains(&n_passed);
        Ok(if is_right { Skip::Large } else { self.short(Skip::Length) })
    }

    /// Reads a whole record, and says what is wrong with it.
    fn check(&mut self, head: &Head) -> io::Result<Option<Skip>> {
        let total = head.len + head.length as usize;
        if self.members.want(total)? < total {
            return Ok(Some(self.short(Skip::Length)));
        }
        let rest = &self.members.bytes()[total..];
        if rest.starts_with(b"\r\n\r\n") || rest.starts_with(b"\n\n") {
            return Ok(None);
        }
        for at in total..total + BLANK_MAX {
            if self.members.is_end(at) {
                break;
            }
            let mut len = self.members.want(at + 1)?;
            if len > at && matches!(self.members.bytes()[at], b'\r' | b'\n') {
                continue;
            }
            if len > at && !is_head(&self.members.bytes()[at..]) {
                len = self.members.want(at + LINE_MAX)?;
            }
            // A member that turns out to be damaged takes its records with it.
            return Ok(match self.members.bytes().get(at..) {
                _ if len < total => Some(Skip::Corrupt),
                Some(rest) if !rest.is_empty() && !is_head(rest) => Some(Skip::Length),
                _ => None,
            });
        }
        Ok(None)
    }

    /// Goes to the next line that looks like a record's first, or to the end of the run; gives how
    /// many bytes that is.
    fn resync(&mut self) -> io::Result<u64> {
        let mut n_passed = 0;
        loop {
            let len = self.members.want(HEAD_MAX)?;
            let is_over = len < HEAD_MAX;
            let limit = if is_over { len } else { len - LINE_MAX };
            let bytes = self.members.bytes();
            let is_start = |at: &usize| {
                let rest = &bytes[at + 1..];
                rest.starts_with(b"WARC/") || self.is_arc && arc_line(rest).is_some()
            };
            let found = memchr::memchr_iter(b'\n', &bytes[..limit]).find(is_start);
            let n = found.map_or(limit, |at| at + 1);
            self.members.consume(n);
            n_passed += n as u64;
            if found.is_some() || is_over {
                return Ok(n_passed);
            }
        }
    }
}
