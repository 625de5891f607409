//! An answer of HTTP, and its body as it was before it was sent.

use std::io::{ErrorKind, Read};
use std::mem;

use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};
use memchr::memchr;
use serde::{Deserialize, Serialize};

use super::codec::{GZIP, ZSTD};
use super::header::{HEAD_MAX, Headers, head_len, split_head};

/// More codings on top of one another are not undone.
const CODINGS_MAX: usize = 4;
/// Up to here a body may be as much larger as it likes, in bytes.
const SMALL: usize = 1 << 20;

/// An answer of HTTP.
#[derive(Clone, Copy, Debug)]
pub struct Http<'a> {
    /// Its status.
    pub status: u16,
    /// Its fields.
    pub headers: Headers<'a>,
    /// Its body, as it was sent.
    pub body: &'a [u8],
}

impl<'a> Http<'a> {
    /// `None` where this is no answer.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        if !bytes.starts_with(b"HTTP/") {
            return None;
        }
        let head = &bytes[..bytes.len().min(HEAD_MAX)];
        // An answer without a body may end with its last field.
        let len = head_len(head).or((head.len() == bytes.len()).then_some(bytes.len()))?;
        let (head, body) = bytes.split_at(len);
        let (line, headers) = split_head(head);
        let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        let status = words.nth(1).filter(|word| word.len() == 3)?;
        Some(Self { status: str::from_utf8(status).ok()?.parse().ok()?, headers, body })
    }

    /// The media type with its parameters.
    pub fn media_type(&self) -> Option<std::borrow::Cow<'a, str>> {
        self.headers.text("Content-Type")
    }
}

/// How large a body may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BodyLimits {
    /// In bytes.
    pub bytes_max: usize,
    /// In bytes a byte that was sent; a body below 1 MiB is never too large.
    pub ratio_max: usize,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self { bytes_max: 64 << 20, ratio_max: 250 }
    }
}

/// Why a body could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyProblem {
    /// It is larger than is allowed.
    Large,
    /// It is damaged.
    Corrupt,
}

impl BodyProblem {
    /// What it is counted under.
    pub fn name(self) -> &'static str {
        match self {
            Self::Large => "body expands too far",
            Self::Corrupt => "corrupt body",
        }
    }
}

/// Undoes what was done to a body to send it; its buffers are used again.
#[derive(Debug, Default)]
pub struct BodyDecoder {
    limits: BodyLimits,
    front: Vec<u8>,
    back: Vec<u8>,
}

impl BodyDecoder {
    /// One that goes as far as `limits` allow.
    pub fn new(limits: BodyLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// The body without `Transfer-Encoding: chunked` and `Content-Encoding` (gzip, deflate, br,
    /// zstd). Where it was not encoded, whatever its head says, it is as it was; one that was cut
    /// off gives what came of it, as in a browser.
    ///
    /// # Errors
    /// [`BodyProblem`].
    pub fn decode<'a>(&'a mut self, http: &Http<'a>) -> Result<&'a [u8], BodyProblem> {
        let has = |name, word: &[u8]| {
            let value = http.headers.get(name).unwrap_or_default();
            value.split(|byte| *byte == b',').any(|w| w.trim_ascii().eq_ignore_ascii_case(word))
        };
        self.front.clear();
        let mut is_sent =
            !(has("Transfer-Encoding", b"chunked") && dechunk(http.body, &mut self.front));
        let codings = http.headers.get("Content-Encoding").unwrap_or_default();
        for coding in codings.rsplit(|byte| *byte == b',').take(CODINGS_MAX) {
            let input = if is_sent { http.body } else { &self.front };
            self.back.clear();
            if expand(coding.trim_ascii(), input, &mut self.back, self.limits)? {
                mem::swap(&mut self.front, &mut self.back);
                is_sent = false;
            }
        }
        Ok(if is_sent { http.body } else { &self.front })
    }
}

/// Undoes chunks (RFC 9112, section 7.1); `false` where there are none.
fn dechunk(mut body: &[u8], out: &mut Vec<u8>) -> bool {
    while let Some(end) = memchr(b'\n', &body[..body.len().min(256)]) {
        let digits = body[..end].split(|byte| *byte == b';').next().unwrap_or_default();
        let size = str::from_utf8(digits.trim_ascii()).ok();
        let size = size.and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let Some(size) = size else { break };
        let rest = &body[end + 1..];
        let chunk = &rest[..size.min(rest.len())];
        out.extend_from_slice(chunk);
        let rest = &rest[chunk.len()..];
        body = rest.strip_prefix(b"\r\n").or(rest.strip_prefix(b"\n")).unwrap_or(rest);
        if size == 0 {
            return true;
        }
    }
    !out.is_empty()
}

/// Undoes one coding; `false` where there was none.
fn expand(
    coding: &[u8],
    input: &[u8],
    out: &mut Vec<u8>,
    limits: BodyLimits,
) -> Result<bool, BodyProblem> {
    let is = |name: &str| coding.eq_ignore_ascii_case(name.as_bytes());
    let max = limits.bytes_max.min(input.len().saturating_mul(limits.ratio_max).max(SMALL));
    let (result, is_marked) = if is("gzip") || is("x-gzip") {
        (read(GzDecoder::new(input), max, out), input.starts_with(&GZIP))
    } else if is("deflate") {
        let is_zlib = input.first_chunk().is_some_and(|head: &[u8; 2]| {
            head[0] & 15 == 8 && u16::from_be_bytes(*head).is_multiple_of(31)
        });
        let result = if is_zlib {
            read(ZlibDecoder::new(input), max, out)
        } else {
            read(DeflateDecoder::new(input), max, out)
        };
        (result, false)
    } else if is("br") {
        (read(brotli_decompressor::Decompressor::new(input, 4096), max, out), false)
    } else if is("zstd") {
        let decoder = zstd::stream::read::Decoder::with_buffer(input);
        let decoder = decoder.map_err(|_| BodyProblem::Corrupt)?;
        (read(decoder.single_frame(), max, out), input.starts_with(&ZSTD))
    } else {
        return Ok(false);
    };
    match result {
        Ok(()) => Ok(true),
        Err(BodyProblem::Corrupt) if out.is_empty() && !is_marked => Ok(false),
        Err(problem) => Err(problem),
    }
}

/// Reads what a decoder gives, up to `max` bytes; an end before its time is one.
fn read(decoder: impl Read, max: usize, out: &mut Vec<u8>) -> Result<(), BodyProblem> {
    let result = decoder.take(max as u64 + 1).read_to_end(out);
    if out.len() > max {
        return Err(BodyProblem::Large);
    }
    match result {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof && !out.is_empty() => Ok(()),
        Err(_) => Err(BodyProblem::Corrupt),
    }
}
