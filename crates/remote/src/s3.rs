//! Stores that speak S3: where an object is, who asks for it, and lists.
//!
//! "Authenticating requests (AWS Signature Version 4)", in the S3 API reference; objects are
//! addressed by path, which every store understands.

use std::fmt::{self, Write};
use std::time::{Duration, SystemTime};

use ring::digest::{SHA256, digest};
use ring::hmac::{HMAC_SHA256, Key, sign};

use crate::{Found, RemoteError};

/// A secret, which no message shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// `AWS_ACCESS_KEY_ID`.
    pub access: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret: Secret,
    /// `AWS_SESSION_TOKEN`, of keys that end.
    pub token: Option<Secret>,
}

/// Bucket and key of `s3://bucket/key`; the key may be empty.
pub(crate) fn parse(url: &str) -> Result<(&str, &str), RemoteError> {
    let bad = |problem| RemoteError::Address { url: url.to_owned(), problem };
    let rest = url.strip_prefix("s3://").ok_or(bad("no `s3://`"))?;
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if bucket.is_empty() || !bucket.bytes().all(is_name) || bucket.starts_with('.') {
        return Err(bad("that is no name of a bucket"));
    }
    Ok((bucket, key))
}

/// Everything but letters, digits and `-._~` as `%XX`; in a path the slashes stay.
pub(crate) fn encode(text: &str, is_path: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
            b'/' if is_path => out.push('/'),
            _ if byte.is_ascii_alphanumeric() => out.push(byte as char),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// A request, as far as it is signed.
pub(crate) struct Signed<'a> {
    pub method: &'a str,
    pub host: &'a str,
    /// Encoded.
    pub path: &'a str,
    /// Encoded, sorted.
    pub query: &'a str,
    /// SHA-256 of what is sent.
    pub hash: &'a str,
    /// `YYYYMMDDThhmmssZ`.
    pub date: &'a str,
    pub region: &'a str,
}

impl Signed<'_> {
    /// The fields that say who asks.
    pub fn headers(&self, keys: &Keys) -> Vec<(&'static str, String)> {
        let Self { method, host, path, query, hash, date, region } = self;
        let mut signed = vec![
            ("host", (*host).to_owned()),
            ("x-amz-content-sha256", (*hash).to_owned()),
            ("x-amz-date", (*date).to_owned()),
        ];
        if let Some(Secret(token)) = &keys.token {
            signed.push(("x-amz-security-token", token.clone()));
        }
        let names: Vec<_> = signed.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines = signed
            .iter()
            .fold(String::new(), |lines, (name, value)| format!("{lines}{name}:{value}\n"));
        let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{hash}");
        let day = &date[..8];
        let scope = format!("{day}/{region}/s3/aws4_request");
        let canonical = hex(digest(&SHA256, canonical.as_bytes()).as_ref());
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{canonical}");
        let mut key = format!("AWS4{}", keys.secret.0).into_bytes();
        for part in [day, region, "s3", "aws4_request", &text] {
            key = sign(&Key::new(HMAC_SHA256, &key), part.as_bytes()).as_ref().to_vec();
        }
        let (access, signature) = (&keys.access, hex(&key));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={access}/{scope}, SignedHeaders={names}, \
             Signature={signature}"
        );
        signed.remove(0);
        signed.push(("authorization", authorization));
        signed
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A time as `YYYYMMDDThhmmssZ`. Howard Hinnant, "chrono-compatible low-level date algorithms",
/// `civil_from_days`.
pub(crate) fn date(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let (days, second) = (since / 86_400 + 719_468, since % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// A page of a list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// With keys for addresses.
    pub objects: Vec<Found>,
    /// What gives the next page.
    pub next: Option<String>,
}

/// Reads the answer to `ListObjectsV2`.
pub(crate) fn page(xml: &str) -> Option<Page> {
    if !xml.contains("<ListBucketResult") {
        return None;
    }
    let mut parts = xml.split("<Contents>");
    let head = parts.next()?;
    let mut page = Page::default();
    let mut tail = "";
    for part in parts {
        let (object, after) = part.split_once("</Contents>")?;
        let (url, size) = (tag(object, "Key")?, tag(object, "Size")?.parse().ok()?);
        page.objects.push(Found { url, size, tag: tag(object, "ETag") });
        tail = after;
    }
    let token = "NextContinuationToken";
    page.next = tag(head, token).or_else(|| tag(tail, token));
    Some(page)
}

/// The text in an element.
pub(crate) fn tag(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let mut parts = text.split('&');
    let mut out = parts.next()?.to_owned();
    for part in parts {
        let (entity, rest) = part.split_once(';')?;
        let number = entity.strip_prefix('#').map(|digits| match digits.strip_prefix('x') {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => digits.parse(),
        });
        out.push(match (entity, number) {
            (_, Some(number)) => char::from_u32(number.ok()?)?,
            ("amp", _) => '&',
            ("lt", _) => '<',
            ("gt", _) => '>',
            ("quot", _) => '"',
            ("apos", _) => '\'',
            _ => return None,
        });
        out.push_str(rest);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_the_reference() {
        // "Example: GET Bucket (List Objects)", in the S3 API reference.
        let keys = Keys {
            access: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret: Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned()),
            token: None,
        };
        let signed = Signed {
            method: "GET",
            host: "examplebucket.s3.amazonaws.com",
            path: "/",
            query: "max-keys=2&prefix=J",
            hash: &hex(digest(&SHA256, b"").as_ref()),
            date: "20130524T000000Z",
            region: "us-east-1",
        };
        let (_, authorization) = signed.headers(&keys).pop().expect("fields");
        let expected = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7";
        assert!(authorization.ends_with(expected), "{authorization}");
        assert_eq!(format!("{keys:?}").matches("wJal").count(), 0);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let at = |seconds| date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "19700101T000000Z");
        assert_eq!(at(951_782_400 + 86_399), "20000229T235959Z");
        assert_eq!(at(1_369_353_600), "20130524T000000Z");
        assert_eq!(at(4_107_542_400), "21000301T000000Z");
    }

    #[test]
    fn lists_are_read() {
        let xml = "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"x\"><IsTruncated>true\
            </IsTruncated><Contents><Key>a&amp;b/&#x4e2d;.warc</Key><Size>7</Size>\
            <ETag>&quot;1&quot;</ETag></Contents>\
            <Contents><Size>0</Size><Key>c</Key></Contents>\
            <NextContinuationToken>t=</NextContinuationToken></ListBucketResult>";
        let found = |url: &str, size, tag: Option<&str>| Found {
            url: url.to_owned(),
            size,
            tag: tag.map(str::to_owned),
        };
        let objects = vec![found("a&b/\u{4e2d}.warc", 7, Some("\"1\"")), found("c", 0, None)];
        assert_eq!(page(xml), Some(Page { objects, next: Some("t=".to_owned()) }));
        let empty = "<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>";
        assert_eq!(page(empty), Some(Page::default()));
        for bad in ["", "<html>", "<ListBucketResult><Contents><Key>a</Key></Contents>"] {
            assert_eq!(page(bad), None);
        }
    }

    #[test]
    fn addresses_are_taken_apart() {
        assert_eq!(parse("s3://a.b/c/d").expect("parses"), ("a.b", "c/d"));
        assert_eq!(parse("s3://a").expect("parses"), ("a", ""));
        for bad in ["s3://", "s3:///a", "http://a", "s3://a@b/c", "s3://../c"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(encode("a b/\u{e9}+~", true), "a%20b/%C3%A9%2B~");
        assert_eq!(encode("a/b", false), "a%2Fb");
    }
}
